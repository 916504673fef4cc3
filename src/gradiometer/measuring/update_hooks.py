"""Torch's global hooks around `optimizer.step`, which leave every compiled graph alone."""

import functools
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from gradiometer.measuring.compiled import untraced

StepArguments = tuple[tuple[Any, ...], dict[str, Any]]
"""Arguments of a step, the optimizer first, and its keywords."""

UpdateHook = Callable[[Optimizer, Any, Any], StepArguments | None]
"""Called with the optimizer and the arguments of its step; gives those to step with instead, None for the same."""


def when_gradients_are_there(
    args: tuple[Any, ...], kwargs: dict[str, Any], function: Callable[[], None]
) -> StepArguments | None:
    """Call a function when the gradients that an optimizer steps with are there.

    That is now, unless the step is given a closure: then forward and backward run amid the step, in PyTorch Lightning
    always, and the clipping with them.

    Args:
        args: Arguments of the step, the optimizer first.
        kwargs: Its keywords.
        function: Called each time when the closure has ended, or now.

    Returns:
        The arguments to step with instead; None where there is no closure.
    """
    closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
    if not callable(closure):
        function()
        return None

    @functools.wraps(closure, updated=())
    def followed(*given: Any, **named: Any) -> Any:
        result = closure(*given, **named)
        function()
        return result

    return ((args[0], followed, *args[2:]), kwargs) if len(args) > 1 else (args, {**kwargs, "closure": followed})


class UpdateHooks:
    """Calls two functions around every step of every optimizer.

    Args:
        before: Called before a step.
        after: Called after it.
    """

    def __init__(self, before: UpdateHook, after: Callable[[Optimizer, Any, Any], None]) -> None:
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
