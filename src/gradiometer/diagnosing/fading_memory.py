"""The gradient fades on its way back through time, and the network does not learn.

What it finds:
    A recurrent layer whose loss gradient, on its way back through the sequence, falls to less than a thousandth
    within half of the time steps, in a network that has won next to nothing over a constant guess, or that lay still
    beside it for a fifth of its run and has not learned well, though its weights move as usual. A short memory alone
    is no finding: many tasks ask for no more, and then the loss falls from the start. Nothing at all comes back where
    the loss reads other sequences than those that were followed, as it does where the layer takes the batch for time.

Why it matters:
    What happened before the gradient faded can't be learned from, however long the training. The loss looks like
    that of a hard task.

What cures it:
    `batch_first=True` where the batch is the first axis, and the last step of each sequence read, not that of its
    padding. LSTM or GRU instead of a plain recurrence, a forget gate whose bias starts at 1 and more (chrono
    initialisation for known time lags), orthogonal or identity recurrent weights, attention over the sequence, shorter
    sequences. Adam helps where a little gradient still arrives.

Source:
    Hochreiter 1991; Bengio, Simard, Frasconi 1994; Hochreiter and Schmidhuber 1997; Pascanu, Mikolov, Bengio 2013
    (the bound on the recurrent weights' norm); Tallec and Ollivier 2018 (forget bias by time lag).
"""

from dataclasses import dataclass

import numpy as np

from gradiometer.diagnosing.learned_well import has_learned_well
from gradiometer.diagnosing.learning import LossMotion, judge_loss
from gradiometer.diagnosing.loss_windows import finite_losses
from gradiometer.diagnosing.naming import spoken
from gradiometer.diagnosing.weight_motion import USUAL_RATIO, weight_motions
from gradiometer.prescribing import cures_for
from gradiometer.schema import Cause, Evidence, Finding, LossSeries, Run, Severity, TimeFade
from gradiometer.units import decibels, format_db, format_number


@dataclass(frozen=True, slots=True)
class Memory:
    """How far back the gradient of one recurrent layer reaches.

    Attributes:
        fade: What was measured.
        step: Step of that measurement.
        reach: Time steps back from the last within which a telling part of the gradient is left; 0 where no gradient
            came to any time step of the sequences that were followed, though one came to the layer's weights.
        left: Part of it that is left half the sequence back.
    """

    fade: TimeFade
    step: int
    reach: int
    left: float


def find_fading_memory(
    run: Run,
    *,
    least_time_steps: int = 5,
    telling_gain: float = 1e-3,
    most_reach: float = 0.5,
    least_gain_share: float = 0.1,
    most_still_share: float = 0.2,
    least_ratio: float = USUAL_RATIO / 3.0,
    least_steps: int = 250,
) -> list[Finding]:
    """Find recurrent layers that remember too little for a network that does not learn.

    Args:
        run: The run.
        least_time_steps: Length of a sequence from which on there is something to forget.
        telling_gain: Part of the gradient below which a time step has no say against the others.
        most_reach: Share of the sequence within which the gradient has faded to that; a task whose clue lies in the
            nearer half is learned, and then there is no finding.
        least_gain_share: Gain over a constant guess below which next to nothing was learned; on the adding problem a
            plain recurrence that sees the second half only wins 8 %. More may be all that noisy data give.
        most_still_share: Share of the run for which a loss that falls later may lie beside a constant guess: a clue
            farther off than the gradient reaches is learned only once the recurrent weights have grown by chance.
        least_ratio: Update ratio of recurrent weights that move about as usual; slower ones make any network slow.
        least_steps: Steps before which that says nothing: networks that learn well lie still for as many.

    Returns:
        One finding or none; `warning` where a little was learned.
    """
    loss = judge_loss(run)
    found = [memory for memory in memories_of(run, telling_gain) if memory.fade.step_count >= least_time_steps]
    # The cell state of an LSTM is its memory: where it reaches far, the hidden state beside it need not.
    reaches: dict[str, Memory] = {}
    for memory in found:
        known = reaches.get(memory.fade.layer)
        if known is None or memory.reach > known.reach:
            reaches[memory.fade.layer] = memory
    short = [memory for memory in reaches.values() if memory.reach < most_reach * memory.fade.step_count]
    if not short or len(short) < len(reaches):
        return []
    if loss.is_harmed:
        severity: Severity = "info" if loss.state == "flat" and loss.chance is None else "critical"
        return [describe(short, loss, severity)]
    gain = loss.gain_share
    if gain is None or loss.step_count < least_steps or has_learned_well(run, loss):
        return []
    is_held_up = gain < least_gain_share or still_share(run.losses[0], loss.chance or 0.0) >= most_still_share
    is_slow = not moves_as_usual(run, list(reaches), least_ratio)
    return [describe(short, loss, "warning")] if is_held_up and not is_slow else []


def moves_as_usual(run: Run, layers: list[str], least_ratio: float) -> bool:
    """Whether one of some layers moves about as fast as weights do; True where that was not measured."""
    moved = [motion.late_ratio for motion in weight_motions(run) if motion.layer.partition("#")[0] in layers]
    known = [ratio for ratio in moved if not np.isnan(ratio)]
    return not known or max(known) >= least_ratio


def still_share(series: LossSeries, chance: float, *, parts: int = 20, margin: float = 0.05) -> float:
    """Share of a run until its loss first lay below that of a constant guess.

    Args:
        series: The losses.
        chance: What a constant guess gives.
        parts: Parts of equal length that the run is cut into; the mean of each is looked at.
        margin: How far below it, as a share, counts.

    Returns:
        1 for a loss that never did, 0 for one that did within the first part.
    """
    steps, values = finite_losses(series)
    if not len(steps):
        return 1.0
    part = ((steps - steps[0]) * parts / (steps[-1] - steps[0] + 1.0)).astype(np.int64)
    low = [k for k in range(parts) if (part == k).any() and values[part == k].mean() < (1.0 - margin) * chance]
    return low[0] / parts if low else 1.0


def memories_of(run: Run, telling_gain: float) -> list[Memory]:
    """How far the gradient reaches in each recurrent layer and direction, by the newest measurement of each."""
    newest: dict[tuple[str, int, bool, str], Memory] = {}
    reached = {motion.layer for motion in weight_motions(run) if np.any(np.nan_to_num(motion.gradient_rms) > 0.0)}
    for step in sorted(run.fades):
        for fade in run.fades[step]:
            memory = memory_of(fade, step, telling_gain)
            if memory is not None and (memory.reach or fade.layer in reached):
                newest[fade.layer, fade.inner_layer, fade.is_reverse, fade.state] = memory
    return list(newest.values())


def memory_of(fade: TimeFade, step: int, telling_gain: float) -> Memory | None:
    """How far one gradient reaches; None where its gains are not known, or it grows."""
    gains = [0.0 if gain is None else gain for gain in fade.gains]
    if len(gains) < 2 or fade.nonfinite_count or max(gains) > 1e3:
        return None
    if gains[0] == 0.0:
        # Where nothing comes to the last time step alone, another one is read: how far back from there is not known.
        return Memory(fade, step, 0, 0.0) if all(norm == 0.0 for norm in fade.norms) else None
    reach = fade.stride * (1 + max((k for k, gain in enumerate(gains) if gain >= telling_gain), default=0))
    return Memory(fade, step, reach, gains[len(gains) // 2])


def describe(short: list[Memory], loss: LossMotion, severity: Severity) -> Finding:
    """The finding in words."""
    shortest = min(short, key=lambda memory: memory.reach / memory.fade.step_count)
    fade = shortest.fade
    layers = tuple(dict.fromkeys([fade.layer, *(memory.fade.layer for memory in short)]))
    level_db = decibels(shortest.left) if shortest.left > 0.0 else None
    cause = Cause(
        "recurrence", level_db, f"{spoken(fade.layer)} hands back too little of the gradient at each time step"
    )
    text = reach_text(shortest)
    return Finding(
        condition="fading_memory",
        severity=severity,
        layers=layers,
        cause=cause,
        evidence=(
            Evidence("reach of the gradient", shortest.reach, "time steps", text),
            Evidence("fall of the loss", loss.fall_share, "", loss.text),
        ),
        cures=cures_for("fading_memory", cause.name),
        summary=f"The gradient fades on its way back through time in {spoken(fade.layer)}: {text}; {loss.text}.",
        prognosis="What lies further back than the gradient reaches is not learned, however long the training.",
        step=shortest.step,
    )


def reach_text(memory: Memory) -> str:
    """How far the gradient reaches, in words."""
    fade = memory.fade
    if memory.reach == 0:
        return (
            f"at none of {fade.step_count} time steps does any of it come to the {fade.example_count or 'measured'} "
            "sequences that were followed, though it comes to the weights: the loss reads other sequences, as it does "
            "where a layer takes the batch for time (batch_first)"
        )
    half = "" if fade.half_life_steps is None else f", it halves every {fade.half_life_steps:.2g} of them"
    return (
        f"of {fade.step_count} time steps the last {memory.reach} get more than a thousandth of the gradient{half}; "
        f"half the sequence back {left_text(memory)}"
    )


def left_text(memory: Memory) -> str:
    """What is left of the gradient half the sequence back, in words."""
    if memory.left == 0.0:
        return "nothing is left of it"
    return f"{format_number(memory.left)} of it is left ({format_db(decibels(memory.left))})"
