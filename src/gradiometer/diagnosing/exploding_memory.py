"""The gradient grows on its way back through time, and throws the recurrent weights about.

What it finds:
    A recurrent layer whose loss gradient grows on its way back through the sequence, as a power of the time steps: a
    hundredfold and more, or tenfold where it grows by 1.3 at each step; in a network that has not learned well. Or one
    whose weights one step moves by a third of their size while those behind it move as usual, in a network whose loss
    suffers for it. A gradient that only adds up, because a loss or a mean comes in at every time step, is no finding.

Why it matters:
    The recurrent weights are applied once for every time step, so the gradient of a long sequence grows as a power.
    One step along it throws the weights where all units saturate; from then on nothing comes back at all.

What cures it:
    A bound on the gradient's norm; recurrent weights whose greatest eigenvalue is about 1 (orthogonal, identity); a
    smaller learning rate; LSTM or GRU; shorter sequences.

Source:
    Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks", ICML 2013, sections 2 and 3.2.
"""

import math
from dataclasses import dataclass

import numpy as np

from gradiometer.diagnosing.learned_well import has_learned_well
from gradiometer.diagnosing.learning import LossMotion, judge_loss, severity_by_gain
from gradiometer.diagnosing.naming import spoken
from gradiometer.diagnosing.onsets import first_onset, step_at
from gradiometer.diagnosing.weight_motion import WeightMotion, weight_motions
from gradiometer.prescribing import cures_for
from gradiometer.schema import Cause, Evidence, Finding, Run, Severity, TimeFade
from gradiometer.units import decibels, format_db, format_number

RECURRENT_KINDS: frozenset[str] = frozenset({"RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"})
"""Classes of layers that apply the same weights once for every time step."""


@dataclass(frozen=True, slots=True)
class Growth:
    """A gradient that grows through time.

    Attributes:
        layer: The recurrent layer.
        step: Step at which it was measured.
        gain: By how much the gradient grew, as a factor; infinite where it overflowed, nan where only the weights tell.
        ratio: Update ratio of the layer's weights in that step, nan where it was not measured.
        time_steps: Length of the sequence, 0 where it is not known.
    """

    layer: str
    step: int
    gain: float
    ratio: float
    time_steps: int


def find_exploding_memory(
    run: Run,
    *,
    least_gain: float = 100.0,
    least_steady_gain: float = 10.0,
    steady_step_gain: float = 1.3,
    most_ratio: float = 0.3,
    least_contrast: float = 10.0,
    least_gain_share: float = 0.25,
    least_steps: int = 300,
    least_growth_steps: int = 100,
) -> list[Finding]:
    """Find recurrent layers whose gradient explodes.

    Args:
        run: The run.
        least_gain: Growth of the gradient through the sequence, as a factor; as for layers, 40 dB.
        least_steady_gain: The same of a sequence through which it grows by `steady_step_gain` at each step.
        steady_step_gain: Growth at each time step, as a factor, at which the oldest four steps outweigh all others
            together, however many there are: 1 - 1.3^-4 is two thirds.
        most_ratio: Update ratio of the recurrent weights that throws away what was there.
        least_contrast: How much faster than the other layers they have to move then: where all are thrown, it is the
            learning rate.
        least_gain_share: Gain over a constant guess below which a loss has come down but little, for thrown weights.
        least_steps: Steps before which that says nothing.
        least_growth_steps: Steps after which a network whose gradient grows should have learned: fewer, because its
            growth is measured and need not be told from the loss.

    Returns:
        One finding or none; nothing where the network has learned well all the same, `warning` where it learned a
        little or the loss has risen and it is too early to tell.
    """
    loss = judge_loss(run)
    growths = growths_through_time(run, least_gain, least_steady_gain, steady_step_gain)
    severity = severity_by_gain(loss, least_gain_share, least_steps)
    if severity is None and loss.state == "short" and loss.end > 1.5 * loss.first:
        severity = "warning"
    if severity is not None:
        found = next(iter(growths), None) or thrown_weights(run, most_ratio, least_contrast)
        return [] if found is None else [describe(found, loss, severity)]
    # A network that learns may have got rid of what it began with, and one that is all right has its single bad steps.
    is_growing = 2 * len(growths) > len(run.fades) and growths[-1].step == max(run.fades)
    if not is_growing or loss.step_count < least_growth_steps or has_learned_well(run, loss):
        return []
    return [describe(growths[0], loss, "warning")]


def growths_through_time(
    run: Run, least_gain: float, least_steady_gain: float, steady_step_gain: float
) -> list[Growth]:
    """For each measurement in which a gradient grew through the sequence, where it grew most; in order of the steps."""
    ratios = {motion.layer: motion.ratios for motion in weight_motions(run)}
    found = []
    for step in sorted(run.fades):
        grown = [
            (growth_of(fade), fade)
            for fade in run.fades[step]
            if has_grown(fade, least_gain, least_steady_gain, steady_step_gain)
        ]
        if not grown:
            continue
        gain, fade = max(grown, key=lambda pair: pair[0])
        place = np.flatnonzero(run.snapshot_steps == step)
        moved = ratios.get(fade.layer)
        ratio = float(moved[place[0]]) if moved is not None and len(place) else math.nan
        found.append(Growth(fade.layer, step, gain, ratio, fade.step_count))
    return found


def growth_of(fade: TimeFade) -> float:
    """By how much a gradient grew through the sequence, infinite where it overflowed, 0 where it is not known."""
    return math.inf if fade.nonfinite_count else max((gain for gain in fade.gains if gain is not None), default=0.0)


def has_grown(fade: TimeFade, least_gain: float, least_steady_gain: float, steady_step_gain: float) -> bool:
    """Whether a gradient grew as a power of the time steps, still in the farther half of the sequence.

    What comes in at every time step adds up to as many times as much as there are steps, but then the farther half
    only doubles it; and where sequences end at different steps, all of the growth is in the nearer half.
    """
    gain = growth_of(fade)
    if fade.step_count < 2 or math.isinf(gain):
        return fade.step_count > 1 and math.isinf(gain)
    if not fade.gains:
        return False
    is_steady = gain >= least_steady_gain and math.log(gain) >= (fade.step_count - 1) * math.log(steady_step_gain)
    middle = fade.gains[(len(fade.gains) - 1) // 2] or 0.0
    return (gain >= least_gain or is_steady) and gain >= math.sqrt(least_steady_gain) * middle


def thrown_weights(run: Run, most_ratio: float, least_contrast: float) -> Growth | None:
    """The first measurement in which recurrent weights alone were thrown; None where none was."""
    kinds = {layer.name: layer.kind for layer in run.layers}
    motions = weight_motions(run)
    others = [motion for motion in motions if kinds.get(motion.layer) not in RECURRENT_KINDS]
    lengths = {fade.layer: fade.step_count for fades in run.fades.values() for fade in fades}
    for motion in motions:
        if kinds.get(motion.layer) not in RECURRENT_KINDS or not others:
            continue
        index = first_onset(is_thrown_alone(motion, others, most_ratio, least_contrast))
        if index is not None:
            step = step_at(run, index)
            return Growth(motion.layer, step, math.nan, float(motion.ratios[index]), lengths.get(motion.layer, 0))
    return None


def is_thrown_alone(
    motion: WeightMotion, others: list[WeightMotion], most_ratio: float, least_contrast: float
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether a layer's weights were thrown and those of others were not, in each full measurement."""
    rest = np.nan_to_num(np.stack([other.ratios for other in others])).max(axis=0)
    ratios = np.nan_to_num(motion.ratios)
    return np.asarray((ratios >= most_ratio) & (ratios >= least_contrast * rest))


def describe(found: Growth, loss: LossMotion, severity: Severity) -> Finding:
    """The finding in words."""
    share_db = decibels(found.gain) if math.isfinite(found.gain) else None
    cause = Cause(
        "recurrence", share_db, "the recurrent weights are applied once for every time step and strengthen it each time"
    )
    text = growth_text(found)
    evidence = [
        Evidence("growth through time", share_db, "dB", text),
        Evidence("fall of the loss", loss.fall_share, "", loss.text),
    ]
    if not math.isnan(found.ratio):
        moved = f"step {found.step} moved its weights by {format_number(found.ratio)} of their size"
        evidence.insert(1, Evidence("update ratio", found.ratio, "", moved))
    return Finding(
        condition="exploding_memory",
        severity=severity,
        layers=(found.layer,),
        cause=cause,
        evidence=tuple(evidence),
        cures=cures_for("exploding_memory", cause.name),
        summary=f"The gradient explodes on its way back through time in {spoken(found.layer)}: {text}; {loss.text}.",
        prognosis="One such step drives the recurrent units into saturation, and then no gradient comes back at all.",
        step=found.step,
    )


def growth_text(found: Growth) -> str:
    """How much it grew, in words."""
    length = f" over {found.time_steps} time steps" if found.time_steps else ""
    if math.isnan(found.gain):
        return (
            f"step {found.step} moved the recurrent weights by {format_number(found.ratio)} of their size{length}, and "
            "those behind them far less"
        )
    if math.isinf(found.gain):
        return f"at step {found.step} it overflowed{length}"
    return f"at step {found.step} it grew by {format_db(decibels(found.gain))}{length}"
