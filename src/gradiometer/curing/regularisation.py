"""Reduce the regularisation.

What it changes:
    `reduce_regularisation:dropout`: every share of values that is dropped, in dropout modules, attention, recurrent
    layers and functional calls, becomes 0.1 where it is more. `reduce_regularisation:decay`: the weight decay of every
    parameter group becomes 0.0001 where it is more. `reduce_regularisation:both` does both. Without a word it is what
    the findings name, else both. `reduce_regularisation:none` leaves nothing of it in place of these limits.

When it helps:
    Dropout that leaves mostly noise of the signal, most often a share to keep that was given as the share to drop;
    weight decay that pulls weights to zero faster than the gradient can build them up.

What it costs:
    Regularisation: watch the held-out loss.

Source:
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 2014, figure 9 (the
    training error is flat below a dropped share of 0.5 and low at 0.1); Krogh and Hertz, "A simple weight decay can
    improve generalization", NIPS 1991. The two limits are ours. At that decay four networks of four end where they do
    without (within 2 %). At that share of dropout five networks of seven that tell classes apart end at most a tenth
    higher, but four autoencoders 21 to 80 % (at 0.05, 10 to 40 %): where few units have to carry all of the signal it
    bears none, and `none` is raced beside the milder change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd
from torch.overrides import TorchFunctionMode

from gradiometer.curing.activation_modes import entry_code
from gradiometer.curing.cure import Labelled, Moment, Patient, Placement, listed_in_words
from gradiometer.curing.survey import executed_layers
from gradiometer.errors import CureRefusedError, SettingsError
from gradiometer.units import format_number


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be left.

    Attributes:
        share: Greatest share of values that dropout drops.
        decay: Greatest weight decay of a group.
    """

    share: float
    decay: float


USUAL, NOTHING = Limits(share=0.1, decay=1e-4), Limits(share=0.0, decay=0.0)
"""What a network bears, and nothing of either."""

DROPOUT_CALLS: Mapping[str, tuple[int, str, float]] = {
    **{
        name: (1, "p", 0.5)
        for name in ("dropout", "alpha_dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout")
    },
    "scaled_dot_product_attention": (4, "dropout_p", 0.0),
}
"""Functions that drop values: position, name and default of the share."""

ATTRIBUTES: tuple[tuple[type[nn.Module], str], ...] = (
    (_DropoutNd, "p"),
    (nn.MultiheadAttention, "dropout"),
    (nn.RNNBase, "dropout"),
)
"""Modules that drop values, and where they keep the share."""

Part = Literal["dropout", "decay", "both"]
Word = Literal["dropout", "decay", "both", "none"]


class ReducedDropout(TorchFunctionMode):
    """While entered, functional calls drop no more than a share."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Make one call, with a smaller share where it drops values."""
        kwargs = dict(kwargs or {})
        position, name, default = DROPOUT_CALLS.get(getattr(func, "__name__", ""), (0, "", 0.0))
        if position and len(args) > position:
            args = (*args[:position], min(args[position], self.share), *args[position + 1 :])
        elif position:
            kwargs[name] = min(kwargs.get(name, default), self.share)
        return func(*args, **kwargs)


@dataclass(frozen=True, slots=True)
class ReductionPlan:
    """What will be reduced.

    Attributes:
        attributes: Places of modules that drop too much, by the attribute that says how much.
        has_calls: Functional calls drop values.
        decays: Weight decay of each group that has too much.
        limits: How much is left.
    """

    attributes: dict[str, list[str]]
    has_calls: bool
    decays: list[float]
    limits: Limits


@dataclass(frozen=True, slots=True)
class ReduceRegularisation(Labelled):
    """Lower dropout, weight decay or both.

    Attributes:
        word: Which, or that nothing is to be left; for that and without a word it is what the findings name.
    """

    name: ClassVar[str] = "reduce_regularisation"
    moment: ClassVar[Moment] = "first_forward"
    placement: ClassVar[Placement] = "after_optimizer"

    word: Word | None = None

    @classmethod
    def parse(cls, setting: str) -> "ReduceRegularisation":
        """Read the word; empty leaves it to the findings.

        Raises:
            SettingsError: It is not one of the four.
        """
        words: dict[str, Word | None] = {"": None, **{word: word for word in get_args(Word)}}
        if setting not in words:
            raise SettingsError(f"{cls.name}:{setting} is not understood; write :dropout, :decay, :both or :none")
        return cls(words[setting])

    @property
    def setting(self) -> str | None:
        """As it is written behind the name."""
        return self.word

    def apply(self, patient: Patient) -> str:
        """Set attributes of modules and of groups in place; for functional calls add a mode to the forward modes."""
        plan = self._plan(patient)
        for attribute, places in plan.attributes.items():
            for place in places:
                setattr(patient.model.get_submodule(place), attribute, plan.limits.share)
        if plan.has_calls:
            patient.forward_modes.append(ReducedDropout(plan.limits.share))
        if plan.decays and patient.optimizer is not None:
            for group in patient.optimizer.param_groups:
                if float(group.get("weight_decay", 0.0)) > plan.limits.decay:
                    set_decay(group, plan.limits.decay)
        return in_words(plan)

    def _plan(self, patient: Patient) -> ReductionPlan:
        """Decide what to reduce.

        Raises:
            CureRefusedError: There is nothing to reduce.
        """
        limits = NOTHING if self.word == "none" else USUAL
        part = part_named(patient) if self.word in (None, "none") else self.word
        attributes = strong_dropout(patient.model, limits.share) if part != "decay" else {}
        has_calls = part != "decay" and calls_dropout(patient)
        groups = patient.optimizer.param_groups if patient.optimizer is not None and part != "dropout" else []
        decays = [float(group.get("weight_decay", 0.0)) for group in groups]
        plan = ReductionPlan(attributes, has_calls, [decay for decay in decays if decay > limits.decay], limits)
        if plan.attributes or plan.has_calls or plan.decays:
            return plan
        missing = {
            "dropout": f"no dropout of more than {limits.share:g}",
            "decay": f"no weight decay of more than {format_number(limits.decay)}",
        }
        raise CureRefusedError(
            f"there is {' and '.join(text for word, text in missing.items() if part in (word, 'both'))}"
        )

    def snippet(self, patient: Patient) -> str:
        """Assignments to modules and groups, a mode around `model.forward` for functional calls."""
        plan, parts = self._plan(patient), []
        share, decay = plan.limits.share, plan.limits.decay
        for attribute, places in plan.attributes.items():
            parts.append(f"for place in {places!r}:\n    model.get_submodule(place).{attribute} = {share!r}\n")
        if plan.has_calls:
            code = MODE_CODE.replace("<SHARE>", repr(share))
            parts.append(code + entry_code("ReducedDropout", has_roots=isinstance(patient.model, nn.ModuleDict)))
        if plan.decays and patient.optimizer is not None:
            has_tensors = any(isinstance(group.get("weight_decay"), Tensor) for group in patient.optimizer.param_groups)
            change = 'group["weight_decay"]' + (".fill_({})" if has_tensors else " = {}")
            parts.append(
                "for group in optimizer.param_groups:\n"
                f'    if float(group.get("weight_decay", 0.0)) > {decay!r}:\n'
                f"        {change.format(repr(decay))}\n"
            )
        return "\n\n".join(parts)


def part_named(patient: Patient) -> Part:
    """Which of the two the findings name: what drowns the signal stands in their evidence."""
    names = {
        evidence.name
        for finding in patient.findings
        if finding.condition == "over_regularised"
        for evidence in finding.evidence
    }
    has_decay, has_dropout = "decay against gradient" in names, "dropped share" in names
    if has_decay == has_dropout:
        return "both"
    return "decay" if has_decay else "dropout"


def strong_dropout(model: nn.Module, share: float) -> dict[str, list[str]]:
    """Places of modules that drop more than they may, by the attribute that says how much."""
    found: dict[str, list[str]] = {}
    for place, module in model.named_modules():
        for kind, attribute in ATTRIBUTES:
            if isinstance(module, kind) and float(getattr(module, attribute)) > share:
                found.setdefault(attribute, []).append(place)
    return found


def calls_dropout(patient: Patient) -> bool:
    """Whether values are dropped by functional calls: as the run saw it, else as the code of the modules reads."""
    layers = executed_layers(patient)
    if layers:
        return any(layer.role == "function" and layer.kind in DROPOUT_CALLS for layer in layers)
    return any(
        word in DROPOUT_CALLS and not hasattr(module, word)
        for module in patient.model.modules()
        if not type(module).__module__.startswith("torch.nn.")
        for word in getattr(getattr(type(module).forward, "__code__", None), "co_names", ())
    )


def set_decay(group: dict[str, Any], decay: float) -> None:
    """Set a group's decay; one that is a tensor is written over."""
    if isinstance(group["weight_decay"], Tensor):
        group["weight_decay"].fill_(decay)
    else:
        group["weight_decay"] = decay


def in_words(plan: ReductionPlan) -> str:
    """What was reduced."""
    parts = []
    places = [place for listed in plan.attributes.values() for place in listed]
    if places:
        parts.append(f"dropout became {plan.limits.share:g} in {listed_in_words(places)}")
    if plan.has_calls:
        parts.append(f"functional calls drop at most {plan.limits.share:g}")
    if plan.decays:
        former = format_number(max(plan.decays))
        parts.append(f"weight decay {former} became {format_number(plan.limits.decay)} in {len(plan.decays)} group(s)")
    return "; ".join(parts)


MODE_CODE = f"""\
from torch.overrides import TorchFunctionMode

# Better lower the share in the calls themselves, and leave this out.
dropout_calls = {dict(DROPOUT_CALLS)!r}


class ReducedDropout(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {{}})
        position, name, default = dropout_calls.get(getattr(func, "__name__", ""), (0, "", 0.0))
        if position and len(args) > position:
            args = (*args[:position], min(args[position], <SHARE>), *args[position + 1:])
        elif position:
            kwargs[name] = min(kwargs.get(name, default), <SHARE>)
        return func(*args, **kwargs)


"""
