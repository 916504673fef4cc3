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

from gradiometer.diagnosing.chance import chance_loss, is_far_below_chance, possible_chance
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
            `diverging`, `short` (too few steps to tell, or too noisy), `unseen`.
        start: Mean of the first recorded losses.
        first: The first recorded loss itself.
        end: Mean of the last recorded losses.
        best: Lowest mean of a fifth of the recorded losses.
        worst: Greatest recorded loss.
        noise: Standard deviation of a single recorded loss about its trend.
        fall_share: Fall from start to end as a share of the start's size; negative for a rise.
        step_count: Steps from the first recorded loss to the last.
        first_step: Step of the first recorded loss.
        chance: What the loss of a constant guess is known to be, None where it is not known.
        possible_chance: What it would be if the loss were a cross-entropy; None where it is known to be another.
        nonfinite_step: First step with a loss that was not finite, None where there was none.
    """

    state: LossState
    start: float = math.nan
    first: float = math.nan
    end: float = math.nan
    best: float = math.nan
    worst: float = math.nan
    noise: float = math.nan
    fall_share: float = math.nan
    step_count: int = 0
    first_step: int = 0
    chance: float | None = None
    possible_chance: float | None = None
    nonfinite_step: int | None = None

    @property
    def is_harmed(self) -> bool:
        """The loss goes nowhere, or the wrong way."""
        return self.state in HARMED or self.nonfinite_step is not None

    @property
    def is_learning(self) -> bool:
        """The loss falls, has fallen, or is as low as it gets."""
        return self.state in LEARNING and self.nonfinite_step is None

    def is_settled(self, share: float) -> bool:
        """Whether a loss that is learned has come far down.

        Args:
            share: Share of its start, or of what a constant guess may give where that is less, to which it has to
                have come.
        """
        reference = self.start if self.possible_chance is None else min(self.start, self.possible_chance)
        return self.is_learning and (self.state == "converged" or self.end <= share * reference)

    @property
    def text(self) -> str:
        """The loss in half a sentence."""
        if math.isnan(self.start):
            return "no loss was seen"
        words = f"the loss went from {self.start:.4g} to {self.end:.4g} in {self.step_count} steps"
        if self.worst > 3.0 * abs(self.first) and self.worst > self.end:
            words = (
                f"the loss began at {self.first:.4g}, jumped to {self.worst:.4g} and ended at {self.end:.4g} "
                f"after {self.step_count} steps"
            )
        if self.chance is not None and self.state in {"at_chance", "flat"}:
            words += f" (a constant guess gives {self.chance:.4g})"
        return words


@dataclass(frozen=True, slots=True)
class LossLimits:
    """From where on a loss is called what; chosen by us on the calibration trainings in docs/log.md.

    Attributes:
        least_steps: Steps below which a loss that lies still says nothing: three sigmoid layers that learn well lie
            still for 250.
        least_fall: Least fall, as a share of the start, that counts as learning; fitting the output bias alone gives
            up to 2 % on ten balanced classes.
        least_sigmas: Least fall, and least relapse, in standard errors; four leave one false alarm in 16 000.
        most_error: Standard error of the end, as a share of it, above which noise hides whether a loss lies still; a
            fall of a tenth would be seen at half of that.
        chance_margin: How near, as a share, a loss has to be to that of a constant guess to count as being there,
            unless it is below it by more than noise can and by a fifth of this.
        learned_share: Share of that value below which the network has certainly learned something.
        most_rise: Rise, as a factor, from which on a loss diverges.
    """

    least_steps: int = 300
    least_fall: float = 0.03
    least_sigmas: float = 4.0
    most_error: float = 0.05
    chance_margin: float = 0.05
    learned_share: float = 0.8
    most_rise: float = 1.5


DEFAULT_LIMITS = LossLimits()


def judge_loss(run: Run, limits: LossLimits = DEFAULT_LIMITS) -> LossMotion:
    """Judge the run's main loss; with several losses (a GAN's), whether any of them moves.

    Args:
        run: The run.
        limits: From where on a loss is called what.

    Returns:
        The judgement; state `unseen` where fewer than two finite losses were recorded.
    """
    if not run.losses:
        return LossMotion("unseen")
    if len(run.losses) == 1:
        motion = replace(judge_series(run.losses[0], chance_loss(run), limits), possible_chance=possible_chance(run))
        is_still = motion.state in {"flat", "relapsed", "short"}
        if is_still and is_far_below_chance(run, max(motion.start, motion.end)):
            return replace(motion, state="converged")
        return motion
    # Losses that are played against each other stand still, rise and fall in the best of health.
    motions = [judge_series(series, None, limits) for series in run.losses]
    broken = [motion for motion in motions if motion.nonfinite_step is not None]
    moving = [motion for motion in motions if motion.is_learning]
    return next(iter([*broken, *moving]), replace(motions[0], state="short"))


def judge_series(series: LossSeries, chance: float | None, limits: LossLimits) -> LossMotion:
    """Judge one series.

    Args:
        series: The series.
        chance: The loss of a constant guess, None where it is not known.
        limits: From where on a loss is called what.
    """
    broken = series.steps[series.nonfinite_counts > 0]
    nonfinite_step = int(broken[0]) if len(broken) else None
    is_finite = np.isfinite(series.values)
    values, steps = series.values[is_finite], series.steps[is_finite]
    if len(values) < 2:
        return LossMotion("unseen", nonfinite_step=nonfinite_step)
    head, tail = values[: max(1, min(3, len(values) // 10))], values[-max(2, len(values) // 5) :]
    best = lowest_window(values, len(tail))
    start, end = float(head.mean()), float(tail.mean())
    motion = LossMotion(
        "short",
        start=start,
        first=float(values[0]),
        end=end,
        best=float(best.mean()),
        worst=float(values.max()),
        noise=noise_of(values),
        fall_share=(start - end) / max(abs(start), abs(end), 1e-12),
        step_count=int(steps[-1] - steps[0]) + 1,
        first_step=int(steps[0]),
        chance=chance,
        nonfinite_step=nonfinite_step,
    )
    return replace(motion, state=state_of(motion, limits, len(head), tail, best))


def state_of(motion: LossMotion, limits: LossLimits, head_count: int, tail: FloatArray, best: FloatArray) -> LossState:
    """Name what a loss does.

    Args:
        motion: Its numbers.
        limits: From where on it is called what.
        head_count: How many losses its start is the mean of.
        tail: The losses that its end is the mean of.
        best: The neighbouring losses with the lowest mean.
    """
    error = motion.noise * math.sqrt(1.0 / head_count + 1.0 / len(tail))
    is_moved = abs(motion.fall_share) >= limits.least_fall and (
        abs(motion.start - motion.end) >= limits.least_sigmas * error
    )
    if is_diverging(motion, limits, is_moved=is_moved):
        return "diverging"
    is_falling = is_moved and motion.end < motion.start
    if motion.chance is not None and motion.end < limits.learned_share * motion.chance:
        return "falling" if is_falling else "converged"
    tail_error = motion.noise / math.sqrt(len(tail))
    if is_below_chance(motion, limits, tail_error):
        is_falling = True
    elif is_at_chance(motion, limits):
        return "at_chance" if is_clear(motion, limits, tail_error) else "short"
    if sigmas_between(tail, best) >= limits.least_sigmas and has_relapsed(motion) and not is_short(motion, limits):
        return "relapsed"
    if is_falling:
        return "falling"
    return "flat" if is_clear(motion, limits, tail_error) else "short"


def is_short(motion: LossMotion, limits: LossLimits) -> bool:
    """Whether too few steps were seen to say that a loss lies still."""
    return motion.step_count < limits.least_steps


def is_clear(motion: LossMotion, limits: LossLimits, tail_error: float) -> bool:
    """Whether enough steps were seen, and noise is small enough, to say that a loss lies still."""
    return not is_short(motion, limits) and tail_error <= limits.most_error * abs(motion.end)


def is_at_chance(motion: LossMotion, limits: LossLimits) -> bool:
    """Whether a loss ends where that of a constant guess is known to be."""
    return motion.chance is not None and abs(motion.end - motion.chance) <= limits.chance_margin * motion.chance


def is_below_chance(motion: LossMotion, limits: LossLimits, tail_error: float) -> bool:
    """Whether a loss ends below that of a constant guess by more than noise can, if only by a little."""
    if motion.chance is None:
        return False
    gap = motion.chance - motion.end
    return gap >= limits.least_sigmas * tail_error and gap >= 0.2 * limits.chance_margin * motion.chance


def is_diverging(motion: LossMotion, limits: LossLimits, *, is_moved: bool) -> bool:
    """Whether a loss has grown beyond its noise, or jumps about far above where it began."""
    if is_moved and motion.end > limits.most_rise * abs(motion.start) + 6.0 * motion.noise:
        return True
    return motion.end > 10.0 * abs(motion.first) and motion.best > 2.0 * abs(motion.first)


def has_relapsed(motion: LossMotion) -> bool:
    """Whether a loss that had fallen by a fifth has lost most of that again."""
    gained = motion.start - motion.best
    return gained > 0.2 * abs(motion.start) and motion.end - motion.best > 0.7 * gained


def lowest_window(values: FloatArray, width: int) -> FloatArray:
    """The neighbouring losses with the lowest mean."""
    means = np.convolve(values, np.full(width, 1.0 / width), mode="valid")
    first = int(np.argmin(means))
    return values[first : first + width]


def sigmas_between(higher: FloatArray, lower: FloatArray) -> float:
    """How many standard errors the mean of some losses is above that of others; 0 for fewer than four of either."""
    if min(len(higher), len(lower)) < 4:
        return 0.0
    error = math.sqrt(higher.var(ddof=1) / len(higher) + lower.var(ddof=1) / len(lower))
    return float((higher.mean() - lower.mean()) / max(error, 1e-300))


def noise_of(values: FloatArray) -> float:
    """Standard deviation of single losses about their trend: from the median jump between neighbours.

    Example:
        >>> noise_of(np.array([1.0, 1.0, 1.0, 5.0]))
        0.0
    """
    jumps = np.abs(np.diff(values))
    # 1.4826 turns a median absolute deviation of normal numbers into their standard deviation; a jump has two of them.
    return float(1.4826 * np.median(jumps) / math.sqrt(2.0)) if len(jumps) else 0.0
