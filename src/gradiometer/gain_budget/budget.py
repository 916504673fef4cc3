"""The gain budget of one full measurement: entries along the trunk, and their sums."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gradiometer.gain_budget.blocks import Member, split_block
from gradiometer.gain_budget.parts import (
    GainParts,
    activations_beside,
    add_parts,
    critical_weights_db,
    split_gain,
)
from gradiometer.gain_budget.wiring import Norms
from gradiometer.schema import Layer, Run
from gradiometer.theory.gain import linear_gain_db


@dataclass(frozen=True, slots=True)
class GainEntry:
    """One layer of the trunk.

    Attributes:
        layer: Its name.
        level_db: Level at its output, relative to the network's output, dB; -inf where the gradient is zero.
        gain_db: Its own gain, dB; nan where it was not measured (the last layer asks for no gradient at its input).
        parts: The gain by what it comes from; all 0 where the gain was not measured.
        weights_excess_db: How far the scale of its weights is above the critical one of the activation beside them,
            dB; None for a layer without weights or of unknown fan-in.
        members: Names of the layers inside it, in the order of execution, where paths branch and meet in it.
    """

    layer: str
    level_db: float
    gain_db: float
    parts: GainParts
    weights_excess_db: float | None = None
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GainBudget:
    """The gains along the trunk in one full measurement.

    Attributes:
        step: Step of that measurement; -1 for an empty budget.
        entries: The trunk from the network's output to its input; empty where none was measured.
        totals: The parts summed over all entries.
        beside: For each layer with weights, also those inside blocks, the activation that it feeds, or else the one
            that feeds it; None for neither.
        excesses_db: For each layer of those whose scale is known how far it is above the critical one, dB.
    """

    step: int
    entries: tuple[GainEntry, ...]
    totals: GainParts
    beside: Mapping[str, str | None]
    excesses_db: Mapping[str, float]

    @property
    def gain_db(self) -> float:
        """Sum of all measured gains, dB: the level at the trunk's far end relative to the network's output."""
        return sum(entry.gain_db for entry in self.entries if not math.isnan(entry.gain_db))

    @property
    def level_change_db(self) -> float:
        """Level at the trunk's far end less that at the network's output, dB, from the levels alone."""
        measured = [entry for entry in self.entries if not math.isnan(entry.level_db)]
        if not measured:
            return 0.0
        last = measured[-1]
        beyond_db = 0.0 if math.isnan(last.gain_db) else last.gain_db
        return last.level_db + beyond_db - measured[0].level_db


EMPTY_BUDGET = GainBudget(-1, (), GainParts(), {}, {})
"""The budget of a measurement that is not there."""


def gain_budget(run: Run, snapshot_index: int = -1) -> GainBudget:
    """Draw up the gain budget of one full measurement.

    Args:
        run: The run.
        snapshot_index: Which full measurement, counted like a list's; the last by default.

    Returns:
        The budget; empty where there is no such measurement or no trunk was seen. Behind a layer that stops the
        gradient altogether levels are -inf, and gains are not defined and left out of the sums.
    """
    if not -run.snapshot_count <= snapshot_index < run.snapshot_count or "trunk_position" not in run.layer_columns:
        return EMPTY_BUDGET
    snapshot_index %= run.snapshot_count
    trunk = run.trunk(snapshot_index)
    levels = [float(run.layer_columns["level_db"][snapshot_index, column]) for column in trunk]
    gains = [float(run.layer_columns["gain_db"][snapshot_index, column]) for column in trunk]
    levels, gains = fill_gaps(levels, gains)
    inside = insides_of(run, trunk)
    beside = beside_all(run, trunk, inside)
    excesses = excesses_of(run, snapshot_index, beside)
    output_end = output_unit_end(run, trunk)
    entries = []
    for rank, column in enumerate(trunk):
        layer = run.layers[column]
        parts = (
            split_block(gains[rank], *inside_norms(run, snapshot_index, column, inside[rank], beside))
            if inside[rank]
            else split_gain(layer, gains[rank], beside.get(layer.name), is_output_unit=rank < output_end)
        )
        names = tuple(run.layers[member].name for member in inside[rank])
        entries.append(GainEntry(layer.name, levels[rank], gains[rank], parts, excesses.get(layer.name), names))
    totals = add_parts(entry.parts for entry in entries)
    return GainBudget(int(run.snapshot_steps[snapshot_index]), tuple(entries), totals, beside, excesses)


def insides_of(run: Run, trunk: Sequence[int]) -> list[tuple[int, ...]]:
    """For each entry of the trunk the columns of the layers that were executed between the entry below it and its end.

    Args:
        run: The run.
        trunk: Columns of the trunk, output first.

    Returns:
        The columns in the order of execution; none for what is no block.
    """
    left_out = {*trunk, *(column for column, layer in enumerate(run.layers) if layer.role == "block")}
    found: list[tuple[int, ...]] = [()] * len(trunk)
    for rank, (column, below) in enumerate(zip(trunk, trunk[1:], strict=False)):
        if run.layers[column].role == "block":
            found[rank] = tuple(index for index in range(below + 1, column) if index not in left_out)
    return found


def inside_norms(
    run: Run, snapshot_index: int, column: int, inside: Sequence[int], beside: Mapping[str, str | None]
) -> tuple[float, list[Member]]:
    """Norm of the gradient at a block's output, and what was measured of the layers inside it.

    None of them where no gradient, or none that is a number, came to the block: then nothing can be split.
    """
    outputs = run.layer_columns["output_gradient_norm"][snapshot_index]
    inputs = run.layer_columns["input_gradient_norm"][snapshot_index]
    gains = run.layer_columns["gain_db"][snapshot_index]
    members: list[Member] = []
    if not 0.0 < outputs[column] < math.inf:
        return float(outputs[column]), members
    for index in inside:
        is_measured = 0.0 < outputs[index] < math.inf and inputs[index] < math.inf
        if is_measured and not math.isnan(gains[index]):
            layer = run.layers[index]
            parts = split_gain(layer, float(gains[index]), beside.get(layer.name))
            norms = Norms(float(outputs[index]), float(inputs[index]), reads_several=parts.other_db != 0.0)
            members.append(Member(norms, parts, layer.name))
    return float(outputs[column]), members


def beside_all(run: Run, trunk: Sequence[int], inside: Sequence[Sequence[int]]) -> dict[str, str | None]:
    """The activation beside each layer with weights: on the trunk along the trunk, in a block along the block."""
    beside: dict[str, str | None] = {}
    rows = [list(trunk), *(list(reversed(members)) for members in inside if members)]
    for row in rows:
        layers = [run.layers[column] for column in row]
        for layer, activation in zip(layers, activations_beside(layers), strict=True):
            if layer.fan_in is not None:
                beside[layer.name] = activation
    return beside


def output_unit_end(run: Run, trunk: Sequence[int]) -> int:
    """Entries of the trunk that come before the first with weights, or the first block: what ends the network."""
    for rank, column in enumerate(trunk):
        if run.layers[column].fan_in is not None or run.layers[column].role == "block":
            return rank
    return 0


def fill_gaps(levels: Sequence[float], gains: Sequence[float]) -> tuple[list[float], list[float]]:
    """Fill gains that were not measured between levels that were.

    A layer that hands on its very input (`nn.Identity`) has no gain of its own to measure; the entry behind it then
    gets the difference of the levels around them.

    Args:
        levels: Levels along the trunk from the output down, nan where not measured.
        gains: Gains likewise.

    Returns:
        Levels and gains with as few nan as can be; what was measured stays as it is.

    Example:
        >>> fill_gaps([0.0, -3.0, math.nan, -9.0], [-3.0, math.nan, math.nan, math.nan])
        ([0.0, -3.0, -3.0, -9.0], [-3.0, 0.0, -6.0, nan])
    """
    filled_levels, filled_gains = list(levels), list(gains)
    for rank in range(len(filled_levels)):
        if rank and math.isnan(filled_levels[rank]):
            filled_levels[rank] = filled_levels[rank - 1] + filled_gains[rank - 1]
        if math.isnan(filled_gains[rank]) and rank + 1 < len(filled_levels):
            following = filled_levels[rank + 1]
            filled_gains[rank] = 0.0 if math.isnan(following) else following - filled_levels[rank]
    return filled_levels, filled_gains


def excesses_of(run: Run, snapshot_index: int, beside: Mapping[str, str | None]) -> dict[str, float]:
    """How far each layer's weights are above the critical scale of the activation beside them, dB."""
    weights = weights_by_name(run, snapshot_index)
    found = {}
    for layer in run.layers:
        excess = weights_excess_db(layer, beside[layer.name], weights) if layer.name in beside else None
        if excess is not None:
            found[layer.name] = excess
    return found


def weights_by_name(run: Run, snapshot_index: int) -> dict[str, float]:
    """Root mean square of all parameters of two dimensions and more in one full measurement, by name."""
    if "weight_rms" not in run.parameter_columns:
        return {}
    sizes = run.parameter_columns["weight_rms"][snapshot_index]
    return {
        parameter.name: float(size)
        for parameter, size in zip(run.parameters, sizes, strict=True)
        if len(parameter.shape) > 1
    }


def weights_excess_db(layer: Layer, activation: str | None, weights: Mapping[str, float]) -> float | None:
    """How far a layer's weights are above the critical scale of an activation, dB; None where that is unknown.

    Args:
        layer: The layer.
        activation: The activation beside it.
        weights: Root mean square of the weights by name.
    """
    known = [weights[name] for name in layer.parameters if name in weights]
    critical_db = critical_weights_db(activation)
    if layer.fan_in is None or not known or critical_db is None or np.isnan(known[0]):
        return None
    return linear_gain_db(known[0], layer.fan_in) - critical_db
