"""The runs that the dashboard may show: known by keys that it gave itself, each read once for all browsers.

No request names a path. A run is read again where its file has changed, and no more often than leaves most of the
time to others: reading a large file takes longer than the pause between two questions.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from gradiometer.errors import RunFileError
from gradiometer.recording.reader import read_run
from gradiometer.schema import Diagnosis, Run

MOST_SNAPSHOTS = 120
"""Full measurements that are read of a run: a heat map shows no more, and a slider of more is no help."""

MOST_STEPS = 20_000
"""Steps that are read of a run: the loss is drawn with 1,200 points, spikes among them."""

MOST_HELD = 12
"""Runs kept as read; the one that was asked for longest ago goes first."""

PATIENCE = 3.0
"""A run is not read again before this many times as long as its last reading took: three quarters of the time are left
to the training beside it. Small files, read in 50 ms, are up to date at every question."""

SEARCH_SECONDS = 2.0
SOON_SECONDS = 0.2
"""A folder is not searched again before this long; the second of these where somebody asks for a run not found yet."""

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class Found:
    """A run file.

    Attributes:
        path: The file.
        case: The run file that `cure` diagnosed, of one of its trials; None for any other.
    """

    path: Path
    case: Path | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A run as it was read at one moment, or why it could not be.

    Attributes:
        key: Its key.
        path: Its file.
        mark: Changes with every write to the file.
        run: The run; empty where it can't be read.
        diagnosis: What is wrong with it; None where it can't be read.
        fault: Why it can't be read; empty where it can.
        took_seconds: What reading and diagnosing took.
        read_at: When it was read, on the clock of `time.monotonic`.
        written_at: When the file was written to last, seconds since 1970.
    """

    key: str
    path: Path
    mark: str
    run: Run
    diagnosis: Diagnosis | None
    fault: str = ""
    took_seconds: float = 0.0
    read_at: float = 0.0
    written_at: float = 0.0
    _made: dict[object, object] = field(default_factory=dict)

    def once(self, name: object, make: Callable[[], Part]) -> Part:
        """Something made of this run, made for the first browser and kept for the others."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]  # type: ignore[return-value]


def key_of(path: Path) -> str:
    """The key by which a run is known: the same for the same file, also after the dashboard was started again."""
    return hashlib.sha256(str(path.absolute()).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def mark_of(path: Path) -> tuple[str, float]:
    """What changes with every write to a run file or its log, and the time of the last one; empty where it is gone."""
    marks, written_at = [], 0.0
    for companion in (path, path.with_name(path.name + "-wal")):
        try:
            found = companion.stat()
        except OSError:
            continue
        marks.append(f"{found.st_ino}.{found.st_mtime_ns}.{found.st_size}")
        written_at = max(written_at, found.st_mtime)
    return " ".join(marks), written_at


@dataclass(slots=True)
class Shelf:
    """The table of runs.

    Attributes:
        search: Finds the run files there are.
        judge: Says what is wrong with a run.
    """

    search: Callable[[], Sequence[Found]]
    judge: Callable[[Run], Diagnosis]
    _found: dict[str, Found] = field(default_factory=dict)
    _searched: tuple[float, float] = (-1e9, 0.0)
    _seen: dict[str, Seen] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _locks: dict[str, threading.Lock] = field(default_factory=dict)

    def found(self, *, pause_seconds: float = SEARCH_SECONDS) -> dict[str, Found]:
        """The runs there are, by key; searched for again where the last search is as long ago as this."""
        with self._lock:
            at, took = self._searched
            begun = time.monotonic()
            if begun - at > max(pause_seconds, 10.0 * took):
                self._found = {key_of(one.path): one for one in self.search()}
                self._searched = (time.monotonic(), time.monotonic() - begun)
            return self._found

    def look(self, key: str) -> Seen | None:
        """A run as it is now; None for a key that was never given."""
        found = self.found().get(key)
        if found is None:
            return None
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            held = self._seen.get(key)
            fresh = held if held is not None and not is_outdated(held) else self._read(key, found)
            with self._lock:
                self._seen.pop(key, None)
                self._seen[key] = fresh
                while len(self._seen) > MOST_HELD:
                    self._seen.pop(next(iter(self._seen)))
        return fresh

    def _read(self, key: str, found: Found) -> Seen:
        mark, written_at = mark_of(found.path)
        begun = time.monotonic()
        run, diagnosis, fault = Run(), None, ""
        try:
            run = read_run(found.path, max_snapshots=MOST_SNAPSHOTS, max_steps=MOST_STEPS)
            diagnosis = self.judge(run)
        except RunFileError as error:
            fault = str(error)
        now = time.monotonic()
        return Seen(key, found.path, mark, run, diagnosis, fault, now - begun, now, written_at)


def is_outdated(seen: Seen) -> bool:
    """Whether a run is to be read again: its file has changed, and reading it would not take most of the time."""
    if time.monotonic() - seen.read_at < PATIENCE * seen.took_seconds:
        return False
    # A fault may pass without a change of the file: what held it lets go.
    return mark_of(seen.path)[0] != seen.mark or (bool(seen.fault) and bool(seen.mark))
