"""What a gain comes from: the parts, and one layer's gain split into them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

from gradiometer.activations import ACTIVATIONS
from gradiometer.errors import SettingsError
from gradiometer.schema import Layer
from gradiometer.theory.critical_scale import critical_scale
from gradiometer.units import decibels


@dataclass(frozen=True, slots=True)
class GainParts:
    """Where a gain comes from; the parts add up to it, dB.

    Attributes:
        activation_slope_db: Greatest slope that the activation has: -12 for a sigmoid, 0 for tanh and ReLU.
        saturation_db: What its operating point takes from that; about -3 for a healthy ReLU.
        weights_critical_db: What weights at the critical scale of the activation beside them would give: 0 for tanh,
            3 for ReLU, 12 for the sigmoid.
        weights_excess_db: How far a linear or convolutional layer is above that, by their scale, the width, and how
            well they fit the gradient.
        normalisation_db: Gain of a normalising layer.
        pooling_db: Gain of pooling and of dropout.
        recurrence_db: Gain of a recurrent layer from its output to its input.
        skip_db: What paths win or lose by meeting: two that both keep a gradient make 3 dB more of it.
        output_unit_db: Gain of the output unit: a softmax or sigmoid that ends the network.
        other_db: Everything else: attention, reshaping, operations that are no layer.
    """

    activation_slope_db: float = 0.0
    saturation_db: float = 0.0
    weights_critical_db: float = 0.0
    weights_excess_db: float = 0.0
    normalisation_db: float = 0.0
    pooling_db: float = 0.0
    recurrence_db: float = 0.0
    skip_db: float = 0.0
    output_unit_db: float = 0.0
    other_db: float = 0.0

    @property
    def gain_db(self) -> float:
        """The parts together, dB."""
        return float(sum(getattr(self, name) for name in PART_NAMES))

    @property
    def weights_db(self) -> float:
        """Both parts of the weights together, dB."""
        return self.weights_critical_db + self.weights_excess_db


PART_NAMES: tuple[str, ...] = tuple(spec.name for spec in fields(GainParts))
"""The parts by name."""

RECURRENT_KINDS = frozenset({"RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"})
"""Classes of torch's recurrent layers."""

POOLING_WORDS = ("pool", "dropout", "upsample", "interpolate")
"""What the kinds of layers that pool, drop or repeat are called."""


def split_gain(layer: Layer, gain_db: float, beside: str | None = None, *, is_output_unit: bool = False) -> GainParts:
    """Split a layer's gain by what it comes from.

    Args:
        layer: The layer.
        gain_db: Its gain, dB; nan gives parts of 0, -inf is saturation's (or the weights', ...) alone.
        beside: The activation beside its weights.
        is_output_unit: It ends the network behind the last weights.

    Example:
        >>> sigmoid = Layer("1", "Sigmoid", "leaf", 1, activation="sigmoid", greatest_slope=0.25)
        >>> parts = split_gain(sigmoid, -14.0412)
        >>> round(parts.activation_slope_db, 4), round(parts.saturation_db, 4)
        (-12.0412, -2.0)
    """
    if math.isnan(gain_db):
        return GainParts()
    if is_output_unit and (layer.activation is not None or "softmax" in layer.kind.lower()):
        return GainParts(output_unit_db=gain_db)
    if layer.activation is not None:
        slope_db = decibels(layer.greatest_slope) if layer.greatest_slope else 0.0
        return GainParts(activation_slope_db=slope_db, saturation_db=gain_db - slope_db)
    if layer.kind in RECURRENT_KINDS:
        return GainParts(recurrence_db=gain_db)
    if layer.fan_in is not None:
        critical_db = critical_weights_db(beside) or 0.0
        return GainParts(weights_critical_db=critical_db, weights_excess_db=gain_db - critical_db)
    if is_normalising(layer):
        return GainParts(normalisation_db=gain_db)
    if any(word in layer.kind.lower() for word in POOLING_WORDS):
        return GainParts(pooling_db=gain_db)
    return GainParts(other_db=gain_db)


def is_normalising(layer: Layer) -> bool:
    """Whether a layer normalises its input, to judge by its kind (`BatchNorm2d`, `layer_norm`)."""
    kind = layer.kind.lower()
    return "norm" in kind and kind not in {"norm", "weight_norm", "spectral_norm"}


def add_parts(parts: Iterable[GainParts]) -> GainParts:
    """Add up parts, each with its like."""
    kept = list(parts)
    return GainParts(*(float(sum(getattr(part, name) for part in kept)) for name in PART_NAMES))


def activations_beside(layers: Sequence[Layer]) -> list[str | None]:
    """For each layer of a row the activation that it feeds, or else the one that feeds it; None for neither.

    Args:
        layers: The row from the network's output to its input.

    Example:
        >>> names = [Layer("2", "Linear", "leaf", 2), Layer("1", "Tanh", "leaf", 1, activation="tanh")]
        >>> activations_beside(names)
        ['tanh', None]
    """
    beside: list[str | None] = []
    fed: str | None = None
    for layer in layers:
        beside.append(fed)
        fed = layer.activation or fed
    feeding: str | None = None
    for rank in range(len(layers) - 1, -1, -1):
        beside[rank] = beside[rank] or feeding
        feeding = layers[rank].activation or feeding
    return beside


@lru_cache(maxsize=64)
def critical_weights_db(activation: str | None) -> float | None:
    """Gain of weights at the critical scale of an activation, dB: 0 for tanh, 3 for ReLU, 12 for the sigmoid.

    Args:
        activation: A key of `ACTIVATIONS`; None for a linear network.

    Returns:
        20·log10 of the critical sigma_w; None for an activation that has none.

    Example:
        >>> [round(critical_weights_db(name), 2) for name in ("tanh", "relu", "sigmoid")]
        [0.0, 3.01, 12.04]
    """
    if activation is None:
        return 0.0
    if activation not in ACTIVATIONS:
        return None
    try:
        return decibels(critical_scale(ACTIVATIONS[activation]).sigma_w)
    except SettingsError:
        return None
