"""Keep the weights in float32.

What it changes:
    Weights and buffers of 16 bits become float32, in the same parameters, before the optimizer takes them; the forward
    runs under `torch.autocast` to the format that they had, so that layers compute in it as before, and the outputs
    come in that format.

When it helps:
    Updates that are rounded away: bfloat16 keeps eight binary digits, so that a step of less than about a 500th of a
    weight leaves it as it is. An Adam in float16, whose epsilon of 1e-8 is zero there, so that it divides by
    zero where a gradient is small. Activations that overflow or gradients that underflow between the layers remain: for
    the latter there is `scale_loss`.

What it costs:
    Twice the memory for weights, gradients and the optimizer's state, and a cast of each weight in every forward.
    Checkpoints hold float32.

Source:
    Micikevicius et al., "Mixed precision training", ICLR 2018, section 3.1 (a master copy of weights).
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_map

from gradiometer.curing.cure import Moment, Patient, Placement, WithoutSetting
from gradiometer.errors import CureRefusedError

HALVES = (torch.float16, torch.bfloat16)
"""Formats of 16 bits."""


@dataclass(slots=True)
class ForwardInHalf:
    """Two hooks of a root: its forward runs under autocast, its outputs come in the old format.

    Attributes:
        half: That format.
        entered: What was entered by the forwards under way.
    """

    half: torch.dtype
    entered: list[torch.autocast] = field(default_factory=list)

    def enter(self, root: nn.Module, args: tuple[Any, ...]) -> None:
        """The forward begins."""
        device = next((parameter.device.type for parameter in root.parameters()), "cpu")
        self.entered.append(torch.autocast(device, dtype=self.half))
        self.entered[-1].__enter__()  # type: ignore[no-untyped-call]

    def leave(self, root: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        """It has ended."""
        self.entered.pop().__exit__(None, None, None)
        return tree_map(self.in_half, output)

    def in_half(self, value: Any) -> Any:
        """An output in the old format; what is no tensor, and a loss, as it is."""
        is_wide = isinstance(value, Tensor) and value.dtype is torch.float32 and value.dim() > 0
        return value.to(self.half) if is_wide else value


@dataclass(frozen=True, slots=True)
class KeepWeightsInFloat32(WithoutSetting):
    """Turn weights of 16 bits into float32, and compute in the old format."""

    name: ClassVar[str] = "keep_weights_in_float32"
    moment: ClassVar[Moment] = "construction"
    placement: ClassVar[Placement] = "before_optimizer"

    def apply(self, patient: Patient) -> str:
        """Change the format of the same parameters and buffers, and hook the roots' forwards."""
        half = self._half(patient)
        tensors = [*patient.model.parameters(), *patient.model.buffers()]
        changed = [tensor for tensor in tensors if tensor.dtype is half]
        for tensor in changed:
            gradient, tensor.grad = tensor.grad, None
            tensor.data = tensor.data.float()
            tensor.grad = None if gradient is None else gradient.float()
        roots = patient.model.values() if isinstance(patient.model, nn.ModuleDict) else [patient.model]
        for root in roots:
            forward = ForwardInHalf(half)
            root.register_forward_pre_hook(forward.enter)
            root.register_forward_hook(forward.leave, always_call=True)
        return f"{len(changed)} weights and buffers became float32; layers go on computing in {format_name(half)}"

    def _half(self, patient: Patient) -> torch.dtype:
        """The format of 16 bits that weights have.

        Raises:
            CureRefusedError: None has one, or the change would come too late.
        """
        found = {parameter.dtype for parameter in patient.model.parameters()} & set(HALVES)
        if not found:
            raise CureRefusedError("no weight is in half precision: they are in float32 already")
        if len(found) > 1:
            raise CureRefusedError(
                "some weights are in float16 and some in bfloat16: which one to compute in is not told"
            )
        if any(isinstance(module, DistributedDataParallel) for module in patient.model.modules()):
            raise CureRefusedError("DistributedDataParallel holds the weights already; change them before it is made")
        if patient.optimizer is not None and patient.optimizer.state:
            raise CureRefusedError(
                "the optimizer holds state in half precision already; change weights before it steps"
            )
        return found.pop()

    def snippet(self, patient: Patient) -> str:
        """A loop over the tensors, and two hooks on each root."""
        half = self._half(patient)
        roots = "model.values()" if isinstance(patient.model, nn.ModuleDict) else "[model]"
        return SNIPPET.replace("<HALF>", str(half)).replace("<ROOTS>", roots)


def format_name(dtype: torch.dtype) -> str:
    """A number format's name without its module.

    Example:
        >>> format_name(torch.bfloat16)
        'bfloat16'
    """
    return str(dtype).removeprefix("torch.")


SNIPPET = """\
import torch
from torch.utils._pytree import tree_map

half = <HALF>
for tensor in (*model.parameters(), *model.buffers()):
    if tensor.dtype is half:
        gradient, tensor.grad = tensor.grad, None
        tensor.data = tensor.data.float()
        tensor.grad = None if gradient is None else gradient.float()


def in_half(value):
    is_wide = isinstance(value, torch.Tensor) and value.dtype is torch.float32 and value.dim() > 0
    return value.to(half) if is_wide else value


def compute_in_half(root):
    entered = []

    def enter(module, args):
        device = next((parameter.device.type for parameter in module.parameters()), "cpu")
        entered.append(torch.autocast(device, dtype=half))
        entered[-1].__enter__()

    def leave(module, args, output):
        entered.pop().__exit__(None, None, None)
        return tree_map(in_half, output)

    root.register_forward_pre_hook(enter)
    root.register_forward_hook(leave, always_call=True)


for root in <ROOTS>:
    compute_in_half(root)
"""
