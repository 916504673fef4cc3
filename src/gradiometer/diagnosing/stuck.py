"""Weights barely move although gradient arrives.

What it finds:
    A network all of whose weights move by less than a hundred-thousandth of their size a step, at a learning rate
    that is not on its way up, while its loss does not fall and is not low already.

Why it matters:
    Weights that move by 1e-6 a step need a million steps to become others. The training runs, the loss hardly
    changes, and nothing in it looks broken.

What cures it:
    A larger learning rate (the finding says by how much the update ratio is below the usual 1e-3), or an optimizer
    that scales its steps by itself.

Source:
    Karpathy, CS231n, "Ratio of weights:updates" (about 1e-3); the floor of 1e-5 is ours, from the calibration
    trainings in docs/log.md. Published floors lie between 1e-4 and 1e-8.
"""

import math

import numpy as np

from gradiometer.diagnosing.learning import LossMotion, judge_loss
from gradiometer.diagnosing.levels import lowest_level
from gradiometer.diagnosing.naming import spoken
from gradiometer.diagnosing.onsets import first_onset, step_at
from gradiometer.diagnosing.weight_motion import USUAL_RATIO, WeightMotion, idle_snapshots, weight_motions
from gradiometer.prescribing import cures_for
from gradiometer.schema import Cause, Evidence, Finding, Run
from gradiometer.units import decibels, format_db, format_number, format_setting


def find_stuck(run: Run, *, least_ratio: float = 1e-5, vanished_db: float = -60.0) -> list[Finding]:
    """Find a network whose weights barely move.

    Args:
        run: The run.
        least_ratio: Update ratio that no layer reaches; a hundredth of the usual 1e-3, and below the slowest layer
            of every healthy calibration training.
        vanished_db: Level below which the gradient, not the learning rate, is what the slowest layers lack.

    Returns:
        One finding or none; nothing while the learning rate is being warmed up, for weights that stand still on
        purpose, and for a loss that falls or has fallen.
    """
    motions = [motion for motion in weight_motions(run) if not math.isnan(motion.late_ratio)]
    if not motions or len(motions[0].ratios) < 2 or is_warming_up(motions):
        return []
    fastest = max(motions, key=lambda motion: motion.late_ratio)
    has_gradient = any(np.nanmax(np.nan_to_num(motion.gradient_rms[1:])) > 0.0 for motion in motions)
    loss = judge_loss(run)
    if fastest.late_ratio >= least_ratio or not has_gradient or loss.is_learning or loss.nonfinite_step is not None:
        return []
    is_idle = idle_snapshots(run)
    slow = ~np.any(np.stack([motion.ratios for motion in motions]) >= least_ratio, axis=0) & ~is_idle
    cause, step = cause_of(run, fastest, vanished_db), step_at(run, first_onset(slow))
    return [describe(motions, cause, step, loss, idle_count=int(is_idle.sum()))]


def describe(motions: list[WeightMotion], cause: Cause, step: int, loss: LossMotion, *, idle_count: int) -> Finding:
    """The finding in words."""
    fastest = max(motions, key=lambda motion: motion.late_ratio)
    cures = cures_for("stuck", cause.name)
    if cause.name == "learning_rate":
        cures = tuple(dict.fromkeys([f"change_learning_rate:x{format_setting(lift_of(fastest))}", *cures]))
    return Finding(
        condition="stuck",
        severity="critical",
        layers=tuple(motion.layer for motion in motions),
        cause=cause,
        evidence=(*evidence_of(fastest, motions[-1], loss), *idle_evidence(idle_count)),
        cures=cures,
        summary=(
            f"The weights barely move: even the fastest, those of {spoken(fastest.layer)}, change by only "
            f"{format_number(fastest.late_ratio)} of their size a step, where {format_number(USUAL_RATIO)} is "
            f"usual; {loss.text}. The cause: {cause.text}."
        ),
        prognosis=(
            f"At this pace the weights need about {1.0 / max(fastest.late_ratio, 1e-12):.0e} steps that all agree "
            "to become others."
        ),
        step=step,
    )


def is_warming_up(motions: list[WeightMotion], *, most_rise: float = 1.2) -> bool:
    """Whether the learning rate still rises towards the end of what was seen."""
    rates = motions[0].learning_rates
    rates = rates[~np.isnan(rates)]
    return len(rates) > 1 and bool(rates[-1] > most_rise * rates[(len(rates) - 1) // 2])


def cause_of(run: Run, fastest: WeightMotion, vanished_db: float) -> Cause:
    """The learning rate, unless next to no gradient arrives anywhere but at the output."""
    layer, level_db = lowest_level(run)
    ratio = fastest.late_ratio
    if layer is not None and level_db < vanished_db and ratio == 0.0:
        return Cause("depth", level_db, f"the gradient arrives at {spoken(layer)} at {format_db(level_db)}")
    share_db = decibels(USUAL_RATIO / ratio) if ratio > 0.0 else None
    known = fastest.learning_rates[~np.isnan(fastest.learning_rates)]
    rate = f"a learning rate of {format_number(float(known[-1]))}" if len(known) else "the learning rate"
    short = f" is {format_db(share_db)} short of the usual pace" if share_db is not None else " moves nothing"
    return Cause("learning_rate", share_db, f"{rate}{short}")


def lift_of(fastest: WeightMotion) -> float:
    """By how much to raise the learning rate, to the usual ratio: a power of ten, rounded up, at most a million."""
    ratio = max(fastest.late_ratio, 1e-12)
    return 10.0 ** min(6, max(1, math.ceil(math.log10(USUAL_RATIO / ratio))))


def idle_evidence(count: int) -> tuple[Evidence, ...]:
    """That measured steps without any gradient were left out; nothing where there was none."""
    if not count:
        return ()
    text = f"{count} measured steps brought no gradient at all (an empty batch?) and were left out"
    return (Evidence("steps without gradient", count, "", text),)


def evidence_of(fastest: WeightMotion, earliest: WeightMotion, loss: LossMotion) -> tuple[Evidence, ...]:
    """The numbers behind the finding."""
    return (
        Evidence(
            "greatest update ratio",
            fastest.late_ratio,
            "",
            f"weights of {spoken(fastest.layer)} move by {format_number(fastest.late_ratio)} of their size a step",
        ),
        Evidence(
            "update ratio, first layer",
            earliest.late_ratio,
            "",
            f"weights of {spoken(earliest.layer)} move by {format_number(earliest.late_ratio)}",
        ),
        Evidence("fall of the loss", loss.fall_share, "", loss.text),
    )
