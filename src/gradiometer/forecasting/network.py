"""A measured network as a row of places from its input to its output, each with what was measured there."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gradiometer.forecasting.changes import Weights, weights_now
from gradiometer.gain_budget import GainBudget, Member, Wiring, find_wiring, gain_budget, inside_norms, insides_of
from gradiometer.schema import Layer, Run


@dataclass(frozen=True, slots=True)
class Block:
    """The inside of a block whose paths branch and meet.

    Attributes:
        members: Its layers in the order of execution.
        layers: The same, by what they are.
        wiring: How gradients run between them.
        top: Norm of the gradient at its output.
    """

    members: tuple[Member, ...]
    layers: tuple[Layer, ...]
    wiring: Wiring
    top: float


@dataclass(frozen=True, slots=True)
class Place:
    """One entry of the trunk.

    Attributes:
        layer: What it is.
        gain_db: Its measured gain, nan where none was.
        block: Its inside, None for a single layer.
    """

    layer: Layer
    gain_db: float
    block: Block | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """All places, and what was measured of their layers.

    Attributes:
        places: The trunk from the network's input to its output.
        squares: Mean square of each layer's output, where it was measured.
        gains_db: Gain of each layer, also inside blocks, where it was measured.
        weights: Scale of the weights and biases of each layer that has some.
        entering: Mean square of what comes to the first place; nan where it is not known.
        input_share: Share of the input's mean square that is not its mean's.
        batch_size: Examples of the batch.
        unknown: Layers whose weights' scale was not measured, or is no number.
    """

    places: tuple[Place, ...]
    squares: Mapping[str, float]
    gains_db: Mapping[str, float]
    weights: Mapping[str, Weights]
    entering: float
    input_share: float
    batch_size: int
    unknown: frozenset[str]


def read_network(run: Run, snapshot_index: int) -> Network | None:
    """Read a network from one full measurement.

    Returns:
        The network; None where no trunk was measured, or a block of it got no gradient at all.
    """
    budget = gain_budget(run, snapshot_index)
    if len(budget.entries) < 2:
        return None
    trunk = run.trunk(snapshot_index)
    places = []
    for column, entry, inside in zip(trunk, budget.entries, insides_of(run, trunk), strict=True):
        block = read_block(run, snapshot_index, column, entry.gain_db, inside, budget) if inside else None
        if inside and block is None:
            return None
        places.append(Place(run.layers[column], entry.gain_db, block))
    weights = weights_now(run, snapshot_index, run.layers)
    sizes, gains = (run.layer_columns[name][snapshot_index] for name in ("output_rms", "gain_db"))
    names = [layer.name for layer in run.layers]
    return Network(
        tuple(reversed(places)),
        {name: float(size) ** 2 for name, size in zip(names, sizes, strict=True) if not math.isnan(size)},
        {name: float(gain) for name, gain in zip(names, gains, strict=True) if math.isfinite(gain)},
        weights,
        entering_square(run, snapshot_index, places[-1].layer),
        input_share(run, snapshot_index),
        int(run.facts.get("batch_size") or 64),
        frozenset(layer.name for layer in run.layers if layer.fan_in and layer.name not in weights),
    )


def entering_square(run: Run, snapshot_index: int, first: Layer) -> float:
    """Mean square of the network's input; nan where it was not measured, or the trunk begins behind other layers."""
    executed_first = min((layer.position for layer in run.layers if layer.role != "block"), default=0)
    if first.position != executed_first or "input_rms" not in run.snapshot_columns:
        return math.nan
    return float(run.snapshot_columns["input_rms"][snapshot_index]) ** 2


def read_block(
    run: Run, snapshot_index: int, column: int, gain_db: float, inside: Sequence[int], budget: GainBudget
) -> Block | None:
    """The inside of one entry of the trunk; None where nothing was measured in it."""
    if not math.isfinite(gain_db):
        return None
    top, members = inside_norms(run, snapshot_index, column, inside, budget.beside)
    if not members:
        return None
    layers = {run.layers[index].name: run.layers[index] for index in inside}
    wiring = find_wiring([member.norms for member in members], top, top * 10.0 ** (gain_db / 20.0))
    return Block(tuple(members), tuple(layers[member.name] for member in members), wiring, top)


def input_share(run: Run, snapshot_index: int) -> float:
    """Share of the input's mean square that is not its mean's; 1 where it was not measured."""
    columns = run.snapshot_columns
    if "input_mean" not in columns or "input_rms" not in columns:
        return 1.0
    mean, size = float(columns["input_mean"][snapshot_index]), float(columns["input_rms"][snapshot_index])
    return max(1e-6, 1.0 - (mean / size) ** 2) if size > 0.0 and not math.isnan(mean) else 1.0
