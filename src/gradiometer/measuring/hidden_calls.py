"""Calls of which module hooks tell less than all: without gradients, done again in a backward, fused, by `.forward()`.

Reentrant checkpointing calls its part without gradients and again, with them, amid the backward pass. Such a part is
measured in the second call, under the names that it has in the first; its own trunk entries are not known, for the
trunk is found before the backward begins.

`nn.TransformerEncoder` and its parts run as one fused operation where they are frozen and in evaluation mode, unless a
torch function mode is active, as ours is. So that the training gets the operation that it gets without gradiometer,
the mode is left while such a module runs.

Source: torch/nn/modules/transformer.py and activation.py, `why_not_sparsity_fast_path` and `why_not_fast_path`.
"""

import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, _get_current_function_mode

FUSED_KINDS = (nn.TransformerEncoder, nn.TransformerEncoderLayer, nn.MultiheadAttention)
"""Modules that torch runs as one operation where nothing in them asks for a gradient."""

MOST_FRAMES = 20
"""Python frames between a functional call and the `forward` that makes it."""


@dataclass(slots=True)
class HiddenLayers:
    """What is known of layers that no ordinary call was seen of, for the coverage.

    Attributes:
        without_gradient: Modules that were called while gradients were switched off.
        transformed: Modules that were called under a transform of `torch.func`.
        fused: Modules that may have run as one operation.
        forwarded: Layers as which modules were measured that the script called by `.forward()`, by module.
        views: Layers whose output was a view of another tensor: a write through that is in no graph of theirs.
    """

    without_gradient: set[str] = field(default_factory=set)
    transformed: set[str] = field(default_factory=set)
    fused: set[str] = field(default_factory=set)
    forwarded: dict[str, str] = field(default_factory=dict)
    views: set[str] = field(default_factory=set)

    def reason_without_gradient(self, name: str) -> str:
        """Why no gradient came to a layer that was called."""
        return "no gradient, or written over as a view" if name in self.views else "no gradient"

    def reason(self, name: str) -> str:
        """Why no call of a layer was measured."""
        if name in self.forwarded:
            return f"called by .forward(), measured as {self.forwarded[name]}"
        if name in self.without_gradient:
            return "no gradient: called under no_grad"
        if name in self.transformed:
            return "called under torch.func"
        parts = name.split(".")
        if any(".".join(parts[:count]) in self.fused for count in range(1, len(parts))):
            return "fused"
        return "not called"


@dataclass(slots=True)
class Segment:
    """One outermost call without gradients inside a root's forward.

    Attributes:
        outermost: The module that was called.
        root_call: Number of the root's call.
        layers: Names of the calls within it, by module, in order.
    """

    outermost: nn.Module
    root_call: int
    layers: dict[int, deque[str]] = field(default_factory=dict)


class HiddenCalls:
    """Follows one full step's calls without gradients, and finds them again in the backward pass."""

    def __init__(self) -> None:
        self._segments: list[Segment] = []
        self._open: list[nn.Module] = []
        self._current: Segment | None = None

    def enter(self, module: nn.Module, name: str, root_call: int, visible_count: int) -> None:
        """A module is called without gradients.

        Args:
            module: The module.
            name: Its name.
            root_call: Number of the root's call around it.
            visible_count: Ordinary calls of it in this call of the root so far.
        """
        if not self._open:
            self._segments.append(Segment(module, root_call))
        self._open.append(module)
        earlier = sum(len(one.layers.get(id(module), ())) for one in self._segments if one.root_call == root_call)
        number = visible_count + earlier + 1
        layers = self._segments[-1].layers.setdefault(id(module), deque())
        layers.append(name if number == 1 else f"{name}#{number}")

    def leave(self, module: nn.Module) -> bool:
        """A module's call has ended; whether it was one without gradients."""
        if not any(entered is module for entered in self._open):
            return False
        while self._open.pop() is not module:
            pass
        return True

    def end(self) -> None:
        """The root's call, or a part of it that was done again, is over, also where a forward failed."""
        self._open = []
        self._current = None

    def resume(self, module: nn.Module) -> int | None:
        """A module is called amid a backward pass: whether it is one of these calls done again, the last first.

        Returns:
            Number of the root's call that it belongs to; None where it is no such call.
        """
        for place in range(len(self._segments) - 1, -1, -1):
            if self._segments[place].outermost is module:
                self._current = self._segments.pop(place)
                return self._current.root_call
        return None

    def is_awaited(self, module: nn.Module) -> bool:
        """Whether a module may be called again amid the backward pass."""
        return any(segment.outermost is module for segment in self._segments)

    def name_of(self, module: nn.Module) -> str | None:
        """The layer as which a module's call was known without gradients; None where it was not called then."""
        names = self._current.layers.get(id(module)) if self._current is not None else None
        return names.popleft() if names else None


class FusedCall:
    """Leaves a torch function mode while a module runs that torch may run as one operation."""

    def __init__(self) -> None:
        self._module: nn.Module | None = None
        self._mode: TorchFunctionMode | None = None

    def leave_mode(self, module: nn.Module, args: tuple[Any, ...], mode: TorchFunctionMode | None) -> bool:
        """Leave the mode if the module may be fused; whether it was left."""
        if mode is None or self._mode is not None or not may_be_fused(module, args):
            return False
        if _get_current_function_mode() is not mode:  # type: ignore[no-untyped-call]
            return False
        self._module, self._mode = module, mode
        mode.__exit__(None, None, None)
        return True

    def end(self, module: nn.Module) -> None:
        """A module's call has ended: enter the mode again if it was left for this one."""
        if module is self._module and (mode := self.let_go()) is not None:
            mode.__enter__()  # type: ignore[no-untyped-call]

    def let_go(self) -> TorchFunctionMode | None:
        """Do not enter the mode again; gives the one that had been left."""
        mode = self._mode
        self._module = self._mode = None
        return mode


def may_be_fused(module: nn.Module, args: tuple[Any, ...]) -> bool:
    """Whether torch may run a module as one operation: evaluation mode, and nothing asks for a gradient."""
    if not isinstance(module, FUSED_KINDS) or module.training:
        return False
    if not torch.is_grad_enabled():
        return True
    asks = any(isinstance(value, Tensor) and value.requires_grad for value in args)
    return not asks and not any(parameter.requires_grad for parameter in module.parameters())


def forwarding_module(known: Mapping[int, Any]) -> nn.Module | None:
    """The known module whose `forward` makes the functional call under way: the innermost on Python's stack.

    Only the frame of that `forward` is asked for its variables.
    """
    frame: FrameType | None = sys._getframe(1)
    for _ in range(MOST_FRAMES):
        if frame is None:
            return None
        code = frame.f_code
        if code.co_name == "forward" and code.co_varnames[:1] == ("self",):
            module = frame.f_locals.get("self")
            if isinstance(module, nn.Module) and id(module) in known:
                return module
        frame = frame.f_back
    return None
