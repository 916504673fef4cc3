"""What a cure would change of a network, told from its run and the cure's label, without torch."""

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from gradiometer.activations import ACTIVATIONS
from gradiometer.errors import SettingsError
from gradiometer.gain_budget import is_normalising
from gradiometer.schema import Layer, Run
from gradiometer.theory.critical_scale import CriticalScale, critical_scale

DRAWN_KINDS = ("Linear", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")
"""Kinds of layers whose weights a cure draws anew."""

GATES = frozenset({"sigmoid", "hardsigmoid"})
"""Activations that open and close a way where they stand beside the trunk."""

SEQUENCE_KINDS = frozenset({"Embedding", "EmbeddingBag", "RNN", "LSTM", "GRU", "MultiheadAttention", "LayerNorm"})
"""Kinds of layers that tell a network that works on sequences."""

SMALLEST_BATCH = 4
"""Batches below are normalised example by example."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Scale of one layer's weights and biases.

    Attributes:
        sigma: Root mean square of its weights times the root of its fan-in.
        bias_square: Mean square of its biases.
        taken_mean: Mean of its inputs that the biases take out.
    """

    sigma: float
    bias_square: float = 0.0
    taken_mean: float = 0.0


@dataclass(frozen=True, slots=True)
class Changes:
    """What is other than it was measured.

    Attributes:
        weights: Scales by layer.
        activations: Names of activations by layer.
        norms: Kind of normalisation (`batch`, `layer`) that follows a layer, by that layer's name.
    """

    weights: Mapping[str, Weights] = field(default_factory=dict)
    activations: Mapping[str, str] = field(default_factory=dict)
    norms: Mapping[str, str] = field(default_factory=dict)


def changes_of(run: Run, label: str) -> Changes | None:
    """What a cure, or several joined with `+`, would change.

    Args:
        run: The run it is for.
        label: The cure's label, `exchange_activation:relu+redraw_weights:he`.

    Returns:
        The changes; None where they are no matter of how a signal goes through the network (another optimizer), or
        the cure would find nothing to change.
    """
    changes: Changes | None = Changes()
    for part in label.split("+"):
        name, _, setting = part.partition(":")
        change = {"exchange_activation": exchanged, "redraw_weights": redrawn, "insert_normalisation": normalised}
        changes = change[name](run, setting, changes) if changes is not None and name in change else None
    return changes


def drawn_layers(run: Run) -> list[Layer]:
    """Linear and convolutional layers whose weights are trained, in the order of execution."""
    trained = {parameter.name for parameter in run.parameters if parameter.is_trainable and len(parameter.shape) > 1}
    known = (layer for layer in run.layers if layer.kind in DRAWN_KINDS and layer.fan_in and layer.role == "leaf")
    return sorted((layer for layer in known if trained & set(layer.parameters)), key=lambda layer: layer.position)


def hidden_activations(run: Run, changes: Changes) -> dict[str, str]:
    """Names of the activations between layers, by layer; a sigmoid off the trunk is taken for a gate and stays."""
    drawn = drawn_layers(run)
    last = drawn[-1].position if drawn else -1
    positions = run.layer_columns.get("trunk_position", np.zeros((1, len(run.layers))))
    on_trunk = set(np.flatnonzero(~np.isnan(positions).all(axis=0)).tolist())
    found = {
        layer.name: layer.activation
        for column, layer in enumerate(run.layers)
        if layer.activation and layer.position < last and (column in on_trunk or layer.activation not in GATES)
    }
    return {**found, **{name: kind for name, kind in changes.activations.items() if name in found}}


def exchanged(run: Run, setting: str, changes: Changes) -> Changes | None:
    """The hidden activations of smallest slope exchanged for another."""
    target = setting or "relu"
    kinds = hidden_activations(run, changes)
    counts = Counter(kind for kind in kinds.values() if kind != target and kind in ACTIVATIONS)
    if not counts or target not in ACTIVATIONS:
        return None
    weak = min(sorted(counts), key=lambda kind: (ACTIVATIONS[kind].greatest_slope, -counts[kind]))
    new = {name: target for name, kind in kinds.items() if kind == weak}
    return replace(changes, activations={**changes.activations, **new})


def redrawn(run: Run, setting: str, changes: Changes) -> Changes | None:
    """All weights drawn anew by one of the schemes of the cure of that name."""
    layers = drawn_layers(run)
    if len(layers) < 2:
        return None
    scheme = setting or "critical"
    if scheme != "critical":
        new = {layer.name: textbook_weights(layer, scheme, is_last=layer is layers[-1]) for layer in layers}
        return replace(changes, weights={**changes.weights, **new})
    counts = Counter(hidden_activations(run, changes).values())
    scale = known_scale(max(counts, key=lambda kind: counts[kind])) if counts else None
    if scale is None:
        return None
    entry = math.sqrt(max(scale.entry_rms**2 - scale.sigma_b**2, 0.0)) / input_rms(run)
    hidden = Weights(scale.sigma_w, scale.sigma_b**2, scale.output_mean)
    ends = {
        layers[0].name: Weights(entry, scale.sigma_b**2),
        layers[-1].name: Weights(1.0, 0.0, scale.output_mean),
    }
    return replace(changes, weights={**changes.weights, **{layer.name: hidden for layer in layers}, **ends})


def textbook_weights(layer: Layer, scheme: str, *, is_last: bool) -> Weights:
    """Glorot's scale, or He's for all but the output layer."""
    fan_in, fan_out = float(layer.fan_in or 1), float(layer.fan_out or 1)
    if scheme == "he" and not is_last:
        return Weights(math.sqrt(2.0))
    return Weights(math.sqrt(2.0 * fan_in / (fan_in + fan_out)))


@lru_cache(maxsize=64)
def known_scale(activation: str) -> CriticalScale | None:
    """The critical scale of an activation by name; None where it has none."""
    try:
        return critical_scale(ACTIVATIONS[activation]) if activation in ACTIVATIONS else None
    except SettingsError:
        return None


def input_rms(run: Run) -> float:
    """Root mean square of the network's input as it was first measured; 1 where it is not known."""
    measured = np.asarray(run.snapshot_columns.get("input_rms", np.zeros(0)))
    usable = measured[np.isfinite(measured) & (measured > 0.0)]
    return float(usable[0]) if len(usable) else 1.0


def normalised(run: Run, setting: str, changes: Changes) -> Changes | None:
    """A norm behind every hidden layer that has an activation and no norm before the next layer with weights."""
    layers = drawn_layers(run)
    is_sequence = any(layer.kind in SEQUENCE_KINDS for layer in run.layers)
    is_small = int(run.facts.get("batch_size") or SMALLEST_BATCH) < SMALLEST_BATCH
    norms = {}
    ordered = sorted(run.layers, key=lambda layer: layer.position)
    positions = [layer.position for layer in ordered]
    for layer, following in zip(layers, layers[1:], strict=False):
        between = ordered[bisect_right(positions, layer.position) : bisect_left(positions, following.position)]
        if any(one.activation for one in between) and not any(is_normalising(one) for one in between):
            by_example = is_small or (is_sequence and layer.kind == "Linear")
            norms[layer.name] = setting or ("layer" if by_example else "batch")
    return replace(changes, norms=norms) if norms else None


def weights_now(run: Run, snapshot_index: int, layers: Sequence[Layer]) -> dict[str, Weights]:
    """Scale of all weights and biases as they were measured, by layer; layers of unknown fan-in left out."""
    sizes = run.parameter_columns.get("weight_rms")
    if sizes is None:
        return {}
    known = {
        parameter.name: (len(parameter.shape), float(size))
        for parameter, size in zip(run.parameters, sizes[snapshot_index], strict=True)
    }
    found = {}
    for layer in layers:
        own = [known[name] for name in layer.parameters if name in known]
        matrices = [size for dimensions, size in own if dimensions > 1]
        biases = [size for dimensions, size in own if dimensions == 1 and not math.isnan(size)]
        if layer.fan_in and matrices and not math.isnan(matrices[0]):
            bias_square = biases[0] ** 2 if biases else 0.0
            found[layer.name] = Weights(matrices[0] * math.sqrt(layer.fan_in), bias_square)
    return found
