"""MLflow: a run as metrics by step, the verdict and the findings as tags, the report as an artifact.

Everything goes through a client with the run's identity, so MLflow's idea of the active run is neither asked for nor
changed on the thread that tells. The store is the one that MLflow is set to (`MLFLOW_TRACKING_URI`).
"""

import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gradiometer.integrations.scalars import Row
from gradiometer.integrations.tracker import (
    PROJECT,
    Conclusion,
    Partner,
    Tracker,
    facts_of,
    finding_text,
)
from gradiometer.schema import Finding, Run

if TYPE_CHECKING:
    from gradiometer.integrations.sinking import Sink
    from gradiometer.session import Watch

BATCH_METRICS = 1000
"""Metrics that MLflow takes in one call at most."""

LONGEST_NAME = 250

LONGEST_TAG = 5000

REPORT = "gradiometer/report.html"


def open_tracker(place: str | None, run: Run) -> Tracker:
    """Begin a run.

    Args:
        place: Its experiment; `MLFLOW_EXPERIMENT_NAME` or `gradiometer` if not given.
        run: The run, whose facts become its parameters.
    """
    # A run of gradiometer's own sends nothing that nobody asked for; who wants MLflow's telemetry sets this to false.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    client = mlflow.MlflowClient()
    begun = client.create_run(experiment_of(client, place))
    run_id = begun.info.run_id
    for name, value in facts_of(run).items():
        client.log_param(run_id, name, value)
    return telling_run(client, run_id, lambda: client.set_terminated(run_id))


def experiment_of(client: Any, place: str | None) -> str:
    """The identity of an experiment by its name, which is made where it is not there."""
    name = place or os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
    found = client.get_experiment_by_name(name)
    identity: str = client.create_experiment(name) if found is None else found.experiment_id
    return identity


def find_active() -> Any:
    """Identity of the run that the script has begun on this thread; None where there is none."""
    mlflow = sys.modules.get("mlflow")
    active = mlflow.active_run() if mlflow is not None else None
    return None if active is None else active.info.run_id


def join(active: Any) -> Tracker:
    """Join the script's run, given its identity."""
    import mlflow

    return telling_run(mlflow.MlflowClient(), str(active), lambda: None)


def telling_run(client: Any, run_id: str, close: Callable[[], None]) -> Tracker:
    """A tracker that tells one run."""
    import mlflow
    from mlflow.entities import Metric

    def send(rows: Sequence[Row]) -> None:
        now = int(1000 * time.time())
        metrics = [
            Metric(metric_name(name), value, now, row.step) for row in rows for name, value in row.values.items()
        ]
        for begin in range(0, len(metrics), BATCH_METRICS):
            client.log_batch(run_id, metrics=metrics[begin : begin + BATCH_METRICS])

    def tell(finding: Finding) -> None:
        text = f"{finding.severity}: {finding_text(finding)}"
        client.set_tag(run_id, f"gradiometer.finding.{finding.condition}", text[:LONGEST_TAG])

    def conclude(conclusion: Conclusion) -> None:
        client.set_tag(run_id, "gradiometer.verdict", conclusion.diagnosis.verdict)
        client.set_tag(run_id, "gradiometer.verdict_text", conclusion.sentence[:LONGEST_TAG])
        if conclusion.page is not None:
            client.log_text(run_id, conclusion.page, REPORT)

    return Tracker(f"run {run_id} in {mlflow.get_tracking_uri()}", send, tell, conclude, close)


def metric_name(name: str) -> str:
    """A name that MLflow allows: letters, digits, `_-. /` and no path that is not what it looks like.

    Example:
        >>> metric_name("gradiometer_gain_db/body.relu#2"), metric_name("gradiometer_gain_db/*")
        ('gradiometer_gain_db/body.relu-2', 'gradiometer_gain_db/-')
    """
    parts = [re.sub(r"[^\w.\- ]", "-", part) for part in name.split("/")]
    return "/".join(f"-{part}" if part in {"", ".", ".."} else part for part in parts)[:LONGEST_NAME]


def sink(watching: "Watch", experiment: str | None = None, *, page: bool = True) -> "Sink":
    """Tell MLflow of a training while it goes on.

    The script's own run is joined where it has begun one, on the thread that trains, by the end of the first step;
    else one is begun, in a process beside, and the watch needs a file for that.

    Args:
        watching: What `gradiometer.watch` returned.
        experiment: Experiment of a run that has to be begun; `gradiometer` if not given.
        page: The report becomes an artifact of the run.

    Returns:
        A context manager; or call its `start()` and `stop()`.

    Raises:
        SettingsError: mlflow is not installed.
    """
    from gradiometer.integrations.sinking import sink_of

    return sink_of(PARTNER, watching, experiment, has_page=page)


PARTNER = Partner("mlflow", "mlflow", open_tracker, find_active, join)
