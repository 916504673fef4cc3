"""Scale the loss.

What it changes:
    Every `loss.backward()` of the script starts from 65536 (or another power of two) in place of 1, and every gradient
    is divided by it where it arrives at a weight: what optimizers, clipping and logs see is in true units. Where a
    gradient is not finite the pass counts for nothing and the factor is halved.

When it helps:
    Gradients below the smallest number of float16 (6e-8) between the layers of a network whose weights are float32 and
    whose activations are not, with no `GradScaler` in the script. Bfloat16 reaches as low as float32 does.

What it costs:
    A look at the graph and at all gradients per backward pass, and some microseconds for every call of torch. A
    script of one's own better uses `torch.amp.GradScaler`, which does this at less cost.

Source:
    Micikevicius et al., "Mixed precision training", ICLR 2018, section 3.2; halving as in `torch.amp.GradScaler`, whose
    factor grows again where this one does not.
"""

import gc
import inspect
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack
from torch.utils.weak import WeakIdKeyDictionary

from gradiometer.curing.cure import Labelled, Moment, Patient, Placement, listed_in_words
from gradiometer.errors import CureRefusedError, SettingsError
from gradiometer.units import format_setting

HALVES = (torch.float16, torch.bfloat16)
"""Formats of 16 bits."""

USUAL_FACTOR = 65536.0
"""The factor that `torch.amp.GradScaler` starts with."""


class ScaledBackward(TorchFunctionMode):
    """While entered, backward passes start from a factor, and what arrives at a leaf is divided by it."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.active = 0.0
        self.finite: list[Tensor] = []
        self.known: Any = WeakIdKeyDictionary()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Make one call; of a backward pass from a single number or given numbers a scaled one."""
        kwargs = dict(kwargs or {})
        backward: Any = torch.Tensor.backward
        if func is not backward or (kwargs.get("gradient") is None and args[0].numel() != 1):
            return func(*args, **kwargs)
        loss, start = args[0], kwargs.pop("gradient", None)
        leaves = self.leaves_of(loss)
        self.adopt(leaves)
        before = [(leaf, None if leaf.grad is None else leaf.grad.clone()) for leaf in leaves]
        self.active = min(self.factor, 32768.0) if loss.dtype is torch.float16 else self.factor
        self.finite = []
        try:
            func(loss, gradient=(torch.ones_like(loss) if start is None else start) * self.active, **kwargs)
        finally:
            self.active = 0.0
        if self.factor > 1.0 and not all(bool(finite) for finite in self.finite):
            self.factor /= 2.0
            for leaf, gradient in before:
                leaf.grad = gradient
        return None

    def adopt(self, leaves: Any) -> None:
        """Have what arrives at these tensors divided."""
        for leaf in leaves:
            if leaf not in self.known:
                self.known[leaf] = leaf.register_hook(self.divided)

    def divided(self, gradient: Tensor) -> Tensor:
        """A gradient in true units."""
        if not self.active:
            return gradient
        values = gradient.coalesce().values() if gradient.is_sparse else gradient
        self.finite.append(torch.isfinite(values).all())
        return gradient / self.active

    def leaves_of(self, loss: Tensor) -> list[Tensor]:
        """Every leaf that a loss was computed from, and every other that is known."""
        seen, waiting, leaves = set(), [loss.grad_fn], list(self.known)
        known = {id(leaf) for leaf in leaves}
        while waiting:
            node = waiting.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            leaf = getattr(node, "variable", None)
            if leaf is not None and id(leaf) not in known:
                leaves.append(leaf)
            waiting += [following for following, _ in node.next_functions]
        return leaves


@dataclass(frozen=True, slots=True)
class ScaleLoss(Labelled):
    """Lift small gradients above the floor of a number format.

    Attributes:
        factor: What to multiply by, a power of two.
    """

    name: ClassVar[str] = "scale_loss"
    moment: ClassVar[Moment] = "first_forward"
    placement: ClassVar[Placement] = "after_optimizer"

    factor: float | None = None

    @classmethod
    def parse(cls, setting: str) -> "ScaleLoss":
        """Read the factor; empty stands for 65536.

        Raises:
            SettingsError: It is no power of two above 1.
        """
        if not setting:
            return cls()
        try:
            factor = float(setting)
        except ValueError:
            factor = 0.0
        if not 1.0 < factor < math.inf or math.frexp(factor)[0] != 0.5:
            raise SettingsError(f"{cls.name}:{setting} is not understood; write a power of two, as in :65536")
        return cls(factor)

    @property
    def setting(self) -> str | None:
        """As it is written behind the name."""
        if self.factor is None:
            return None
        return str(int(self.factor)) if self.factor < 1e15 else format_setting(self.factor)

    @property
    def _factor(self) -> float:
        return USUAL_FACTOR if self.factor is None else self.factor

    def apply(self, patient: Patient) -> str:
        """Add the mode to the patient's script modes; a second root joins the mode of the first."""
        leaves = self._leaves(patient)
        stack: list[TorchFunctionMode] = _get_current_function_mode_stack()  # type: ignore[no-untyped-call]
        entered = [mode for mode in stack if isinstance(mode, ScaledBackward)]
        mode = entered[0] if entered else ScaledBackward(self._factor)
        mode.adopt(leaves)
        if not entered:
            patient.script_modes.append(mode)
        return f"backward passes start from {self._factor:g}, and gradients are divided by it at the weights"

    def _leaves(self, patient: Patient) -> list[Tensor]:
        """All weights whose gradients are divided.

        Raises:
            CureRefusedError: Scaling would do harm, or is done already.
        """
        named = {name: parameter for name, parameter in patient.model.named_parameters() if parameter.requires_grad}
        halves = [name for name, parameter in named.items() if parameter.dtype in HALVES]
        if halves:
            raise CureRefusedError(
                f"the weights {listed_in_words(halves)} are in half precision, where their gradients would be lost in "
                "the division again; keep_weights_in_float32 first"
            )
        hooked = [name for name, parameter in named.items() if parameter._backward_hooks]
        if hooked:
            raise CureRefusedError(f"hooks of the script on {listed_in_words(hooked)} would see scaled gradients")
        if has_scaler():
            raise CureRefusedError("the script scales its loss already, by a GradScaler")
        groups = [parameter for group in patient.parameter_groups for parameter in group["params"]]
        held = [parameter for parameter in groups if isinstance(parameter, Tensor) and parameter.requires_grad]
        return list({id(leaf): leaf for leaf in (*named.values(), *held)}.values())

    def snippet(self, patient: Patient) -> str:
        """What to write in the script, and the mode that does the same without."""
        self._leaves(patient)
        return (
            "# Better use scaler = torch.amp.GradScaler(), with scaler.scale(loss).backward(), scaler.step(optimizer)\n"
            "# and scaler.update(). The same without a change of these lines, by a mode over the whole script:\n"
            "from typing import Any\n\nimport torch\nfrom torch import Tensor\nfrom torch.overrides import "
            "TorchFunctionMode\nfrom torch.utils.weak import WeakIdKeyDictionary\n\n\n"
            f"{inspect.getsource(ScaledBackward)}\n\n"
            f"scaling = ScaledBackward({self._factor!r})\n"
            "scaling.adopt(parameter for parameter in model.parameters() if parameter.requires_grad)\n"
            'held = [parameter for group in optimizer.param_groups for parameter in group["params"]]\n'
            "scaling.adopt(parameter for parameter in held if parameter.requires_grad)\n"
            "scaling.__enter__()\n"
        )


def has_scaler() -> bool:
    """Whether there is a gradient scaler at work in this process."""
    alive = (thing for thing in gc.get_objects() if issubclass(type(thing), GradScaler))
    return any(scaler.is_enabled() for scaler in alive)
