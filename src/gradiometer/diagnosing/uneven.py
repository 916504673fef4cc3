"""Layers learn at wildly different speeds, though neither end is lost.

What it finds:
    Weights of which the fastest move a hundred times faster than the slowest, relative to their size, while the
    gradient arrives everywhere, in a network whose loss goes nowhere or has come down but little.

Why it matters:
    One learning rate has to serve all layers. Where it is right for the fastest the slowest stand still, where it is
    right for the slowest the fastest are thrown about.

What cures it:
    Weights at the critical scale, normalising layers, an optimizer that scales its steps for every weight (Adam), a
    learning rate for each group of layers that fits their size.

Source:
    Glorot and Bengio 2010 (even gradients across layers); You, Gitman, Ginsburg 2017 (LARS: ratios differ between
    layers by a factor of up to a thousand); the consequence as the criterion is ours.
"""

import math

from gradiometer.diagnosing.learning import LossMotion, judge_loss, severity_by_gain
from gradiometer.diagnosing.levels import late_levels
from gradiometer.diagnosing.naming import spoken
from gradiometer.diagnosing.weight_motion import WeightMotion, weight_motions
from gradiometer.prescribing import cures_for
from gradiometer.schema import Cause, Evidence, Finding, Run, Severity
from gradiometer.units import decibels, format_number, format_setting


def find_uneven(
    run: Run,
    *,
    least_spread: float = 100.0,
    least_fastest: float = 1e-4,
    floor_db: float = -40.0,
    least_gain_share: float = 0.25,
    least_steps: int = 300,
) -> list[Finding]:
    """Find layers that learn at wildly different speeds.

    Args:
        run: The run.
        least_spread: Fastest over slowest late update ratio; healthy networks of our zoo stay below 10, a sparse
            embedding reaches 800 and learns.
        least_fastest: Update ratio that the fastest layer has at least: below, all are slow, and that is another fault.
        floor_db: Level below which the slowest layer lacks gradient, which is another fault.
        least_gain_share: Gain over a constant guess below which a loss has come down but little.
        least_steps: Steps before which that says nothing.

    Returns:
        One finding or none; `warning` where the loss has come down a little.
    """
    loss = judge_loss(run)
    severity = severity_by_gain(loss, least_gain_share, least_steps)
    motions = [
        motion for motion in weight_motions(run) if not math.isnan(motion.late_ratio) and motion.late_ratio > 0.0
    ]
    if severity is None or len(motions) < 2 or loss.state == "diverging" or loss.nonfinite_step is not None:
        return []
    slowest = min(motions, key=lambda motion: motion.late_ratio)
    fastest = max(motions, key=lambda motion: motion.late_ratio)
    spread = fastest.late_ratio / slowest.late_ratio
    if spread < least_spread or fastest.late_ratio < least_fastest:
        return []
    level_db = late_levels(run).get(slowest.layer, math.nan)
    if level_db < floor_db:
        return []
    step = int(run.snapshot_steps[run.snapshot_count // 2])
    return [describe(slowest, fastest, loss, severity, step)]


def cause_of(slowest: WeightMotion, fastest: WeightMotion, spread: float) -> Cause:
    """Different learning rates, where groups have them; otherwise the scale of the weights."""
    rates = [float(motion.learning_rates[-1]) for motion in (slowest, fastest) if len(motion.learning_rates)]
    if len(rates) == 2 and rates[0] > 0.0 and rates[1] / rates[0] > math.sqrt(spread):
        text = f"their learning rates are {format_setting(rates[0])} and {format_setting(rates[1])}"
        return Cause("learning_rate", decibels(rates[1] / rates[0]), text)
    return Cause("weight_scale", decibels(spread), "gradients and weights are not of one size from layer to layer")


def describe(slowest: WeightMotion, fastest: WeightMotion, loss: LossMotion, severity: Severity, step: int) -> Finding:
    """The finding in words."""
    spread = fastest.late_ratio / slowest.late_ratio
    cause = cause_of(slowest, fastest, spread)
    pace = (
        f"a step moves {spoken(slowest.layer)} by {format_number(slowest.late_ratio)} of its size, and "
        f"{spoken(fastest.layer)} by {format_number(fastest.late_ratio)}"
    )
    return Finding(
        condition="uneven",
        severity=severity,
        layers=(slowest.layer, fastest.layer),
        cause=cause,
        evidence=(
            Evidence("spread of the update ratios", spread, "", pace),
            Evidence("fall of the loss", loss.fall_share, "", loss.text),
        ),
        cures=cures_for("uneven", cause.name),
        summary=f"Layers learn at speeds {format_number(spread)} times apart: {pace}; {loss.text}. "
        f"The cause: {cause.text}.",
        prognosis="The slow layers hardly learn while the fast ones are thrown about; no one rate serves both.",
        step=step,
    )
