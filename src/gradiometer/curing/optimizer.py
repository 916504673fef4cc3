"""Exchange the optimizer.

What it changes:
    The optimizer object becomes one of another class, as if the script had constructed that: the object stays the
    same, so that schedulers and scalers made afterwards hold the right one. Parameter groups, the ratio between their
    learning rates, weight decay and `maximize` are kept; every other setting is the new class's default. Decay that
    acts on the weights directly (AdamW) goes on doing so under Adam, NAdam and RAdam, or the exchange is refused where
    this torch's class can't (Adam in torch 2.6); under SGD and RMSprop it becomes part of the gradient, and under AdamW
    decay that was part of it acts directly. `exchange_optimizer:momentum` gives SGD the usual momentum of 0.9 where it
    has none, or more, and leaves the rest, the rate included.

When it helps:
    Adam divides each parameter's step by the size of its own gradient, so that layers with tiny gradients move as far
    as others. It carries a network through a vanishing gradient that plain descent is stopped by, up to a point: ten
    hidden sigmoid layers with PyTorch's default weights stay at chance under Adam too (900 steps on digits). Momentum
    averages noisy gradients out and speeds up along flat directions; one of 0.99 makes a rate act a hundred times as
    strongly, remembers a hundred steps, and overshoots for as long.

What it costs:
    Two numbers of state per weight (Adam), one (momentum), a few more operations per step, and a learning rate that has
    to be found anew: momentum makes the same rate act ten times as strongly. Optimizers other than SGD take no sparse
    gradients.

Source:
    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015; Loshchilov and Hutter, "Decoupled weight
    decay regularization", ICLR 2019; Polyak, "Some methods of speeding up the convergence of iteration methods", 1964.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch.optim import Optimizer

from gradiometer.curing.cure import Labelled, Moment, Patient, Placement
from gradiometer.errors import CureRefusedError, SettingsError


@dataclass(frozen=True, slots=True)
class OptimizerChoice:
    """An optimizer to exchange for.

    Attributes:
        kind: Its class.
        learning_rate: The rate to start with.
        settings: What else is given to its constructor.
    """

    kind: type[Optimizer]
    learning_rate: float
    settings: Mapping[str, Any]


OPTIMIZERS: dict[str, OptimizerChoice] = {
    "adam": OptimizerChoice(torch.optim.Adam, 1e-3, MappingProxyType({})),
    "adamw": OptimizerChoice(torch.optim.AdamW, 1e-3, MappingProxyType({})),
    "nadam": OptimizerChoice(torch.optim.NAdam, 1e-3, MappingProxyType({})),
    "radam": OptimizerChoice(torch.optim.RAdam, 1e-3, MappingProxyType({})),
    "rmsprop": OptimizerChoice(torch.optim.RMSprop, 1e-3, MappingProxyType({})),
    "sgd": OptimizerChoice(torch.optim.SGD, 1e-2, MappingProxyType({"momentum": 0.9})),
}
"""Optimizers that can be exchanged for, with the learning rate they are usually started with."""

KEPT = ("weight_decay", "maximize")
"""Settings that every class above has."""

ADAMS = (torch.optim.Adam, torch.optim.NAdam, torch.optim.RAdam)
"""Classes that let weight decay act on the weights directly where they are told to."""

MOMENTUM = "momentum"
"""The setting that leaves the class, SGD, and gives it a momentum."""

USUAL_MOMENTUM = 0.9
"""What most scripts use."""


@dataclass(frozen=True, slots=True)
class ExchangeOptimizer(Labelled):
    """Turn the optimizer into one of another class.

    Attributes:
        to: A key of `OPTIMIZERS`, or `MOMENTUM`.
    """

    name: ClassVar[str] = "exchange_optimizer"
    moment: ClassVar[Moment] = "construction"
    placement: ClassVar[Placement] = "after_optimizer"

    to: str = "adam"

    @classmethod
    def parse(cls, setting: str) -> "ExchangeOptimizer":
        """Read the name of the optimizer; empty stands for Adam.

        Raises:
            SettingsError: It is neither one of `OPTIMIZERS` nor `MOMENTUM`.
        """
        words = [*OPTIMIZERS, MOMENTUM]
        if setting and setting not in words:
            raise SettingsError(f"there is no optimizer {setting!r} to exchange for; choose {', '.join(words)}")
        return cls(setting or "adam")

    @property
    def setting(self) -> str:
        """As it is written behind the name."""
        return self.to

    def apply(self, patient: Patient) -> str:
        """Exchange the class of a constructed optimizer that has not stepped yet, in place; or give it a momentum."""
        if self.to == MOMENTUM:
            return give_momentum(with_unusual_momentum(patient))
        optimizer, choice = self._checked(patient), OPTIMIZERS[self.to]
        former = type(optimizer).__name__
        groups = new_groups(optimizer, choice)
        _become(optimizer, choice, groups)
        patient.parameter_groups = optimizer.param_groups
        rates = ", ".join(f"{group['lr']:g}" for group in groups)
        return f"{former} became {choice.kind.__name__} with learning rate {rates}"

    def _checked(self, patient: Patient) -> Optimizer:
        """The optimizer, where it can be exchanged.

        Raises:
            CureRefusedError: It can't.
        """
        optimizer, kind = patient.optimizer, OPTIMIZERS[self.to].kind
        if optimizer is None:
            raise CureRefusedError("the optimizer can be exchanged only once it is constructed")
        former = type(optimizer)
        if former is kind:
            raise CureRefusedError(f"the optimizer is {kind.__name__} already")
        if not former.__module__.startswith("torch.optim") or former is torch.optim.SparseAdam:
            raise CureRefusedError(f"{former.__module__}.{former.__name__} has code of its own that would be lost")
        if optimizer.state:
            raise CureRefusedError("the optimizer has stepped already; exchange it where it is constructed")
        if "step" in optimizer.__dict__ or any("initial_lr" in group for group in optimizer.param_groups):
            raise CureRefusedError("a scheduler holds the optimizer already; exchange it where it is constructed")
        if kind is not torch.optim.SGD and any(
            getattr(part, "sparse", False) is True for part in patient.model.modules()
        ):
            raise CureRefusedError(f"{kind.__name__} takes no sparse gradients, and an embedding here gives them")
        return optimizer

    def snippet(self, patient: Patient) -> str:
        """A constructor call; with the groups spelt out where there are several or they keep settings of their own."""
        if self.to == MOMENTUM:
            with_unusual_momentum(patient)
            return (
                f'for group in optimizer.param_groups:\n    if not 0.0 < group["momentum"] <= {USUAL_MOMENTUM!r}:\n'
                f'        group["momentum"] = {USUAL_MOMENTUM!r}\n'
            )
        choice, kind = OPTIMIZERS[self.to], OPTIMIZERS[self.to].kind.__name__
        settings = "".join(f", {name}={value!r}" for name, value in choice.settings.items())
        groups = new_groups(self._checked(patient), choice)
        if len(groups) == 1 and set(groups[0]) == {"params", "lr"}:
            arguments = f'optimizer.param_groups[0]["params"], lr={groups[0]["lr"]!r}{settings}'
            return f"import torch\n\noptimizer = torch.optim.{kind}({arguments})\n"
        rest = [{name: value for name, value in group.items() if name != "params"} for group in groups]
        lines = "".join(f"    {settings_of_group!r},\n" for settings_of_group in rest)
        return (
            f"import torch\n\ngroup_settings = [\n{lines}]\n"
            f"optimizer = torch.optim.{kind}(\n"
            '    [{"params": group["params"], **own} for group, own in zip(optimizer.param_groups, group_settings)],\n'
            f"    lr={choice.learning_rate!r}{settings},\n)\n"
        )


def with_unusual_momentum(patient: Patient) -> Optimizer:
    """The optimizer, where it can be given the usual momentum.

    Raises:
        CureRefusedError: It can't, or has one that is no greater.
    """
    optimizer = patient.optimizer
    if optimizer is None:
        raise CureRefusedError("an optimizer can be given a momentum only once it is constructed")
    if not isinstance(optimizer, torch.optim.SGD):
        raise CureRefusedError(
            f"{type(optimizer).__name__} takes no momentum in this sense: exchange_optimizer:sgd does"
        )
    if not unusual_groups(optimizer):
        raise CureRefusedError(f"the optimizer has a momentum of {optimizer.param_groups[0]['momentum']:g} already")
    return optimizer


def unusual_groups(optimizer: Optimizer) -> list[dict[str, Any]]:
    """Groups without a momentum, and those with more than is usual."""
    return [group for group in optimizer.param_groups if not 0.0 < float(group["momentum"]) <= USUAL_MOMENTUM]


def give_momentum(optimizer: Optimizer) -> str:
    """Set the momentum of every group that has none, or more than is usual."""
    changed = unusual_groups(optimizer)
    former = sorted({float(group["momentum"]) for group in changed})
    for group in changed:
        group["momentum"] = USUAL_MOMENTUM
    words = " and ".join(f"{momentum:g}" for momentum in former)
    return f"SGD's momentum became {USUAL_MOMENTUM:g} instead of {words} in {len(changed)} group(s)"


def takes_decoupled_decay(kind: type[Optimizer]) -> bool:
    """Whether a class can let weight decay act on the weights directly; not in every version of torch."""
    return "decoupled_weight_decay" in inspect.signature(kind.__init__).parameters


def has_decoupled_decay(optimizer: Optimizer) -> bool:
    """Whether weight decay acts on the weights directly; AdamW notes that it does in newer versions of torch alone."""
    is_noted = any(group.get("decoupled_weight_decay") for group in optimizer.param_groups)
    return is_noted or isinstance(optimizer, torch.optim.AdamW)


def keeps_decoupled_decay(optimizer: Optimizer, kind: type[Optimizer]) -> bool:
    """Whether weight decay that acts on the weights directly has to be asked of the new class.

    Raises:
        CureRefusedError: It has, and this torch's class can't.
    """
    if kind not in ADAMS or not has_decoupled_decay(optimizer):
        return False
    if not takes_decoupled_decay(kind):
        raise CureRefusedError(
            f"{kind.__name__} of torch {torch.__version__} can't let weight decay act on the weights directly, "
            "as it does here: take exchange_optimizer:adamw"
        )
    return True


def _become(optimizer: Optimizer, choice: OptimizerChoice, groups: list[dict[str, Any]]) -> None:
    """Run the constructor of the new class on the old object: what it makes is what a script would have made."""
    former, contents = type(optimizer), dict(optimizer.__dict__)
    hooks = {name: value for name, value in contents.items() if name.endswith("_hooks")}
    optimizer.__class__ = choice.kind
    optimizer.__dict__.clear()
    try:
        choice.kind.__init__(optimizer, groups, lr=choice.learning_rate, **choice.settings)  # type: ignore[call-arg]
    except (TypeError, ValueError, RuntimeError) as error:
        optimizer.__class__ = former
        optimizer.__dict__.clear()
        optimizer.__dict__.update(contents)
        raise CureRefusedError(f"{choice.kind.__name__} does not take these parameters: {error}") from error
    optimizer.__dict__.update(hooks)


def new_groups(optimizer: Optimizer, choice: OptimizerChoice) -> list[dict[str, Any]]:
    """The parameter groups as they would be written for the new class.

    Args:
        optimizer: The old optimizer.
        choice: The new one.

    Returns:
        Groups with their parameters, learning rate (the new default, times the group's ratio to the first group),
        what the user added to them, and the kept settings where any group changes them from the old default of 0.

    Raises:
        CureRefusedError: Weight decay would act another way.
    """
    groups = optimizer.param_groups
    reference = float(groups[0].get("lr", 0.0))
    kept = [name for name in KEPT if any(group.get(name) for group in groups)]
    is_decoupled = "weight_decay" in kept and keeps_decoupled_decay(optimizer, choice.kind)
    found = []
    for group in groups:
        ratio = float(group["lr"]) / reference if reference > 0.0 else 1.0
        own = {name: value for name, value in group.items() if name not in optimizer.defaults and name != "params"}
        settings = {name: group[name] for name in kept if name in group}
        if is_decoupled:
            settings["decoupled_weight_decay"] = group.get("decoupled_weight_decay", True)
        found.append({"params": group["params"], "lr": choice.learning_rate * ratio, **own, **settings})
    return found
