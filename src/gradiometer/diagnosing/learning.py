"""Does the loss move: its fall against its noise, and whether it ends where a constant guess would.

A loss is judged relative to itself. Its noise is what it jumps from one recorded step to the next; its start and its
end are means over a few recorded steps; it moves where the two differ by more than noise can, and by more than a
floor that separates learning from the fitting of an output bias. Where the loss is a cross-entropy over C classes a
network that has learnt nothing sits at ln C, and that number is known: a loss that comes down to it from above has
not learned, and one well below it that lies still has converged.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from gradiometer.diagnosing.chance import chance_loss, is_far_below_chance
from gradiometer.schema import FloatArray, LossSeries, Run

LossState = Literal["unseen", "short", "falling", "converged", "flat", "at_chance", "relapsed", "diverging"]

HARMED: frozenset[LossState] = frozenset({"flat", "at_chance", "relapsed", "diverging"})
"""States of a loss that goes nowhere, or the wrong way."""

LEARNING: frozenset[LossState] = frozenset({"falling", "converged"})
"""States in which a network learns or has learned."""


@dataclass(frozen=True, slots=True)
class LossMotion:
    """What a loss does over a run.

    Attributes:
        state: `falling` (so also: has fallen), `converged` (still, and well below what a constant guess gives),
            `flat`, `at_chance` (still, where a constant guess would be), `relapsed` (was better, and lost it again),
            `diverging`, `short` (too few steps to tell), `unseen`.
        start: Mean of the first recorded losses.
        first: The first recorded loss itself.
        end: Mean of the last recorded losses.
        best: Lowest mean of a tenth of the recorded losses.
        noise: Standard deviation of a single recorded loss about its trend.
        fall_share: Fall from start to end as a share of the start's size; negative for a rise.
        step_count: Steps from the first recorded loss to the last.
        first_step: Step of the first recorded loss.
        chance: What the loss of a constant guess is known to be, None where it is not known.
        nonfinite_step: First step with a loss that was not finite, None where there was none.
    """

    state: LossState
    start: float = math.nan
    first: float = math.nan
    end: float = math.nan
    best: float = math.nan
    noise: float = math.nan
    fall_share: float = math.nan
    step_count: int = 0
    first_step: int = 0
    chance: float | None = None
    nonfinite_step: int | None = None

    @property
    def is_harmed(self) -> bool:
        """The loss goes nowhere, or the wrong way."""
        return self.state in HARMED or self.nonfinite_step is not None

    @property
    def is_learning(self) -> bool:
        """The loss falls, has fallen, or is as low as it gets."""
        return self.state in LEARNING and self.nonfinite_step is None

    @property
    def text(self) -> str:
        """The loss in half a sentence."""
        if math.isnan(self.start):
            return "no loss was seen"
        words = f"the loss went from {self.start:.4g} to {self.end:.4g} in {self.step_count} steps"
        if self.chance is not None and self.state in {"at_chance", "flat"}:
            words += f" (a constant guess gives {self.chance:.4g})"
        return words


def judge_loss(
    run: Run,
    *,
    least_steps: int = 100,
    least_fall: float = 0.03,
    least_sigmas: float = 4.0,
    chance_margin: float = 0.05,
    most_rise: float = 1.5,
) -> LossMotion:
    """Judge the run's main loss; with several losses (a GAN's), whether any of them moves.

    Args:
        run: The run.
        least_steps: Steps below which a loss that lies still says nothing: healthy networks have plateaus of tens
            of steps at their start (chosen by us on the calibration trainings, docs/log.md).
        least_fall: Least fall, as a share of the start, that counts as learning; fitting the output bias alone
            gives up to 2 % on ten balanced classes.
        least_sigmas: Least fall in standard errors; four leave one false alarm in 16 000.
        chance_margin: How near, as a share, a loss has to be to that of a constant guess to count as being there.
        most_rise: Rise, as a factor, from which on a loss diverges.

    Returns:
        The judgement; state `unseen` where no loss was recorded.
    """
    chance = chance_loss(run)
    motions = [
        judge_series(
            series,
            chance if len(run.losses) == 1 else None,
            least_steps=least_steps,
            least_fall=least_fall,
            least_sigmas=least_sigmas,
            chance_margin=chance_margin,
            most_rise=most_rise,
        )
        for series in run.losses
    ]
    if not motions:
        return LossMotion("unseen")
    moving = [motion for motion in motions if motion.is_learning]
    if len(motions) > 1:
        # Losses that are played against each other stand still, rise and fall in the best of health.
        broken = [motion for motion in motions if motion.nonfinite_step is not None]
        return next(iter([*broken, *moving]), replace(motions[0], state="short"))
    return motions[0]


def judge_series(
    series: LossSeries,
    chance: float | None,
    *,
    least_steps: int,
    least_fall: float,
    least_sigmas: float,
    chance_margin: float,
    most_rise: float,
) -> LossMotion:
    """Judge one series; arguments as for `judge_loss`, and the loss of a constant guess where it is known."""
    broken = series.steps[series.nonfinite_counts > 0]
    nonfinite_step = int(broken[0]) if len(broken) else None
    is_finite = np.isfinite(series.values)
    values, steps = series.values[is_finite], series.steps[is_finite]
    if len(values) < 2:
        return LossMotion("unseen", nonfinite_step=nonfinite_step)
    spread = noise_of(values)
    width = max(2, len(values) // 10)
    start, end = mean_of(values[: min(width, 3)]), mean_of(values[-max(width, len(values) // 5) :])
    tail = max(width, len(values) // 5)
    best_start = min(range(len(values) - tail + 1), key=lambda i: mean_of(values[i : i + tail]))
    best = mean_of(values[best_start : best_start + tail])
    scale = max(abs(start), abs(end), 1e-12)
    motion = LossMotion(
        "short",
        start=start,
        first=float(values[0]),
        end=end,
        best=best,
        noise=spread,
        fall_share=(start - end) / scale,
        step_count=int(steps[-1] - steps[0]) + 1,
        first_step=int(steps[0]),
        chance=chance,
        nonfinite_step=nonfinite_step,
    )
    sigmas = abs(start - end) / max(spread * math.sqrt(1.0 / min(width, 3) + 1.0 / max(width, len(values) // 5)), 1e-12)
    is_moved = sigmas >= least_sigmas and abs(start - end) >= least_fall * scale
    is_at_chance = chance is not None and abs(end - chance) <= chance_margin * chance
    state = state_of(
        motion,
        is_moved=is_moved,
        is_at_chance=is_at_chance,
        is_long=motion.step_count >= least_steps,
        most_rise=most_rise,
    )
    return replace(motion, state=state)


def state_of(motion: LossMotion, *, is_moved: bool, is_at_chance: bool, is_long: bool, most_rise: float) -> LossState:
    """Name what a loss does."""
    rose = motion.end > motion.start
    if rose and is_moved and motion.end > most_rise * abs(motion.start) + 6.0 * motion.noise:
        return "diverging"
    if motion.end > 10.0 * abs(motion.first) and motion.best > 2.0 * abs(motion.first):
        return "diverging"
    if motion.chance is not None and motion.end < 0.8 * motion.chance:
        return "falling" if is_moved and not rose else "converged"
    if not is_long:
        return "falling" if is_moved and not rose and not is_at_chance else "short"
    has_lost = motion.start - motion.best > 0.2 * abs(motion.start) and motion.end - motion.best > 0.7 * (
        motion.start - motion.best
    )
    if has_lost:
        return "relapsed"
    if is_at_chance:
        return "at_chance"
    return "falling" if is_moved and not rose else "flat"


def noise_of(values: FloatArray) -> float:
    """Standard deviation of single losses about their trend: from the median jump between neighbours.

    Example:
        >>> noise_of(np.array([1.0, 1.0, 1.0, 5.0]))
        0.0
    """
    jumps = np.abs(np.diff(values))
    # 1.4826 turns a median absolute deviation of normal numbers into their standard deviation; a jump has two of them.
    return float(1.4826 * np.median(jumps) / math.sqrt(2.0)) if len(jumps) else 0.0


def mean_of(values: FloatArray) -> float:
    """Mean of some losses."""
    return float(np.mean(values))
