"""What goes along with a root's forward in a trial: modes that a cure adds, keyword arguments, outputs."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

MOST_OUTPUTS = 16
"""Outputs of a step that are kept: an evaluation between two steps may have thousands."""


class Passage:
    """What goes along with a root's forward: modes that a cure adds, and the memory of what the models gave.

    A mode is entered after that of the probe (`Discovery` sees to it), which so sees calls as they are made in the end.
    """

    def __init__(self) -> None:
        self._modes: dict[int, list[TorchFunctionMode]] = {}
        self._entered: list[TorchFunctionMode] = []
        self._outputs: dict[int, deque[Tensor]] = {}
        self._noted: list[OwnHook] = []
        self._companions: list[TorchFunctionMode] = []

    @property
    def has_modes(self) -> bool:
        """Whether any mode goes along with a forward, or with the whole script."""
        return bool(self._modes or self._companions)

    def guide(self, root: nn.Module, modes: list[TorchFunctionMode]) -> None:
        """Have a root's forward run under these modes, from the call on that is about to begin."""
        if modes:
            self._modes[id(root)] = modes

    def accompany(self, modes: list[TorchFunctionMode]) -> None:
        """Enter modes for all that the script does from now on, until `part`; those entered before stay."""
        for mode in modes:
            if mode not in self._companions:
                mode.__enter__()  # type: ignore[no-untyped-call]
                self._companions.append(mode)

    def part(self) -> None:
        """Leave the modes that accompany the script, for it has ended."""
        while self._companions:
            self._companions.pop().__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def enter(self, root: nn.Module) -> None:
        """Enter the modes of a root whose forward begins."""
        for mode in self._modes.get(id(root), ()):
            mode.__enter__()  # type: ignore[no-untyped-call]
            self._entered.append(mode)

    def note_keywords(self, root: nn.Module, note: Callable[[Any], None]) -> None:
        """Have what a root is given by keyword noted from the next call on; global hooks are not told of it."""
        if not any(hook.root is root for hook in self._noted):
            self._noted.append(OwnHook(root, note))

    def leave(self) -> None:
        """Leave the modes that were entered."""
        while self._entered:
            self._entered.pop().__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def remember(self, output: Any, step: int) -> None:
        """Keep what a model gave until the step after next, so that it is not taken for data when it comes back."""
        self._outputs = {known: kept for known, kept in self._outputs.items() if known >= step - 1}
        latest = self._outputs.setdefault(step, deque(maxlen=MOST_OUTPUTS))
        latest.extend(tensor.detach() for tensor in tensors_in(output))

    def made(self, tensor: Tensor) -> bool:
        """Whether a tensor comes out of a model rather than from the data."""
        if tensor.requires_grad or tensor.layout != torch.strided:
            return True
        storage = tensor.untyped_storage().data_ptr()
        kept = (known for outputs in self._outputs.values() for known in outputs)
        return any(known.untyped_storage().data_ptr() == storage for known in kept if known.layout == torch.strided)


class OwnHook:
    """A root's own forward pre-hook; for this root only and not for copies of it, and nothing once it is pickled."""

    def __init__(self, root: nn.Module, act: Callable[[dict[str, Any]], None]) -> None:
        self.root = root
        self._act = act
        root.register_forward_pre_hook(self, with_kwargs=True)

    def __call__(self, module: nn.Module, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        """Act on a call, given its keyword arguments."""
        if module is self.root:
            self._act(keywords)

    def __deepcopy__(self, memo: dict[int, Any]) -> "OwnHook":
        return self

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[()]]:
        return no_hook, ()


def no_hook() -> Callable[..., None]:
    """What a root's own hook becomes in a pickle: a function that does nothing."""
    return pass_by


def pass_by(module: nn.Module, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
    """Do nothing."""


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Every tensor in nested tuples, lists and mappings, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from tensors_in(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from tensors_in(entry)
