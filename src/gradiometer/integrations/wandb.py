"""Weights & Biases: a run as charts over `gradiometer/step`, findings as alerts, the verdict in the summary.

A run that the script has begun is joined without touching its step counter: what gradiometer tells lies in the row
that the script is at and is sent with it, one full step to a row. W&B has one row for each of its steps, and
drops what a script logs with `step=` below the newest, so a row of our own would cost the script one of its.

A run of gradiometer's own begins in whatever mode `WANDB_MODE` says; where neither that nor a key is set, offline.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gradiometer.errors import SettingsError
from gradiometer.integrations.scalars import SCALARS, STEP, Row, log2_bins
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

LONGEST_TITLE = 63


def open_tracker(place: str | None, run: Run) -> Tracker:
    """Begin a run.

    Args:
        place: Its project; `WANDB_PROJECT` or `gradiometer` if not given.
        run: The run, whose facts become its settings.
    """
    import wandb

    begun = wandb.init(
        project=place or os.environ.get("WANDB_PROJECT") or PROJECT,
        job_type="gradiometer",
        config=facts_of(run),
        mode=mode_here(wandb),
        reinit="create_new",
        settings=wandb.Settings(console="off", save_code=False, quiet=True),
    )
    define_step(begun)

    def send(rows: Sequence[Row]) -> None:
        for row in rows:
            begun.log(logged(wandb, row))

    def conclude(conclusion: Conclusion) -> None:
        summarise(begun, conclusion)
        if conclusion.page is not None:
            begun.log({"gradiometer/report": wandb.Html(conclusion.page, inject=False)})

    return Tracker(place_of(begun), send, lambda finding: alert(begun, finding), conclude, begun.finish)


def find_active() -> Any:
    """The run that the script has begun; None where there is none."""
    return getattr(sys.modules.get("wandb"), "run", None)


def join(active: Any) -> Tracker:
    """Join the script's run."""
    import wandb

    define_step(active)
    waiting = Waiting(lambda: step_of(active), lambda row: active.log(logged(wandb, row), commit=False))

    def conclude(conclusion: Conclusion) -> None:
        step_of(active)
        waiting.finish()
        summarise(active, conclusion)
        if conclusion.page is not None:
            active.log({"gradiometer/report": wandb.Html(conclusion.page, inject=False)}, commit=False)

    return Tracker(
        place_of(active), waiting.add, lambda finding: alert(active, finding), conclude, lambda: None, waiting.tick
    )


def step_of(active: Any) -> int:
    """The row that the script's run is at.

    Raises:
        SettingsError: The script has ended its run: W&B would wait half a minute for an answer that nobody gives.
    """
    if find_active() is not active:
        raise SettingsError(
            "the script has ended its run before this one was over; `gradiometer export RUN.db --to wandb` tells all"
        )
    return int(active.step)


def define_step(run: Any) -> None:
    """Draw our charts over our own step, and nobody else's."""
    run.define_metric(STEP, hidden=True)
    histograms = [f"gradiometer_log2_{quantity}" for quantity in ("gradient", "weight", "update")]
    for group in dict.fromkeys([*(scalar.name.partition("/")[0] for scalar in SCALARS), *histograms]):
        run.define_metric(f"{group}/*", step_metric=STEP)


def mode_here(wandb: Any) -> Literal["offline"] | None:
    """The mode to begin a run in: None for what `WANDB_MODE` or a key says, else offline, so that nobody is asked."""
    has_key = bool(os.environ.get("WANDB_API_KEY")) or wandb.setup().settings.api_key is not None
    return None if "WANDB_MODE" in os.environ or has_key else "offline"


def place_of(run: Any) -> str:
    """Where a run can be looked at."""
    return f"wandb sync {Path(run.dir).parent}" if run.offline else str(run.url)


def alert(run: Any, finding: Finding) -> None:
    """Tell a finding as an alert."""
    title = f"gradiometer: {finding.condition}"[:LONGEST_TITLE]
    run.alert(title=title, text=finding_text(finding), level=ALERT_LEVELS[finding.severity])


def summarise(run: Any, conclusion: Conclusion) -> None:
    """Write the verdict and the findings into the run's summary."""
    run.summary["gradiometer/verdict"] = conclusion.diagnosis.verdict
    run.summary["gradiometer/verdict_text"] = conclusion.sentence
    for finding in conclusion.diagnosis.findings:
        run.summary[f"gradiometer/finding/{finding.condition}"] = f"{finding.severity}: {finding.summary}"


def logged(wandb: Any, row: Row) -> dict[str, Any]:
    """A row as W&B logs it."""
    drawn = {name: wandb.Histogram(np_histogram=bins) for name, bins in log2_bins(row).items()}
    return {**row.values, **drawn, STEP: row.step}


def sink(watching: "Watch", project: str | None = None, *, page: bool = True) -> "Sink":
    """Tell W&B of a training while it goes on.

    The script's own run is joined where it has begun one by the end of the first step; else one is begun, in a process
    beside, and the watch needs a file for that.

    Args:
        watching: What `gradiometer.watch` returned.
        project: Project of a run that has to be begun; `WANDB_PROJECT` or `gradiometer` if not given.
        page: The report goes into the run's media, too.

    Returns:
        A context manager; or call its `start()` and `stop()`.

    Raises:
        SettingsError: wandb is not installed.
    """
    from gradiometer.integrations.sinking import sink_of

    return sink_of(PARTNER, watching, project, has_page=page)


PARTNER = Partner("wandb", "wandb", open_tracker, find_active, join)
