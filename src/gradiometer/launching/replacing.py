"""Exchanges functions wherever modules hold them, and puts them back."""

import sys
import tempfile
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from types import FunctionType
from typing import Any

_OWNERS_OF_ORIGINALS = ("posix", "_io", "_sqlite3")
# What `id` would tell. But every `id` is an audit event, which the guard's hook hears, and a search asks after each
# name of each module: there are a hundred thousand and more.
_identity = object.__hash__


class Replacing:
    """Replaces functions in every module that has them under any name: `from os import remove` does not escape.

    Modules of the interpreter itself (`posix`, `_io`) keep the originals: `import` lives on them, and so does the
    guard. Beside modules, two places are known that hold such functions for later: tempfile, as default values, and
    numpy's reader of text files, in a dictionary.
    """

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def replace(self, pairs: Sequence[tuple[Any, Any]]) -> None:
        """Replace each first of a pair by its second, everywhere."""
        by_identity = {_identity(original): replacement for original, replacement in pairs}
        for names in _dictionaries():
            if by_identity.keys().isdisjoint(map(_identity, list(names.values()))):
                continue
            for name, held in list(names.items()):
                if _identity(held) in by_identity:
                    self._exchange(names, name, by_identity[_identity(held)])
        for function in _functions_with_defaults():
            self._exchange_defaults(function, by_identity)
        for original, replacement in pairs:
            self._follow_in_sets(original, replacement)

    def undo(self) -> None:
        """Put every original back where it was."""
        undo_all(self._undo)

    def _exchange(self, names: MutableMapping[str, Any], name: str, replacement: Any) -> None:
        original = names[name]
        names[name] = replacement

        def put_back() -> None:
            if names.get(name) is replacement:
                names[name] = original

        self._undo.append(put_back)

    def _exchange_defaults(self, function: FunctionType, by_identity: dict[int, Any]) -> None:
        defaults = function.__defaults__
        if defaults is None or not any(_identity(value) in by_identity for value in defaults):
            return
        function.__defaults__ = tuple(by_identity.get(_identity(value), value) for value in defaults)
        self._undo.append(lambda: setattr(function, "__defaults__", defaults))

    def _follow_in_sets(self, original: Any, replacement: Any) -> None:
        """A replacement can do what its original can: code asks `os.stat in os.supports_dir_fd`."""
        import os

        for abilities in (
            os.supports_dir_fd,
            os.supports_fd,
            os.supports_follow_symlinks,
            os.supports_effective_ids,
        ):
            if original in abilities:
                abilities.add(replacement)
                self._undo.append(lambda known=abilities: known.discard(replacement))  # type: ignore[misc]


def undo_all(undo: list[Callable[[], None]]) -> None:
    """Undo what was done, the last first; nothing is left to be undone again."""
    while undo:
        undo.pop()()


def _dictionaries() -> Iterator[dict[Any, Any]]:
    for name, module in list(sys.modules.items()):
        names = getattr(module, "__dict__", None)
        if isinstance(names, dict) and name not in _OWNERS_OF_ORIGINALS:
            yield names
    openers = getattr(sys.modules.get("numpy.lib._datasource"), "_file_openers", None)
    held = getattr(openers, "_file_openers", None)
    if isinstance(held, dict):
        yield held


def _functions_with_defaults() -> Iterator[FunctionType]:
    for member in vars(tempfile._TemporaryFileCloser).values():  # type: ignore[attr-defined]
        if isinstance(member, FunctionType):
            yield member
