"""Sees what the process does while it is fed: what it starts, what it connects to, where it writes.

Python tells audit hooks of every such call (PEP 578). What C code does by itself, as SQLite does, is seen by what it
leaves: a folder beside the one that may be written is compared with what it was.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

STARTING = frozenset(
    {
        *("os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile", "pty.spawn"),
        *("subprocess.Popen", "ctypes.dlopen", "webbrowser.open", "code.__new__"),
        *("pickle.find_class", "sqlite3.enable_load_extension", "sqlite3.load_extension"),
        *("socket.bind", "socket.connect", "socket.getaddrinfo", "socket.sendto", "urllib.Request"),
    }
)
"""Events that no input may bring about."""

WRITING: Mapping[str, tuple[int, ...]] = {
    "os.chmod": (0,),
    "os.chown": (0,),
    "os.link": (0, 1),
    "os.mkdir": (0,),
    "os.remove": (0,),
    "os.rename": (0, 1),
    "os.rmdir": (0,),
    "os.symlink": (1,),
    "os.truncate": (0,),
    "os.utime": (0,),
}
"""Events that change files, with the places of the paths among their arguments."""

WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

OWN_PROGRAMS = ("git", "uname")
"""What a run starts itself: git for the commit of the script's folder, `uname` where Python asks for the machine."""

HARMLESS = ("/dev/null", "/dev/tty", "/proc/self/")


class Witness:
    """Notes what must not happen; one for the whole process, for an audit hook stays.

    Args:
        folder: The only folder that may be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder.resolve())
        self.is_looking = False
        self.seen: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.is_looking:
            return
        if event == "subprocess.Popen" and arguments[0] in OWN_PROGRAMS:
            return
        if event in STARTING and not is_loading_module():
            self.seen.append(f"{event} {str(arguments)[:200]}")
        elif event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITE_FLAGS:
            self._judge_path(event, arguments[0])
        elif event in WRITING:
            for place in WRITING[event]:
                self._judge_path(event, arguments[place])

    def _judge_path(self, event: str, path: Any) -> None:
        if not isinstance(path, str | bytes | os.PathLike) or is_loading_module():
            return
        text = os.path.realpath(os.fsdecode(path))
        if text != self.folder and not text.startswith((self.folder + os.sep, *HARMLESS)):
            self.seen.append(f"{event} {text[:200]}")


def is_loading_module() -> bool:
    """Whether a module is just being imported: that may load libraries and write caches."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below a folder, with its time of change and its content."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
