"""Reads what came of a trial from its run file, and whether two trials saw the same data."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gradiometer.curing.trials.local import TrialEnd
from gradiometer.curing.trials.spec import LOG_FILE, TrialSpec
from gradiometer.errors import RunFileError
from gradiometer.recording.reader import read_run
from gradiometer.schema import LossSeries, Run, Trial
from gradiometer.units import format_seconds

FINAL_SHARE = 0.2
"""The last fifth of the steps: long enough to average out batches, short enough to be the end."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A trial as it is compared.

    Attributes:
        spec: What it was to do.
        trial: What it gave, as the report shows it.
        run: What its run file holds; None where none was written.
        final_losses: Mean loss of the last fifth of its steps by `backward` call site, the first seen first.
        start_loss: Least finite loss of its first steps at the first site; None where there was none.
        process_seconds: Wall time of its process.
    """

    spec: TrialSpec
    trial: Trial
    run: Run | None = None
    final_losses: tuple[tuple[str, float], ...] = ()
    start_loss: float | None = None
    process_seconds: float = 0.0

    @property
    def final_loss(self) -> float:
        """The loss to compare; inf where it was not finite or the trial failed, nan where none was recorded."""
        return math.nan if self.trial.final_loss is None else self.trial.final_loss

    @property
    def is_done(self) -> bool:
        """It ran as long as it should, and its loss was recorded."""
        return self.trial.status == "done" and self.trial.final_loss is not None

    @property
    def has_trained(self) -> bool:
        """It came at least to its first step: its loss can be compared, also where it failed later."""
        return self.trial.final_loss is not None and self.trial.status in {"done", "failed"}


def read_trial(end: TrialEnd) -> Reading:
    """Read a trial's run file.

    A training that ended with an error after it had begun has a final loss of inf: it came to nothing.
    """
    spec = end.spec
    try:
        run: Run | None = read_run(spec.run_file)
    except RunFileError:
        run = None
    status, detail = status_of(end, run)
    trial = Trial(
        cures=spec.cures,
        seed=spec.seed,
        sieve=spec.sieve,
        run_file=str(spec.run_file),
        status=status,
        step_count=0 if run is None else run.step_count,
        elapsed_seconds=None if run is None else training_seconds(run),
        detail=detail,
    )
    if run is None or not run.losses:
        return Reading(spec, trial, run, process_seconds=end.elapsed_seconds)
    judged = (original_losses(run) or run.losses[0], *run.losses[1:])
    finals = tuple((series.site, final_loss(series, run.step_count)) for series in judged)
    loss = math.inf if status == "failed" else finals[0][1]
    kept = None if math.isnan(loss) or status in {"refused", "stopped"} else loss
    trial = replace(trial, final_loss=kept)
    return Reading(spec, trial, run, finals, start_loss(judged[0]), end.elapsed_seconds)


def original_losses(run: Run) -> LossSeries | None:
    """The loss that the script would have had, where a cure has exchanged it: what such a cure is judged by.

    Returns:
        A series under the name of the first `backward` call site; None where no cure exchanged the loss.
    """
    rows = run.facts.get("original_losses") or []
    if not rows or not run.losses:
        return None
    table = np.array([[np.nan if value is None else value for value in row] for row in rows], dtype=np.float64)
    is_lost = ~np.isfinite(table[:, 1])
    values = np.where(is_lost, np.nan, table[:, 1])
    return LossSeries(run.losses[0].site, table[:, 0].astype(np.int64), values, is_lost.astype(np.int64))


def status_of(end: TrialEnd, run: Run | None) -> tuple[str, str]:
    """A trial's status, and why it failed or was refused in a sentence."""
    facts = {} if run is None else run.facts
    refusal = facts.get("refusal") or facts.get("refusal_at_end")
    if refusal:
        return "refused", str(refusal)
    if facts.get("cure_fault"):
        return "failed", f"the cure failed: {last_line(str(facts['cure_fault']))}"
    if end.was_late:
        steps = 0 if run is None else run.step_count
        # A script that hangs untouched has failed; a trial that an idle machine would have ended has not.
        status = "failed" if end.spec.sieve == "diagnose" else "stopped"
        return status, f"its time ran out: {steps} steps in {format_seconds(end.spec.patience_seconds)}"
    if end.exit_code < 0:
        return "failed", f"its process was ended by signal {-end.exit_code}"
    if facts.get("status") in {"finished", "stopped"} and end.exit_code == 0:
        return "done", ""
    reason = last_line(str(facts.get("traceback") or "")) or last_line(log_of(end.spec))
    return "failed", reason or f"its process ended with exit code {end.exit_code}"


def log_of(spec: TrialSpec) -> str:
    """What the script printed; empty where it printed nothing."""
    try:
        return (Path(spec.folder) / LOG_FILE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def last_line(text: str) -> str:
    r"""The last line that says something.

    Example:
        >>> last_line("Traceback:\n  ...\nValueError: no\n\n")
        'ValueError: no'
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def training_seconds(run: Run) -> float | None:
    """Time of all steps together, measuring left out; None where it was not recorded."""
    seconds = run.facts.get("training_seconds")
    return float(seconds) if isinstance(seconds, int | float) else None


def final_loss(series: LossSeries, step_count: int, *, share: float = FINAL_SHARE) -> float:
    """Mean loss of the last steps.

    Args:
        series: The losses of one `backward` call site.
        step_count: Steps of the training, or up to which it is looked at.
        share: Share of the steps that counts as the end.

    Returns:
        The mean; inf where a loss was not finite there, nan where none was recorded.

    Example:
        >>> import numpy as np
        >>> zeros = np.zeros(10, dtype=np.int64)
        >>> final_loss(LossSeries("train.py:1", np.arange(10), np.arange(10.0), zeros), 10)
        8.5
    """
    first = step_count - max(1, math.ceil(share * step_count))
    window = (series.steps >= first) & (series.steps < step_count)
    if series.nonfinite_counts[window].any():
        return math.inf
    values = series.values[window]
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else math.nan


def start_loss(series: LossSeries) -> float | None:
    """The least of the first eight finite losses: some may come after the first blow."""
    values = series.values[~np.isnan(series.values)][:8]
    return float(values.min()) if len(values) else None


def paired(control: Reading, treated: Reading) -> bool | None:
    """Whether two trials saw the same batches, in the steps that both took.

    Returns:
        None where no step of both has a fingerprint: the model took its batch in a form that is not known.
    """
    if control.run is None or treated.run is None:
        return None
    first, second = control.run.fingerprints, treated.run.fingerprints
    common = first.keys() & second.keys()
    return all(first[step] == second[step] for step in common) if common else None


def with_pairing(treated: Reading, controls: dict[int, Reading]) -> Reading:
    """The same reading, with its pairing to the control of the same seed noted."""
    control = controls.get(treated.spec.seed)
    if control is None:
        return treated
    return replace(treated, trial=replace(treated.trial, is_paired=paired(control, treated)))


def are_same_training(readings: list[Reading]) -> bool:
    """Whether trials with different seeds were one and the same training: same first weights, same losses."""
    if len(readings) < 2 or any(reading.run is None or not reading.run.losses for reading in readings):
        return False
    first = readings[0].run
    assert first is not None
    return all(
        reading.run is not None
        and reading.run.facts.get("initial_weights_fingerprint") == first.facts.get("initial_weights_fingerprint")
        and np.array_equal(reading.run.losses[0].values, first.losses[0].values, equal_nan=True)
        for reading in readings[1:]
    )
