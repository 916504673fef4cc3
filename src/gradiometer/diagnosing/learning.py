"""Does the loss move: its fall against its noise, and whether it ends where a constant guess would.

A loss is judged relative to itself. Its noise is what it jumps from one recorded step to the next; its start and its
end are means over a few recorded steps; it moves where the two differ by more than noise can, and by more than a
floor that separates learning from the fitting of an output bias. Where it is known what the best constant guess gives
(the entropy of the classes' frequencies, the variance of the targets), that is the measure: a loss that comes down to
it from above has not learned, one that stays above it is worse than no network at all, and one well below it that
lies still has converged.
"""

import math
from dataclasses import replace

from gradiometer.diagnosing.chance import Guess, constant_guess, is_far_below_chance, possible_chance
from gradiometer.diagnosing.loss_motion import DEFAULT_LIMITS, HARMED, LEARNING, LossLimits, LossMotion, LossState
from gradiometer.diagnosing.loss_windows import (
    Stretches,
    finite_losses,
    mean_error,
    noise_of,
    sigmas_between,
    stretches_of,
    turn_of,
)
from gradiometer.schema import FloatArray, LossSeries, Run, Severity

__all__ = [
    "DEFAULT_LIMITS",
    "HARMED",
    "LEARNING",
    "LossLimits",
    "LossMotion",
    "LossState",
    "judge_loss",
    "judge_series",
    "noise_of",
    "severity_by_gain",
]


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
        guess = constant_guess(run, margin=limits.chance_margin)
        motion = replace(judge_series(run.losses[0], guess, limits), possible_chance=possible_chance(run))
        is_still = motion.state in {"flat", "relapsed", "short"} and motion.chance is None
        if is_still and is_far_below_chance(run, max(motion.start, motion.end)):
            return replace(motion, state="converged")
        return motion
    # Losses that are played against each other stand still, rise and fall in the best of health.
    motions = [judge_series(series, None, limits) for series in run.losses]
    broken = [motion for motion in motions if motion.nonfinite_step is not None]
    moving = [motion for motion in motions if motion.is_learning]
    return next(iter([*broken, *moving]), replace(motions[0], state="short"))


def severity_by_gain(loss: LossMotion, least_gain_share: float, least_steps: int) -> Severity | None:
    """How bad it is that a network is built or driven in a way that can keep it from learning.

    Args:
        loss: What its loss does.
        least_gain_share: Gain over a constant guess, as a share of it, below which it has learned but little.
        least_steps: Steps before which so little says nothing.

    Returns:
        `critical` where the loss goes nowhere or the wrong way, `warning` where little was learned, `info` where it
        lies still and nobody knows what a constant guess gives, None where it learns or it is too early to tell.
    """
    if loss.state == "flat" and loss.chance is None:
        return "info"
    if loss.is_harmed:
        return "critical"
    gain = loss.gain_share
    is_little = gain is not None and gain < least_gain_share and loss.step_count >= least_steps
    return "warning" if is_little and loss.is_learning else None


def judge_series(series: LossSeries, guess: Guess | None, limits: LossLimits) -> LossMotion:
    """Judge one series.

    Args:
        series: The series.
        guess: The loss of a constant guess, None where it is not known.
        limits: From where on a loss is called what.
    """
    broken = series.steps[series.nonfinite_counts > 0]
    nonfinite_step = int(broken[0]) if len(broken) else None
    steps, values = finite_losses(series)
    if len(values) < 2:
        return LossMotion("unseen", nonfinite_step=nonfinite_step)
    stretches = stretches_of(steps, values)
    start, end = float(stretches.head.mean()), float(stretches.tail.mean())
    top = max(start if guess is None else min(start, guess.loss), float(stretches.best.mean()))
    motion = LossMotion(
        "short",
        start=start,
        first=float(stretches.head[0]),
        end=end,
        best=float(stretches.best.mean()),
        worst=float(values.max()),
        noise=noise_of(values),
        fall_share=(start - end) / max(abs(start), abs(end), 1e-12),
        step_count=int(steps[-1] - steps[0]) + 1,
        first_step=int(steps[0]),
        best_step=stretches.best_step,
        turn_step=turn_of(steps, values, best=float(stretches.best.mean()), end=min(end, top)),
        chance=None if guess is None else guess.loss,
        chance_margin=0.0 if guess is None else guess.margin,
        nonfinite_step=nonfinite_step,
    )
    return replace(motion, state=state_of(motion, limits, stretches))


def state_of(motion: LossMotion, limits: LossLimits, stretches: Stretches) -> LossState:
    """Name what a loss does."""
    error = motion.noise * math.sqrt(1.0 / len(stretches.head) + 1.0 / len(stretches.tail))
    is_moved = abs(motion.fall_share) >= limits.least_fall and (
        abs(motion.start - motion.end) >= limits.least_sigmas * error
    )
    if is_diverging(motion, limits, is_moved=is_moved):
        return "diverging"
    is_falling = is_moved and motion.end < motion.start
    if motion.chance is not None:
        return state_beside_guess(motion, limits, stretches, is_falling=is_falling)
    if has_relapsed(motion, limits, stretches):
        return "relapsed"
    if is_falling:
        return "falling"
    return "flat" if is_clear(motion, limits, motion.noise / math.sqrt(len(stretches.tail))) else "short"


def state_beside_guess(motion: LossMotion, limits: LossLimits, stretches: Stretches, *, is_falling: bool) -> LossState:
    """Name what a loss does where it is known what a constant guess gives.

    Args:
        motion: Its numbers.
        limits: From where on it is called what.
        stretches: The stretches compared.
        is_falling: It ends below its start.
    """
    chance = motion.chance or 0.0
    if has_relapsed(motion, limits, stretches):
        return "relapsed"
    if motion.end < limits.learned_share * chance:
        return "falling" if is_falling else "converged"
    error = mean_error(stretches.tail, motion.noise)
    if is_below_guess(motion, limits, stretches, error):
        return "at_chance" if is_all_it_gets(motion, limits, stretches) else "falling"
    if is_still_falling(motion, limits, stretches) and not is_far_from_done(motion, stretches):
        return "falling"
    if is_short(motion, limits):
        return "falling" if is_falling and motion.end < (1.0 - limits.chance_margin) * chance else "short"
    state = still_state(motion, limits, stretches.tail)
    # A tail of few or noisy losses says little by itself; where it is no lower than what went before, that counts too.
    is_lasting = motion.end >= max(0.8 * float(stretches.late.mean()), chance - error)
    return still_state(motion, limits, stretches.late) if state == "short" and is_lasting else state


def still_state(motion: LossMotion, limits: LossLimits, stretch: FloatArray) -> LossState:
    """Where a stretch of losses lies beside a constant guess; `short` where its noise hides that."""
    chance, level, error = motion.chance or 0.0, float(stretch.mean()), mean_error(stretch, motion.noise)
    if level - chance >= max(motion.chance_margin * chance, limits.least_sigmas * error):
        return "above"
    is_near = abs(level - chance) <= max(motion.chance_margin * chance, error)
    return "at_chance" if is_near and error <= limits.most_error * abs(level) else "short"


def is_below_guess(motion: LossMotion, limits: LossLimits, stretches: Stretches, error: float) -> bool:
    """Whether a loss ends below that of a constant guess by more than noise can, if only by a little, and fell to it.

    A first loss may by luck be a little below what the best constant guess gives; such a one has to fall from there.
    """
    top = min(motion.start, motion.chance or motion.start)
    floor = 0.2 * motion.chance_margin * (motion.chance or 0.0)
    error_at_start = error if motion.start < (motion.chance or 0.0) else 0.0
    least = max(floor, limits.least_sigmas * math.hypot(error, error_at_start / math.sqrt(len(stretches.head))))
    return (motion.chance or 0.0) - motion.end >= floor and top - motion.end >= least


def is_all_it_gets(motion: LossMotion, limits: LossLimits, stretches: Stretches) -> bool:
    """Whether a loss is a little below that of a constant guess after many steps, and no longer moves."""
    is_little = (motion.gain_share or 0.0) < limits.least_gain
    return is_little and motion.step_count >= limits.patience and not is_still_falling(motion, limits, stretches)


def is_still_falling(motion: LossMotion, limits: LossLimits, stretches: Stretches) -> bool:
    """Whether the last fifth lies below the one before it by more than noise can, and by enough to matter."""
    fall = float(stretches.middle.mean()) - motion.end if len(stretches.middle) else 0.0
    floor = 0.25 * limits.least_fall * max(abs(motion.end), 1e-300)
    return fall >= floor and sigmas_between(stretches.middle, stretches.tail) >= limits.least_sigmas


def is_far_from_done(motion: LossMotion, stretches: Stretches, *, most_lengths: float = 0.5) -> bool:
    """Whether a loss would need half the run's length again to come down to that of a constant guess.

    Args:
        motion: Its numbers.
        stretches: The stretches compared.
        most_lengths: Lengths of the run, this one not counted, that are too many.
    """
    fall_per_run = 5.0 * (float(stretches.middle.mean()) - motion.end)
    return motion.chance is not None and motion.end - motion.chance > most_lengths * fall_per_run


def is_short(motion: LossMotion, limits: LossLimits) -> bool:
    """Whether too few steps were seen to say that a loss lies still."""
    return motion.step_count < limits.least_steps


def is_clear(motion: LossMotion, limits: LossLimits, tail_error: float) -> bool:
    """Whether enough steps were seen, and noise is small enough, to say that a loss lies still."""
    return not is_short(motion, limits) and tail_error <= limits.most_error * abs(motion.end)


def is_diverging(motion: LossMotion, limits: LossLimits, *, is_moved: bool) -> bool:
    """Whether a loss has grown beyond its noise, or jumps about far above where it began."""
    if motion.chance is not None and motion.end <= motion.chance:
        return False
    if is_moved and motion.end > limits.most_rise * abs(motion.start) + 6.0 * motion.noise:
        return True
    return motion.end > 10.0 * abs(motion.first) and motion.best > 2.0 * abs(motion.first)


def has_relapsed(motion: LossMotion, limits: LossLimits, stretches: Stretches) -> bool:
    """Whether a loss that had fallen by a fifth has lost most of that again, and is not on its way down anew."""
    top = motion.start if motion.chance is None else min(motion.start, motion.chance)
    gained = top - motion.best
    if gained <= 0.2 * abs(top) or motion.end - motion.best <= limits.relapse_share * gained:
        return False
    if is_short(motion, limits) or sigmas_between(stretches.tail, stretches.best) < limits.least_sigmas:
        return False
    return motion.end >= top or not is_still_falling(motion, limits, stretches)
