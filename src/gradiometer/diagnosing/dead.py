"""Units that never respond to any example.

What it finds:
    Layers of a rectifier more than half of whose units give zero on every example over a window of batches, or that
    give zero altogether, where the loss suffers for it. Units are counted, never elements: half of a healthy ReLU's
    elements are zero, and rules that count those flag every third healthy network.

Why it matters:
    A dead unit's slope is zero on all data, so no gradient ever reaches its weights: it can't come back. A layer of
    dead units cuts everything before it off from the loss.

What cures it:
    A smaller learning rate, an activation that keeps some slope below zero (leaky ReLU, ELU, GELU), weights and
    biases drawn anew where the units were dead from the start, normalising layers.

Source:
    Lu, Shin, Su, Karniadakis, "Dying ReLU and Initialization", 2019; Maas, Hannun, Ng 2013 (leaky ReLU).
    DeepDiagnosis' rule (70 % of elements) flags 58 of 188 healthy trainings.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from gradiometer.activations import ACTIVATIONS
from gradiometer.diagnosing.causes import throwing_cause
from gradiometer.diagnosing.learning import LossMotion, judge_loss
from gradiometer.diagnosing.naming import spoken
from gradiometer.diagnosing.onsets import lasting_onset, step_at
from gradiometer.diagnosing.unopened import is_unopened
from gradiometer.diagnosing.weight_motion import USUAL_RATIO, idle_snapshots, largest_weights, layer_of
from gradiometer.prescribing import cures_for
from gradiometer.schema import Cause, Evidence, Finding, FloatArray, Layer, Run, Severity
from gradiometer.units import format_share


@dataclass(frozen=True, slots=True)
class DyingLayer:
    """One layer with dead units.

    Attributes:
        layer: The layer.
        share: Share of its units that are dead at the end of what was measured.
        onset: Index of the full measurement from which on it counts.
        is_cut: On the trunk and dead altogether: no gradient passes.
    """

    layer: Layer
    share: float
    onset: int
    is_cut: bool


def find_dead(
    run: Run, *, least_share: float = 0.5, least_examples: int = 128, large_input: float = 5.0
) -> list[Finding]:
    """Find layers whose units are dead.

    Args:
        run: The run.
        least_share: Share of a layer's units from which on the layer counts: half, as all published rules have it.
            Layers of our calibration trainings learn well with up to 60 % dead, so the loss has to suffer too.
        least_examples: Examples on which a unit has to be silent; one that answers to 5 % of examples is silent on
            128 of them once in 700 times.
        large_input: Root mean square of the input from which on its scale is the cause.

    Returns:
        One finding or none; `info` where the loss falls all the same, and where it is too early to tell and no layer
        is dead altogether.
    """
    if is_unopened(run):
        return find_silent_feeds(run, large_input)
    found = dying_layers(run, least_share, least_examples)
    if not found:
        return []
    ordered = sorted(found, key=lambda one: (not one.is_cut, -one.layer.position))
    return [describe(run, ordered, cause_of(run, ordered[0].onset, large_input), judge_loss(run))]


def describe(run: Run, ordered: list[DyingLayer], cause: Cause, loss: LossMotion) -> Finding:
    """The finding in words; layers that cut the trunk come first, then the one nearest the loss."""
    frontier = ordered[0]
    return Finding(
        condition="dead",
        severity=severity_of(ordered, loss),
        layers=tuple(one.layer.name for one in ordered),
        cause=cause,
        evidence=evidence_of(ordered, loss),
        cures=cures_for("dead", cause.name),
        summary=(
            f"{format_share(frontier.share)} of the units of {spoken(frontier.layer.name)} are dead, they answer to no "
            f"example: {cut_text(frontier)}{loss.text}. The cause: {cause.text}."
        ),
        prognosis="Dead units have no gradient and stay dead; what lies before a dead layer no longer learns.",
        step=step_at(run, frontier.onset),
    )


def severity_of(found: list[DyingLayer], loss: LossMotion) -> Severity:
    """How bad it is."""
    if loss.is_learning:
        return "info"
    if any(one.is_cut for one in found) or loss.is_harmed:
        return "critical"
    return "info"


def dying_layers(run: Run, least_share: float, least_examples: int) -> list[DyingLayer]:
    """All rectifier layers that have too many dead units at the end of what was measured."""
    biases = {parameter.name: column for column, parameter in enumerate(run.parameters) if len(parameter.shape) == 1}
    found: list[DyingLayer] = []
    is_cut_off = False
    for column, layer in reversed(list(enumerate(run.layers))):
        known = ACTIVATIONS.get(layer.activation or "")
        if known is None or not known.is_rectifier:
            continue
        # No gradient comes to what lies before a cut: that a bias there has none tells nothing of its units.
        bias = None if is_cut_off else feeding_bias(run, column, biases)
        shares = dead_shares(run, column, bias, least_examples)
        onset = lasting_onset(np.nan_to_num(shares) >= least_share)
        if onset is not None:
            share = float(shares[-1])
            on_trunk = not np.isnan(run.layer_columns["trunk_position"][:, column]).all()
            found.append(DyingLayer(layer, share, onset, is_cut=on_trunk and share == 1.0))
            is_cut_off = is_cut_off or found[-1].is_cut
    return found


def dead_shares(run: Run, column: int, bias: int | None, least_examples: int) -> FloatArray:
    """Share of dead units in each full measurement: of the window, and all of them where the layer gives zero.

    The window of a run that is seldom measured reaches far back, to when units that have died since were alive; a
    layer that gives exactly zero on a whole batch needs no window.
    """
    columns = run.layer_columns
    examples = columns["window_examples"][:, column]
    shares = np.where(np.nan_to_num(examples) >= least_examples, columns["dead_share"][:, column], np.nan)
    silent = silent_shares(run, bias, least_examples)
    is_silent = (columns["output_rms"][:, column] == 0.0) & (np.nan_to_num(examples) >= min(16, least_examples))
    return np.where(is_silent, 1.0, np.fmax(shares, silent))


def silent_shares(run: Run, bias: int | None, least_examples: int) -> FloatArray:
    """Share of units without gradient in every one of the last few measurements, from the bias that feeds the layer.

    Returns:
        The smallest zero share of that bias' gradient over the last measurements that together saw enough examples;
        nan where there is no such bias, or too few examples.
    """
    shares = np.full(run.snapshot_count, np.nan)
    batch_size = int(run.facts.get("batch_size") or 0)
    if bias is None or batch_size < 16:
        return shares
    needed = max(2, math.ceil(least_examples / batch_size))
    zeros = run.parameter_columns["gradient_zero_share"][:, bias]
    if len(zeros) >= needed:
        shares[needed - 1 :] = sliding_window_view(zeros, needed).min(axis=1)
    return shares


def feeding_bias(run: Run, column: int, biases: Mapping[str, int]) -> int | None:
    """Column of the bias of the layer executed just before an activation; None where that has none.

    Args:
        run: The run.
        column: The activation's column.
        biases: Columns of all parameters of one dimension, by name.
    """
    if column == 0 or run.layers[column - 1].unit_count != run.layers[column].unit_count:
        return None
    names = run.layers[column - 1].parameters if run.layers[column - 1].fan_in is not None else ()
    return next((biases[name] for name in names if name in biases), None)


def find_silent_feeds(run: Run, large_input: float) -> list[Finding]:
    """Find layers that are fed nothing but zeros where layers were not opened.

    Weights whose gradient is exactly zero, beside a bias whose gradient is not, have been multiplied by zeros alone:
    all units that feed them are dead.

    Args:
        run: The run.
        large_input: Root mean square of the input from which on its scale is the cause.

    Returns:
        One finding at the layer nearest the loss, or none; the layer that feeds it is named.
    """
    columns = largest_weights(run)
    telling = np.flatnonzero(~idle_snapshots(run))
    for feeding, column in reversed(list(zip(columns, columns[1:], strict=False))):
        place = lasting_onset(is_fed_zeros(run, column)[telling])
        if place is not None and place < len(telling) - 1:
            onset = int(telling[place])
            return [describe_silent(run, feeding, column, onset, cause_of(run, onset, large_input))]
    return []


def is_fed_zeros(run: Run, column: int) -> NDArray[np.bool_]:
    """Whether weights got exactly no gradient while a bias of their layer got one, in each full measurement."""
    gradients, owner = run.parameter_columns["gradient_rms"], layer_of(run, run.parameters[column])
    beside = [
        index
        for index, parameter in enumerate(run.parameters)
        if len(parameter.shape) == 1 and layer_of(run, parameter) == owner
    ]
    has_gradient = (np.nan_to_num(gradients[:, beside]) > 0.0).any(axis=1)
    # The norm of a gradient that is only tiny may underflow to zero; the share of zeros does not.
    is_zero = run.parameter_columns["gradient_zero_share"][:, column] == 1.0
    return np.asarray(is_zero & has_gradient)


def describe_silent(run: Run, feeding: int, column: int, onset: int, cause: Cause) -> Finding:
    """The finding in words."""
    loss = judge_loss(run)
    layer, fed = layer_of(run, run.parameters[feeding]), layer_of(run, run.parameters[column])
    text = f"the weights of {spoken(fed)} get a gradient of exactly zero while its bias gets one"
    return Finding(
        condition="dead",
        severity="info" if loss.is_learning else "critical",
        layers=(layer,),
        cause=cause,
        evidence=(Evidence("dead units", 1.0, "", text), Evidence("fall of the loss", loss.fall_share, "", loss.text)),
        cures=cures_for("dead", cause.name),
        summary=(
            f"All units between {spoken(layer)} and {spoken(fed)} are dead: {text}, so it is fed nothing but zeros, "
            f"and {loss.text}. The cause: {cause.text}."
        ),
        prognosis="Dead units have no gradient and stay dead; what lies before a dead layer no longer learns.",
        step=step_at(run, onset),
    )


def cause_of(run: Run, onset: int, large_input: float) -> Cause:
    """Dead from the start: how weights and biases were drawn, or the input; later: steps that were too large."""
    input_rms = known_values(run.snapshot_columns["input_rms"])
    if len(input_rms) and input_rms[-1] >= large_input:
        size = float(input_rms[-1])
        return Cause("input_scale", None, f"the input is {size:.3g} large (rms), not about 1")
    thrown = throwing_cause(run, onset, 3.0 * USUAL_RATIO, "killed them")
    if thrown is not None:
        return thrown
    if onset == 0:
        return Cause("weight_scale", None, "weights and biases were drawn so that they never answered")
    return Cause("unknown", None, "they died without a step that was large")


def known_values(values: FloatArray) -> NDArray[np.float64]:
    """The values that were measured."""
    return values[~np.isnan(values)]


def cut_text(one: DyingLayer) -> str:
    """Whether the layer cuts the trunk, in words."""
    return "no gradient passes it, and " if one.is_cut else ""


def evidence_of(found: list[DyingLayer], loss: LossMotion) -> tuple[Evidence, ...]:
    """The numbers behind the finding."""
    shares = [
        Evidence(
            "dead units", one.share, "", f"{format_share(one.share)} of the units of {spoken(one.layer.name)} are dead"
        )
        for one in found[:3]
    ]
    return (*shares, Evidence("fall of the loss", loss.fall_share, "", loss.text))
