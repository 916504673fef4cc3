"""A trial's own layer over the files of the machine: written above, read from above first.

The upper layer mirrors absolute paths: `/home/me/best.pt` is kept as `files/home/me/best.pt` in the trial's folder.
What the script deletes stays where it is and is hidden: its path is appended to the file `deleted`, and from then on
the original, and all below it, is no longer seen; only what the upper layer holds at that path is. So a deletion needs
no undoing when something new is made at the same place, and processes that share the folder (data-loader workers)
share the view.

Paths are taken apart component by component in the merged view, symbolic links included: a link of either layer may
lead to a file of the other, and no operation is left to the operating system that would follow a link out of the
layer. A path so found is called *logical*; it is absolute and has no link in it (but, where asked, a last one).

Nothing here calls `os`, whose functions a guarded process has exchanged, but `posix` below it.
"""

import _io
import errno
import os
import posixpath
import stat
from collections.abc import Iterable
from pathlib import Path

from gradiometer.launching.posix_only import posix

AnyPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]

MOST_LINKS = 40  # as many as Linux follows before it gives up with ELOOP
COPY_BYTES = 1 << 20
_DEVICES = ("/dev", "/proc", "/sys")
_MAC_GET_PATH = 50  # F_GETPATH of macOS, which fcntl names on that system only


class Overlay:
    """The merged view of one trial, and the primitives that keep the lower layer untouched."""

    def __init__(self, folder: Path, allowed: Iterable[Path] = ()) -> None:
        """Make the layer's folders.

        Args:
            folder: The trial's own folder; made where it does not exist. All in it is written through.
            allowed: More folders or files that are written through, not layered.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = posixpath.realpath(folder)
        self.files = posixpath.join(self.folder, "files")
        self._copying = posixpath.join(self.folder, "copying")
        self._deleted_path = posixpath.join(self.folder, "deleted")
        for path in (self.files, self._copying):
            _make_folder(path)
        self._allowed = [self.folder, *_DEVICES, *(posixpath.realpath(path) for path in allowed)]
        self._deleted: frozenset[str] = frozenset()
        self._deleted_bytes = 0

    def allow(self, path: str) -> None:
        """Write one more folder or file through."""
        self._allowed.append(posixpath.realpath(path))

    def is_allowed(self, path: str) -> bool:
        """Whether an absolute path without links lies where the script may write for real."""
        return any(_is_within(path, place) for place in self._allowed)

    def locate(self, path: AnyPath, *, dir_fd: int | None = None, follow: bool = True) -> str | None:
        """Find the logical path of what a script means.

        Args:
            path: As the script names it.
            dir_fd: Descriptor of the folder that a relative path starts from; None for the working directory.
            follow: Resolve the last component too where it is a symbolic link.

        Returns:
            The logical path, whether anything is there or not; None where the path is written through, or is none
            at all (empty, or with a null character), which is left to the operating system to refuse.
        """
        text = os.fsdecode(path)
        if not text or "\0" in text:
            return None
        if not text.startswith("/"):
            text = posixpath.join(self.working_folder() if dir_fd is None else self.path_of(dir_fd), text)
        if _is_within(text, self.files):
            text = self.logical_of(text)
        if any(_is_within(text, device) for device in _DEVICES):
            return None  # links in /proc lead to open files and can't be read as paths
        logical = self._resolve(text, follow=follow)
        return None if self.is_allowed(logical) else logical

    def working_folder(self) -> str:
        """Name the working directory as the script knows it."""
        return self.logical_of(posix.getcwd())

    def logical_of(self, real: str) -> str:
        """Translate a path of the upper layer into the one it stands for; others come back as they are."""
        if real == self.files:
            return "/"
        return real[len(self.files) :] if _is_within(real, self.files) else real

    def path_of(self, descriptor: int) -> str:
        """Name the file or folder that a descriptor is open on, as the script knows it."""
        try:
            return self.logical_of(posix.readlink(f"/proc/self/fd/{descriptor}"))
        except FileNotFoundError:
            import fcntl

            found = fcntl.fcntl(descriptor, _MAC_GET_PATH, bytes(1024))
            return self.logical_of(os.fsdecode(found.rstrip(b"\0")))

    def upper(self, logical: str) -> str:
        """Name the place in the upper layer that stands for a path."""
        return self.files + logical if logical != "/" else self.files

    def real(self, logical: str) -> str | None:
        """Find where the content of a path is: above, below, or nowhere (None)."""
        upper = self.upper(logical)
        if exists(upper):
            return upper
        return logical if exists(logical) and not self.is_hidden(logical) else None

    def existing(self, logical: str) -> str:
        """Find where the content of a path is.

        Raises:
            FileNotFoundError: It is nowhere.
        """
        real = self.real(logical)
        if real is None:
            raise fault(errno.ENOENT, logical)
        return real

    def names(self, logical: str) -> list[str]:
        """List a folder in the merged view: first what is below and not hidden, in the file system's order."""
        real = self.existing(logical)
        if not is_folder(real):
            raise fault(errno.ENOTDIR, logical)
        found: dict[str, None] = {}
        if is_folder(logical) and not self.is_hidden(logical):
            for name in posix.listdir(logical):
                if not self._deleted or posixpath.join(logical, name) not in self._deleted:
                    found[name] = None
        upper = self.upper(logical)
        if is_folder(upper):
            found.update(dict.fromkeys(posix.listdir(upper)))
        return list(found)

    def is_layered(self, logical: str) -> bool:
        """Whether a folder's listing differs, or may differ, from the one below."""
        if exists(self.upper(logical)) or self.is_hidden(logical):
            return True
        return any(posixpath.dirname(deleted) == logical for deleted in self._deleted)

    def is_hidden(self, logical: str) -> bool:
        """Whether the original at a path was deleted by the script, itself or with a folder above it."""
        self._read_deleted()
        if not self._deleted:
            return False
        while logical != "/":
            if logical in self._deleted:
                return True
            logical = posixpath.dirname(logical)
        return False

    def hide(self, logical: str) -> None:
        """Let the original at a path, if there is one, be seen no more."""
        if not exists(logical) or self.is_hidden(logical):
            return
        descriptor = posix.open(self._deleted_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            posix.write(descriptor, os.fsencode(logical) + b"\0")
        finally:
            posix.close(descriptor)

    def make_room(self, logical: str) -> str:
        """Make the folders above a path in the upper layer; returns the place where it can be written.

        Raises:
            FileNotFoundError: The folder is not there in the merged view.
            NotADirectoryError: What should be the folder is none.
        """
        above = posixpath.dirname(logical)
        if not is_folder(self.existing(above)):
            raise fault(errno.ENOTDIR, logical)
        self._raise_folder(above)
        return self.upper(logical)

    def copy_up(self, logical: str, *, with_content: bool = True) -> str:
        """Copy one file, link or empty folder into the upper layer, unless it is there; returns its place there.

        Args:
            logical: What to copy.
            with_content: Without it a file is empty, for one that is about to be overwritten; it keeps its mode.

        Raises:
            FileNotFoundError: There is nothing to copy.
        """
        upper = self.upper(logical)
        if exists(upper):
            return upper
        lower = self.existing(logical)
        self.make_room(logical)
        mode = posix.lstat(lower).st_mode
        if stat.S_ISDIR(mode):
            self._raise_folder(logical)
        elif stat.S_ISLNK(mode):
            posix.symlink(posix.readlink(lower), upper)
        elif stat.S_ISREG(mode):
            self._copy_file(lower, upper, with_content=with_content)
        else:
            return lower  # a pipe, a socket or a device has no content of its own to keep
        return upper

    def copy_tree_up(self, logical: str) -> str:
        """Copy a file, or a folder with all that is in it, into the upper layer; returns its place there."""
        upper = self.copy_up(logical)
        if is_folder(upper):
            for name in self.names(logical):
                self.copy_tree_up(posixpath.join(logical, name))
        return upper

    def _resolve(self, text: str, *, follow: bool) -> str:
        waiting = text.split("/")[::-1]
        while waiting and waiting[0] in ("", "."):
            waiting.pop(0)
        current, links = "/", 0
        while waiting:
            part = waiting.pop()
            if part in ("", "."):
                continue
            if part == "..":
                current = posixpath.dirname(current)
                continue
            current = posixpath.join(current, part)
            target = self._target_of_link(current) if waiting or follow else None
            if target is None:
                continue
            links += 1
            if links > MOST_LINKS:
                raise fault(errno.ELOOP, text)
            current = "/" if target.startswith("/") else posixpath.dirname(current)
            waiting += target.split("/")[::-1]
        return current

    def _target_of_link(self, logical: str) -> str | None:
        real = self.real(logical)
        if real is None:
            return None
        try:
            return posix.readlink(real)
        except OSError:
            return None

    def _read_deleted(self) -> None:
        try:
            size = posix.stat(self._deleted_path).st_size
        except FileNotFoundError:
            return
        if size != self._deleted_bytes:
            with _io.open(self._deleted_path, "rb") as file:
                content = file.read()
            self._deleted = frozenset(os.fsdecode(line) for line in content.split(b"\0") if line)
            self._deleted_bytes = len(content)

    def _raise_folder(self, logical: str) -> None:
        """Make a folder of the merged view exist above, with the mode it has below."""
        upper = self.upper(logical)
        if exists(upper):
            return
        self._raise_folder(posixpath.dirname(logical))
        _make_folder(upper)
        if exists(logical):
            posix.chmod(upper, stat.S_IMODE(posix.stat(logical).st_mode) | stat.S_IRWXU)

    def _copy_file(self, lower: str, upper: str, *, with_content: bool) -> None:
        """Copy under another name first: another thread or process never sees half a file."""
        status = posix.stat(lower)
        draft = posixpath.join(self._copying, f"{posix.getpid()}-{os.urandom(8).hex()}")
        with _io.open(draft, "wb") as target:
            if with_content:
                with _io.open(lower, "rb") as source:
                    while block := source.read(COPY_BYTES):
                        target.write(block)
        posix.utime(draft, ns=(status.st_atime_ns, status.st_mtime_ns))
        posix.chmod(draft, stat.S_IMODE(status.st_mode))
        posix.rename(draft, upper)


def exists(path: str) -> bool:
    """Whether anything, be it a broken link, is at a path of the machine."""
    try:
        posix.lstat(path)
    except OSError:
        return False
    return True


def is_folder(path: str) -> bool:
    """Whether a folder, not a link to one, is at a path of the machine."""
    try:
        return stat.S_ISDIR(posix.lstat(path).st_mode)
    except OSError:
        return False


def fault(number: int, path: str) -> OSError:
    """Make the error that the operating system would raise; its class follows from the number."""
    return OSError(number, os.strerror(number), path)


def _is_within(path: str, place: str) -> bool:
    return path == place or path.startswith(place + "/")


def _make_folder(path: str) -> None:
    try:
        posix.mkdir(path)
    except FileExistsError:
        return
