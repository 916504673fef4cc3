"""What the report's main figures show in this run, in a sentence with numbers."""

import math
from collections.abc import Callable, Mapping

import numpy as np

from gradiometer.diagnosing.naming import spoken
from gradiometer.gain_budget import GainEntry, gain_budget
from gradiometer.schema import Run
from gradiometer.showing.figures.learning_speed import learning_speeds
from gradiometer.showing.figures.parts import trainable_columns
from gradiometer.showing.outcome_words import outcome_numbers
from gradiometer.showing.summary_words import large_number
from gradiometer.showing.wording import written
from gradiometer.units import format_db


def caption_of_gain_ladder(run: Run, snapshot_index: int | None) -> str:
    """From which level to which the gradient goes, and where most is lost or added; empty without levels.

    Args:
        run: The run.
        snapshot_index: The full measurement that the figure shows.
    """
    if snapshot_index is None:
        return ""
    budget = gain_budget(run, snapshot_index)
    if len(budget.entries) < 2:
        return ""
    first, last = budget.entries[0], budget.entries[-1]
    told = (
        f"Step {budget.step}: the level goes from {format_db(first.level_db)} at {spoken(first.layer)} to "
        f"{format_db(last.level_db)} at {spoken(last.layer)}."
    )
    known = [entry for entry in budget.entries if math.isfinite(entry.gain_db)]
    return " ".join((told, *strongest_words(known)))


def strongest_words(entries: list[GainEntry]) -> tuple[str, ...]:
    """The layer that weakens the gradient most and the one that strengthens it most."""
    if not entries:
        return ()
    least, most = (find(entries, key=lambda entry: entry.gain_db) for find in (min, max))
    told = []
    if least.gain_db < 0.0:
        told.append(f"It is weakened most in {spoken(least.layer)}, by {format_db(least.gain_db)}.")
    if most.gain_db > 0.0:
        told.append(f"It is strengthened most in {spoken(most.layer)}, by {format_db(most.gain_db)}.")
    return tuple(told)


def caption_of_learning_speed(run: Run, snapshot_index: int | None) -> str:
    """How much slower the layer nearest the input learns than the one nearest the output; empty where not measured."""
    chosen = trainable_columns(run) if "gradient_rms" in run.parameter_columns else []
    if snapshot_index is None or len(chosen) < 2:
        return ""
    (first, first_index, _), (last, last_index, _) = chosen[0], chosen[-1]
    speeds = [float(learning_speeds(run, index)[snapshot_index]) for index in (first_index, last_index)]
    if not all(math.isfinite(speed) and speed > 0.0 for speed in speeds):
        return ""
    step, ratio = int(run.snapshot_steps[snapshot_index]), speeds[1] / speeds[0]
    near, far, factor = (first, last, ratio) if ratio >= 1.0 else (last, first, 1.0 / ratio)
    return f"Step {step}: {spoken(near)} learns {large_number(factor)} times slower than {spoken(far)}."


def caption_of_loss(run: Run, snapshot_index: int | None) -> str:
    """The loss at the start and at the end, each as the mean of a tenth of what was noted; empty where nothing was."""
    values = run.loss.values if run.loss is not None else np.array([])
    finite = values[np.isfinite(values)]
    if not len(finite):
        return "The loss was never finite." if len(values) else ""
    tenth = max(len(finite) // 10, 1)
    first, last = (written(float(part.mean())) for part in (finite[:tenth], finite[-tenth:]))
    told = f"The loss was {first} at the start (mean of the first tenth) and {last} at the end (mean of the last)"
    lost = len(values) - len(finite)
    return f"{told}; {lost:,} of {len(values):,} values were not finite." if lost else f"{told}."


def caption_of_trials(run: Run, snapshot_index: int | None) -> str:
    """Final losses with and without the cure; empty without trials."""
    return outcome_numbers(run.outcome) if run.outcome is not None else ""


MAIN_CAPTIONS: Mapping[str, Callable[[Run, int | None], str]] = {
    "gain_ladder": caption_of_gain_ladder,
    "learning_speed": caption_of_learning_speed,
    "loss_and_updates": caption_of_loss,
    "trial_pairs": caption_of_trials,
}
"""Figure to what is said of it."""
