"""Updates so large that each step throws away what the last one learned.

What it finds:
    Steps that move the weights by a tenth of their size and more, again and again, or by a third at once and more
    than once; one step as large as the weights themselves; or steps ten times the usual under a learning rate (with
    its momentum) that is thirty times the usual and more. And a loss that does not fall, or that has not come far
    below what a constant guess gives: a network that has learned well under such steps is left alone.

Why it matters:
    The slope that a step follows holds only nearby. A step that changes a third of every weight lands somewhere that
    the gradient says nothing about; the loss jumps, grows, or settles where a constant guess would be.

What cures it:
    A smaller learning rate (the finding says by how much), a bound on the gradient's norm, a warm-up.

Source:
    Karpathy, CS231n, "Ratio of weights:updates" (about 1e-3); DeepDiagnosis and torchmortem flag 1e-1. That a step
    as large as the weights leaves nothing of the scale that they were drawn with is plain arithmetic. That the loss
    must suffer is ours: a training with large steps that learns is not ill.
"""

import math
from dataclasses import dataclass

import numpy as np

from gradiometer.diagnosing.causes import update_causes
from gradiometer.diagnosing.learning import LossMotion, judge_loss
from gradiometer.diagnosing.naming import spoken
from gradiometer.diagnosing.onsets import first_onset, step_at
from gradiometer.diagnosing.predictions import predict_update
from gradiometer.diagnosing.update_shares import rate_excess
from gradiometer.diagnosing.weight_motion import USUAL_RATIO, WeightMotion, late_median, row_medians, weight_motions
from gradiometer.prescribing import cures_for
from gradiometer.schema import Cause, Evidence, Finding, FloatArray, Run, Severity
from gradiometer.units import decibels, format_number


@dataclass(frozen=True, slots=True)
class LargeSteps:
    """How large a run's steps are, at the network's middle layer.

    Attributes:
        ratios: Its update ratio in each full measurement.
        lasting: Median over the later half of them; nan where none was measured.
        fastest: Median over the later half of the fastest layer's; 0 where none was measured.
        greatest: The greatest; 0 where none was measured.
        throws: Measured steps that threw weights away.
        rate: How many times the usual the learning rate is, momentum included and clipping taken off; nan where it is
            not known.
    """

    ratios: FloatArray
    lasting: float
    fastest: float
    greatest: float
    throws: int
    rate: float


def find_thrashing(
    run: Run,
    *,
    most_ratio: float = 0.1,
    thrown_ratio: float = 0.3,
    least_throws: int = 2,
    replaced_ratio: float = 1.0,
    most_rate: float = 30.0,
    least_ratio: float = 0.01,
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
        replaced_ratio: Ratio of a single step that is enough by itself: it is as large as the weights, and nothing is
            left of how they were drawn. First steps of healthy trainings stay below 0.4.
        most_rate: Learning rate, in times of what is usual for the optimizer, that is too large where the steps show
            it; healthy trainings come to ten times.
        least_ratio: Update ratio of the fastest layer, when it lasts, from which on the steps do show it: ten times the
            usual. Layers that such steps have saturated hardly move any more.

    Returns:
        One finding or none; nothing where the network learns well all the same.
    """
    motions = weight_motions(run)
    if not motions or len(motions[0].ratios) < 2:
        return []
    loss, steps = judge_loss(run), large_steps(run, motions, thrown_ratio)
    is_fast = steps.rate >= most_rate and steps.fastest >= least_ratio
    is_thrown = steps.throws >= least_throws and has_jumped(loss)
    is_anomalous = is_fast or steps.greatest >= replaced_ratio
    is_large = steps.lasting >= most_ratio or is_thrown
    severity = severity_of(loss, is_anomalous=is_anomalous) if is_large or is_anomalous else None
    if severity is None:
        return []
    onset = onset_of(steps, most_ratio)
    lasting = steps.lasting if steps.lasting >= least_ratio else steps.fastest
    telling = max(lasting, steps.greatest) if steps.throws else lasting
    # What the first of the large steps is made of is the cause; gradients grow once a network has been thrown.
    cause_ratio = float(steps.ratios[onset]) if steps.throws else telling
    causes = update_causes(run, telling_motion(motions, cause_ratio), cause_ratio)
    causes = with_rate(causes, steps.rate) if steps.rate >= most_rate else causes
    return [describe(motions, causes, steps, telling, step_at(run, onset), loss, severity)]


def large_steps(run: Run, motions: tuple[WeightMotion, ...], thrown_ratio: float) -> LargeSteps:
    """Measure how large the steps are.

    Args:
        run: The run.
        motions: Updates of all layers, one at least.
        thrown_ratio: Ratio of a step that throws weights away.
    """
    drawn = tuple(motion for motion in motions if not is_born_zero(run, motion))
    ratios = middle_ratios(drawn or motions)
    rates = [rate_excess(run, motion) for motion in motions]
    known = [rate for rate in rates if not math.isnan(rate)]
    return LargeSteps(
        ratios=ratios,
        lasting=late_median(ratios),
        fastest=max((motion.late_ratio for motion in drawn if motion.late_ratio > 0.0), default=0.0),
        greatest=float(np.nanmax(ratios)) if np.isfinite(ratios).any() else 0.0,
        throws=int(np.sum(np.nan_to_num(ratios) >= thrown_ratio)),
        rate=float(np.median(known)) if known else math.nan,
    )


def is_born_zero(run: Run, motion: WeightMotion) -> bool:
    """Whether weights were all zero at first, as adapters start: then their next steps are as large as they are."""
    column = next(rank for rank, parameter in enumerate(run.parameters) if parameter.name == motion.parameter)
    return bool(run.parameter_columns["weight_rms"][0, column] == 0.0)


def onset_of(steps: LargeSteps, most_ratio: float) -> int:
    """Index of the full measurement at which the steps became large; the first where none stands out."""
    return first_onset(np.nan_to_num(steps.ratios) >= most_ratio) or 0


def severity_of(
    loss: LossMotion, *, is_anomalous: bool, least_level: float = 0.3, least_steps: int = 60
) -> Severity | None:
    """How bad large steps are: what the loss makes of them decides.

    Args:
        loss: What the loss does.
        is_anomalous: The steps are a fault whether or not the loss falls: under a rate far above the usual, or as
            large as the weights. Large ones alone may be what rare words under a fast rate need.
        least_level: Share of a constant guess' loss from which on a loss that falls is not learned well; restarts of
            a learning rate come to a quarter.
        least_steps: Steps below which a loss that falls has only begun to.

    Returns:
        None where it is too early to tell, or the network learns.
    """
    if suffers(loss):
        return "critical"
    if (
        not is_anomalous
        or loss.chance is None
        or loss.step_count < least_steps
        or not loss.end >= least_level * loss.chance
    ):
        return None
    is_above = loss.is_learning and loss.end > (1.0 + loss.chance_margin) * loss.chance
    return "critical" if is_above else "warning"


def with_rate(causes: list[Cause], rate: float, *, room_db: float = 1.0) -> list[Cause]:
    """The causes, the learning rate first: it is so far above the usual that no other comes before it.

    Args:
        causes: The causes of the first of the large steps.
        rate: How many times the usual the learning rate is later on.
        room_db: How far its share of that first step may be from what the text says; a schedule may have begun low,
            and then the share is another step's.
    """
    own = next((cause for cause in causes if cause.name == "learning_rate"), None)
    text = f"the learning rate, with its momentum, is {format_number(rate)} times what is usual for the optimizer"
    share_db = None if own is None else own.share_db
    if share_db is not None and abs(share_db - decibels(rate)) > room_db:
        share_db = None
    return [Cause("learning_rate", share_db, text), *(cause for cause in causes if cause is not own)]


def describe(
    motions: tuple[WeightMotion, ...],
    causes: list[Cause],
    steps: LargeSteps,
    telling: float,
    step: int,
    loss: LossMotion,
    severity: Severity,
) -> Finding:
    """The finding in words.

    Args:
        motions: Updates of all layers.
        causes: What makes them large, the main cause first.
        steps: How large they are.
        telling: Update ratio of the middle layer that is too large.
        step: Step at which it set in.
        loss: What the loss does.
        severity: How bad it is.
    """
    cause, *others = causes
    fastest = max(motions, key=lambda motion: float(np.nanmax(np.nan_to_num(motion.ratios))))
    cures = tuple(dict.fromkeys([f"change_learning_rate:x{cut_of(telling):g}", *cures_for("thrashing", cause.name)]))
    return Finding(
        condition="thrashing",
        severity=severity,
        layers=(fastest.layer, *(motion.layer for motion in motions if motion is not fastest)),
        cause=cause,
        evidence=evidence_of(telling, fastest, steps.throws, loss),
        cures=cures,
        summary=(
            f"Steps are {'far ' if severity == 'critical' else ''}too large: they change the weights by "
            f"{format_number(telling)} of their size, most of all at {spoken(fastest.layer)}, and {loss.text}. "
            f"The cause: {cause.text}."
        ),
        prognosis="The loss keeps jumping or grows until it is no longer a number; what was learned is lost."
        if severity == "critical"
        else "It learns less, or far more slowly, than smaller steps would, and may lose that again.",
        step=step,
        other_causes=tuple(others),
        prediction=predict_update(telling_motion(motions, telling).layer, telling, cures),
    )


def cut_of(telling: float) -> float:
    """By how much to lower the learning rate, to ten times the usual ratio or less: a power of ten."""
    return float(10.0 ** -max(1, min(6, round(math.log10(max(telling, 1e-12) / (10.0 * USUAL_RATIO))))))


def telling_motion(motions: tuple[WeightMotion, ...], telling: float) -> WeightMotion:
    """The layer that was measured nearest to a ratio."""

    def distance(motion: WeightMotion) -> float:
        known = motion.ratios[~np.isnan(motion.ratios)]
        return float(np.min(np.abs(known - telling), initial=math.inf))

    return min(motions, key=distance)


def middle_ratios(motions: tuple[WeightMotion, ...]) -> FloatArray:
    """Update ratio of the middle layer in each full measurement; nan where none was measured."""
    return row_medians(np.stack([motion.ratios for motion in motions], axis=1))


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
    evidence = [
        Evidence("update ratio", telling, "", f"the middle layer moves by {format_number(telling)} of its size a step"),
        Evidence(
            "greatest update ratio",
            float(np.nanmax(fastest.ratios)),
            "",
            f"weights of {spoken(fastest.layer)} once moved by {format_number(float(np.nanmax(fastest.ratios)))}",
        ),
        Evidence("fall of the loss", loss.fall_share, "", loss.text),
    ]
    if throws:
        text = f"{throws} measured {'step' if throws == 1 else 'steps'} replaced a third and more"
        evidence.insert(2, Evidence("steps that throw weights away", throws, "", text))
    return tuple(evidence)
