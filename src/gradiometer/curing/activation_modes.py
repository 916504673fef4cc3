"""Functional activations exchanged on the way: `torch.sigmoid(x)`, `F.relu(x, inplace=True)`, `x.tanh()`."""

import inspect
import sys
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gradiometer.activations import FUNCTION_ACTIVATIONS, MODULE_ACTIVATIONS
from gradiometer.measuring.functions import is_in_place

HOMES = (torch, F, Tensor, torch.special)
"""Where an activation function can be reached."""


def spellings_of(kinds: Iterable[str]) -> list[str]:
    """Names, in-place twins among them, under which activations are called as functions; sorted.

    Example:
        >>> spellings_of(["sigmoid"])
        ['expit', 'expit_', 'sigmoid', 'sigmoid_']
    """
    wanted = set(kinds)
    names = [name for name, kind in FUNCTION_ACTIVATIONS.items() if kind in wanted]
    return sorted([*names, *(f"{name}_" for name in names)])


def functions_of(kinds: Iterable[str]) -> set[Any]:
    """The function objects behind `spellings_of`."""
    found = (getattr(home, name, None) for home in HOMES for name in spellings_of(kinds))
    return {function for function in found if callable(function)}


class ExchangedCalls(TorchFunctionMode):
    """While entered, calls of some activations compute another.

    Left alone are output units, told by the last weight that was used before them, calls with `out=`, and the calls
    that modules make which are to stay as they are.

    Attributes:
        kinds: Activations to exchange, by name.
        target: The activation to put in their place.
        weights: Identities of all parameters that are matrices.
        output_weight: Identity of the output layer's weight.
        kept: Activation modules that stay as they are.
    """

    def __init__(
        self,
        kinds: Iterable[str],
        target: str,
        *,
        weights: Iterable[int],
        output_weight: int | None,
        kept: Iterable[nn.Module] = (),
    ) -> None:
        super().__init__()
        self.kinds = frozenset(kinds)
        self.target = target
        self.weights = frozenset(weights)
        self.output_weight = output_weight
        self.kept = tuple(kept)
        self._functions = functions_of(self.kinds)
        self._replacement = getattr(F, target)
        self._takes_inplace = takes_inplace(target)
        self._is_behind_output = False

    def __enter__(self) -> "ExchangedCalls":
        """Begin a forward pass: no weight has been used yet."""
        self._is_behind_output = False
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Make one call, of the other activation where it is one to exchange."""
        kwargs = kwargs or {}
        used = [id(value) for value in (*args, *kwargs.values()) if id(value) in self.weights]
        if used:
            self._is_behind_output = used[-1] == self.output_weight
        if func not in self._functions or self._is_behind_output or "out" in kwargs or self._is_kept():
            return func(*args, **kwargs)
        tensor = args[0] if args else kwargs["input"]
        return self._exchanged(tensor, is_in_place=is_in_place(func, args, kwargs))

    def _exchanged(self, tensor: Tensor, *, is_in_place: bool) -> Tensor:
        """The other activation, written over its input where the call did that."""
        if not is_in_place:
            return self._replacement(tensor)  # type: ignore[no-any-return]
        if self._takes_inplace:
            return self._replacement(tensor, inplace=True)  # type: ignore[no-any-return]
        return tensor.copy_(self._replacement(tensor.clone()))

    def _is_kept(self) -> bool:
        """Whether the call comes from the inside of a module that stays as it is."""
        frame = sys._getframe(2) if self.kept else None
        for _ in range(4):
            if frame is None:
                return False
            owner = frame.f_locals.get("self")
            if any(owner is module for module in self.kept):
                return True
            frame = frame.f_back
        return False


def takes_inplace(kind: str) -> bool:
    """Whether torch can write this activation over its input; what its module offers, its function does too.

    Example:
        >>> takes_inplace("relu"), takes_inplace("gelu")
        (True, False)
    """
    modules = {name: module for module, name in MODULE_ACTIVATIONS.items()}
    return "inplace" in inspect.signature(getattr(nn, modules[kind])).parameters


def snippet_of(
    mode: ExchangedCalls,
    output_weight_name: str | None,
    kept_names: list[str],
    sites: list[str],
    *,
    has_roots: bool = False,
) -> str:
    """The mode as self-contained code around `model.forward`, and the calls to edit instead.

    Args:
        mode: The mode.
        output_weight_name: Name of the output layer's weight in the model.
        kept_names: Places of the modules that stay as they are.
        sites: `file:line` of each call, with what is called there.
        has_roots: `model` is a dictionary of roots, each of which is called by itself.

    Returns:
        Python code with the free name `model`.
    """
    advice = [f"# Edit the calls themselves, to F.{mode.target}, and leave out the rest:", *(f"#   {s}" for s in sites)]
    if not sites:
        advice = [f"# Better edit the calls of {', '.join(sorted(mode.kinds))} in the model to F.{mode.target}."]
    in_place = (
        f"F.{mode.target}(tensor, inplace=True)"
        if takes_inplace(mode.target)
        else f"tensor.copy_(F.{mode.target}(tensor.clone()))"
    )
    output = "None" if output_weight_name is None else f"id(model.get_parameter({output_weight_name!r}))"
    kept = "".join(f"model.get_submodule({name!r}), " for name in kept_names)
    filled = _SNIPPET.replace("<ADVICE>", "\n".join(advice)).replace("<SPELLINGS>", repr(spellings_of(mode.kinds)))
    for mark, text in (("TARGET", mode.target), ("IN_PLACE", in_place), ("OUTPUT", output), ("KEPT", kept)):
        filled = filled.replace(f"<{mark}>", text)
    return filled + entry_code("ExchangedCalls", has_roots=has_roots)


def entry_code(mode: str, *, has_roots: bool) -> str:
    """Code that enters a mode of that name around every forward.

    Args:
        mode: Name of the mode's class in the snippet.
        has_roots: `model` is a dictionary of roots, each of which is called by itself.
    """
    return (_ENTRIES if has_roots else _ENTRY).replace("<MODE>", mode)


_SNIPPET = """\
import inspect
import sys

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

<ADVICE>
spellings = <SPELLINGS>
functions = {getattr(home, name, None) for home in (torch, F, torch.Tensor, torch.special) for name in spellings}
weights = {id(parameter) for parameter in model.parameters() if parameter.dim() > 1}
output_weight = <OUTPUT>
kept = [<KEPT>]


def is_in_place(function, args, kwargs):
    if function.__name__.endswith("_"):
        return True
    try:
        return bool(inspect.signature(function).bind(*args, **kwargs).arguments.get("inplace", False))
    except (TypeError, ValueError):
        return bool(kwargs.get("inplace", False))


class ExchangedCalls(TorchFunctionMode):
    is_behind_output = False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        used = [id(value) for value in (*args, *kwargs.values()) if id(value) in weights]
        if used:
            self.is_behind_output = used[-1] == output_weight
        frame, callers = sys._getframe(1), []
        while kept and frame is not None and len(callers) < 4:
            callers.append(frame.f_locals.get("self"))
            frame = frame.f_back
        is_kept = any(caller is module for caller in callers for module in kept)
        if func not in functions or self.is_behind_output or "out" in kwargs or is_kept:
            return func(*args, **kwargs)
        tensor = args[0] if args else kwargs["input"]
        return <IN_PLACE> if is_in_place(func, args, kwargs) else F.<TARGET>(tensor)


"""

_ENTRY = """\
def forward(*args, original=model.forward, **kwargs):
    with <MODE>():
        return original(*args, **kwargs)


model.forward = forward
"""

_ENTRIES = """\
def entering(original):
    def forward(*args, **kwargs):
        with <MODE>():
            return original(*args, **kwargs)

    return forward


for root in model.values():
    root.forward = entering(root.forward)
"""
