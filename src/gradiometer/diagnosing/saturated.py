"""Units sit where their activation is flat.

What it finds:
    Layers of a two-sided activation (sigmoid, tanh, softsign, hardtanh) half of whose units are saturated, or whose
    slope on the way of the gradient is below a tenth of the greatest it can be, in a network whose loss suffers for
    it. Rectifiers are flat on one side on purpose, and an output layer saturates when it is sure: neither counts.

Why it matters:
    A saturated unit passes on next to no gradient and changes its output hardly at all: it is switched off for
    learning while it still speaks to the layers behind it.

What cures it:
    Weights at the critical scale, normalising layers before the activation, an activation that is flat on one side
    at most; a smaller learning rate where steps drove the units there; an input of unit scale.

Source:
    Glorot and Bengio 2010, section 3; a unit's saturation is judged on its pre-activation (design: slope below 5 %
    of the greatest on 95 % of examples). AWS SageMaker Debugger calls a tanh saturated beyond 9.5, where its slope
    is 1e-8; that is long after it has stopped learning.
"""

import math
from dataclasses import dataclass

import numpy as np

from gradiometer.activations import ACTIVATIONS
from gradiometer.diagnosing.causes import throwing_cause
from gradiometer.diagnosing.chance import output_layer
from gradiometer.diagnosing.drawn_scale import cause_of_scale, drawn_large
from gradiometer.diagnosing.learning import DEFAULT_LIMITS, LossMotion, judge_loss
from gradiometer.diagnosing.naming import spoken
from gradiometer.diagnosing.onsets import lasting_onset, step_at
from gradiometer.diagnosing.predictions import predict_level
from gradiometer.diagnosing.weight_motion import USUAL_RATIO, weight_motions
from gradiometer.gain_budget import gain_budget
from gradiometer.prescribing import cures_for
from gradiometer.schema import Cause, Evidence, Finding, FloatArray, Layer, Run, Severity
from gradiometer.units import decibels, format_db, format_share


@dataclass(frozen=True, slots=True)
class SaturatedLayer:
    """One saturated layer.

    Attributes:
        layer: The layer.
        share: Share of its units that are saturated, last measured; nan where it was not.
        loss_db: What saturation takes from the gradient there, dB, last measured.
        onset: Index of the full measurement from which on it is saturated.
    """

    layer: Layer
    share: float
    loss_db: float
    onset: int


def find_saturated(
    run: Run,
    *,
    least_share: float = 0.5,
    least_loss_db: float = -20.0,
    settled_share: float = 0.3,
    large_input: float = 5.0,
) -> list[Finding]:
    """Find layers whose units are saturated.

    Args:
        run: The run.
        least_share: Share of a layer's units from which on the layer counts; half, as all published rules have it.
        least_loss_db: What saturation may take from a layer's gradient: a tenth of the greatest slope is left. Tanh
            layers in good health mostly keep within 10 dB; a code layer that learned to switch loses up to 35 dB, which
            is why the loss has to suffer too.
        settled_share: Share of its start, or of a constant guess' loss, to which the loss has to have come down for
            learning in spite of it not to count as slow, where weights or input are too large.
        large_input: Root mean square of the input from which on its scale is the cause; 1 is what weights are drawn
            for.

    Returns:
        One finding or none; `info` where the loss falls all the same. Where it is too early to tell by the loss,
        nothing, unless the input is what is too large: that can be told at once.
    """
    found = saturated_layers(run, least_share, least_loss_db)
    if not found:
        return []
    loss = judge_loss(run)
    cause = cause_of(run, found, large_input)
    is_early = loss.state == "short" and loss.nonfinite_step is None and not starves(run)
    if is_early and cause.name != "input_scale":
        return []
    severity: Severity = "warning" if is_early else severity_of(loss, cause, settled_share)
    return describe(run, found, severity, cause, loss)


def describe(
    run: Run, found: list[SaturatedLayer], severity: Severity, cause: Cause, loss: LossMotion
) -> list[Finding]:
    """The finding in words."""
    onset = onset_of(found)
    cures = cures_for("saturated", cause.name)
    return [
        Finding(
            condition="saturated",
            severity=severity,
            layers=tuple(one.layer.name for one in found),
            cause=cause,
            evidence=evidence_of(found, loss),
            cures=cures,
            summary=(
                f"{where_text(found)} where {'it is' if len(found) == 1 else 'they are'} flat: {worst_text(found)}, "
                f"and {loss.text}. The cause: {cause.text}."
            ),
            prognosis="Saturated units learn nothing and keep the gradient from the layers before them.",
            step=step_at(run, onset),
            prediction=predict_level(run, onset, gain_budget(run, onset), cures),
        )
    ]


def severity_of(loss: LossMotion, cause: Cause, settled_share: float) -> Severity:
    """How bad it is; a code layer that saturates while its network learns does what it is for."""
    if not loss.is_learning:
        return "critical"
    is_slow = loss.step_count >= DEFAULT_LIMITS.least_steps and not loss.is_settled(settled_share)
    return "warning" if is_slow and cause.name in {"input_scale", "weight_scale"} else "info"


def saturated_layers(run: Run, least_share: float, least_loss_db: float) -> list[SaturatedLayer]:
    """All hidden layers that are saturated at the end of what was measured, the first that was so in front.

    Of those that were so at once the one nearest the loss is the first. What is measured after the loss has overflowed
    says nothing.
    """
    output, end = output_layer(run), finite_count(run)
    found = []
    for column, layer in enumerate(run.layers):
        if layer is output or not is_two_sided(layer):
            continue
        shares = run.layer_columns["saturated_share"][:end, column]
        losses = run.layer_columns["gain_db"][:end, column] - decibels(layer.greatest_slope or 1.0)
        onset = lasting_onset(known_hits(shares, losses, least_share, least_loss_db))
        if onset is not None:
            found.append(SaturatedLayer(layer, last_known(shares), last_known(losses), onset))
    return sorted(found, key=lambda one: (one.onset, -one.layer.position))


def finite_count(run: Run) -> int:
    """Number of full measurements before the first with a loss that was not finite; all where there was none."""
    losses = run.snapshot_columns.get("loss", np.zeros(0))
    broken = np.flatnonzero(~np.isfinite(losses) & bool(run.losses))
    return int(broken[0]) if len(broken) and broken[0] > 0 else run.snapshot_count


def onset_of(found: list[SaturatedLayer]) -> int:
    """Index of the full measurement from which on the first of them is saturated."""
    return min(one.onset for one in found)


def total_loss_db(found: list[SaturatedLayer]) -> float:
    """What saturation takes in all of them together, dB."""
    return sum(one.loss_db for one in found if not math.isnan(one.loss_db))


def known_hits(shares: FloatArray, losses: FloatArray, least_share: float, least_loss_db: float) -> np.ndarray:
    """Whether a layer is saturated in each measurement; where nothing was measured, as in the one before."""
    hits = np.zeros(len(shares), dtype=bool)
    for index, (share, loss_db) in enumerate(zip(shares, losses, strict=True)):
        if math.isnan(share) and math.isnan(loss_db):
            hits[index] = index > 0 and hits[index - 1]
        else:
            hits[index] = share >= least_share or loss_db <= least_loss_db
    return hits


def is_two_sided(layer: Layer) -> bool:
    """Whether an activation is flat on both sides and no rectifier."""
    known = ACTIVATIONS.get(layer.activation or "")
    return known is not None and None not in (known.flat_below, known.flat_above) and not known.is_rectifier


def last_known(values: FloatArray) -> float:
    """The last value that was measured; nan where none was."""
    known = values[~np.isnan(values)]
    return float(known[-1]) if len(known) else math.nan


def starves(run: Run, *, least_ratio: float = 1e-6) -> bool:
    """Whether some layer's weights hardly move, so that saturation can be told to hurt before the loss shows it."""
    return any(motion.late_ratio < least_ratio for motion in weight_motions(run))


def cause_of(run: Run, found: list[SaturatedLayer], large_input: float) -> Cause:
    """Steps that were too large, an input that is, weights that are, or what the units do by themselves."""
    onset, total_db = onset_of(found), total_loss_db(found)
    thrown = throwing_cause(run, onset, 100.0 * USUAL_RATIO, "drove them there")
    if thrown is not None:
        return thrown
    input_rms = last_known(run.snapshot_columns["input_rms"])
    if input_rms >= large_input:
        return Cause("input_scale", None, f"the input is {input_rms:.3g} large (rms), not about 1")
    drawn = drawn_large(run)
    if drawn:
        return cause_of_scale(drawn)
    known = sorted(gain_budget(run, onset).excesses_db.values())
    if known and known[len(known) // 2] >= 6.0:
        middle_db = known[len(known) // 2]
        return Cause("weight_scale", None, f"weights are {format_db(middle_db)} a layer above the critical scale")
    return Cause("saturation", total_db, f"saturation takes {format_db(total_db)} in all")


def where_text(found: list[SaturatedLayer]) -> str:
    """Which layers work there, in words."""
    frontier = found[0].layer
    if len(found) == 1:
        return f"The {frontier.activation} of {spoken(frontier.name)} works"
    return f"{len(found)} {frontier.activation} layers from {spoken(frontier.name)} back work"


def worst_text(found: list[SaturatedLayer]) -> str:
    """The worst layer in words."""
    worst = min(found, key=lambda one: one.loss_db if not math.isnan(one.loss_db) else 0.0)
    share = "" if math.isnan(worst.share) else f", {format_share(worst.share)} of its units are saturated"
    taken = "" if math.isnan(worst.loss_db) else f" loses {format_db(worst.loss_db)} of the gradient to it"
    return f"{spoken(worst.layer.name)}{taken}{share}"


def evidence_of(found: list[SaturatedLayer], loss: LossMotion) -> tuple[Evidence, ...]:
    """The numbers behind the finding."""
    total_db = total_loss_db(found)
    shares = [one.share for one in found if not math.isnan(one.share)]
    greatest = max(shares, default=0.0)
    count = "1 layer is saturated" if len(found) == 1 else f"{len(found)} layers are saturated"
    evidence = [
        Evidence("saturation on the way back", total_db, "dB", f"saturation takes {format_db(total_db)} in all"),
        Evidence("saturated layers", len(found), "", count),
        Evidence("fall of the loss", loss.fall_share, "", loss.text),
    ]
    # A layer counts by its mean slope, too: then no unit of it need be flat on nearly every example.
    if greatest > 0.0:
        text = f"up to {format_share(greatest)} of a layer's units are saturated"
        evidence.insert(1, Evidence("saturated units", greatest, "", text))
    return tuple(evidence)
