"""The audit hook behind the guard: nothing outside the allowed places is changed, by whatever way Python takes there.

An audit hook can't be taken away again. It is installed once in a process, by the first guard, and asks at each event
whether a guard is active; without one it costs a call and a comparison per event.
"""

import errno
import os
import posixpath
import sys
import textwrap
from typing import Any

from gradiometer.launching.guarded_files import WRITING, GuardedFiles
from gradiometer.launching.guarded_libraries import is_special_file
from gradiometer.launching.overlay import Overlay
from gradiometer.launching.posix_only import posix

# For each event that changes a file: where its arguments hold the path, and where the folder's descriptor (or None).
CHANGES: dict[str, tuple[tuple[int, int | None], ...]] = {
    "os.remove": ((0, 1),),
    "os.rename": ((0, 2), (1, 3)),
    "os.mkdir": ((0, 2),),
    "os.rmdir": ((0, 1),),
    "os.link": ((1, 3),),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, None),),
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.utime": ((0, 3),),
    "os.setxattr": ((0, None),),
    "os.removexattr": ((0, None),),
}
# For each event that starts a program: where its arguments hold the command.
PROGRAMS = {
    "os.system": 0,
    "os.exec": 1,
    "os.posix_spawn": 1,
    "os.spawn": 2,
    "subprocess.Popen": 1,
    "pty.spawn": 0,
}
MOST_NOTED = 100
MOST_NOTED_LETTERS = 200

_active: "Backstop | None" = None
_is_installed = False


class Backstop:
    """Refuses what would change a file outside the allowed places, and notes the programs that are started."""

    def __init__(self, overlay: Overlay, files: GuardedFiles) -> None:
        self.unguarded: list[str] = []
        self._overlay = overlay
        self._files = files

    def enter(self) -> None:
        """Begin to refuse.

        Raises:
            RuntimeError: Another guard is active in this process.
        """
        global _active, _is_installed
        if _active is not None:
            raise RuntimeError("A process can be guarded once only: leave the other FileGuard first.")
        if not _is_installed:
            sys.addaudithook(_audit)
            _is_installed = True
        _active = self

    def leave(self) -> None:
        """Refuse no more."""
        global _active
        _active = None

    def note(self, what: str) -> None:
        """Remember something that was started and is out of reach, shortened; each once, no more than a hundred."""
        what = textwrap.shorten(what, MOST_NOTED_LETTERS)
        if what not in self.unguarded and len(self.unguarded) < MOST_NOTED:
            self.unguarded.append(what)

    def judge(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Refuse an event by raising.

        Raises:
            PermissionError: It would change a file outside the allowed places; the message names it and the trial.
        """
        if event == "open":
            path, _, flags = arguments
            is_exempt = self._files.take_exemption()
            if not is_exempt and isinstance(flags, int) and flags & WRITING and not isinstance(path, int):
                self._refuse_outside(path, None)
        elif event == "sqlite3.connect":
            self._refuse_database(arguments[0])
        elif event in CHANGES:
            for position, descriptor in CHANGES[event]:
                self._refuse_outside(arguments[position], None if descriptor is None else arguments[descriptor])
        elif event in PROGRAMS:
            self.note(f"{event}: {_in_words(arguments[PROGRAMS[event]])}")

    def _refuse_database(self, database: Any) -> None:
        text = os.fsdecode(database)
        is_read_only = "mode=ro" in text or "mode=memory" in text
        if text.startswith("file:") and not is_read_only:
            text = text.removeprefix("file:").partition("?")[0]
        if text not in ("", ":memory:") and not is_read_only:
            self._refuse_outside(text, None)

    def _refuse_outside(self, path: Any, descriptor: int | None) -> None:
        text = _real_path(path, descriptor)
        if self._overlay.is_allowed(text) or is_special_file(text):
            return
        if self._overlay.locate(text) is None:
            return
        raise PermissionError(
            errno.EACCES,
            f"the trial in {self._overlay.folder} may not change files outside it, and this call can't be redirected",
            text,
        )


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _active is not None and (event in CHANGES or event in PROGRAMS or event in ("open", "sqlite3.connect")):
        _active.judge(event, arguments)


def _real_path(path: Any, descriptor: int | None) -> str:
    """Name the absolute path that an event is about, without looking at links."""
    if isinstance(path, int):
        return posix.readlink(f"/proc/self/fd/{path}")
    text = os.fsdecode(path)
    if not text.startswith("/"):
        above = descriptor is not None and descriptor >= 0
        text = posixpath.join(posix.readlink(f"/proc/self/fd/{descriptor}") if above else posix.getcwd(), text)
    return posixpath.normpath(text)


def _in_words(command: Any) -> str:
    if isinstance(command, str | bytes | os.PathLike):
        return os.fsdecode(command)
    return " ".join(_in_words(part) for part in command or ())
