"""Compiled models under a treatment: each is met when it is first called, before anything of it is traced.

Module hooks would be compiled in, so none is set once a script compiles anything (`gradiometer.measuring.compiled`).
What is called instead of a compiled model's own code can be stood in for, and a cure that is applied there, in place
and before the first trace, is compiled in as if the script had it. Only models that are compiled whole are met so.
"""

import gc
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

Meet = Callable[[nn.Module, tuple[Any, ...]], None]


class CompiledRoots:
    """Stands in for the compiled code of models, while somebody treats them.

    Args:
        meet: Told of a model's first call in training, with its arguments and keywords' values.
        enter: Told of every call's begin, with its arguments.
        leave: Told of every call's end, with its output; None where it failed.
    """

    def __init__(self, meet: Meet, enter: Meet, leave: Callable[[Any], None]) -> None:
        self.meet = meet
        self.enter = enter
        self.leave = leave
        self._is_inside = False
        self._met: set[int] = set()
        self._originals: list[tuple[nn.Module, str, Any]] = []

    def follow(self, made: Any) -> None:
        """Stand in for what `torch.compile` or `Module.compile` has made, where that is a whole model.

        Args:
            made: The module that is to be called from now on.
        """
        is_wrapper = type(made).__name__ == "OptimizedModule"
        name = "forward" if is_wrapper else "_compiled_call_impl"
        if not isinstance(made, nn.Module) or getattr(made, name, None) is None:
            return
        inner = made._orig_mod if is_wrapper else made
        assert isinstance(inner, nn.Module)
        original = getattr(made, name)
        self._originals.append((made, name, original))
        object.__setattr__(made, name, self._standing_in(inner, original))

    def stop(self) -> None:
        """Put everything back."""
        for made, name, original in self._originals:
            object.__setattr__(made, name, original)
        self._originals = []

    def _standing_in(self, inner: nn.Module, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if torch.compiler.is_compiling() or self._is_inside:
                return original(*args, **kwargs)
            if not self._is_root(inner, (*args, *kwargs.values())):
                return original(*args, **kwargs)
            self._is_inside = True
            output = None
            try:
                self.enter(inner, args)
                output = original(*args, **kwargs)
            finally:
                self._is_inside = False
                self.leave(output)
            return output

        return call

    def _is_root(self, inner: nn.Module, inputs: tuple[Any, ...]) -> bool:
        """Whether a model is met, now or before: in training, and no part of another one."""
        if id(inner) in self._met:
            return True
        if not torch.is_grad_enabled() or is_part(inner):
            return False
        self._met.add(id(inner))
        self.meet(inner, inputs)
        return True


def is_part(module: nn.Module) -> bool:
    """Whether a module is a part of another one, the wrapper that `torch.compile` made of it left out."""
    return any(
        holder is not module and type(holder).__name__ != "OptimizedModule" and module in holder.modules()
        for holder in gc.get_objects()
        if issubclass(type(holder), nn.Module)
    )
