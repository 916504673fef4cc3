"""The file functions of `os` and the built-in `open`, as a guarded process sees them.

Each function takes what its original takes and does the same in the merged view of an `Overlay`; where a path is
written through (a device, an allowed folder, an open descriptor) it hands everything on to the original unchanged.
Errors name the path that the script gave.
"""

import _io
import errno
import functools
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from gradiometer.launching.merged_scan import MergedEntry, MergedScan
from gradiometer.launching.overlay import AnyPath, Overlay, exists, fault, is_folder
from gradiometer.launching.posix_only import posix

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_TEMPORARY = getattr(os, "O_TMPFILE", -1)
_FLAGS_OF_MODE = {
    "r": 0,
    "w": os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    "x": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
    "a": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
}
READING_NAMES = ("stat", "lstat", "access", "readlink", "statvfs", "pathconf", "getxattr", "listxattr")
CHANGING_NAMES = ("chmod", "chown", "lchown", "truncate", "utime", "setxattr", "removexattr")
OWN_NAMES = (
    "open",
    "listdir",
    "scandir",
    "remove",
    "unlink",
    "rename",
    "replace",
    "mkdir",
    "rmdir",
    "symlink",
    "link",
    "mkfifo",
    "mknod",
    "chdir",
    "getcwd",
    "getcwdb",
)
PAIR_NAMES = ("rename", "replace", "symlink", "link")


def flags_of_mode(mode: str) -> int:
    """Translate the mode of `open` into the flags of `os.open`; a mode that Python refuses counts as reading."""
    flags = next((flags for letter, flags in _FLAGS_OF_MODE.items() if letter in mode), 0)
    return flags | os.O_RDWR if "+" in mode else flags


class GuardedFiles:
    """The replacements; methods are named as in `os`, but for `open_file`, which stands for the built-in `open`."""

    def __init__(self, overlay: Overlay) -> None:
        self.is_active = True
        self._overlay = overlay
        self._thread = threading.local()

    def functions_of_os(self) -> dict[str, Callable[..., Any]]:
        """Give the replacement for every function of `os` that has one on this system."""
        found: dict[str, Callable[..., Any]] = {}
        for name in (*READING_NAMES, *CHANGING_NAMES, *OWN_NAMES):
            original = getattr(posix, name, None)
            if original is None:
                continue
            if name in READING_NAMES:
                replacement = functools.partial(self._read, original)
            elif name in CHANGING_NAMES:
                replacement = functools.partial(self._change, original)
            else:
                replacement = getattr(self, name)
            found[name] = self.guarded(original, replacement)
        return found

    def function_for_open(self) -> Callable[..., Any]:
        """Give the replacement for the built-in `open`, which is also `io.open`."""
        return self.guarded(_io.open, self.open_file)

    def guarded(self, original: Callable[..., Any], replacement: Callable[..., Any]) -> Callable[..., Any]:
        """Give a replacement the name of its original, and its errors the paths that the script gave.

        A script may hold on to what comes out of here: when the guard is gone it is the original again.
        """

        @functools.wraps(original)
        def guarded(*arguments: Any, **options: Any) -> Any:
            if not self.is_active:
                return original(*arguments, **options)
            try:
                return replacement(*arguments, **options)
            except OSError as raised:
                given = [*arguments, *(options[name] for name in ("path", "file", "src", "dst") if name in options)]
                if raised.filename is not None and given:
                    raised.filename = given[0]
                if original.__name__ in PAIR_NAMES and len(given) > 1:
                    raised.filename2 = given[1]
                raise

        return guarded

    def take_exemption(self) -> bool:
        """Whether the next opening of this thread was handed on to a script's own `opener`; asked once per opening."""
        is_exempt = getattr(self._thread, "is_exempt", False)
        self._thread.is_exempt = False
        return is_exempt

    def is_there(self, path: AnyPath) -> bool:
        """Whether the merged view has anything at a path."""
        logical = self._overlay.locate(path)
        return exists(os.fsdecode(path)) if logical is None else self._overlay.real(logical) is not None

    def place_to_open(self, path: AnyPath, flags: int, *, dir_fd: int | None = None) -> str | None:
        """Find the file to open for a path, copied into the upper layer first where it is to be changed.

        Returns:
            The real path; None where the opening is none of ours.
        """
        overlay = self._overlay
        is_new_only = flags & os.O_CREAT and flags & os.O_EXCL
        logical = overlay.locate(path, dir_fd=dir_fd, follow=not (flags & os.O_NOFOLLOW or is_new_only))
        if logical is None:
            return None
        if not flags & WRITING:
            return overlay.existing(logical)
        if flags & _TEMPORARY == _TEMPORARY:
            return overlay.copy_up(logical)
        real = overlay.real(logical)
        if real is None and flags & os.O_CREAT:
            return overlay.make_room(logical)
        real = overlay.existing(logical)
        if is_new_only:
            raise fault(errno.EEXIST, logical)
        if is_folder(real):
            raise fault(errno.EISDIR, logical)
        return overlay.copy_up(logical, with_content=not flags & os.O_TRUNC)

    def open_file(self, file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        """Stand for the built-in `open`."""
        if isinstance(file, int):
            return _io.open(file, mode, *arguments, **options)
        has_opener = options.get("opener") is not None or len(arguments) > 5
        if has_opener:
            self._thread.is_exempt = True  # the opener itself calls a guarded function
            try:
                return _io.open(file, mode, *arguments, **options)
            finally:
                self._thread.is_exempt = False
        place = self.place_to_open(os.fspath(file), flags_of_mode(mode))
        if place is None:
            return _io.open(file, mode, *arguments, **options)
        opened = _io.open(place, mode, *arguments, **options)
        raw: Any = opened
        raw = getattr(raw, "buffer", raw)
        raw = getattr(raw, "raw", raw)
        raw.name = file
        return opened

    def open(self, path: AnyPath, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        """Stand for `os.open`."""
        place = self.place_to_open(os.fspath(path), flags, dir_fd=dir_fd)
        if place is None:
            return posix.open(path, flags, mode, dir_fd=dir_fd)
        return posix.open(place, flags, mode)

    def listdir(self, path: Any = None) -> Any:
        """Stand for `os.listdir`."""
        logical = self._locate_folder(path)
        if logical is None:
            return posix.listdir(path)
        names = self._overlay.names(logical)
        is_bytes = not isinstance(path, int | None) and isinstance(os.fspath(path), bytes)
        return [os.fsencode(name) for name in names] if is_bytes else names

    def scandir(self, path: Any = None) -> Any:
        """Stand for `os.scandir`; where the layers differ the entries are `MergedEntry`s."""
        logical = self._locate_folder(path)
        if logical is None or (not self._overlay.is_layered(logical) and _leads_to(path, logical)):
            return posix.scandir(path)
        names = self._overlay.names(logical)
        given = "." if path is None else "" if isinstance(path, int) else os.fspath(path)
        return MergedScan(MergedEntry(self._overlay, logical, name, given) for name in names)

    def remove(self, path: AnyPath, *, dir_fd: int | None = None) -> None:
        """Stand for `os.remove`."""
        logical = self._overlay.locate(path, dir_fd=dir_fd, follow=False)
        if logical is None:
            posix.unlink(path, dir_fd=dir_fd)
            return
        real = self._overlay.existing(logical)
        if is_folder(real):
            raise fault(errno.EISDIR, logical)
        if real != logical:
            posix.unlink(real)
        self._overlay.hide(logical)

    unlink = remove

    def rmdir(self, path: AnyPath, *, dir_fd: int | None = None) -> None:
        """Stand for `os.rmdir`."""
        logical = self._overlay.locate(path, dir_fd=dir_fd, follow=False)
        if logical is None:
            posix.rmdir(path, dir_fd=dir_fd)
            return
        if self._overlay.names(logical):
            raise fault(errno.ENOTEMPTY, logical)
        upper = self._overlay.upper(logical)
        if exists(upper):
            posix.rmdir(upper)
        self._overlay.hide(logical)

    def mkdir(self, path: AnyPath, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        """Stand for `os.mkdir`."""
        place = self._place_for_new(path, dir_fd)
        if place is None:
            posix.mkdir(path, mode, dir_fd=dir_fd)
        else:
            posix.mkdir(place, mode)

    def mkfifo(self, path: AnyPath, mode: int = 0o666, *, dir_fd: int | None = None) -> None:
        """Stand for `os.mkfifo`."""
        place = self._place_for_new(path, dir_fd)
        if place is None:
            posix.mkfifo(path, mode, dir_fd=dir_fd)
        else:
            posix.mkfifo(place, mode)

    def mknod(self, path: AnyPath, mode: int = 0o600, device: int = 0, *, dir_fd: int | None = None) -> None:
        """Stand for `os.mknod`."""
        place = self._place_for_new(path, dir_fd)
        if place is None:
            posix.mknod(path, mode, device, dir_fd=dir_fd)
        else:
            posix.mknod(place, mode, device)

    def symlink(
        self, src: AnyPath, dst: AnyPath, target_is_directory: Any = None, *, dir_fd: int | None = None
    ) -> None:
        """Stand for `os.symlink`; the link holds what the script gave and is read in the merged view."""
        place = self._place_for_new(dst, dir_fd)
        if place is None:
            posix.symlink(os.fsdecode(src), os.fsdecode(dst), dir_fd=dir_fd)
        else:
            posix.symlink(os.fsdecode(src), place)

    def link(
        self,
        src: AnyPath,
        dst: AnyPath,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        """Stand for `os.link`; both names are in the upper layer afterwards."""
        follows = follow_symlinks and sys.platform == "darwin"  # link(2) of Linux links the link, whatever is asked
        source = self._overlay.locate(src, dir_fd=src_dir_fd, follow=follows)
        place = self._place_for_new(dst, dst_dir_fd)
        if source is None and place is None:
            options = {"src_dir_fd": src_dir_fd, "dst_dir_fd": dst_dir_fd, "follow_symlinks": follow_symlinks}
            posix.link(src, dst, **options)  # type: ignore[arg-type]
            return
        real_source = os.fsdecode(src) if source is None else self._overlay.copy_up(source)
        posix.link(real_source, os.fsdecode(dst) if place is None else place, follow_symlinks=False)

    def rename(
        self, src: AnyPath, dst: AnyPath, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
    ) -> None:
        """Stand for `os.rename`, which replaces on the systems with a `posix` module."""
        source = self._overlay.locate(src, dir_fd=src_dir_fd, follow=False)
        target = self._overlay.locate(dst, dir_fd=dst_dir_fd, follow=False)
        if source is None and target is None:
            posix.rename(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
            return
        if source == target:
            self._overlay.existing(str(source))
            return
        from_place = os.fsdecode(src) if source is None else self._overlay.existing(source)
        to_place = (
            os.fsdecode(dst)
            if target is None
            else self._place_to_replace(target, source_is_folder=is_folder(from_place))
        )
        if source is not None:
            from_place = self._overlay.copy_tree_up(source)
        posix.rename(from_place, to_place)
        for left_below in (source, target):  # a link below would still lead somewhere from under what replaced it
            if left_below is not None:
                self._overlay.hide(left_below)

    replace = rename

    def chdir(self, path: Any) -> None:
        """Stand for `os.chdir`; a folder that exists below is entered there."""
        logical = None if isinstance(path, int) else self._overlay.locate(path)
        if logical is None:
            posix.chdir(path)
            return
        real = self._overlay.existing(logical)
        is_below = exists(logical) and not self._overlay.is_hidden(logical)
        posix.chdir(logical if is_below else real)

    def getcwd(self) -> str:
        """Stand for `os.getcwd`."""
        return self._overlay.working_folder()

    def getcwdb(self) -> bytes:
        """Stand for `os.getcwdb`."""
        return os.fsencode(self._overlay.working_folder())

    def _read(self, original: Callable[..., Any], path: Any, *arguments: Any, **options: Any) -> Any:
        """Call a function that only reads on the file where the content is."""
        if isinstance(path, int):
            return original(path, *arguments, **options)
        follow = options.get("follow_symlinks", True) and original.__name__ not in ("lstat", "readlink")
        logical = self._overlay.locate(path, dir_fd=options.get("dir_fd"), follow=follow)
        if logical is None:
            return original(path, *arguments, **options)
        options.pop("dir_fd", None)
        real = self._overlay.real(logical)
        if real is None and original is posix.access:
            return False
        return original(self._overlay.existing(logical) if real is None else real, *arguments, **options)

    def _change(self, original: Callable[..., Any], path: Any, *arguments: Any, **options: Any) -> Any:
        """Call a function that changes a file on its copy in the upper layer."""
        if isinstance(path, int):
            return original(path, *arguments, **options)
        follow = options.get("follow_symlinks", True) and original.__name__ != "lchown"
        logical = self._overlay.locate(path, dir_fd=options.get("dir_fd"), follow=follow)
        if logical is None:
            return original(path, *arguments, **options)
        options.pop("dir_fd", None)
        return original(self._overlay.copy_up(logical), *arguments, **options)

    def _locate_folder(self, path: Any) -> str | None:
        if isinstance(path, int):
            path = self._overlay.path_of(path)
        return self._overlay.locate("." if path is None else path)

    def _place_for_new(self, path: AnyPath, dir_fd: int | None) -> str | None:
        """Find the place for something that must not exist yet; None where it is written through."""
        logical = self._overlay.locate(path, dir_fd=dir_fd, follow=False)
        if logical is None:
            return None
        if self._overlay.real(logical) is not None:
            raise fault(errno.EEXIST, logical)
        return self._overlay.make_room(logical)

    def _place_to_replace(self, target: str, *, source_is_folder: bool) -> str:
        """Find the place to rename something to, with the refusals of the operating system."""
        real = self._overlay.real(target)
        if real is not None and is_folder(real) and not source_is_folder:
            raise fault(errno.EISDIR, target)
        if real is not None and source_is_folder and not is_folder(real):
            raise fault(errno.ENOTDIR, target)
        if real is not None and is_folder(real) and self._overlay.names(target):
            raise fault(errno.ENOTEMPTY, target)
        return self._overlay.make_room(target)


def _leads_to(path: Any, logical: str) -> bool:
    """Whether the operating system, without the upper layer, finds the same folder."""
    try:
        found, wanted = posix.stat("." if path is None else path), posix.stat(logical)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino)
