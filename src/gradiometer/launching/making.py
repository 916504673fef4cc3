"""Tells of every optimizer that a script makes, and lets a treatment change what it is about to hold.

Torch has no hook for the making of an optimizer, so the constructors are wrapped while a script runs.
"""

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.optim import Optimizer

from gradiometer.launching.callers import as_list, subclasses_of
from gradiometer.launching.treatment import Treatment


class Depth(threading.local):
    """How many constructors of optimizers are under way, one inside the other; each thread has a count of its own."""

    count = 0


class OptimizerMaking:
    """Wraps the constructors of optimizers.

    Args:
        treatment: What a trial does to an optimizer, None where nothing.
        when_made: Called with every optimizer that is complete.
    """

    def __init__(self, treatment: Treatment | None, when_made: Callable[[Optimizer], None]) -> None:
        self.treatment = treatment
        self.when_made = when_made
        self._is_treating = False
        self._constructing = Depth()
        self._originals: dict[type, Any] = {}

    def start(self) -> None:
        """Wrap every constructor that there is; those of classes to come call torch's own, which is among them."""
        kinds: list[type[Optimizer]] = [Optimizer, *subclasses_of(Optimizer)]
        for kind in kinds:
            if "__init__" in vars(kind):
                self._wrap(kind)

    def stop(self) -> None:
        """Put the constructors back."""
        for kind, original in self._originals.items():
            type.__setattr__(kind, "__init__", original)
        self._originals = {}

    def _wrap(self, kind: type[Optimizer]) -> None:
        original = self._originals[kind] = kind.__init__
        making = self

        @functools.wraps(original)
        def construct(optimizer: Optimizer, *args: Any, **kwargs: Any) -> None:
            if making._is_treating:  # a cure that exchanges the optimizer makes the new one in its place
                original(optimizer, *args, **kwargs)
                return
            making._constructing.count += 1
            try:
                if kind is Optimizer and making.treatment is not None:
                    args, kwargs = making._prepare(optimizer, args, kwargs)
                original(optimizer, *args, **kwargs)
            finally:
                making._constructing.count -= 1
            if making._constructing.count == 0:
                if making.treatment is not None:
                    with making.treating():
                        making.treatment.when_constructed(optimizer)
                making.when_made(optimizer)

        type.__setattr__(kind, "__init__", construct)

    def _prepare(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Let the treatment see and change the groups that an optimizer is about to take."""
        given = list(args[0] if args else kwargs["params"])
        names_given = bool(given) and isinstance(given[0], tuple)
        if names_given or self.treatment is None:
            rest = (given, *args[1:]) if args else args
            return rest, kwargs if args else {**kwargs, "params": given}
        is_grouped = bool(given) and isinstance(given[0], dict)
        groups = (
            [dict(group, params=as_list(group["params"])) for group in given] if is_grouped else [{"params": given}]
        )
        with self.treating():
            self.treatment.while_constructing(optimizer, groups)
        params = groups if is_grouped or len(groups) > 1 else groups[0]["params"]
        return ((params, *args[1:]), kwargs) if args else (args, {**kwargs, "params": params})

    @contextmanager
    def treating(self) -> Iterator[None]:
        """While a cure is at work, what it constructs is its own business."""
        self._is_treating = True
        try:
            yield
        finally:
            self._is_treating = False
