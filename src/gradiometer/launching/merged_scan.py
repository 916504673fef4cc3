"""What `os.scandir` returns for a folder that two layers share."""

import os
import posixpath
import stat
from collections.abc import Callable, Iterator

from gradiometer.launching.overlay import Overlay
from gradiometer.launching.posix_only import posix


class MergedEntry:
    """What `os.DirEntry` is to one folder, to the merged view; nothing is remembered between calls."""

    def __init__(self, overlay: Overlay, folder: str, name: str, given: str | bytes) -> None:
        self._overlay = overlay
        self._logical = posixpath.join(folder, name)
        if isinstance(given, bytes):
            self.name: str | bytes = os.fsencode(name)
            self.path: str | bytes = posixpath.join(given, os.fsencode(name))
        else:
            self.name, self.path = name, posixpath.join(given, name)

    def __fspath__(self) -> str | bytes:
        return self.path

    def __repr__(self) -> str:
        return f"<MergedEntry {self.name!r}>"

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Do as `os.DirEntry.stat`."""
        status = posix.lstat(self._overlay.existing(self._logical))
        if not (follow_symlinks and stat.S_ISLNK(status.st_mode)):
            return status
        logical = self._overlay.locate(self._logical)
        return posix.stat(self._logical if logical is None else self._overlay.existing(logical))

    def inode(self) -> int:
        """Do as `os.DirEntry.inode`."""
        return self.stat(follow_symlinks=False).st_ino

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Do as `os.DirEntry.is_dir`."""
        return self._is(stat.S_ISDIR, follow=follow_symlinks)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Do as `os.DirEntry.is_file`."""
        return self._is(stat.S_ISREG, follow=follow_symlinks)

    def is_symlink(self) -> bool:
        """Do as `os.DirEntry.is_symlink`."""
        return self._is(stat.S_ISLNK, follow=False)

    def is_junction(self) -> bool:
        """Do as `os.DirEntry.is_junction`: only Windows has them."""
        return False

    def _is(self, test: Callable[[int], bool], *, follow: bool) -> bool:
        try:
            return test(self.stat(follow_symlinks=follow).st_mode)
        except FileNotFoundError:
            return False


class MergedScan:
    """The iterator and context manager that `os.scandir` returns."""

    def __init__(self, entries: Iterator[MergedEntry]) -> None:
        self._entries = entries

    def __iter__(self) -> "MergedScan":
        return self

    def __next__(self) -> MergedEntry:
        return next(self._entries)

    def __enter__(self) -> "MergedScan":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration."""
        self._entries = iter(())
