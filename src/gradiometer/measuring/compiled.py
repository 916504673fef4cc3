"""Compiled models: found out about, so that no module hook is set while one may run.

What `torch.compile` makes of a module is fixed when it is first called; hooks that are there then are compiled in, and
hooks that come later are ignored or cause the module to be compiled anew. So from the moment that a script compiles
anything, layers are left alone and parameters alone are measured, outside of the graph.

Where the user asks for them to be opened, compiled code runs eagerly as long as module hooks are set (`EagerStance`):
no graph ever sees a hook, and what was compiled before is found again afterwards.
"""

import functools
import gc
import sys
import warnings
from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle


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
    if "torch._dynamo" not in sys.modules:
        return False
    # Looked for among what holds the module: going through all objects in Python takes 0.3 s in a great program.
    return any(type(holder) is dict and holder.get("_orig_mod") is module for holder in gc.get_referrers(module))


def is_anything_compiled() -> bool:
    """Whether a module or a function that `torch.compile` was given is still there; goes through all objects."""
    if "torch._dynamo" not in sys.modules:
        return False
    return any(is_made_by_compiling(thing) for thing in gc.get_objects())


def is_made_by_compiling(thing: Any) -> bool:
    """Whether something is what `torch.compile` or `Module.compile` makes; torch's own parts do not count."""
    kind = type(thing)
    if issubclass(kind, nn.Module):
        return "_orig_mod" in vars(thing).get("_modules", ()) or vars(thing).get("_compiled_call_impl") is not None
    if kind is not FunctionType or not hasattr(thing, "_torchdynamo_orig_callable"):
        return False
    is_torchs_own = str(thing.__module__).partition(".")[0] == "torch"
    return not is_torchs_own and not hasattr(thing, "_torchdynamo_disable")


class CompileWatch:
    """Tells of the first use of `torch.compile` or `Module.compile`.

    Args:
        when_used: Called before the first one is carried out, and never again.
        when_made: Called after each, with what is to be called from then on: what `torch.compile` gave, or the module.
    """

    def __init__(self, when_used: Callable[[], None], when_made: Callable[[Any], None] | None = None) -> None:
        self.when_used = when_used
        self.when_made = when_made
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
            made = original(*args, **kwargs)
            if self.when_made is not None:
                self.when_made(args[0] if made is None else made)
            return made

        return announce


class EagerStance:
    """Keeps compiled code from running while somebody has module hooks set, once anything is compiled.

    Attributes:
        is_needed: Something is compiled. Before that nothing is done: the compiler is not even imported.
    """

    def __init__(self) -> None:
        self.is_needed = False
        self._holders: set[str] = set()
        self._stance: Any = None

    def need(self) -> None:
        """Something is compiled, or about to be; from now on it matters who has hooks set."""
        if not self.is_needed:
            self.is_needed = True
            # What it warns of does no harm: the observer takes the call of the wrapper for one of a block.
            warnings.filterwarnings("ignore", message=r"Using `torch\.compile\(module\)` when there are global hooks")
            self._take()

    def hold(self, holder: str) -> None:
        """Let everything run eagerly until this holder lets go."""
        self._holders.add(holder)
        self._take()

    def release(self, holder: str) -> None:
        """Let compiled code run again, unless somebody else holds it."""
        self._holders.discard(holder)
        if not self._holders and self._stance is not None:
            stance, self._stance = self._stance, None
            stance.__exit__(None, None, None)

    def _take(self) -> None:
        if self.is_needed and self._holders and self._stance is None:
            self._stance = torch.compiler.set_stance("force_eager")


def untraced(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, left out of any graph: called from a compiled step, it is run and not compiled in."""
    disable: Callable[..., Callable[..., Any]] = torch.compiler.disable
    return disable(function)


def remove_whole(handle: RemovableHandle) -> None:
    """Remove a global forward hook and what torch forgets of it.

    A hook that takes keyword arguments leaves its number behind (torch 2.13); `torch.compile` then warns of global
    hooks for ever after.
    """
    handle.remove()
    numbers = getattr(torch.nn.modules.module, "_global_forward_hooks_with_kwargs", None)
    if numbers is not None:
        numbers.pop(handle.id, None)


def replace_attribute(home: Any, function: Callable[..., Any]) -> None:
    """Exchange the function `compile` of a module or class."""
    home.compile = function
