"""The level that a network would have at the trunk's far end after a change.

The signal is followed from the input to the output, as it was measured and as it would be; the gradient goes back by
the gains that mean-field theory gives at the signal's size. What the change does not touch (pooling, attention, what
edges take from a convolution, how a norm acts) keeps its measured gain, and is moved only by as much as theory says.

Theory is of wide networks. In one of width n the logarithm of a gradient's square wanders on its way back, by about
5/n a layer for ReLU, and its middle falls by half of that: the wandering is said with the forecast.

Source:
    Schoenholz et al., "Deep information propagation", ICLR 2017; Hanin, "Which neural net architectures give rise to
    exploding and vanishing gradients?", NeurIPS 2018 (finite width).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from gradiometer.activations import ACTIVATIONS
from gradiometer.forecasting.changes import Changes, changes_of
from gradiometer.forecasting.network import Block, Network, Place, read_network
from gradiometer.forecasting.passes import Pass, pass_through
from gradiometer.forecasting.signals import LEAST_SQUARE, slope_excess
from gradiometer.gain_budget import TOP, Edge
from gradiometer.schema import Run
from gradiometer.units import ratio_of

DECIBELS_PER_NAT = 10.0 / math.log(10.0)
"""Decibels of a change of the square's natural logarithm by 1."""


MOST_SCATTER_DB = 1.5
"""A level that wanders farther than this, its standard deviation, is not foretold: half of what counts as right."""

BALANCED_DB = 12.0
"""A level nearer to the output's than this is balanced: a factor of four from one end of the network to the other."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a change would make of the level at the trunk's far end.

    Attributes:
        level_db: The level relative to the network's output, dB.
        scatter_db: By how much it wanders from one draw of the weights to another: its standard deviation, dB.
    """

    level_db: float
    scatter_db: float


def forecast_level(run: Run, snapshot_index: int, label: str) -> Forecast | None:
    """Foretell the level at the trunk's far end after a cure.

    Args:
        run: The run.
        snapshot_index: The full measurement to start from.
        label: The cure's label.

    Returns:
        The forecast; None where the cure does not act on how signals go through the network, or where too little was
        measured to say.
    """
    network = read_network(run, snapshot_index)
    return None if network is None else forecast_of(run, network, pass_through(network, Pass(Changes()), None), label)


def forecast_of(run: Run, network: Network, present: Pass, label: str) -> Forecast | None:
    """The forecast for one cure of a network whose present is known."""
    changes = changes_of(run, label)
    if changes is None or not network.unknown <= changes.weights.keys():
        return None
    future = pass_through(network, Pass(changes), present)
    wandering = wandering_of(network, future, is_orthogonal="redraw_weights:critical" in label)
    level_db = -0.5 * DECIBELS_PER_NAT * wandering
    for rank, place in enumerate(network.places):
        if place.block is not None:
            level_db += block_gain_db(place, place.block, present, future)
        elif rank:
            level_db += future.gains_db[place.layer.name]
        else:
            level_db += future.gains_db[place.layer.name] if not math.isnan(place.gain_db) else future.gains_db[""]
    if not math.isfinite(level_db):
        return None
    return Forecast(level_db, DECIBELS_PER_NAT * math.sqrt(wandering))


def best_change(run: Run, snapshot_index: int, labels: Sequence[str]) -> tuple[str, Forecast] | None:
    """The first of several cures that would balance the gain budget, as far as can be foretold.

    Args:
        run: The run.
        snapshot_index: The full measurement to start from.
        labels: Labels of cures, best first; those that do not act on how signals go through the network are passed
            over, and so are those whose level wanders too far from draw to draw to be foretold.

    Returns:
        Its label and forecast; where none balances the budget the one that comes nearest; None where nothing can be
        foretold.
    """
    network = read_network(run, snapshot_index)
    if network is None:
        return None
    present = pass_through(network, Pass(Changes()), None)
    foretold = ((label, forecast_of(run, network, present, label)) for label in labels)
    sure = [(label, found) for label, found in foretold if found is not None and found.scatter_db <= MOST_SCATTER_DB]
    balanced = (one for one in sure if abs(one[1].level_db) <= BALANCED_DB)
    return next(balanced, min(sure, key=lambda one: abs(one[1].level_db), default=None))


def wandering_of(network: Network, future: Pass, *, is_orthogonal: bool) -> float:
    """Variance of the logarithm of the gradient's square over draws of the weights, from the output to the input.

    The gradients of a batch point in few directions: at the output in as many as it has units, and in fewer the
    farther they have come through random weights. Where they are many, what they meet by chance evens out.

    Args:
        network: The network; blocks, in which the skip keeps the gradient, and convolutions, which have many places,
            are taken to have none.
        future: The pass after the change.
        is_orthogonal: The weights are drawn orthogonal: then chance is only in which part of them meets a flat slope.
    """
    variance, alike = 0.0, 1.0
    kinds = list(accumulate(network.places, fed_by, initial=""))
    for place, kind in zip(reversed(network.places), reversed(kinds[:-1]), strict=True):
        layer, units = place.layer, float(place.layer.unit_count or 1)
        if place is network.places[-1]:
            alike = 1.0 / max(1.0, units - 1.0)
        if layer.kind == "Linear" and layer.fan_in:
            alike = min(1.0, alike + 1.0 / layer.fan_in)
        is_hidden = layer.activation in ACTIVATIONS and place.block is None and layer.name in future.entering
        if is_hidden and kind == "Linear":
            square = max(future.entering[layer.name].square, LEAST_SQUARE)
            activation = future.changes.activations.get(layer.name, str(layer.activation))
            excess = slope_excess(activation, round(math.log(square), 3))
            variance += alike * (3.0 * (excess - 1.0) if is_orthogonal else 3.0 * excess - 1.0) / units
    return variance


def fed_by(kind: str, place: Place) -> str:
    """Kind of the last layer with weights up to a place, given that up to the place before it."""
    return place.layer.kind if place.layer.fan_in else kind


def block_gain_db(place: Place, block: Block, present: Pass, future: Pass) -> float:
    """Gain of a block with the gains that its layers would have, moved by what the ways inside miss of the present.

    Args:
        place: Its place on the trunk.
        block: Its inside.
        present: The pass as it was measured.
        future: The pass after the change.
    """
    measured = [20.0 * math.log10(max(member.norms.input, 1e-300) / member.norms.output) for member in block.members]
    changed = [
        changed_gain_db(layer.name, measured[index], present, future) for index, layer in enumerate(block.layers)
    ]
    now, factors = power_at_bottom(block, measured, None)
    then, _ = power_at_bottom(block, changed, factors)
    return place.gain_db + 10.0 * math.log10(max(then, 1e-300) / max(now, 1e-300))


def changed_gain_db(name: str, measured_db: float, present: Pass, future: Pass) -> float:
    """Gain of a layer inside a block: by theory where it is changed itself, else moved by as much as theory is."""
    changes, change_db = future.changes, future.gains_db[name] - present.gains_db[name]
    is_changed = name in changes.weights or name in changes.activations
    return future.gains_db[name] if is_changed or not math.isfinite(change_db) else measured_db + change_db


def power_at_bottom(
    block: Block, gains_db: Sequence[float], factors: Mapping[int, float] | None
) -> tuple[float, dict[int, float]]:
    """Squared gradient at a block's input, relative to that at its output.

    Args:
        block: The block.
        gains_db: Gain of each layer.
        factors: What gradients that are not quite orthogonal make of the sum at each layer; None to find them.

    Returns:
        The square, and these factors.
    """
    powers = [0.0] * len(gains_db)
    found: dict[int, float] = {}

    def along(edge: Edge) -> float:
        above = 1.0 if edge.source == TOP else powers[edge.source]
        if edge.gain_db is None and (edge.source == TOP or not edge.is_through):
            return above
        return above * ratio_of(2.0 * (gains_db[edge.source] if edge.gain_db is None else edge.gain_db))

    for index in range(len(gains_db) - 1, -1, -1):
        coming = math.fsum(along(edge) for edge in block.wiring.edges[index])
        measured = (block.members[index].norms.output / block.top) ** 2
        found[index] = (measured / coming if coming > 0.0 else 0.0) if factors is None else factors[index]
        powers[index] = coming * found[index]
    return math.fsum(along(edge) for edge in block.wiring.bottom), found
