"""The list of runs: what each is, how far it came, its verdict; read bit by bit, so that no question waits for all."""

import threading
import time
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from gradiometer.errors import RunFileError
from gradiometer.recording.liveness import is_alive
from gradiometer.recording.reader import read_run
from gradiometer.schema import Run
from gradiometer.showing.dashboard.shelf import Shelf, mark_of

MOST_LISTED = 200
"""Runs in the list, the newest; a folder of thousands is counted."""

READING_SECONDS = 0.4
"""Time that one question may take to read runs; those left over come with the next question."""

FAULT_SECONDS = 20.0
"""A file that can't be read is tried again after this long."""


@dataclass(frozen=True, slots=True)
class Line:
    """One run of the list.

    Attributes:
        key: Its key.
        path: Its file.
        mark: Changes with every write.
        written_at: When the file was written to last, seconds since 1970.
        trial_count: Trials of a case of `cure` whose files are there.
        script: Its script; empty where that is not known (yet).
        started_at: When it began, local time; empty where that is not known (yet).
        status: `running`, `finished` ...; empty before it was read.
        step_count: Steps that it took.
        verdict: Its verdict; empty before it was judged.
        outcome: What the trials of its cure proved; empty without any.
        fault: Why it can't be read.
        read_at: When it was read, on the clock of `time.monotonic`.
    """

    key: str
    path: Path
    mark: str
    written_at: float
    trial_count: int = 0
    script: str = ""
    started_at: str = ""
    status: str = ""
    step_count: int = 0
    verdict: str = ""
    outcome: str = ""
    fault: str = ""
    read_at: float = field(default=0.0, compare=False)


@dataclass(slots=True)
class Listing:
    """The list, as far as it is known.

    Attributes:
        shelf: The table of runs.
    """

    shelf: Shelf
    _lines: dict[str, Line] = field(default_factory=dict)
    _judged: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def lines(self) -> tuple[list[Line], int]:
        """The newest runs, newest first, and how many older ones there are.

        What has changed is read again, for `READING_SECONDS` at most; another browser's question does not wait for it.
        """
        found = self.shelf.found()
        trials: dict[Path, int] = {}
        for one in found.values():
            if one.case is not None:
                trials[one.case] = trials.get(one.case, 0) + 1
        bare = [
            Line(key, one.path, *mark_of(one.path), trials.get(one.path, 0))
            for key, one in found.items()
            if one.case is None
        ]
        bare.sort(key=lambda line: -line.written_at)
        newest = bare[:MOST_LISTED]
        if self._lock.acquire(blocking=False):
            try:
                self._refresh(newest)
            finally:
                self._lock.release()
        return [self._as_known(line) for line in newest], len(bare) - len(newest)

    def _as_known(self, line: Line) -> Line:
        known = self._lines.get(line.key, line)
        return replace(known, trial_count=line.trial_count, written_at=line.written_at)

    def _refresh(self, newest: list[Line]) -> None:
        ending = time.monotonic() + READING_SECONDS
        for line in newest:
            if time.monotonic() > ending:
                return
            known = self._lines.get(line.key)
            if known is None or is_due(known, line.mark):
                # Until it is judged anew the verdict from before stands: it rarely changes, and a gap would flicker.
                self._lines[line.key] = replace(described(line), verdict=known.verdict if known is not None else "")
        for line in newest:
            if time.monotonic() > ending:
                return
            if not self._lines[line.key].fault and self._judged.get(line.key) != line.mark:
                self._judge(line)

    def _judge(self, line: Line) -> None:
        seen = self.shelf.look(line.key)
        if seen is not None and seen.diagnosis is not None:
            self._lines[line.key] = replace(self._lines[line.key], verdict=seen.diagnosis.verdict)
        self._judged[line.key] = line.mark


def is_due(known: Line, mark: str) -> bool:
    """Whether a line is to be read again; a fault may pass without a change of the file."""
    return known.mark != mark or (bool(known.fault) and time.monotonic() - known.read_at > FAULT_SECONDS)


def described(line: Line) -> Line:
    """A line with what its run file says."""
    try:
        run = read_run(line.path, max_snapshots=1, max_steps=1)
    except RunFileError as error:
        return replace(line, fault=str(error), read_at=time.monotonic())
    return replace(
        line,
        script=str(run.facts.get("script") or ""),
        started_at=local_time(run.facts.get("started_at"), line.written_at),
        status=status_of(run, line.written_at),
        step_count=run.step_count,
        outcome=run.outcome.verdict if run.outcome is not None else "",
    )


def status_of(run: Run, written_at: float) -> str:
    """How a run stands: as it says, or `silent` where it says it is running and nobody has written to it for long."""
    status = str(run.facts.get("status") or "running")
    return "silent" if status == "running" and not is_alive(run, written_at) else status


def local_time(moment: object, otherwise: float) -> str:
    """A moment as people of this place write it; the other one, seconds since 1970, where it is none.

    Example:
        >>> len(local_time("2026-01-02T03:04:05+00:00", 0.0)), len(local_time(None, 0.0))
        (16, 16)
    """
    try:
        read = datetime.fromisoformat(str(moment)).astimezone()
    except ValueError:
        read = datetime.fromtimestamp(otherwise).astimezone()
    return read.strftime("%Y-%m-%d %H:%M")


def shown_name(path: Path) -> str:
    """What a run file is called: by its name, in a case of `cure`, where all have one name, by the case's.

    Example:
        >>> shown_name(Path("runs/train-1.db")), shown_name(Path("cures/train-0a1b/2c3d/run.db"))
        ('train-1.db', 'train-0a1b/2c3d')
    """
    return path.name if path.stem != "run" or len(path.parts) < 3 else "/".join(path.parts[-3:-1])
