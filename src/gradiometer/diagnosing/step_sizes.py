"""The steps behind a loss that goes the wrong way: how large they are, and how they were while all was well."""

from dataclasses import dataclass

import numpy as np

from gradiometer.diagnosing.naming import spoken
from gradiometer.diagnosing.weight_motion import USUAL_RATIO, WeightMotion, weight_motions
from gradiometer.schema import Cause, Evidence, FloatArray, Run
from gradiometer.units import decibels, format_db, format_number


@dataclass(frozen=True, slots=True)
class StepSizes:
    """Update ratios around the step at which a loss turned.

    Attributes:
        layers: Layers by how much their ratio grew since the loss was at its best; by its size where it never was
            better. The first is the frontier.
        ratio: Median ratio over the layers since the turn; nan where updates were not measured.
        healthy_ratio: The same while all was well; nan where it never was, or nothing was measured then.
        rate: Learning rate since the turn, nan where it is not known.
        healthy_rate: The same before.
    """

    layers: tuple[str, ...]
    ratio: float
    healthy_ratio: float
    rate: float
    healthy_rate: float

    @property
    def cut(self) -> float:
        """By how much to lower the learning rate, to ten times the usual ratio or less: a power of ten."""
        excess = self.ratio / (10.0 * USUAL_RATIO) if self.ratio > 0.0 else 1.0
        return float(10.0 ** -max(1, min(6, round(np.log10(max(excess, 1e-12))))))


def step_sizes(run: Run, best_step: int, turn_step: int) -> StepSizes:
    """Read the update ratios before and after a loss turned.

    Args:
        run: The run.
        best_step: Last step at which all was well; the turn's own where the loss never was better.
        turn_step: Step from which on it was not.
    """
    motions = weight_motions(run)
    after = run.snapshot_steps >= min(turn_step, int(run.snapshot_steps[-1])) if run.snapshot_count else np.zeros(0)
    before = run.snapshot_steps <= best_step if best_step < turn_step else np.zeros(run.snapshot_count)
    is_after, is_before = np.asarray(after, dtype=bool), np.asarray(before, dtype=bool)
    # A loss turns between two measurements: the one before the turn may have seen what brought it about.
    pairs = [(motion, greatest(motion.ratios[is_after]), middle(motion.ratios[is_before])) for motion in motions]
    ordered = sorted(pairs, key=lambda pair: -growth_of_ratio(pair[1], pair[2]))
    rates = run.step_columns.get("learning_rate", np.zeros(0))
    return StepSizes(
        layers=tuple(motion.layer for motion, _, _ in ordered),
        ratio=middle(np.array([late for _, late, _ in pairs])),
        healthy_ratio=middle(np.array([early for _, _, early in pairs])),
        rate=greatest(rates[run.steps >= turn_step]) if len(rates) else rate_of(motions, is_after),
        healthy_rate=middle(rates[run.steps <= best_step]) if len(rates) and best_step < turn_step else float("nan"),
    )


def rate_of(motions: tuple[WeightMotion, ...], chosen: FloatArray) -> float:
    """Learning rate in some measurements; nan where none is known."""
    return greatest(motions[0].learning_rates[chosen]) if motions else float("nan")


def growth_of_ratio(after: float, before: float) -> float:
    """By how much a ratio grew; its size where it was not known before, and 0 where it is not known now."""
    if np.isnan(after):
        return 0.0
    return after if np.isnan(before) or before == 0.0 else after / before


def greatest(values: FloatArray) -> float:
    """Greatest of some values, nan left out; nan for none."""
    known = values[~np.isnan(values)]
    return float(known.max()) if len(known) else float("nan")


def middle(values: FloatArray) -> float:
    """Median of some values, nan left out; nan for none."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else float("nan")


def cause_of_steps(sizes: StepSizes, *, least_ratio: float = 3.0 * USUAL_RATIO, least_rise: float = 1.5) -> Cause:
    """The learning rate, where steps are large or it was raised; otherwise the loss alone does not say why.

    Args:
        sizes: The steps.
        least_ratio: Update ratio from which on steps count as large: three times the usual.
        least_rise: Rise of the learning rate since all was well, as a factor, that counts.
    """
    if sizes.rate > least_rise * sizes.healthy_rate:
        text = f"the learning rate had risen from {format_number(sizes.healthy_rate)} to {format_number(sizes.rate)}"
        return Cause("learning_rate", decibels(sizes.rate / sizes.healthy_rate), text)
    if sizes.ratio >= least_ratio:
        share_db = decibels(sizes.ratio / USUAL_RATIO)
        text = f"steps are {format_db(share_db)} above the usual {format_number(USUAL_RATIO)} of the weights' size"
        return Cause("learning_rate", share_db, text)
    if np.isnan(sizes.ratio):
        return Cause("learning_rate", None, "steps too large are the usual reason; how large they are was not measured")
    return Cause("unknown", None, "the steps are not large, so look at the data, the loss and its sign from there on")


def evidence_of_steps(sizes: StepSizes) -> tuple[Evidence, ...]:
    """The steps in words, beside those of the healthy window where there was one."""
    if np.isnan(sizes.ratio) or not sizes.layers:
        return ()
    text = f"a step moves the weights by {format_number(sizes.ratio)} of their size, most at {spoken(sizes.layers[0])}"
    if not np.isnan(sizes.healthy_ratio):
        text += f"; while all was well it was {format_number(sizes.healthy_ratio)}"
    return (Evidence("update ratio", sizes.ratio, "", text),)
