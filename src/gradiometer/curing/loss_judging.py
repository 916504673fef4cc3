"""Keeps the loss that a script would have had beside the one that a mode puts in its place.

What the script goes on to do with its loss before the backward pass (a penalty added, a division by the number of
batches that are gathered, several losses summed) is done to the original loss too, so that it compares with what an
untouched training hands to `backward`. The factor of a gradient scaler is left out, as it is there.
"""

import sys
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from gradiometer.curing.loss_modes import PairedLoss

LOSS_CALLS = frozenset({"cross_entropy", "binary_cross_entropy_with_logits", "nll_loss", "mse_loss", "mean", "sum"})
"""Calls that give a loss."""

ARITHMETIC = frozenset(
    {
        *("add", "__add__", "__radd__", "sub", "__sub__", "__rsub__", "mul", "__mul__", "__rmul__", "multiply"),
        *("div", "divide", "__truediv__", "mean", "sum", "squeeze", "reshape", "float"),
    }
)
"""Calls that a script makes of a loss before its backward pass."""

SCALER_DEPTH = 6
"""Frames between a call of ours and the gradient scaler that it is made for."""


class LossJudge:
    """Has a mode keep the original loss of every loss that it exchanges while gradients are computed.

    Args:
        mode: A mode that was just made.
        originals: Where the losses are put, one for each that is handed to a backward pass.
    """

    def __init__(self, mode: PairedLoss, originals: list[Tensor]) -> None:
        self.originals = originals
        self._inner = mode.corrected
        # Of losses, and of what they will be reduced from, to what they would have been.
        self._known: Any = WeakIdKeyDictionary()
        mode.heeded |= LOSS_CALLS | ARITHMETIC | {"backward"}
        mode.corrected = self.corrected  # type: ignore[method-assign]

    def corrected(self, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a call as the mode would, and once more as it was written."""
        result = self._inner(name, func, args, kwargs)
        if not self._known.data and (result is None or name not in LOSS_CALLS):
            return result
        if not torch.is_grad_enabled():
            return result
        known = [value for value in args if isinstance(value, Tensor) and value in self._known]
        if known and (name == "backward" or is_for_scaler()):
            # What is made of it from here on is no longer what the script trains by.
            for loss in known:
                del self._known[loss]
        elif result is not None and name in LOSS_CALLS:
            self._note(result, (), func, args, kwargs)
        elif result is None and known and name in ARITHMETIC:
            result = func(*args, **kwargs)
            self._note(result, known, func, args, kwargs)
        return result

    def _note(self, result: Tensor, known: Any, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Put down what a call would have given, in the place of what it was made from."""
        given = [self._known.get(value, value) if isinstance(value, Tensor) else value for value in args]
        with torch.no_grad():
            original = func(*given, **kwargs).detach()
        if not result.requires_grad:
            return
        self._known[result] = original
        replaced = [self._known[loss] for loss in known]
        self.originals[:] = [loss for loss in self.originals if not any(loss is other for other in replaced)]
        if original.dim() == 0:
            self.originals.append(original)


def is_for_scaler() -> bool:
    """Whether the call that is being made is a gradient scaler's, which multiplies the loss by its factor."""
    frame = sys._getframe(1)
    for _ in range(SCALER_DEPTH):
        if frame is None or frame.f_globals.get("__name__") == "torch.amp.grad_scaler":
            return frame is not None
        frame = frame.f_back  # type: ignore[assignment]
    return False
