"""The thread behind a writer: takes what was queued, commits it about four times a second, survives forks.

The training thread only appends to a deque; it wakes nobody. The lock stands for the connection: whoever holds it may
use SQLite. For a fork the thread ends and starts again, so that no child is born with SQLite's own locks held by a
thread that it does not have, and Python (3.12 on) has no thread of ours to warn of; the child gives the connection up
without closing it, which would fold the parent's log away.
"""

import contextlib
import ctypes
import os
import sqlite3
import threading
import time
import weakref
from collections import deque
from pathlib import Path
from typing import Any

from gradiometer.errors import RunFileError
from gradiometer.recording.last_word import describe_fault, leave_word
from gradiometer.recording.opening import (
    fold_companions,
    open_for_writing,
    open_in_memory,
    read_mounts,
)
from gradiometer.recording.reader import read_run, run_from
from gradiometer.recording.rows import RowWriter, byte_count_of, row_count_of
from gradiometer.recording.thinning import make_room
from gradiometer.schema import Event, Run

COMMIT_SECONDS = 0.25
"""Time between commits: what a power cut or `kill -9` may cost, and few enough that nobody notices them."""

MAX_WAITING_ROWS = 2_000_000
"""Rows that may wait in memory for a disk that does not keep up, some 500 MB."""

FORK_WAIT_SECONDS = 1.0
"""How long a fork waits for a commit in progress."""

PATIENCE_SECONDS = 60.0
"""How long another program may hold the file before recording stops; until then rows wait in memory."""

TRY_SECONDS = 1.0
"""How long the thread waits at a time for another program that holds the file; it tries again until it gives up."""

CLOSING_SECONDS = 5.0
"""How long the end of a training waits for that program, at most."""

MOST_RESTARTS = 3
"""How often a thread that was ended from outside is started again."""

PART_SHARE = 0.04
"""Share of the bound that is written before the bound is looked at again."""

MOST_PART_BYTES = 2 * 2**20
"""Bytes written in one transaction at most."""


class RecordingThread(threading.Thread):
    """A thread that must not keep the program alive, and must not be cut off in a commit either."""


def is_program_alive() -> bool:
    """Whether a thread is left that the interpreter waits for at its end, other than those that record."""
    return any(
        thread.is_alive() and not thread.daemon and not isinstance(thread, RecordingThread)
        for thread in (threading.main_thread(), *threading.enumerate())
    )


class Recorder:
    """Owns the connection, the queue and the thread of one writer.

    Args:
        path: The run file; None keeps all in memory.
        max_bytes: Bound of the file.
        is_resumed: Add to the run file that is there.
        busy_seconds: How long to wait for another program that holds the file, before recording stops.

    Raises:
        RunFileError: Something else is at the path.
    """

    def __init__(
        self, path: Path | None, max_bytes: int, *, is_resumed: bool = False, busy_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.fault: str | None = None
        self.writing_seconds = 0.0
        self.lock = threading.RLock()
        self.queue: deque[Any] = deque()
        self._queued_rows = 0
        self.taken_rows = 0
        self._connection: sqlite3.Connection | None = None
        self._is_abandoned = False
        self._is_closing = False
        self._is_writing = False
        self._wake = threading.Event()
        self._identity: tuple[int, int] | None = None
        self._is_pausing = False
        self._thread: RecordingThread | None = None
        self._busy_seconds = busy_seconds
        self._busy_since: float | None = None
        self._restarts = 0
        self._late_facts: dict[str, Any] = {}
        try:
            self._open(is_resumed=is_resumed, busy_seconds=busy_seconds)
            self._start_thread()
        except RunFileError:
            raise
        except Exception as error:
            self._stop(error)
        RECORDERS.add(self)

    @property
    def is_recording(self) -> bool:
        """Whether what is added now will be recorded."""
        return self.fault is None and not self._is_closing and not self._is_abandoned

    def add(self, item: Any, row_count: int = 1) -> None:
        """Queue an item; costs an append and never waits."""
        self.queue.append(item)
        self._queued_rows += row_count
        if self._queued_rows - self.taken_rows > MAX_WAITING_ROWS and self.fault is None:
            self.fault = f"Recording stopped: the disk of {self.path} does not keep up. Training goes on."
            self.queue.clear()

    def add_late(self, facts: dict[str, Any]) -> None:
        """Note facts that come after recording has stopped: how the run ended is written where that can be."""
        self._late_facts |= facts

    def flush(self) -> None:
        """Return once all that was queued is committed, recording has stopped, or another program holds the file."""
        if self._is_abandoned or self._connection is None:
            return
        ticket = threading.Event()
        self.queue.append(ticket)
        self._wake.set()
        while self._is_thread_alive and self.fault is None:
            if ticket.wait(0.1):
                return
        self.drain()

    def close(self) -> None:
        """Commit all, make one file of it, end the thread."""
        if self._is_abandoned:
            return
        self._is_closing = True
        self._busy_since = None
        self._wake.set()
        if self._thread is not None and threading.current_thread() is not self._thread:
            self._thread.join()
        self._finish()

    def release(self) -> None:
        """Close without waiting, connection in memory included; for a writer that nobody holds any more."""
        if self._is_abandoned:
            return
        self._is_closing = True
        self._wake.set()
        with self.lock:
            if self._is_writing:
                return
            self._finish()
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def read(self) -> Run:
        """Read all that is committed; an empty run where that can't be."""
        with self.lock:
            if self._connection is not None:
                return run_from(self._connection)
        if self._is_abandoned or self.path is None:
            return Run()
        try:
            return read_run(self.path)
        except RunFileError as error:
            return Run(events=(Event(step=0, kind="fault", text=self.fault or str(error)),))

    def drain(self) -> None:
        """Write and commit all that is queued; a fault stops the recording and is told in `fault`."""
        with self.lock:
            if self._is_writing or self._is_abandoned:
                return
            self._is_writing = True
            started_seconds = time.thread_time()
            tickets: list[threading.Event] = []
            try:
                while self.queue:
                    part = self._take(tickets)
                    if part and self.fault is None:
                        self._commit(part)
                self._busy_since = None
            except Exception as error:
                if not self._may_try_again(error):
                    self._stop(error)
            finally:
                self._is_writing = False
                self.writing_seconds += time.thread_time() - started_seconds
                for ticket in tickets:
                    ticket.set()

    def hold_for_fork(self) -> bool:
        """End the thread and keep everybody from SQLite; whether that was possible in time."""
        self._is_pausing = True
        self._wake.set()
        if self._thread is not None and threading.current_thread() is not self._thread:
            self._thread.join(FORK_WAIT_SECONDS)
        return self.lock.acquire(timeout=FORK_WAIT_SECONDS)

    def resume_after_fork(self, *, is_held: bool) -> None:
        """Go on in the parent."""
        self._is_pausing = False
        if is_held:
            self.lock.release()
        if self.is_recording and not self._is_thread_alive:
            # At the interpreter's end no thread starts any more; closing then writes what is left.
            with contextlib.suppress(RuntimeError):
                self._start_thread()

    def abandon(self) -> None:
        """In a forked child: never touch the parent's file again, not even by closing it."""
        self._is_abandoned = True
        self.lock = threading.RLock()
        self.queue = deque()
        if self._connection is not None:
            # One reference too many, so that no finaliser of the child closes it.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))
            self._connection = None

    @property
    def _is_thread_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _start_thread(self) -> None:
        thread = RecordingThread(target=self._record, name="gradiometer-recording", daemon=False)
        thread.start()
        self._thread = thread

    def _open(self, *, is_resumed: bool, busy_seconds: float) -> None:
        if self.path is None:
            self._connection = open_in_memory()
        else:
            self._connection = open_for_writing(
                self.path,
                max_bytes=self.max_bytes,
                is_resumed=is_resumed,
                busy_seconds=min(busy_seconds, CLOSING_SECONDS),
                mounts=read_mounts(),
            )
            self._identity = self._file_identity()
            self._connection.execute(f"PRAGMA busy_timeout = {int(1000 * min(TRY_SECONDS, busy_seconds))}")
        self._rows = RowWriter(self._connection)

    def _record(self) -> None:
        """Run the thread; one that is ended from outside (a script may do that to any) leaves the work to another."""
        try:
            self._keep_committing()
        except BaseException:
            if self.is_recording and self._restarts < MOST_RESTARTS:
                self._restarts += 1
                with contextlib.suppress(RuntimeError):  # at the interpreter's end, where closing writes what is left
                    self._start_thread()

    def _keep_committing(self) -> None:
        """Commit at intervals until closed, or until the program ends without having closed."""
        while not self._is_closing and not self._is_pausing and is_program_alive():
            self._wake.wait(COMMIT_SECONDS)
            self._wake.clear()
            self.drain()
        self.drain()
        if self._is_closing:
            self._finish()

    def _take(self, tickets: list[threading.Event]) -> list[Any]:
        """Take items off the queue, a twentieth of the bound or one too many; waiting flushes go to the tickets."""
        byte_limit = min(MOST_PART_BYTES, PART_SHARE * self.max_bytes)
        part: list[Any] = []
        row_count = byte_count = 0
        while self.queue and byte_count < byte_limit:
            item = self.queue.popleft()
            if isinstance(item, threading.Event):
                tickets.append(item)
            else:
                part.append(item)
                row_count += row_count_of(item)
                byte_count += byte_count_of(item)
        self.taken_rows += row_count
        return part

    def _commit(self, part: list[Any]) -> None:
        if self._connection is None:
            return
        if self._identity is not None and self._file_identity() != self._identity:
            raise FileNotFoundError(f"{self.path} was deleted or replaced")
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._rows.write(part)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
                self._rows = RowWriter(self._connection)  # it remembers numbers of rows that are not there
            self.queue.extendleft(reversed(part))
            self.taken_rows -= sum(row_count_of(item) for item in part)
            raise
        make_room(self._connection, self.max_bytes)

    def _may_try_again(self, error: Exception) -> bool:
        """Whether another program holds the file, and has not held it for too long yet."""
        if not (getattr(error, "sqlite_errorname", "") or "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return False
        now = time.monotonic()
        self._busy_since = self._busy_since or now - min(TRY_SECONDS, self._busy_seconds)
        patience = min(self._busy_seconds, CLOSING_SECONDS) if self._is_closing else self._busy_seconds
        return now - self._busy_since < patience

    def _file_identity(self) -> tuple[int, int]:
        """What tells the file from another of the same name; raises where there is none."""
        found = (self.path or Path()).stat()
        return found.st_dev, found.st_ino

    def _finish(self) -> None:
        """Commit what is left and close the file; a run in memory stays readable."""
        with self.lock:
            self.drain()
            while self.queue and self._busy_since is not None and not self._is_writing:
                self.drain()
            if self.fault is not None and self._identity is not None and self.path is not None:
                identity, self._identity = self._identity, None
                leave_word(self.path, identity, self.fault, self._late_facts)
            if self.path is None or self._connection is None or self._is_writing:
                return
            try:
                fold_companions(self._connection)
                self._connection.close()
            except sqlite3.Error as error:
                self._stop(error)
            self._connection = None

    def _stop(self, error: Exception) -> None:
        """Give the recording up; what was committed stays."""
        self.fault = describe_fault(error, self.path)
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            with contextlib.suppress(sqlite3.Error):
                connection.close()
        self.queue.clear()


RECORDERS: "weakref.WeakSet[Recorder]" = weakref.WeakSet()
"""All recorders of this process."""

FORKING: list[tuple[Recorder, bool]] = []
"""Recorders that stand still for a fork in progress, and whether their lock is held for it."""


def _before_fork() -> None:
    FORKING[:] = [(recorder, recorder.hold_for_fork()) for recorder in list(RECORDERS)]


def _after_fork_in_parent() -> None:
    while FORKING:
        recorder, is_held = FORKING.pop()
        recorder.resume_after_fork(is_held=is_held)


def _after_fork_in_child() -> None:
    FORKING.clear()
    for recorder in list(RECORDERS):
        recorder.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
