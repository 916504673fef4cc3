"""Tells a tracker of a run: all at once, or again and again while it grows, and concludes with the verdict."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gradiometer.diagnosing import diagnose
from gradiometer.integrations.scalars import MOST_STEP_ROWS, Told, rows_of
from gradiometer.integrations.tracker import Conclusion, Tracker
from gradiometer.recording.reader import read_run
from gradiometer.schema import Diagnosis, Finding, Run
from gradiometer.settings import Ignored

LIVE_STEP_ROWS = 1000
"""Steps between full ones that are told of in one look at most, while a run grows."""

LEAST_PAUSE_SECONDS = 2.0
"""Time between two looks at a growing run at least: no chart is looked at more often."""

TICK_SECONDS = 0.5

LOOKING_SHARE = 0.02
"""Share of one processor that looking takes at most, in a process of its own."""


@dataclass(slots=True)
class Telling:
    """What one tracker is told of one run.

    Attributes:
        tracker: The tracker, open.
        ignore: Findings that are not told.
        has_page: The report is told, too, where the tracker can hold it.
        told: How far it has been told.
        number_count: How many numbers.
        conditions: Conditions whose findings it has been told.
    """

    tracker: Tracker
    ignore: tuple[Ignored, ...] = ()
    has_page: bool = True
    told: Told = field(default_factory=Told)
    number_count: int = 0
    conditions: set[str] = field(default_factory=set)

    def look(self, run: Run, *, most_step_rows: int = LIVE_STEP_ROWS, most_numbers: int | None = None) -> Diagnosis:
        """Tell what is new, as much of it as `rows_of` is given; returns what is wrong with the run so far."""
        rows, told = rows_of(run, self.told, most_step_rows=most_step_rows, most_numbers=most_numbers)
        if rows:
            self.tracker.send(rows)
            self.number_count += sum(len(row.values) for row in rows)
        self.told = told
        diagnosis = diagnose(run, ignore=self.ignore)
        for finding in worth_telling(diagnosis.findings, self.conditions):
            self.conditions.add(finding.condition)
            self.tracker.tell(finding)
        return diagnosis

    def conclude(self, run: Run, *, most_step_rows: int = LIVE_STEP_ROWS) -> Diagnosis:
        """Tell what is left and the verdict."""
        from gradiometer.showing.report import render_report
        from gradiometer.showing.wording import verdict_sentence

        diagnosis = self.look(run, most_step_rows=most_step_rows)
        page = render_report(run, diagnosis) if self.has_page else None
        self.tracker.conclude(Conclusion(diagnosis, verdict_sentence(diagnosis), page))
        return diagnosis


def worth_telling(findings: Sequence[Finding], conditions: Collection[str]) -> list[Finding]:
    """The findings that people are called for: what is for information only stands in the verdict.

    Args:
        findings: All that was found.
        conditions: Conditions whose findings were told before.
    """
    return [one for one in findings if one.severity != "info" and one.condition not in conditions]


def tell_all(telling: Telling, run: Run) -> Diagnosis:
    """Tell a tracker all of a run, and close it."""
    try:
        return telling.conclude(run, most_step_rows=MOST_STEP_ROWS)
    finally:
        telling.tracker.close()


def tell_growing(telling: Telling, file: Path, *, is_over: Callable[[Run], bool], wait: Callable[[float], bool]) -> Run:
    """Tell a tracker of a run file while another process writes it, and close the tracker.

    Args:
        telling: What to tell, and whom.
        file: The run file.
        is_over: Whether a run that was just read is to be the last.
        wait: Waits so many seconds at most; true where the wait is over before, for the run is.

    Returns:
        The run as it was read last.

    Raises:
        RunFileError: The file can't be read.
    """
    try:
        run = read_run(file)
        while not is_over(run):
            started = time.thread_time()
            telling.look(run)
            cost_seconds = time.thread_time() - started
            pause_until = time.monotonic() + max(LEAST_PAUSE_SECONDS, cost_seconds / LOOKING_SHARE)
            while time.monotonic() < pause_until and not wait(TICK_SECONDS):
                telling.tracker.tick()
            run = read_run(file)
        telling.conclude(run)
        return run
    finally:
        telling.tracker.close()
