"""Gradients are smaller than their number format can hold.

What it finds:
    Weights in float16 or bfloat16 most of whose gradient lies below the smallest normal number of the format, or was
    flushed to zero, while the weights stand still or the loss stays up; and weights in such a format whose steps are
    so small beside them that they are rounded away. And gradients in float16 so small that their squares, which Adam
    divides by the root of, are zero: its steps are then many times the learning rate.

Why it matters:
    Below 6e-5 float16 has ever fewer digits, and below 6e-8 none: what is smaller is zero, and a gradient of zero
    teaches nothing. Beside a weight of 1 bfloat16 has no number nearer than 1.0078, so a step of 0.001 is lost however
    often it is taken. It is a matter of the format alone; the same network learns in float32.

What cures it:
    A scaled loss (`torch.amp.GradScaler`), weights in float32 under `torch.autocast`, bfloat16 in place of float16,
    a loss that is a mean and not divided by more.

Source:
    Micikevicius et al., "Mixed Precision Training", 2018 (half of the gradients of a network lay below float16's
    range). The shares are ours.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradiometer.diagnosing.learned_well import is_learned_well, listed
from gradiometer.diagnosing.learning import LossMotion, judge_loss
from gradiometer.diagnosing.naming import spoken
from gradiometer.diagnosing.number_formats import ADAPTIVE, HALF_STEP, SMALLEST_NORMAL, SMALLEST_NUMBER
from gradiometer.diagnosing.onsets import first_onset, step_at
from gradiometer.diagnosing.weight_motion import largest_weights, late_median, late_medians, layer_of, weight_motions
from gradiometer.prescribing import cures_for
from gradiometer.schema import Cause, Evidence, Finding, FloatArray, Run
from gradiometer.units import format_number, format_share


def find_underflowing(
    run: Run,
    *,
    least_share: float = 0.5,
    least_subnormal: float = 0.1,
    still_ratio: float = 1e-5,
    most_kept: float = 0.5,
) -> list[Finding]:
    """Find gradients that are lost in their number format.

    Args:
        run: The run.
        least_share: Share of a layer's gradient that is subnormal or zero from which on the layer counts; a healthy
            ReLU's gradient is zero where its inputs are, for up to half of the weights.
        least_subnormal: Share that has to be subnormal where not all of it is zero: zeros alone may come from dead
            units and silent inputs, which another condition tells.
        still_ratio: Update ratio below which a layer stands still; a hundredth of the usual.
        most_kept: Share of the move that the gradient asks for that is made where rounding takes the rest; at usual
            rates bfloat16 keeps seven tenths and more.

    Returns:
        One finding or none; nothing in float32, and where the network learns well.
    """
    columns = half_weights(run)
    if not columns:
        return []
    loss = judge_loss(run)
    if is_learned_well(run, loss):
        return []
    lost = find_lost(run, columns, loss, Limits(least_share, least_subnormal, still_ratio))
    return find_lost_squares(run, columns, loss) or lost or find_rounded_away(run, columns, loss, most_kept)


@dataclass(frozen=True, slots=True)
class Limits:
    """The thresholds of `find_underflowing` for gradients, under the same names."""

    least_share: float
    least_subnormal: float
    still_ratio: float


def find_lost(run: Run, columns: list[int], loss: LossMotion, limits: Limits) -> list[Finding]:
    """Find gradients that are zero or subnormal."""
    lost, subnormal = lost_shares(run, columns)
    late, late_subnormal = late_medians(lost), late_medians(subnormal)
    is_gone = late >= 1.0 - 1e-9
    found = [
        rank
        for rank in range(len(columns))
        if late[rank] >= limits.least_share
        and (late_subnormal[rank] >= limits.least_subnormal or (is_gone[rank] and is_faint(run)))
    ]
    if not found:
        return []
    names = [layer_of(run, run.parameters[columns[rank]]) for rank in reversed(found)]
    still = {motion.layer for motion in weight_motions(run) if not motion.late_ratio >= limits.still_ratio}
    is_still = any(name in still for name in names)
    if not (is_still or not loss.is_learning):
        return []
    onset = first_onset(np.asarray((lost[:, found] >= limits.least_share).any(axis=1)))
    share = float(late[found].max())
    return [describe(run, names, columns[found[-1]], share, loss, step_at(run, onset))]


def find_lost_squares(
    run: Run, columns: list[int], loss: LossMotion, *, least_stride: float = 3.0, least_share: float = 0.5
) -> list[Finding]:
    """Find gradients whose squares are zero in their number format under an optimizer that divides by their mean.

    Such an optimizer's step is about its rate, at most; one of several times the rate says that the mean square is not
    what it should be. Kingma and Ba 2015, section 2.1: the step is bounded by the rate while gradients are not sparse.

    Args:
        run: The run.
        columns: Weights in a format of half size.
        loss: What the loss does.
        least_stride: Size of a step over the rate from which on it is too large.
        least_share: Share of the weights' tensors that has to take such a step at once.
    """
    numbers = run.parameter_columns
    kept = [column for column in columns if run.parameters[column].optimizer in ADAPTIVE]
    if not kept or "update_rms" not in numbers:
        return []
    roots = np.sqrt([SMALLEST_NUMBER[run.parameters[column].dtype] for column in kept])
    with np.errstate(divide="ignore", invalid="ignore"):
        strides = numbers["update_rms"][:, kept] / numbers["learning_rate"][:, kept]
    is_lost = (numbers["gradient_rms"][:, kept] < roots) & (strides >= least_stride)
    onset = first_onset(is_lost.mean(axis=1) >= least_share)
    if onset is None:
        return []
    found = [rank for rank in range(len(kept)) if is_lost[onset, rank]]
    names = tuple(dict.fromkeys(layer_of(run, run.parameters[kept[rank]]) for rank in reversed(found)))
    frontier = found[-1]
    parameter, stride = run.parameters[kept[frontier]], float(strides[onset, frontier])
    size = float(numbers["gradient_rms"][onset, kept[frontier]])
    text = (
        f"gradients of size {format_number(size)} have squares below what {parameter.dtype} can hold, so "
        f"{parameter.optimizer} divides by next to nothing and steps {format_number(stride)} times its learning rate"
    )
    measured = Evidence("step over learning rate", stride, "", text)
    summary = (
        f"The squares of gradients are lost in their number format at {spoken(names[0])}: {text}; {loss.text}. "
        "Keep the weights in float32 and run the model under torch.autocast, with torch.amp.GradScaler."
    )
    prognosis = "The smaller the gradient the larger the step: weights are thrown about till gradients are gone."
    return [lost_in_format(names, measured, loss, summary, prognosis, step_at(run, onset))]


def find_rounded_away(run: Run, columns: list[int], loss: LossMotion, most_kept: float) -> list[Finding]:
    """Find weights whose steps are lost in rounding: most layers' moves are a fraction of what the gradient asks for.

    What it asks for is the rate times the gradient, and for an optimizer that scales its steps a fiftieth of the rate,
    below which steps of a network that still learns do not fall.
    """
    numbers = run.parameter_columns
    rate, size, moved = (numbers[name][:, columns] for name in ("learning_rate", "weight_rms", "update_rms"))
    is_plain = np.array([run.parameters[column].optimizer in {None, "SGD"} for column in columns])
    asked = rate * np.where(is_plain, numbers["clipped_gradient_rms"][:, columns], 0.02)
    steps = np.array([HALF_STEP[run.parameters[column].dtype] for column in columns])
    with np.errstate(divide="ignore", invalid="ignore"):
        kept, relative = late_medians(moved / asked), late_medians(asked / size)
    found = np.flatnonzero((kept <= most_kept) & (relative < steps) & (relative > 1e-3 * steps))
    if 2 * len(found) < len(columns) or run.snapshot_count < 2:
        return []
    names = tuple(dict.fromkeys(layer_of(run, run.parameters[columns[rank]]) for rank in reversed(found)))
    parameter, share = run.parameters[columns[int(found[-1])]], float(kept[found[-1]])
    text = f"only {format_share(share)} of the move that the gradient asks for survives rounding to {parameter.dtype}"
    measured = Evidence("share of the move", share, "", text)
    summary = (
        f"Steps are rounded away at {spoken(names[0])}: {text}; {loss.text}. Keep the weights in float32 and "
        "run the model under torch.autocast."
    )
    prognosis = "A step smaller than half the way to the next number is lost, however often it is made."
    return [lost_in_format(names, measured, loss, summary, prognosis, step_at(run, 1))]


def lost_in_format(
    names: tuple[str, ...], measured: Evidence, loss: LossMotion, summary: str, prognosis: str, step: int
) -> Finding:
    """A finding of steps that the weights' number format spoils; its first number says how far."""
    return Finding(
        condition="underflowing",
        severity="critical" if loss.is_harmed else "warning",
        layers=names,
        cause=Cause("number_format", None, measured.text),
        evidence=(
            measured,
            Evidence("layers", len(names), "", f"so in {listed(list(names))}"),
            Evidence("fall of the loss", loss.fall_share, "", loss.text),
        ),
        cures=cures_for("underflowing", "number_format"),
        summary=summary,
        prognosis=prognosis,
        step=step,
    )


def half_weights(run: Run) -> list[int]:
    """Columns of the weights that are held in a format of half size."""
    columns = run.parameter_columns
    if not {"gradient_zero_share", "gradient_subnormal_share", "learning_rate", "gradient_rms"} <= set(columns):
        return []
    return [column for column in largest_weights(run) if run.parameters[column].dtype in SMALLEST_NORMAL]


def lost_shares(run: Run, columns: list[int]) -> tuple[FloatArray, FloatArray]:
    """Share of each gradient that is zero or subnormal, and the share that is subnormal, [snapshot column]."""
    zero = run.parameter_columns["gradient_zero_share"][:, columns]
    among = run.parameter_columns["gradient_subnormal_share"][:, columns]
    subnormal = (1.0 - zero) * np.where(zero >= 1.0, 0.0, among)
    return zero + subnormal, subnormal


def is_faint(run: Run, *, factor: float = 100.0) -> bool:
    """Whether gradients are zero because they are too small, and not because units are dead.

    A gradient of half size is then near the bottom of its format where any is left of it; or no parameter has any, not
    even the output's bias, although there is a loss.

    Args:
        run: The run.
        factor: How near: a hundred times the smallest normal number.
    """
    faint: list[NDArray[np.bool_]] = []
    for column in half_weights(run):
        size = run.parameter_columns["gradient_rms"][:, column]
        bottom = factor * SMALLEST_NORMAL[run.parameters[column].dtype]
        faint.append(np.asarray((size > 0.0) & (size < bottom)))
    sizes = run.parameter_columns["gradient_rms"]
    is_silent = bool((np.nan_to_num(sizes) == 0.0).all()) and not np.isnan(sizes).all()
    return any(bool(flags.any()) for flags in faint) or is_silent


def describe(run: Run, names: list[str], column: int, share: float, loss: LossMotion, step: int) -> Finding:
    """The finding in words."""
    parameter = run.parameters[column]
    smallest = SMALLEST_NORMAL[parameter.dtype]
    size = late_median(run.parameter_columns["gradient_rms"][:, column])
    text = (
        f"{format_share(share)} of the gradient is zero or below {format_number(smallest)}, the smallest normal number "
        f"of {parameter.dtype}"
    )
    return Finding(
        condition="underflowing",
        severity="critical" if not loss.is_learning else "warning",
        layers=tuple(dict.fromkeys(names)),
        cause=Cause("number_format", None, text),
        evidence=(
            Evidence("gradient lost", share, "", text),
            Evidence("gradient", size, "", f"its size at {spoken(names[0])} is {format_number(size)}"),
            Evidence("layers", len(names), "", f"so in {listed(list(dict.fromkeys(names)))}"),
            Evidence("fall of the loss", loss.fall_share, "", loss.text),
        ),
        cures=cures_for("underflowing", "number_format"),
        summary=(
            f"Gradients are lost in their number format at {spoken(names[0])}: {text}; {loss.text}. Scale the loss "
            "(torch.amp.GradScaler), or keep the weights in float32 under torch.autocast."
        ),
        prognosis="What a gradient loses to its format no optimizer can bring back; these weights stay as they are.",
        step=step,
    )
