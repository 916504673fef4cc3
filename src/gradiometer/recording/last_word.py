"""Why recording stopped, in a sentence; and its place in the run file, where that can be written again.

A disk is full for an hour, another program holds the file for too long: at the end of the training it may take a few
rows after all. Nothing is tried for long, and nothing is said where it fails: the fault was told already.
"""

import contextlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradiometer.errors import RunFileError
from gradiometer.recording.opening import fold_companions, open_for_writing, read_mounts
from gradiometer.recording.rows import RowWriter
from gradiometer.schema import Event

TRIED_SECONDS = 0.5
"""How long the end of a training may wait for it."""


def describe_fault(error: Exception, path: Path | None) -> str:
    """Say in a sentence why recording stopped and what would help.

    Args:
        error: What went wrong.
        path: The run file.
    """
    place = "the run in memory" if path is None else str(path)
    name = getattr(error, "sqlite_errorname", "") or ""
    if isinstance(error, FileNotFoundError) and path is not None and not path.exists():
        reason = f"{place} was deleted or moved"
    elif name == "SQLITE_FULL":
        reason = f"the disk of {place} is full; free some space or name another place with --file"
    elif name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        reason = f"another program holds {place} locked; close it"
    elif isinstance(error, OSError) or name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
        reason = f"{place} can't be written ({error}); name another place with --file"
    elif isinstance(error, sqlite3.Error | RunFileError):
        reason = f"{place} can't be written: {error}"
    else:
        reason = f"a fault of gradiometer's own at {place}: {type(error).__name__}: {error}"
    return f"Recording stopped: {reason}. Training goes on."


def leave_word(path: Path, identity: tuple[int, int], text: str, facts: Mapping[str, Any]) -> bool:
    """Write into a run file why its recording stopped.

    Args:
        path: The run file.
        identity: Device and number of the file that was recorded into; another one of its name is left alone.
        text: Why.
        facts: Facts that came after, encoded.

    Returns:
        Whether it is written.
    """
    with contextlib.suppress(OSError, sqlite3.Error, RunFileError):
        found = path.stat()
        if (found.st_dev, found.st_ino) != identity:
            return False
        connection = open_for_writing(
            path, max_bytes=2**20, is_resumed=True, busy_seconds=TRIED_SECONDS, mounts=read_mounts()
        )
        with contextlib.closing(connection):
            newest = connection.execute("SELECT max(step) FROM step").fetchone()[0]
            connection.execute("BEGIN IMMEDIATE")
            RowWriter(connection).write([Event(newest or 0, "fault", text), dict(facts)])
            connection.execute("COMMIT")
            fold_companions(connection, wait_seconds=TRIED_SECONDS)
        return True
    return False
