"""The loss jumps up and down and does not come down.

What it finds:
    A loss whose last stretch swings by a third of its level and more, at a level worse than a constant guess, or that
    keeps jumping above it, or stays at a third of it and more, under steps of more than a hundredth of the weights'
    size; where no constant guess is known, one that alternates from step to step about a level that no longer falls.

Why it matters:
    Each step leaps across the valley that it should descend into. The network is not lost, but what it reaches is set
    by the size of the steps, far above what smaller ones would reach.

What cures it:
    A smaller learning rate, a schedule that lowers it, a larger batch, a bound on the gradient's norm.

Source:
    LeCun, Bottou, Orr, Müller, "Efficient BackProp", 1998, section 5: between one and two times the inverse of the
    greatest curvature, descent overshoots at every step. AUTOTRAINER counts swings of the accuracy of 3 % in a fifth
    of the epochs; batches of one swing so in the best of health, so level and step size have to agree here.
"""

from dataclasses import dataclass

import numpy as np

from gradiometer.diagnosing.learning import LossMotion, judge_loss
from gradiometer.diagnosing.loss_windows import finite_losses, sigmas_between, stretches_of
from gradiometer.diagnosing.naming import spoken
from gradiometer.diagnosing.step_sizes import StepSizes, cause_of_steps, evidence_of_steps, step_sizes
from gradiometer.diagnosing.weight_motion import late_median, weight_motions
from gradiometer.prescribing import cures_for
from gradiometer.schema import Evidence, Finding, FloatArray, Run, Severity
from gradiometer.units import format_share


@dataclass(frozen=True, slots=True)
class Swing:
    """How the last stretch of a loss swings.

    Attributes:
        level: Its mean.
        share: What lies between its lowest and its greatest tenth, as a share of the level.
        above_share: Share of its losses above what a constant guess gives; 0 where that is not known.
        alternation: Correlation of one jump with the next: -1 where it goes up and down in turns, -0.5 for noise
            without memory; nan where steps in a row were not recorded.
        is_falling: Its mean is a tenth and more below that of the stretch before, and by more than noise can.
    """

    level: float
    share: float
    above_share: float
    alternation: float
    is_falling: bool


def find_oscillating(
    run: Run,
    *,
    least_swing: float = 0.3,
    least_ratio: float = 0.01,
    large_ratio: float = 0.025,
    least_above: float = 0.15,
    least_level: float = 0.3,
    most_alternation: float = -0.8,
    least_steps: int = 60,
    least_batch: int = 8,
) -> list[Finding]:
    """Find a loss that jumps up and down instead of falling.

    Args:
        run: The run.
        least_swing: Swing of the last fifth, as a share of its level; a healthy loss of large batches swings less at
            a level worth speaking of, one of small batches may swing by twice its level.
        least_ratio: Update ratio of the middle layer from which on steps are large enough to be why: ten times the
            usual.
        large_ratio: Update ratio from which on they are, at a level worth speaking of, whatever single losses do.
        least_above: Share of the last losses above that of a constant guess, for a loss whose mean is below it.
        least_level: Share of a constant guess' loss that the mean has to be then; restarts come to a quarter.
        most_alternation: Correlation of neighbouring jumps below which a loss alternates; noise has -0.5.
        least_steps: Steps below which a swing is the start of a training.
        least_batch: Examples of a batch below which single losses above a constant guess are nothing unusual.

    Returns:
        One finding or none; nothing where the loss still falls, `warning` where it is, on the whole, better than a
        constant guess.
    """
    loss, ratio = judge_loss(run), lasting_ratio(run)
    swing = swing_of(run, loss)
    if swing is None or loss.step_count < least_steps or loss.state == "diverging":
        return []
    if swing.share < least_swing or ratio < least_ratio or swing.is_falling:
        return []
    severity: Severity | None = None
    if loss.chance is None:
        severity = "warning" if swing.alternation <= most_alternation and loss.is_harmed else None
    elif swing.level > (1.0 + loss.chance_margin) * loss.chance:
        severity = "critical"
    elif swing.level >= least_level * loss.chance and int(run.facts.get("batch_size") or 0) >= least_batch:
        # One that is still on its way down is hardly above its best.
        was_better = loss.best <= 0.75 * swing.level
        severity = "warning" if was_better and (swing.above_share >= least_above or ratio >= large_ratio) else None
    sizes = step_sizes(run, loss.first_step, loss.first_step)
    return [] if severity is None else [describe(loss, swing, sizes, severity)]


def swing_of(run: Run, loss: LossMotion) -> Swing | None:
    """How the last stretch of the main loss swings; None where there are several losses or fewer than ten values."""
    if len(run.losses) != 1:
        return None
    steps, values = finite_losses(run.losses[0])
    if len(values) < 10:
        return None
    stretches = stretches_of(steps, values, least_count=20)
    tail = stretches.tail
    low, high = (float(bound) for bound in np.quantile(tail, [0.1, 0.9]))
    level = float(tail.mean())
    above = 0.0 if loss.chance is None else float(np.mean(tail > loss.chance))
    is_lower = len(stretches.middle) > 0 and level < 0.9 * float(stretches.middle.mean())
    is_falling = is_lower and sigmas_between(stretches.middle, tail) >= 2.0
    alternation = alternation_of(steps, values, len(tail))
    return Swing(level, (high - low) / max(abs(level), 1e-300), above, alternation, is_falling)


def alternation_of(steps: FloatArray, values: FloatArray, count: int) -> float:
    """Correlation of one jump with the next over the last losses; nan where they are not of steps in a row.

    Example:
        >>> round(alternation_of(np.arange(20.0), np.tile([1.0, 2.0], 10), 20), 2)
        -1.0
    """
    jumps = np.diff(values[-max(count, 12) :])
    is_in_row = bool(np.all(np.diff(steps[-len(jumps) - 1 :]) == 1.0))
    if len(jumps) < 11 or not is_in_row or jumps.std() == 0.0:
        return float("nan")
    return float((jumps[:-1] @ jumps[1:]) / max(float(jumps[:-1] @ jumps[:-1]), 1e-300))


def lasting_ratio(run: Run) -> float:
    """Late update ratio of the middle layer; 0 where none was measured."""
    known = [motion.ratios for motion in weight_motions(run)]
    late = np.array([late_median(ratios) for ratios in known])
    late = late[~np.isnan(late)]
    return float(np.median(late)) if len(late) else 0.0


def describe(loss: LossMotion, swing: Swing, sizes: StepSizes, severity: Severity) -> Finding:
    """The finding in words."""
    cause = cause_of_steps(sizes)
    beside = "" if loss.chance is None else f", where a constant guess gives {loss.chance:.4g}"
    text = f"the last losses swing by {format_share(swing.share)} of their mean of {swing.level:.4g}{beside}"
    return Finding(
        condition="oscillating",
        severity=severity,
        layers=sizes.layers,
        cause=cause,
        evidence=(
            Evidence("swing of the loss", swing.share, "", text),
            Evidence(
                "best of the loss", loss.best, "", f"its best stretch, up to step {loss.best_step}: {loss.best:.4g}"
            ),
            *evidence_of_steps(sizes),
        ),
        cures=cures_for("oscillating", cause.name),
        summary=f"The loss jumps up and down instead of falling: {text}; {fastest_text(sizes)}the cause: {cause.text}.",
        prognosis="It stays at this level for as long as the steps stay this large.",
        step=loss.first_step + 60,
    )


def fastest_text(sizes: StepSizes) -> str:
    """The layer with the largest steps, in words."""
    return f"steps are largest at {spoken(sizes.layers[0])}; " if sizes.layers else ""
