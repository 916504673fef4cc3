"""How far the optimizer really moves each layer's weights, step by step, as a share of their size.

Only weights of two dimensions or more count: a bias or a gain starts at zero or one and moves by any share of itself
in the best of health. Frozen weights, weights that no optimizer holds and weights whose learning rate is zero stand
still on purpose and do not count either.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradiometer.schema import FloatArray, Parameter, Run
from gradiometer.units import format_number

USUAL_RATIO = 1e-3
"""Update ratio of a training in good health; Karpathy, CS231n, "Ratio of weights:updates": around 1e-3."""


@dataclass(frozen=True, slots=True)
class WeightMotion:
    """The updates of one layer's weights.

    Attributes:
        layer: The layer.
        parameter: Its weights.
        depth: Rank of the layer in execution order; greater is nearer the output. Where layers were not opened, the
            rank of the weights among the parameters.
        ratios: Update ratio in each full measurement, nan where it was not measured, the weights were all zero, or the
            step brought no gradient at all (`idle_snapshots`).
        late_ratio: Median over the later half of the measurements that count; nan where none was taken.
        gradient_rms: Root mean square of their gradient in each full measurement.
        learning_rates: Learning rate in each full measurement.
        is_still_zero: The weights are exactly zero in all measurements and never move.
    """

    layer: str
    parameter: str
    depth: int
    ratios: FloatArray
    late_ratio: float
    gradient_rms: FloatArray
    learning_rates: FloatArray
    is_still_zero: bool = False


def moving(ratio: float) -> str:
    """How far a step moves weights, in words; a change below what their number format holds is none.

    Example:
        >>> moving(0.002), moving(0.0)
        ('move by 0.002 of their size a step', 'do not move at all')
    """
    return f"move by {format_number(ratio)} of their size a step" if ratio > 0.0 else "do not move at all"


def late_median(values: FloatArray) -> float:
    """Median over the later half of some values, nan among them left out; nan where none is left.

    Example:
        >>> late_median(np.array([9.0, 9.0, 1.0, 3.0]))
        2.0
    """
    later = values[len(values) // 2 :]
    later = later[~np.isnan(later)]
    return float(np.median(later)) if len(later) else float("nan")


def late_medians(values: FloatArray) -> FloatArray:
    """`late_median` of every column of an array [snapshot column].

    Example:
        >>> late_medians(np.array([[9.0, np.nan], [9.0, 4.0], [1.0, np.nan], [3.0, 2.0]])).tolist()
        [2.0, 2.0]
    """
    later = values[len(values) // 2 :]
    found = np.full(values.shape[1], np.nan)
    is_known = ~np.isnan(later).all(axis=0) if len(later) else np.zeros(values.shape[1], dtype=bool)
    if is_known.any():
        found[is_known] = np.nanmedian(later[:, is_known], axis=0)
    return found


def row_medians(values: FloatArray) -> FloatArray:
    """Median of every row of an array [snapshot column], nan among them left out; nan where none is left.

    Sorted as a whole: the median of many short rows one by one takes a hundred times as long.

    Example:
        >>> row_medians(np.array([[3.0, np.nan, 1.0], [np.nan, np.nan, np.nan], [1.0, 9.0, 4.0]])).tolist()
        [2.0, nan, 4.0]
    """
    ordered = np.sort(values, axis=1)
    counts = np.sum(~np.isnan(values), axis=1)
    rows, last = np.arange(len(values)), np.maximum(counts - 1, 0)
    return np.asarray(0.5 * (ordered[rows, last // 2] + ordered[rows, (last + 1) // 2]))


def updates_are_measured(run: Run) -> bool:
    """Whether an optimizer with a learning rate above zero moved weights under our eyes."""
    if run.facts.get("updates_measured") is False or "update_rms" not in run.parameter_columns:
        return False
    rates = run.parameter_columns["learning_rate"]
    moved = run.parameter_columns["update_rms"]
    is_live = np.isnan(rates) | (rates > 0.0)
    return bool(np.any(~np.isnan(moved) & is_live))


def idle_snapshots(run: Run) -> NDArray[np.bool_]:
    """Which full measurements fell on a step that brought no gradient at all, as an empty batch does.

    Such a step says nothing of how a network learns. It is told from one of a network that has died by what comes
    after it, a gradient, or by its loss, exactly zero or no number; a network that has died keeps its loss.

    Returns:
        One flag for each full measurement.
    """
    columns = run.parameter_columns
    if not run.snapshot_count or "gradient_rms" not in columns:
        return np.zeros(run.snapshot_count, dtype=bool)
    signs = np.nan_to_num(columns["gradient_rms"]) + np.nan_to_num(columns["gradient_nonfinite_count"])
    has_gradient: NDArray[np.bool_] = np.asarray((signs > 0.0).any(axis=1))
    comes_back: NDArray[np.bool_] = np.logical_or.accumulate(has_gradient[::-1])[::-1]
    losses = run.snapshot_columns["loss"] if "loss" in run.snapshot_columns else np.ones(run.snapshot_count)
    is_empty = comes_back | (losses == 0.0) | ~np.isfinite(losses)
    return np.asarray(~has_gradient & is_empty & bool(has_gradient.any()))


def weight_motions(run: Run) -> tuple[WeightMotion, ...]:
    """The updates of all weights that are meant to move, from the output's layer to the input's.

    Returns:
        One entry per layer (its largest weights); empty where no update was measured.
    """
    if not updates_are_measured(run):
        return ()
    columns = largest_weights(run)
    numbers = run.parameter_columns
    ratios = dense_ratios(run, columns)
    is_idle = idle_snapshots(run)
    late = late_medians(ratios[~is_idle])
    ratios[is_idle] = np.nan
    weights, updates = numbers["weight_rms"][:, columns], numbers["update_rms"][:, columns]
    still = np.all(weights == 0.0, axis=0) & np.all(updates == 0.0, axis=0)
    depths = {layer.name: rank for rank, layer in enumerate(run.layers)}
    motions = [
        WeightMotion(
            layer=(layer := layer_of(run, run.parameters[column])),
            parameter=run.parameters[column].name,
            depth=depths.get(layer, -1) if depths else column,
            ratios=ratios[:, rank],
            late_ratio=float(late[rank]),
            gradient_rms=numbers["gradient_rms"][:, column],
            learning_rates=numbers["learning_rate"][:, column],
            is_still_zero=bool(still[rank]),
        )
        for rank, column in enumerate(columns)
    ]
    return tuple(sorted(motions, key=lambda motion: -motion.depth))


def layer_of(run: Run, parameter: Parameter) -> str:
    """Name of the layer that owns a parameter, its own name where none does.

    Where no layer was opened, the path before the parameter's own name.

    Example:
        >>> layer_of(Run(), Parameter("body.3.weight", None, (2, 2), "float32"))
        'body.3'
    """
    path = "" if run.layers else parameter.name.rpartition(".")[0]
    return parameter.layer or path or parameter.name


def largest_weights(run: Run) -> list[int]:
    """Columns of each layer's largest weights that are meant to move, in the order of the parameters."""
    meant = meant_to_move(run)
    largest: dict[str, int] = {}
    for column, parameter in enumerate(run.parameters):
        if not meant[column] or len(parameter.shape) < 2 or not parameter.is_trainable or not parameter.is_optimized:
            continue
        layer = layer_of(run, parameter)
        known = largest.get(layer)
        if known is None or parameter.element_count > run.parameters[known].element_count:
            largest[layer] = column
    return sorted(largest.values())


def meant_to_move(run: Run) -> NDArray[np.bool_]:
    """Whether an optimizer with a rate above zero holds a parameter and a gradient came to it, for each parameter."""
    rates = run.parameter_columns["learning_rate"]
    has_rate = (np.isnan(rates) | (rates > 0.0)).any(axis=0)
    return np.asarray(has_rate & ~np.isnan(run.parameter_columns["gradient_rms"]).all(axis=0))


def dense_ratios(run: Run, columns: list[int]) -> FloatArray:
    """Update ratios of some parameters, an array [snapshot parameter] of its own.

    Of a sparse one (an embedding) only the rows that were looked up count.
    """
    ratios: FloatArray = run.parameter_columns["update_ratio"][:, columns].copy()
    kinds = {layer.name: layer.kind for layer in run.layers}
    sparse = [
        k for k, c in enumerate(columns) if kinds.get(layer_of(run, run.parameters[c]), "").startswith("Embedding")
    ]
    for rank in sparse:
        touched = 1.0 - np.nan_to_num(run.parameter_columns["gradient_zero_share"][:, columns[rank]])
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios[:, rank] = np.where(touched > 0.0, ratios[:, rank] / np.sqrt(touched), ratios[:, rank])
    return ratios
