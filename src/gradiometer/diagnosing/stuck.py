"""Weights barely move although gradient arrives.

What it finds:
    A network all of whose weights move by less than a hundred-thousandth of their size a step, at a learning rate
    that is not on its way up, while its loss does not fall and is not low already. And, after a hundred steps, one
    whose middle layer moves by less than a twentieth of the usual thousandth and no layer by a fifth of it, where it
    is known what a constant guess gives and the loss has not come far below that.

Why it matters:
    Weights that move by 1e-6 a step need a million steps to become others. The training runs, the loss hardly
    changes, and nothing in it looks broken.

What cures it:
    A larger learning rate (the finding says by how much the update ratio is below the usual 1e-3), or an optimizer
    that scales its steps by itself.

Source:
    Karpathy, CS231n, "Ratio of weights:updates" (about 1e-3); the floors of 1e-5 and 5e-5 are ours, from the
    calibration trainings in docs/log.md. Published floors lie between 1e-4 and 1e-8.
"""

import math

import numpy as np

from gradiometer.diagnosing.causes import losing_causes, update_causes
from gradiometer.diagnosing.learning import LossMotion, judge_loss
from gradiometer.diagnosing.levels import lowest_level
from gradiometer.diagnosing.naming import spoken
from gradiometer.diagnosing.onsets import first_onset, step_at
from gradiometer.diagnosing.predictions import predict_update
from gradiometer.diagnosing.weight_motion import USUAL_RATIO, WeightMotion, idle_snapshots, moving, weight_motions
from gradiometer.gain_budget import gain_budget
from gradiometer.prescribing import cures_for
from gradiometer.schema import Cause, Evidence, Finding, Run, Severity
from gradiometer.units import format_number, format_setting


def find_stuck(
    run: Run,
    *,
    least_ratio: float = 1e-5,
    slow_ratio: float = 5e-5,
    slow_fastest: float = 2e-4,
    vanished_db: float = -60.0,
) -> list[Finding]:
    """Find a network whose weights barely move.

    Args:
        run: The run.
        least_ratio: Update ratio that no layer reaches; a hundredth of the usual 1e-3, and below the slowest layer
            of every healthy calibration training.
        slow_ratio: Update ratio of the middle layer that is too small where the loss shows it; healthy trainings stay
            above 1.6e-4, a third of which this is.
        slow_fastest: Update ratio that no layer reaches then: in a healthy training the fastest, often the embedding
            or the output, comes to 3.8e-4 and more. Where one does, the layers differ, and that is another condition.
        vanished_db: Level below which the gradient, not the learning rate, is what the slowest layers lack.

    Returns:
        One finding or none; nothing while the learning rate is being warmed up, for weights that stand still on
        purpose, and for a loss that falls or has fallen.
    """
    motions = [motion for motion in weight_motions(run) if not math.isnan(motion.late_ratio)]
    if not motions or len(motions[0].ratios) < 2 or is_warming_up(run, motions):
        return []
    fastest = max(motions, key=lambda motion: motion.late_ratio)
    has_gradient = any(np.nanmax(np.nan_to_num(motion.gradient_rms[1:])) > 0.0 for motion in motions)
    loss = judge_loss(run)
    middle = float(np.median([motion.late_ratio for motion in motions]))
    is_slow = middle < slow_ratio and fastest.late_ratio < slow_fastest
    severity = severity_of(loss, is_still=fastest.late_ratio < least_ratio) if is_slow else None
    if severity is None or not has_gradient or loss.nonfinite_step is not None:
        return []
    least_ratio = max(least_ratio, fastest.late_ratio)
    is_idle = idle_snapshots(run)
    slow = ~np.any(np.stack([motion.ratios for motion in motions]) > least_ratio, axis=0) & ~is_idle
    causes, step = causes_of(run, fastest, vanished_db), step_at(run, first_onset(slow))
    return [describe(motions, causes, step, loss, severity, idle_count=int(is_idle.sum()))]


def severity_of(loss: LossMotion, *, is_still: bool, most_gain: float = 0.2, least_steps: int = 100) -> Severity | None:
    """How bad it is that weights move slowly: what the loss does decides.

    Args:
        loss: What the loss does.
        is_still: The weights are so slow that a loss which does not fall is enough, whatever else is known of it.
        most_gain: Gain over a constant guess, as a share of it, above which a network that is slow learns all the
            same.
        least_steps: Steps below which it is too early to tell of one that is merely slow.

    Returns:
        None where the network learns, or nobody can tell.
    """
    if is_still and not loss.is_learning:
        return "critical"
    gain = loss.gain_share
    if gain is None or loss.step_count < least_steps or gain > most_gain:
        return None
    return "warning" if loss.is_learning else "critical"


def describe(
    motions: list[WeightMotion],
    causes: list[Cause],
    step: int,
    loss: LossMotion,
    severity: Severity,
    *,
    idle_count: int,
) -> Finding:
    """The finding in words."""
    cause, *others = causes
    fastest = max(motions, key=lambda motion: motion.late_ratio)
    cures = cures_for("stuck", cause.name)
    if cause.name == "learning_rate":
        cures = tuple(dict.fromkeys([f"change_learning_rate:x{format_setting(lift_of(fastest))}", *cures]))
    return Finding(
        condition="stuck",
        severity=severity,
        layers=tuple(motion.layer for motion in motions),
        cause=cause,
        evidence=(*evidence_of(fastest, motions[-1], loss), *idle_evidence(idle_count)),
        cures=cures,
        summary=f"{pace_text(fastest)}; {loss.text}. The cause: {cause.text}.",
        prognosis=prognosis_of(fastest.late_ratio),
        step=step,
        other_causes=tuple(others),
        prediction=predict_update(fastest.layer, fastest.late_ratio, cures),
    )


def pace_text(fastest: WeightMotion) -> str:
    """How far the fastest weights move, in words."""
    if fastest.late_ratio == 0.0:
        return "The weights do not move: not even the last digit changes that they are kept to"
    return (
        f"The weights barely move: even the fastest, those of {spoken(fastest.layer)}, change by only "
        f"{format_number(fastest.late_ratio)} of their size a step, where {format_number(USUAL_RATIO)} is usual"
    )


def prognosis_of(ratio: float) -> str:
    """What happens if nothing is done."""
    if ratio == 0.0:
        return "The weights stay as they are, however long the training."
    return f"At this pace the weights need about {1.0 / max(ratio, 1e-12):.0e} steps that all agree to become others."


def is_warming_up(run: Run, motions: list[WeightMotion], *, most_rise: float = 1.2) -> bool:
    """Whether the learning rate still rose over the later half of the steps that were seen.

    Args:
        run: The run.
        motions: Updates of its layers.
        most_rise: Rise as a factor, from the middle step to the last, that is one.
    """
    known = ~np.isnan(motions[0].learning_rates)
    rates, steps = motions[0].learning_rates[known], run.snapshot_steps[known]
    if len(rates) < 2:
        return False
    # The first steps are measured closely, later ones seldom: the middle is that of the steps.
    middle = int(np.searchsorted(steps, 0.5 * (steps[0] + steps[-1]), side="right")) - 1
    return bool(rates[-1] > most_rise * rates[middle])


def causes_of(run: Run, fastest: WeightMotion, vanished_db: float) -> list[Cause]:
    """What makes the updates small, unless next to no gradient arrives anywhere but at the output."""
    layer, level_db = lowest_level(run)
    if layer is not None and level_db < vanished_db and fastest.late_ratio == 0.0:
        return losing_causes(run, gain_budget(run))
    return update_causes(run, fastest, fastest.late_ratio)


def lift_of(fastest: WeightMotion) -> float:
    """By how much to raise the learning rate, to the usual ratio: a power of ten, rounded up, at most a million."""
    ratio = max(fastest.late_ratio, 1e-12)
    return 10.0 ** min(6, max(1, math.ceil(math.log10(USUAL_RATIO / ratio))))


def idle_evidence(count: int) -> tuple[Evidence, ...]:
    """That measured steps without any gradient were left out; nothing where there was none."""
    if not count:
        return ()
    steps = "1 measured step brought" if count == 1 else f"{count} measured steps brought"
    text = f"{steps} no gradient at all (an empty batch?) and {'was' if count == 1 else 'were'} left out"
    return (Evidence("steps without gradient", count, "", text),)


def evidence_of(fastest: WeightMotion, earliest: WeightMotion, loss: LossMotion) -> tuple[Evidence, ...]:
    """The numbers behind the finding; one layer's are said once."""
    evidence = [
        Evidence(
            "greatest update ratio",
            fastest.late_ratio,
            "",
            f"weights of {spoken(fastest.layer)} {moving(fastest.late_ratio)}",
        ),
        Evidence("fall of the loss", loss.fall_share, "", loss.text),
    ]
    if earliest is not fastest and fastest.late_ratio > 0.0:
        text = f"weights of {spoken(earliest.layer)} move by {format_number(earliest.late_ratio)}"
        evidence.insert(1, Evidence("update ratio, first layer", earliest.late_ratio, "", text))
    return tuple(evidence)
