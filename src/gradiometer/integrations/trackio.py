"""trackio: a run as metrics by step, findings and the verdict as alerts, the report as a page in its media.

Everything stays in trackio's own folder (`TRACKIO_DIR`), unless the script or its environment says otherwise. trackio
prints what it does; a run that gradiometer begins is in a process beside, and prints to stderr.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gradiometer.integrations.scalars import STEP, Row, log2_bins
from gradiometer.integrations.tracker import (
    PROJECT,
    Conclusion,
    Partner,
    Tracker,
    facts_of,
    finding_text,
)
from gradiometer.integrations.waiting import Waiting
from gradiometer.schema import Finding, Run

if TYPE_CHECKING:
    from gradiometer.integrations.sinking import Sink
    from gradiometer.session import Watch

ALERT_LEVELS = {"critical": "ERROR", "warning": "WARN", "info": "INFO"}

VERDICT_LEVELS = {"broken": "ERROR", "at_risk": "WARN", "healthy": "INFO", "unknown": "INFO"}


def open_tracker(place: str | None, run: Run) -> Tracker:
    """Begin a run.

    Args:
        place: Its project; `gradiometer` if not given.
        run: The run, whose facts become its settings.
    """
    import trackio

    begun = trackio.init(
        project=place or PROJECT, config=facts_of(run), embed=False, auto_log_gpu=False, auto_log_cpu=False
    )

    def send(rows: Sequence[Row]) -> None:
        for row in rows:
            begun.log(logged(trackio, row), step=row.step)

    return Tracker(
        place_of(begun),
        send,
        lambda finding: alert(trackio, begun, finding),
        lambda conclusion: conclude_run(trackio, begun, conclusion),
        # Not the run's own method, behind which trackio would end it once more as the interpreter does.
        trackio.finish,
    )


def find_active() -> Any:
    """The run that the script has begun on this thread; None where there is none."""
    trackio = sys.modules.get("trackio")
    return trackio.context_vars.current_run.get() if trackio is not None else None


def join(active: Any) -> Tracker:
    """Join the script's run: rows are told at the step that it has logged last, so that its count goes on as it was."""
    import trackio

    # Before the script's first row there is none to lay ours into, and the count is below the first step.
    waiting = Waiting(
        lambda: int(active._next_step) - 1, lambda row: active.log(logged(trackio, row), step=step_of(active))
    )

    def conclude(conclusion: Conclusion) -> None:
        waiting.finish()
        conclude_run(trackio, active, conclusion)

    return Tracker(
        place_of(active),
        waiting.add,
        lambda finding: alert(trackio, active, finding),
        conclude,
        lambda: None,
        waiting.tick,
    )


def step_of(run: Any) -> int:
    """The step that was logged last; trackio has no public word for it, and counts on from the greatest."""
    return max(int(run._next_step) - 1, 0)


def logged(trackio: Any, row: Row) -> dict[str, Any]:
    """A row as trackio logs it."""
    drawn = {name: trackio.Histogram(np_histogram=bins) for name, bins in log2_bins(row).items()}
    return {**row.values, **drawn, STEP: row.step}


def alert(trackio: Any, run: Any, finding: Finding) -> None:
    """Tell a finding as an alert."""
    level = trackio.AlertLevel[ALERT_LEVELS[finding.severity]]
    run.alert(f"gradiometer: {finding.condition}", finding_text(finding), level, step=step_of(run))


def conclude_run(trackio: Any, run: Any, conclusion: Conclusion) -> None:
    """Tell the verdict as an alert, and the report as a page."""
    verdict = conclusion.diagnosis.verdict
    level = trackio.AlertLevel[VERDICT_LEVELS[verdict]]
    run.alert(f"gradiometer: {verdict}", conclusion.sentence, level, step=step_of(run))
    if conclusion.page is not None:
        run.log({"gradiometer/report": trackio.Html(conclusion.page, inject=False)}, step=step_of(run))


def place_of(run: Any) -> str:
    """Where a run can be looked at."""
    return f'trackio show --project "{run.project}"'


def sink(watching: "Watch", project: str | None = None, *, page: bool = True) -> "Sink":
    """Tell trackio of a training while it goes on.

    The script's own run is joined where it has begun one, on the thread that trains, by the end of the first step;
    else one is begun, in a process beside, and the watch needs a file for that.

    Args:
        watching: What `gradiometer.watch` returned.
        project: Project of a run that has to be begun; `gradiometer` if not given.
        page: The report goes into the run's media, too.

    Returns:
        A context manager; or call its `start()` and `stop()`.

    Raises:
        SettingsError: trackio is not installed.
    """
    from gradiometer.integrations.sinking import sink_of

    return sink_of(PARTNER, watching, project, has_page=page)


PARTNER = Partner("trackio", "trackio", open_tracker, find_active, join)
