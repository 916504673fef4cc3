"""Inputs or targets are far from unit scale, and the training suffers for it.

What it finds:
    Inputs whose size is ten times unit scale and more, or a hundredth and less, inputs that lie far from zero compared
    with how they differ, features a hundred times as large as others, and regression targets far from unit scale,
    where the loss goes nowhere, explodes at the start, or ends no better than a constant guess. Where the first layer
    is normalised, or the network learns well, the scale is left alone: images from 0 to 1 are fine.

Why it matters:
    Weights are drawn for inputs of unit size. A first layer that is fed numbers of size s answers s times as strongly
    and its gradient is s times as large, so a step moves its answers s squared times as far: no learning rate fits it
    and the layers after it. Inputs far too small, or hardly different from each other, are not told apart.

What cures it:
    Standardised inputs (minus the mean, divided by the standard deviation, of the training data, feature by feature),
    standardised targets, a normalising first layer.

Source:
    LeCun, Bottou, Orr, Mueller, "Efficient BackProp", 1998, section 4.3. UMLAUT alarms at every input outside of
    [-1, 1] and SageMaker at a mean beyond 0.2, whatever the network does with it; both flag healthy trainings.
"""

import math
from dataclasses import dataclass

import numpy as np

from gradiometer.diagnosing.learned_well import (
    REGRESSIONS,
    constant_loss,
    is_learned_well,
    late_accuracy,
    snapshot_column,
    success_text,
)
from gradiometer.diagnosing.learning import LossMotion, judge_loss
from gradiometer.diagnosing.naming import capital
from gradiometer.diagnosing.weight_motion import layer_of
from gradiometer.prescribing import cures_for
from gradiometer.schema import Cause, Evidence, Finding, Run, Severity
from gradiometer.units import decibels, format_db, format_number


@dataclass(frozen=True, slots=True)
class Scale:
    """What is wrong with a scale.

    Attributes:
        what: `input` or `target`.
        text: What is wrong, a sentence without its full stop.
        size: Their root mean square.
        share_db: How far from unit scale, dB; positive for too large.
        correction: What to do, as an instruction.
    """

    what: str
    text: str
    size: float
    share_db: float
    correction: str


def find_unscaled_input(
    run: Run,
    *,
    large_size: float = 10.0,
    small_size: float = 0.01,
    least_spread_db: float = 40.0,
    offset_ratio: float = 20.0,
) -> list[Finding]:
    """Find inputs and targets far from unit scale that hurt.

    Args:
        run: The run.
        large_size: Root mean square from which on an input, or a target, is large: the first layer's step is then a
            hundred times what it was meant to be. Images from 0 to 1, standardised and log-scaled data stay below 3.
        small_size: The same for too small; a first layer's answers then drown in its biases.
        least_spread_db: By how much the largest feature exceeds the middle one: 40 dB is a factor of a hundred.
        offset_ratio: Mean over standard deviation from which on inputs lie far off: what tells them apart is then a
            twentieth of what they have in common.

    Returns:
        One finding or none; nothing while the network learns well, `warning` where it learns and pays for it.
    """
    loss = judge_loss(run)
    limits = Limits(large_size, small_size, least_spread_db, offset_ratio)
    for scale in (input_scale(run, limits), target_scale(run, loss, limits)):
        severity = None if scale is None else severity_of(run, loss, scale)
        if scale is not None and severity is not None:
            return [describe(run, scale, severity, loss)]
    return []


@dataclass(frozen=True, slots=True)
class Limits:
    """The thresholds of `find_unscaled_input`, under the same names."""

    large_size: float
    small_size: float
    least_spread_db: float
    offset_ratio: float


def input_scale(run: Run, limits: Limits) -> Scale | None:
    """What is wrong with the input's scale; None for nothing, and where the first layer is normalised anyway."""
    size, mean = middle(run, "input_rms"), middle(run, "input_mean")
    if not size > 0.0 or not math.isfinite(size) or is_normalised_first(run):
        return None
    correction = "standardise the inputs: (x - mean) / std, feature by feature, from the training data"
    deviation = math.sqrt(max(size**2 - mean**2, 0.0)) if math.isfinite(mean) else size
    large = f"the inputs have size {format_number(size)} (mean {format_number(mean)})"
    if size >= limits.large_size:
        return Scale("input", f"{large}, where weights are drawn for size 1", size, decibels(size), correction)
    if size <= limits.small_size:
        return Scale("input", f"{large}: the first layer hardly sees them", size, decibels(size), correction)
    if math.isfinite(mean) and abs(mean) >= limits.offset_ratio * deviation:
        share_db = -decibels(max(deviation, 1e-12) / abs(mean))
        return Scale("input", f"{large}, and differ by only {format_number(deviation)}", size, share_db, correction)
    spread_db = middle(run, "input_spread_db")
    if spread_db >= limits.least_spread_db:
        text = f"the largest feature of the input is {format_db(spread_db)} above the middle one"
        return Scale("input", text, size, spread_db, correction)
    return None


def target_scale(run: Run, loss: LossMotion, limits: Limits) -> Scale | None:
    """What is wrong with the scale of a regression's targets; None for nothing, and for every other loss."""
    fact = run.facts.get("loss_path")
    kind = fact.get("loss") if isinstance(fact, dict) else None
    size, mean = middle(run, "target_rms"), middle(run, "target_mean")
    if kind not in REGRESSIONS or not size > 0.0 or not math.isfinite(size):
        return None
    if limits.small_size < size < limits.large_size or is_better_than_constant(run, loss):
        return None
    side = "large" if size >= limits.large_size else "small"
    text = f"the targets are {side}: size {format_number(size)}, mean {format_number(mean)}"
    correction = "standardise the targets: (y - mean) / std, from the training data, and undo it on predictions"
    return Scale("target", text, size, decibels(size), correction)


def is_better_than_constant(run: Run, loss: LossMotion, *, least_gain: float = 0.1) -> bool:
    """Whether the loss ends better than the best constant guess by a tenth; True where that is not known."""
    known = constant_loss(run)
    if not known > 0.0 or loss.nonfinite_step is not None:
        return loss.nonfinite_step is None
    return loss.end <= (1.0 - least_gain) * known


def middle(run: Run, name: str) -> float:
    """Median of a snapshot column over all measurements that know it; nan where none does."""
    values = snapshot_column(run, name)
    values = values[~np.isnan(values)]
    return float(np.median(values)) if len(values) else math.nan


def is_normalised_first(run: Run) -> bool:
    """Whether the first layer, or the one right behind the first weights, is normalised: the scale is lost there."""
    leaves = sorted((layer for layer in run.layers if layer.role != "block"), key=lambda layer: layer.position)
    weighted = next((rank for rank, layer in enumerate(leaves) if layer.fan_in is not None), -1)
    return any("norm" in layer.kind.lower() for layer in leaves[: weighted + 2])


def severity_of(run: Run, loss: LossMotion, scale: Scale, *, least_steps: int = 100) -> Severity | None:
    """How bad it is; None where it costs nothing that shows, or where it is too early to tell.

    The scale is at fault by itself: the first layer's gradient is as many times too large. It is left alone only where
    there is nothing left to gain, or where the first steps have paid for it and the network is nearly there.
    """
    if loss.is_harmed:
        return "critical"
    if scale.what == "input" and not loss.is_learning and is_first_activation_lost(run):
        return "warning"
    if is_learned_well(run, loss) or loss.step_count < least_steps:
        return None
    return "warning" if scale.what == "target" or is_far_from_learned(run, loss) else None


def is_far_from_learned(run: Run, loss: LossMotion, *, most_left: float = 0.1, least_accuracy: float = 0.95) -> bool:
    """Whether a network has much left to learn.

    Args:
        run: The run.
        loss: What its loss does.
        most_left: Share of a constant guess' loss, or of its start, that may be left.
        least_accuracy: Share of right answers that is good enough, whatever the loss.
    """
    known, accuracy = constant_loss(run), late_accuracy(run)
    if accuracy >= least_accuracy:
        return False
    return not loss.end <= most_left * (known if known > 0.0 else loss.start)


def is_first_activation_lost(run: Run, *, least_share: float = 0.5) -> bool:
    """Whether half of the first activation's units are dead or saturated at the end of what was measured."""
    columns = [column for column, layer in enumerate(run.layers) if layer.activation is not None]
    if not columns:
        return False
    first = min(columns, key=lambda column: run.layers[column].position)
    shares = [
        run.layer_columns[name][:, first] for name in ("dead_share", "saturated_share") if name in run.layer_columns
    ]
    return any(len(share) > 0 and float(np.nan_to_num(share[-1])) >= least_share for share in shares)


def describe(run: Run, scale: Scale, severity: Severity, loss: LossMotion) -> Finding:
    """The finding in words."""
    cause = f"{scale.what}_scale"
    return Finding(
        condition="unscaled_input",
        severity=severity,
        layers=first_layers(run) if scale.what == "input" else last_layers(run),
        cause=Cause(cause, scale.share_db, scale.text),
        evidence=evidence_of(run, scale, loss),
        cures=cures_for("unscaled_input", cause),
        summary=f"{capital(scale.text)}; {success_text(run, loss)}. {capital(scale.correction)}.",
        prognosis="No learning rate fits the first layer and the others; much of the training goes into the scale.",
        step=int(run.snapshot_steps[0]) if run.snapshot_count else 0,
    )


def first_layers(run: Run) -> tuple[str, ...]:
    """The first layer with weights, or the first weights where layers were not opened."""
    owners = {parameter.layer for parameter in run.parameters if len(parameter.shape) > 1}
    weighted = [layer for layer in run.layers if layer.name in owners]
    if weighted:
        return (min(weighted, key=lambda layer: layer.position).name,)
    return tuple(layer_of(run, parameter) for parameter in run.parameters[:1])


def last_layers(run: Run) -> tuple[str, ...]:
    """The last layer with weights, or the last weights where layers were not opened."""
    weighted = [layer for layer in run.layers if layer.fan_in is not None]
    if weighted:
        return (max(weighted, key=lambda layer: layer.position).name,)
    return tuple(layer_of(run, parameter) for parameter in run.parameters[-1:])


def evidence_of(run: Run, scale: Scale, loss: LossMotion) -> tuple[Evidence, ...]:
    """The numbers behind the finding."""
    found = [
        Evidence(
            f"{scale.what} size", scale.size, "", f"root mean square of the {scale.what}: {format_number(scale.size)}"
        ),
        Evidence("distance from unit scale", scale.share_db, "dB", f"{format_db(scale.share_db)} off"),
        Evidence("fall of the loss", loss.fall_share, "", loss.text),
    ]
    known = constant_loss(run)
    if known > 0.0:
        text = f"the best constant guess gives {format_number(known)}"
        found.append(Evidence("loss of a constant guess", known, "", text))
    return tuple(found)
