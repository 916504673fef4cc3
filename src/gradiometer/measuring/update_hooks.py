"""Torch's global hooks around `optimizer.step`, which leave every compiled graph alone."""

from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from gradiometer.measuring.compiled import untraced

UpdateHook = Callable[[Optimizer, Any, Any], None]
"""Called with the optimizer and the arguments of its step."""


class UpdateHooks:
    """Calls two functions around every step of every optimizer.

    Args:
        before: Called before a step.
        after: Called after it.
    """

    def __init__(self, before: UpdateHook, after: UpdateHook) -> None:
        self._functions = (before, after)
        self._handles: list[RemovableHandle] = []

    def start(self) -> bool:
        """Set the hooks; False where they were set already."""
        if self._handles:
            return False
        before, after = self._functions
        self._handles = [register_optimizer_step_pre_hook(before), register_optimizer_step_post_hook(after)]
        return True

    def stop(self) -> None:
        """Take them away."""
        while self._handles:
            self._handles.pop().remove()

    def leave_graphs(self) -> None:
        """Something is compiled, and it may be the optimizer's step: run the hooks outside of what is compiled."""
        before, after = self._functions
        self._functions = (untraced(before), untraced(after))
        if self._handles:
            self.stop()
            self.start()
