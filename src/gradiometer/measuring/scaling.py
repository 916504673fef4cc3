"""Loss scaling: what `GradScaler` multiplied, so that losses and gradients are told in true units.

A scaler multiplies the loss before `backward` and divides the gradients before the optimizer's step; a step whose
gradients overflowed is left out. Torch has no hook for either, so `GradScaler.scale` and `GradScaler.update` are
wrapped while somebody listens.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler


class ScaleWatch:
    """Remembers which tensors are scaled losses, and tells of updates of the scale.

    Args:
        when_updated: Called when a script has updated its scaler, which it does once a step.
        on_fault: Called with an error met amid a script's use of its scaler.

    Attributes:
        is_open: What is scaled is remembered; otherwise only that something was.
        has_scaled: A loss was scaled since an optimizer stepped.
        scale: What the losses of this step were multiplied by, None where none was.
    """

    def __init__(self, when_updated: Callable[[], None], on_fault: Callable[[Exception], None]) -> None:
        self.when_updated = when_updated
        self.on_fault = on_fault
        self.is_open = True
        self.has_scaled = False
        self.scale: Tensor | None = None
        self._unscaled: dict[int, tuple[Tensor, Tensor]] = {}

    def start(self) -> None:
        """Listen to every scaler; a watch that is started stays so."""
        if self not in listening:
            listening.append(self)
            installation.start()

    def stop(self) -> None:
        """Listen no more."""
        if self in listening:
            listening.remove(self)
        if not listening:
            installation.stop()

    def note(self, scaler: GradScaler, outputs: Any, scaled: Any) -> None:
        """Remember a scaled loss and what it was before; anything but a single tensor is passed over."""
        if scaled is outputs:
            return
        self.has_scaled = True
        if self.is_open and isinstance(outputs, Tensor) and isinstance(scaled, Tensor):
            current = getattr(scaler, "_scale", None)
            self.scale = current.detach().clone() if isinstance(current, Tensor) else torch.tensor(scaler.get_scale())
            self._unscaled[id(scaled)] = (scaled, outputs)

    def unscale(self, tensor: Tensor) -> Tensor:
        """The loss that a tensor was before it was scaled; the tensor itself where it was not."""
        if not self._unscaled:
            return tensor
        scaled, original = self._unscaled.get(id(tensor), (None, tensor))
        return original if scaled is tensor else tensor

    def start_step(self, *, is_open: bool) -> None:
        """Forget the step before, and say whether what is scaled in this one is of interest."""
        self.is_open = is_open
        self.scale = None
        if self._unscaled:
            self._unscaled = {}


listening: list[ScaleWatch] = []
"""Who listens; almost always one."""


class Installation:
    """What stands in for the scaler's two methods while anybody listens."""

    def __init__(self) -> None:
        self._functions: dict[str, tuple[Any, Any]] = {}

    def start(self) -> None:
        """Wrap the methods; an installation that is started stays so."""
        if self._functions:
            return
        scale, update = GradScaler.scale, GradScaler.update

        @functools.wraps(scale)
        def remember(scaler: GradScaler, outputs: Any) -> Any:
            scaled = scale(scaler, outputs)
            for watch in tuple(listening):
                try:
                    watch.note(scaler, outputs, scaled)
                except Exception as error:
                    watch.on_fault(error)
            return scaled

        @functools.wraps(update)
        def tell(scaler: GradScaler, *args: Any, **kwargs: Any) -> None:
            update(scaler, *args, **kwargs)
            for watch in tuple(listening):
                watch.when_updated()

        self._functions = {"scale": (scale, remember), "update": (update, tell)}
        for name, (_, ours) in self._functions.items():
            type.__setattr__(GradScaler, name, ours)

    def stop(self) -> None:
        """Put the methods back. One that somebody else has wrapped since stays, and calls ours, which tells nobody."""
        for name, (original, ours) in self._functions.items():
            if vars(GradScaler)[name] is ours:
                type.__setattr__(GradScaler, name, original)
        self._functions = {}


installation = Installation()
"""The one of this process."""
