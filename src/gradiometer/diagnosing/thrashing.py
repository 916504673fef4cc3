"""Updates so large that each step throws away what the last one learned.

What it finds:
    Steps that move the weights by a tenth of their size and more, again and again, or by a third at once and more
    than once, while the loss does not fall.

Why it matters:
    The slope that a step follows holds only nearby. A step that changes a third of every weight lands somewhere that
    the gradient says nothing about; the loss jumps, grows, or settles where a constant guess would be.

What cures it:
    A smaller learning rate (the finding says by how much), a bound on the gradient's norm, a warm-up.

Source:
    Karpathy, CS231n, "Ratio of weights:updates" (about 1e-3); DeepDiagnosis and torchmortem flag 1e-1. That the
    loss must suffer is ours: a training with large steps that learns is not ill.
"""

import math

import numpy as np

from gradiometer.diagnosing.learning import LossMotion, judge_loss
from gradiometer.diagnosing.naming import spoken
from gradiometer.diagnosing.onsets import first_onset, step_at
from gradiometer.diagnosing.weight_motion import USUAL_RATIO, WeightMotion, late_median, weight_motions
from gradiometer.prescribing import cures_for
from gradiometer.schema import Cause, Evidence, Finding, FloatArray, Run
from gradiometer.units import decibels, format_db, format_number


def find_thrashing(
    run: Run, *, most_ratio: float = 0.1, thrown_ratio: float = 0.3, least_throws: int = 2
) -> list[Finding]:
    """Find updates that are too large.

    Args:
        run: The run.
        most_ratio: Update ratio of the network's middle layer that is too large when it lasts; a hundred times the
            usual. Of our healthy calibration trainings one comes as high (rare words under a fast rate), all others
            stay below 0.06 after their first steps.
        thrown_ratio: Ratio of a single step that throws weights away: two or three of them replace all that was.
        least_throws: Measured steps of that size that it takes, if the loss jumped to three times where it began; one
            alone may be the very first step of Adam. Where the steps have ceased and the loss never jumped, what they
            left behind (dead or saturated units) is the condition.

    Returns:
        One finding or none; nothing where the loss falls all the same.
    """
    motions = weight_motions(run)
    loss = judge_loss(run)
    if not motions or len(motions[0].ratios) < 2:
        return []
    middle = middle_ratios(motions)
    greatest = float(np.nanmax(middle)) if np.isfinite(middle).any() else 0.0
    lasting = late_median(middle)
    throws = int(np.sum(np.nan_to_num(middle) >= thrown_ratio))
    is_thrown = throws >= least_throws and has_jumped(loss)
    is_large = (not math.isnan(lasting) and lasting >= most_ratio) or is_thrown
    if not is_large or loss.is_learning or not suffers(loss):
        return []
    telling = max(lasting if not math.isnan(lasting) else 0.0, greatest if is_thrown else 0.0)
    onset = first_onset(np.nan_to_num(middle) >= most_ratio)
    return [describe(motions, telling, throws, step_at(run, onset), loss)]


def describe(motions: tuple[WeightMotion, ...], telling: float, throws: int, step: int, loss: LossMotion) -> Finding:
    """The finding in words.

    Args:
        motions: Updates of all layers.
        telling: Update ratio of the middle layer that is too large.
        throws: Measured steps that threw weights away.
        step: Step at which it set in.
        loss: What the loss does.
    """
    share_db = decibels(telling / USUAL_RATIO)
    cause = Cause(
        "learning_rate",
        share_db,
        f"steps are {format_db(share_db)} above the usual {format_number(USUAL_RATIO)} of the weights' size",
    )
    fastest = max(motions, key=lambda motion: float(np.nanmax(np.nan_to_num(motion.ratios))))
    cut = 10.0 ** -max(1, min(6, round(math.log10(telling / (10.0 * USUAL_RATIO)))))
    return Finding(
        condition="thrashing",
        severity="critical",
        layers=(fastest.layer, *(motion.layer for motion in motions if motion is not fastest)),
        cause=cause,
        evidence=evidence_of(telling, fastest, throws, loss),
        cures=tuple(dict.fromkeys([f"change_learning_rate:x{cut:g}", *cures_for("thrashing", cause.name)])),
        summary=(
            f"Steps are far too large: they change the weights by {format_number(telling)} of their size, most "
            f"of all at {spoken(fastest.layer)}, and {loss.text}."
        ),
        prognosis="The loss keeps jumping or grows until it is no longer a number; what was learned is lost.",
        step=step,
    )


def middle_ratios(motions: tuple[WeightMotion, ...]) -> FloatArray:
    """Update ratio of the middle layer in each full measurement; nan where none was measured."""
    ratios = np.stack([motion.ratios for motion in motions])
    return np.array([np.nan if np.isnan(row).all() else float(np.nanmedian(row)) for row in ratios.T])


def has_jumped(loss: LossMotion, *, least_jump: float = 3.0) -> bool:
    """Whether a loss has been far above where it began, or no number at all."""
    return loss.nonfinite_step is not None or loss.worst > least_jump * abs(loss.first)


def suffers(loss: LossMotion) -> bool:
    """Whether the loss goes the wrong way or nowhere; in a short run, whether it has risen beyond its noise."""
    if loss.is_harmed:
        return True
    return loss.state == "short" and loss.end > 1.5 * loss.first


def evidence_of(telling: float, fastest: WeightMotion, throws: int, loss: LossMotion) -> tuple[Evidence, ...]:
    """The numbers behind the finding."""
    return (
        Evidence("update ratio", telling, "", f"the middle layer moves by {format_number(telling)} of its size a step"),
        Evidence(
            "greatest update ratio",
            float(np.nanmax(fastest.ratios)),
            "",
            f"weights of {spoken(fastest.layer)} once moved by {format_number(float(np.nanmax(fastest.ratios)))}",
        ),
        Evidence("steps that throw weights away", throws, "", f"{throws} measured steps replaced a third and more"),
        Evidence("fall of the loss", loss.fall_share, "", loss.text),
    )
