"""How far the optimizer really moves each layer's weights, step by step, as a share of their size.

Only weights of two dimensions or more count: a bias or a gain starts at zero or one and moves by any share of itself
in the best of health. Frozen weights, weights that no optimizer holds and weights whose learning rate is zero stand
still on purpose and do not count either.
"""

from dataclasses import dataclass

import numpy as np

from gradiometer.schema import FloatArray, Parameter, Run

USUAL_RATIO = 1e-3
"""Update ratio of a training in good health; Karpathy, CS231n, "Ratio of weights:updates": around 1e-3."""


@dataclass(frozen=True, slots=True)
class WeightMotion:
    """The updates of one layer's weights.

    Attributes:
        layer: The layer.
        parameter: Its weights.
        depth: Rank of the layer in execution order; greater is nearer the output.
        ratios: Update ratio in each full measurement, nan where it was not measured or the weights were all zero.
        gradient_rms: Root mean square of their gradient in each full measurement.
        learning_rates: Learning rate in each full measurement.
        is_still_zero: The weights are exactly zero in all measurements and never move.
    """

    layer: str
    parameter: str
    depth: int
    ratios: FloatArray
    gradient_rms: FloatArray
    learning_rates: FloatArray
    is_still_zero: bool = False

    @property
    def late_ratio(self) -> float:
        """Median update ratio over the later half of the measurements; nan where none was taken."""
        return late_median(self.ratios)


def late_median(values: FloatArray) -> float:
    """Median over the later half of some values, nan among them left out; nan where none is left.

    Example:
        >>> late_median(np.array([9.0, 9.0, 1.0, 3.0]))
        2.0
    """
    later = values[len(values) // 2 :]
    later = later[~np.isnan(later)]
    return float(np.median(later)) if len(later) else float("nan")


def updates_are_measured(run: Run) -> bool:
    """Whether an optimizer with a learning rate above zero moved weights under our eyes."""
    if run.facts.get("updates_measured") is False or "update_rms" not in run.parameter_columns:
        return False
    rates = run.parameter_columns["learning_rate"]
    moved = run.parameter_columns["update_rms"]
    is_live = np.isnan(rates) | (rates > 0.0)
    return bool(np.any(~np.isnan(moved) & is_live))


def weight_motions(run: Run) -> tuple[WeightMotion, ...]:
    """The updates of all weights that are meant to move, from the output's layer to the input's.

    Returns:
        One entry per layer (its largest weights); empty where no update was measured.
    """
    if not updates_are_measured(run):
        return ()
    depths = {layer.name: rank for rank, layer in enumerate(run.layers)}
    kinds = {layer.name: layer.kind for layer in run.layers}
    largest: dict[str, tuple[int, WeightMotion]] = {}
    for column, parameter in enumerate(run.parameters):
        if not is_meant_to_move(run, column, parameter):
            continue
        layer = parameter.layer or parameter.name
        depth = depths.get(layer, -1)
        motion = motion_of(run, column, layer, depth, is_sparse=kinds.get(layer, "").startswith("Embedding"))
        if layer not in largest or parameter.element_count > largest[layer][0]:
            largest[layer] = (parameter.element_count, motion)
    return tuple(sorted((motion for _, motion in largest.values()), key=lambda motion: -motion.depth))


def is_meant_to_move(run: Run, column: int, parameter: Parameter) -> bool:
    """Whether these are weights that an optimizer with a rate above zero holds and that a gradient came to."""
    if len(parameter.shape) < 2 or not parameter.is_trainable or not parameter.is_optimized:
        return False
    rates = run.parameter_columns["learning_rate"][:, column]
    has_rate = bool(np.any(np.isnan(rates) | (rates > 0.0)))
    return has_rate and not bool(np.all(np.isnan(run.parameter_columns["gradient_rms"][:, column])))


def motion_of(run: Run, column: int, layer: str, depth: int, *, is_sparse: bool) -> WeightMotion:
    """Read one parameter's columns; of a sparse one (an embedding) only the rows that were looked up count."""
    columns = run.parameter_columns
    ratios, gradients = columns["update_ratio"][:, column], columns["gradient_rms"][:, column]
    if is_sparse:
        touched = 1.0 - np.nan_to_num(columns["gradient_zero_share"][:, column])
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.where(touched > 0.0, ratios / np.sqrt(touched), ratios)
    weights, updates = columns["weight_rms"][:, column], columns["update_rms"][:, column]
    return WeightMotion(
        layer=layer,
        parameter=run.parameters[column].name,
        depth=depth,
        ratios=ratios,
        gradient_rms=gradients,
        learning_rates=columns["learning_rate"][:, column],
        is_still_zero=bool(np.all(weights == 0.0) and np.all(updates == 0.0)),
    )
