"""Says when a script has imported torch, or another package, and never imports it itself.

A script that trains nothing with torch, or takes a while before it gets there, must not pay for torch. So the watch
stands first in `sys.meta_path`, waits for the package's name, lets the finders behind it find the package, and calls
back once the package has been executed. By then it has put the package's own loader back and has left
`sys.meta_path`: `torch.__spec__`, `torch.__loader__` and `importlib.reload(torch)` are as they always are.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType, TracebackType
from typing import Any


class ImportWatch(MetaPathFinder):
    """Calls a function once, right after a package has been imported; at once if it was imported before.

    A context manager: the watch ends with the block, whether the package was imported or not.
    """

    def __init__(self, package: str, when_imported: Callable[[], None]) -> None:
        """Prepare the watch; nothing is watched before the block is entered.

        Args:
            package: Its full name, such as `torch` or `numpy.random`.
            when_imported: Called without arguments in the thread that imports the package, while that import is still
                going on but with all of the package in place. It must not raise: the import would fail with it.
        """
        self._package = package
        self._when_imported = when_imported

    def __enter__(self) -> "ImportWatch":
        module = sys.modules.get(self._package)
        if module is None or getattr(getattr(module, "__spec__", None), "_initializing", False):
            sys.meta_path.insert(0, self)
        else:
            self._when_imported()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the package with the finders behind this one and see to being told; every other name is not ours."""
        if fullname != self._package or self not in sys.meta_path:
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find is None else find(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _TellingLoader(spec.loader, self._imported)
                return spec
        return None

    def _imported(self) -> None:
        self._leave()
        self._when_imported()

    def _leave(self) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)


class _TellingLoader(Loader):
    """A package's own loader with one call after it; gives its place back before the package is executed."""

    def __init__(self, own: Loader, then: Callable[[], None]) -> None:
        self._own = own
        self._then = then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._own.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._own
        if module.__spec__ is not None:
            module.__spec__.loader = self._own
        self._own.exec_module(module)
        self._then()
