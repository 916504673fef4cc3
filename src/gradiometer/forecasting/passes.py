"""The signal followed through a measured network from its input to its output, as it is or as it would be."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from gradiometer.activations import ACTIVATIONS
from gradiometer.forecasting.changes import Changes, Weights
from gradiometer.forecasting.network import Block, Network, Place
from gradiometer.forecasting.signals import (
    LEAST_SQUARE,
    Signal,
    Step,
    through_activation,
    through_new_norm,
    through_weights,
)
from gradiometer.gain_budget import TOP, Edge, is_normalising
from gradiometer.schema import Layer
from gradiometer.units import decibels, ratio_of

MOST_GEOMETRY_DB = 6.0
"""More than this the edges of a convolution don't take; what goes beyond is what its weights have learned."""

LEAST_SPREAD = 0.3
"""Share of a signal's mean square that has to be its spread for what pooling does to that to be told."""


@dataclass(slots=True)
class Pass:
    """One way through a network.

    Attributes:
        changes: What is other than it was measured.
        entering: The signal that came to each layer.
        leaving: The signal behind it.
        gains_db: Its gain.
    """

    changes: Changes
    entering: dict[str, Signal] = field(default_factory=dict)
    leaving: dict[str, Signal] = field(default_factory=dict)
    gains_db: dict[str, float] = field(default_factory=dict)


def pass_through(network: Network, here: Pass, present: Pass | None) -> Pass:
    """Follow the signal from the input to the output.

    Args:
        network: The network.
        here: The pass to fill in.
        present: The pass as it was measured; None where this is that one.
    """
    signal = enter(network, network.places[0], here)
    for place in network.places[1:]:
        if place.block is None:
            signal = pass_layer(network, place.layer, signal, here, present)
        else:
            signal = pass_block(network, place.block, signal, here, present)
    return here


def enter(network: Network, place: Place, here: Pass) -> Signal:
    """The signal behind the trunk's first layer; what gain a norm that is put in there has is kept under no name."""
    name = place.layer.name
    here.gains_db[name], here.gains_db[""] = network.gains_db.get(name, 0.0), 0.0
    old = network.weights.get(name, Weights(0.0))
    weights = here.changes.weights.get(name, old)
    square, from_input = network.squares.get(name, 1.0), entering_ratio(network, place.layer, old)
    if name in here.changes.weights and not math.isnan(from_input):
        square = from_input * weights.sigma**2 + weights.bias_square
    signal = Signal(square, 0.0, max(square - weights.bias_square, 0.0) * network.input_share)
    if name in here.changes.norms:
        step = through_new_norm(signal, here.changes.norms[name], rank_before(network, place.layer))
        signal, here.gains_db[""] = step.signal, step.gain_db
    here.entering[name] = here.leaving[name] = signal
    return signal


def entering_ratio(network: Network, layer: Layer, old: Weights) -> float:
    """Mean square behind the trunk's first layer for weights of scale 1, without biases; nan where it is not known."""
    known = network.squares.get(layer.name, math.nan) - old.bias_square
    measured = known / old.sigma**2 if old.sigma > 0.0 and known > 0.0 else math.nan
    if math.isnan(network.entering):
        return measured
    if "Conv" not in layer.kind or math.isnan(measured):
        return network.entering
    return min(network.entering, max(network.entering * ratio_of(-MOST_GEOMETRY_DB) ** 2, measured))


def rank_before(network: Network, layer: Layer) -> float:
    """About how many directions the batch has that comes to a layer with weights."""
    examples = float(network.batch_size) if layer.kind == "Linear" else math.inf
    return 1.0 / (1.0 / float(layer.fan_in or 1) + 1.0 / examples)


def pass_layer(network: Network, layer: Layer, signal: Signal, here: Pass, present: Pass | None) -> Signal:
    """Follow the signal through one layer."""
    name = layer.name
    here.entering[name] = signal
    step = step_of(network, layer, signal, here, present)
    if present is None and name in network.squares:
        square = max(network.squares[name], LEAST_SQUARE)
        step = Step(step.signal.times(square / max(step.signal.square, LEAST_SQUARE)), step.gain_db)
    if name in here.changes.norms:
        norm = through_new_norm(step.signal, here.changes.norms[name], rank_before(network, layer))
        step = Step(norm.signal, step.gain_db + norm.gain_db)
    here.leaving[name], here.gains_db[name] = step.signal, step.gain_db
    return step.signal


def step_of(network: Network, layer: Layer, signal: Signal, here: Pass, present: Pass | None) -> Step:
    """What one layer does to the signal and to the gradient."""
    name = layer.name
    weights = here.changes.weights.get(name, network.weights.get(name))
    if weights is not None:
        return through_weights(signal, weights, geometry_db(network, layer))
    if layer.activation not in ACTIVATIONS:
        return unchanged(network, layer, signal, present)
    activation = here.changes.activations.get(name, str(layer.activation))
    step = through_activation(signal, activation)
    # Of a sum's distribution theory knows less than the measurement does.
    is_kept = present is not None and signal.values is not None and activation == layer.activation
    return moved(network, layer, step, present) if is_kept and present is not None else step


def geometry_db(network: Network, layer: Layer) -> float:
    """What edges take from a convolution: its measured gain less that of its weights' scale, dB, 0 at most."""
    name = layer.name
    if "Conv" not in layer.kind or name not in network.gains_db or name not in network.weights:
        return 0.0
    if not network.weights[name].sigma > 0.0:
        return 0.0
    missing_db = network.gains_db[name] - decibels(network.weights[name].sigma)
    return max(-MOST_GEOMETRY_DB, min(0.0, missing_db))


def moved(network: Network, layer: Layer, step: Step, present: Pass) -> Step:
    """A step by theory, moved by what theory misses of the present one."""
    name = layer.name
    theory = through_activation(present.entering[name], str(layer.activation))
    missed_db = network.gains_db.get(name, theory.gain_db) - theory.gain_db
    ratio = network.squares.get(name, theory.signal.square) / max(theory.signal.square, LEAST_SQUARE)
    return Step(step.signal.times(ratio), step.gain_db + missed_db)


def unchanged(network: Network, layer: Layer, signal: Signal, present: Pass | None) -> Step:
    """What a layer does that no change touches, told from what was measured: norms, pooling, attention, reshaping."""
    name = layer.name
    gain_db = network.gains_db.get(name, 0.0)
    before = signal if present is None else present.entering[name]
    after = network.squares.get(name, before.square)
    if "avg" in layer.kind.lower() and "pool" in layer.kind.lower():
        return Step(averaged(signal, before, after, gain_db), gain_db)
    if not is_normalising(layer):
        return Step(signal.times(after / max(before.square, LEAST_SQUARE)), gain_db)
    by_example = "layer" in layer.kind.lower() or "group" in layer.kind.lower() or "rms" in layer.kind.lower()
    sizes = (signal.square, before.square) if by_example else (signal.spread, before.spread)
    alike = min(1.0, signal.spread / max(signal.square, LEAST_SQUARE)) if by_example else 1.0
    change_db = 10.0 * math.log10(max(sizes[0], LEAST_SQUARE) / max(sizes[1], LEAST_SQUARE))
    return Step(Signal(max(after, LEAST_SQUARE), 0.0, after * alike), gain_db - change_db)


def averaged(signal: Signal, before: Signal, after: float, gain_db: float) -> Signal:
    """A signal behind average pooling, which keeps what all examples have in common and evens out the rest.

    Args:
        signal: What comes in.
        before: What was measured to come in.
        after: Mean square that was measured behind it.
        gain_db: Its gain, which tells how many elements it averages.
    """
    least = ratio_of(min(0.0, gain_db)) ** 2
    kept = least
    if before.spread > LEAST_SPREAD * before.square:
        kept = min(1.0, max(least, (after - before.square + before.spread) / before.spread))
    steady = max(signal.square - signal.spread, 0.0)
    square = max(steady + kept * signal.spread, LEAST_SQUARE)
    return Signal(square, signal.mean, kept * signal.spread)


def pass_block(network: Network, block: Block, signal: Signal, here: Pass, present: Pass | None) -> Signal:
    """Follow the signal through a block: over all its ways, to where they meet."""
    edges, bottom = block.wiring.edges, block.wiring.bottom
    skips = [edge.source for edge in bottom if not edge.is_through]
    leaving: list[Signal] = []
    for index, layer in enumerate(block.layers):
        coming = [leaving[earlier] for earlier in range(index) if Edge(index) in edges[earlier]]
        coming += [signal] * (Edge(index) in bottom)
        coming += [signal for skip in skips if skip != TOP and Edge(index) in edges[skip]]
        coming = coming or [leaving[k] for k in range(index) if any(edge.source == index for edge in edges[k])][-1:]
        entering = total(coming) if coming else signal
        leaving.append(pass_layer(network, layer, entering, here, present))
    meeting = [leaving[index] for index in range(len(leaving)) if Edge(TOP) in edges[index]]
    meeting += [signal for skip in skips if skip == TOP or Edge(TOP) in edges[skip]]
    if meeting:
        return total(meeting)
    parts = [leaving[k] for k in range(len(leaving)) if any(edge.source == TOP for edge in edges[k])]
    return total(parts).times(1.0 / len(parts)) if parts else signal


def total(signals: Sequence[Signal]) -> Signal:
    """The sum of signals that know nothing of each other."""
    found = signals[0]
    for signal in signals[1:]:
        found = found.plus(signal)
    return found
