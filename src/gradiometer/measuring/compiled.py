"""Compiled models: found out about, so that no module hook is set while one may run.

What `torch.compile` makes of a module is fixed when it is first called; hooks that are there then are compiled in, and
hooks that come later are ignored or cause the module to be compiled anew. So from the moment that a script compiles
anything, layers are left alone and parameters alone are measured, outside of the graph.
"""

import functools
import gc
from collections.abc import Callable
from typing import Any

import torch
from torch import nn


def is_compiled(module: nn.Module) -> bool:
    """Whether a module, or one inside it, is called through `torch.compile`.

    Example:
        >>> is_compiled(nn.Linear(2, 2))
        False
    """
    return any(
        type(inner).__name__ == "OptimizedModule" or getattr(inner, "_compiled_call_impl", None) is not None
        for inner in module.modules()
    )


def has_compiled_twin(module: nn.Module) -> bool:
    """Whether `torch.compile` has been given this module and its result is still there."""
    twins = (thing for thing in gc.get_objects() if type(thing).__name__ == "OptimizedModule")
    return any(getattr(twin, "_orig_mod", None) is module for twin in twins)


class CompileWatch:
    """Tells of the first use of `torch.compile` or `Module.compile`.

    Args:
        when_used: Called before the first one is carried out, and never again.
    """

    def __init__(self, when_used: Callable[[], None]) -> None:
        self.when_used = when_used
        self.is_used = False
        self._originals: list[tuple[Any, Any]] = []

    def start(self) -> None:
        """Stand in for both functions; one that is started stays so."""
        if not self._originals:
            homes: tuple[Any, ...] = (torch, nn.Module)
            for home in homes:
                original = home.compile
                self._originals.append((home, original))
                replace_attribute(home, self._announcing(original))

    def stop(self) -> None:
        """Put both functions back."""
        for home, original in self._originals:
            replace_attribute(home, original)
        self._originals = []

    def _announcing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def announce(*args: Any, **kwargs: Any) -> Any:
            if not self.is_used:
                self.is_used = True
                self.when_used()
            return original(*args, **kwargs)

        return announce


def replace_attribute(home: Any, function: Callable[..., Any]) -> None:
    """Exchange the function `compile` of a module or class."""
    home.compile = function
