"""Each layer's gain along the trunk, split into what it comes from; layers add up to the whole, dB.

A gain is split without remainder: an activation's into the greatest slope that it has and what saturation took from
that, a linear or convolutional layer's is its weights', a normalising layer's its normalisation, the rest (pooling,
reshaping, residual sums, dropout) is `other`. Beside its gain a layer with weights shows how far their scale is from
the critical one, at which a network keeps its gradient however deep it is.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

from gradiometer.activations import ACTIVATIONS
from gradiometer.errors import SettingsError
from gradiometer.schema import Layer, Run
from gradiometer.theory.critical_scale import critical_scale
from gradiometer.theory.gain import linear_gain_db
from gradiometer.units import decibels


@dataclass(frozen=True, slots=True)
class GainParts:
    """Where a gain comes from; the parts add up to it.

    Attributes:
        activation_slope_db: Greatest slope that the activation has, dB: -12 for a sigmoid, 0 for tanh and ReLU.
        saturation_db: What its operating point takes from that, dB; about -3 for a healthy ReLU.
        weights_db: Gain of a linear or convolutional layer, dB.
        normalisation_db: Gain of a normalising layer, dB.
        other_db: Everything else: pooling, reshaping, dropout, sums of residual paths.
    """

    activation_slope_db: float = 0.0
    saturation_db: float = 0.0
    weights_db: float = 0.0
    normalisation_db: float = 0.0
    other_db: float = 0.0

    @property
    def gain_db(self) -> float:
        """The parts together, dB."""
        return float(sum(getattr(self, field.name) for field in fields(self)))


@dataclass(frozen=True, slots=True)
class GainEntry:
    """One layer of the trunk.

    Attributes:
        layer: Its name.
        level_db: Level at its output, relative to the network's output, dB; -inf where the gradient is zero.
        gain_db: Its own gain, dB; nan where it was not measured (the last layer asks for no gradient at its input).
        parts: The gain by what it comes from; all 0 where the gain was not measured.
        weights_excess_db: How far its weights are above the critical scale of the activation beside them, dB;
            None for a layer without weights or of unknown fan-in.
    """

    layer: str
    level_db: float
    gain_db: float
    parts: GainParts
    weights_excess_db: float | None = None


@dataclass(frozen=True, slots=True)
class GainBudget:
    """The gains along the trunk in one full measurement.

    Attributes:
        step: Step of that measurement; -1 for an empty budget.
        entries: The trunk from the network's output to its input; empty where none was measured.
        totals: The parts summed over all entries.
    """

    step: int
    entries: tuple[GainEntry, ...]
    totals: GainParts

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
        return GainBudget(-1, (), GainParts())
    snapshot_index %= run.snapshot_count
    trunk = run.trunk(snapshot_index)
    layers = [run.layers[column] for column in trunk]
    levels = [float(run.layer_columns["level_db"][snapshot_index, column]) for column in trunk]
    gains = [float(run.layer_columns["gain_db"][snapshot_index, column]) for column in trunk]
    levels, gains = fill_gaps(levels, gains)
    beside = activations_beside(layers)
    weights = weights_by_name(run, snapshot_index)
    entries = tuple(
        GainEntry(
            layer=layer.name,
            level_db=levels[rank],
            gain_db=gains[rank],
            parts=split_gain(layer, gains[rank]),
            weights_excess_db=weights_excess_db(layer, beside[rank], weights),
        )
        for rank, layer in enumerate(layers)
    )
    return GainBudget(int(run.snapshot_steps[snapshot_index]), entries, add_parts(entry.parts for entry in entries))


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


def split_gain(layer: Layer, gain_db: float) -> GainParts:
    """Split a layer's gain by what it comes from.

    Args:
        layer: The layer.
        gain_db: Its gain, dB; nan gives parts of 0, -inf is saturation's (or the weights', ...) alone.

    Example:
        >>> split_gain(Layer("1", "Sigmoid", "leaf", 1, activation="sigmoid", greatest_slope=0.25), -14.0412)
        ... # doctest: +ELLIPSIS
        GainParts(activation_slope_db=-12.0411..., saturation_db=-2.0000..., weights_db=0.0, ...other_db=0.0)
    """
    if math.isnan(gain_db):
        return GainParts()
    if layer.activation is not None:
        slope_db = decibels(layer.greatest_slope) if layer.greatest_slope else 0.0
        return GainParts(activation_slope_db=slope_db, saturation_db=gain_db - slope_db)
    if layer.fan_in is not None:
        return GainParts(weights_db=gain_db)
    if is_normalising(layer):
        return GainParts(normalisation_db=gain_db)
    return GainParts(other_db=gain_db)


def is_normalising(layer: Layer) -> bool:
    """Whether a layer normalises its input, to judge by its kind (`BatchNorm2d`, `layer_norm`)."""
    kind = layer.kind.lower()
    return "norm" in kind and kind not in {"norm", "weight_norm", "spectral_norm"}


def add_parts(parts: Iterable[GainParts]) -> GainParts:
    """Add up parts, each with its like."""
    kept = list(parts)
    return GainParts(*(sum(getattr(part, field.name) for part in kept) for field in fields(GainParts)))


def activations_beside(layers: Sequence[Layer]) -> list[str | None]:
    """For each layer of the trunk the activation that it feeds, or else the one that feeds it; None for neither.

    Args:
        layers: The trunk from the network's output to its input.

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
    if layer.fan_in is None or not known or critical_db is None or math.isnan(known[0]):
        return None
    return linear_gain_db(known[0], layer.fan_in) - critical_db


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
