"""One temporary folder for all trials of a cure; it goes when the cure ends, at the latest when the next one starts.

A process that is killed outright (SIGKILL, out of memory) can't clear up. So each folder holds a locked file: the
system takes the lock away with the process, whatever ended it, and a folder whose lock is free has lost its owner.
That tells a dead owner from a living one without process numbers, which are given out again.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISDIR
from time import time

from gradiometer.launching.posix_only import fcntl

PREFIX = "gradiometer-cure-"
LOCK_FILE = ".gradiometer-lock"

UNLOCKED_SECONDS = 3600.0
"""A folder without a lock file was left between making the two, or is about to get one: it stays for so long."""


@contextmanager
def temporary_folder() -> Iterator[str]:
    """A folder for the temporary files of all trials; it goes with what killed trials left in it.

    Folders of earlier cures that were killed go, too.
    """
    remove_stale(Path(tempfile.gettempdir()))
    folder = tempfile.mkdtemp(prefix=PREFIX)
    unlocked, locked = Path(folder) / f"{LOCK_FILE}-new", Path(folder) / LOCK_FILE
    lock = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with suppress(OSError):  # a file system without locks: a folder that is left there then stays
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unlocked.rename(locked)  # so that nobody ever sees the file without its lock
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def remove_stale(place: Path) -> list[Path]:
    """Remove the folders of cures that were killed.

    Args:
        place: Where temporary folders lie.

    Returns:
        The folders that are gone; those of other users, links and what can't be read are left alone.
    """
    removed = []
    for folder in sorted(place.glob(f"{PREFIX}*")):
        with suppress(OSError):
            if is_stale(folder):
                shutil.rmtree(folder)
                removed.append(folder)
    return removed


def is_stale(folder: Path) -> bool:
    """Whether a folder is a cure's, belongs to this user, and nobody holds its lock.

    Raises:
        OSError: It can't be read, or is gone by now.
    """
    facts = folder.lstat()
    if not S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
        return False
    try:
        lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return time() - facts.st_mtime > UNLOCKED_SECONDS
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True
