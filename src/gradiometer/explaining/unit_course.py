"""When units died or saturated, where there were most of them, and how many are left."""

from collections.abc import Iterator

import numpy as np

from gradiometer.activations import ACTIVATIONS
from gradiometer.diagnosing.dead import dead_shares, feeding_bias
from gradiometer.diagnosing.saturated import is_two_sided
from gradiometer.explaining.moments import Moment
from gradiometer.schema import FloatArray, Run
from gradiometer.units import format_share

LEAST_EXAMPLES = 128
"""Examples that a unit has to leave unanswered to be told as dead; on fewer, rare units look dead."""

LEAST_SATURATED = 0.05
"""A layer's saturated units are told from this share on: a few are in every healthy network."""

UNIT_WORDS: dict[str, str] = {
    "dead": "they answer no example, and no gradient comes to them",
    "saturated": "they sit where their activation is flat, and hardly let a gradient through",
}
"""What has become of units, and what that means."""


def unit_moments(run: Run) -> Iterator[Moment]:
    """The first dead and the first saturated units, where there were most, and where most are at the end."""
    if not run.layers or not run.snapshot_count:
        return
    for word, shares, least in (("dead", dead_grid(run), 0.0), ("saturated", saturated_grid(run), LEAST_SATURATED)):
        known = np.nan_to_num(shares)
        rows = np.flatnonzero((known > least).any(axis=1))
        if not len(rows):
            continue
        first, most = int(rows[0]), int(np.argmax(known.max(axis=1)))
        last = int(np.flatnonzero(~np.isnan(shares).all(axis=1))[-1])
        words = f"The first {word} units were seen, {most_of(run, known[first])} ({UNIT_WORDS[word]})."
        later = [f"{most_of(run, known[row])} {at_step(run, row)}" for row in sorted({most, last} - {first})]
        if later:
            words += f" There were {', then '.join(later)}."
        yield Moment(int(run.snapshot_steps[first]), "units", words)


def dead_grid(run: Run) -> FloatArray:
    """Share of dead units of each rectifier, as `dead` judges it, an array [snapshot layer]; nan for other layers."""
    grid = np.full((run.snapshot_count, len(run.layers)), np.nan)
    if "dead_share" not in run.layer_columns or "gradient_zero_share" not in run.parameter_columns:
        return grid
    biases = {parameter.name: column for column, parameter in enumerate(run.parameters) if len(parameter.shape) == 1}
    for column, layer in enumerate(run.layers):
        known = ACTIVATIONS.get(layer.activation or "")
        if known is not None and known.is_rectifier:
            grid[:, column] = dead_shares(run, column, feeding_bias(run, column, biases), LEAST_EXAMPLES)
    return grid


def saturated_grid(run: Run) -> FloatArray:
    """Share of saturated units of each activation that is flat on both sides, an array [snapshot layer]."""
    grid = np.full((run.snapshot_count, len(run.layers)), np.nan)
    if "saturated_share" in run.layer_columns:
        columns = [column for column, layer in enumerate(run.layers) if is_two_sided(layer)]
        grid[:, columns] = run.layer_columns["saturated_share"][:, columns]
    return grid


def at_step(run: Run, row: int) -> str:
    """When a full measurement was taken."""
    return f"at step {int(run.snapshot_steps[row])}"


def most_of(run: Run, shares: FloatArray) -> str:
    """How many units of the layer that has the greatest share, with its name; none where no layer has any."""
    most = int(np.argmax(shares))
    return count_of(run, most, shares) if shares[most] > 0.0 else "none"


def count_of(run: Run, index: int, shares: FloatArray) -> str:
    """How many units of a layer, with its name."""
    layer, share = run.layers[index], float(shares[index])
    if layer.unit_count:
        return f"{round(share * layer.unit_count)} of {layer.unit_count} in layer {layer.name}"
    return f"{format_share(share)} in layer {layer.name}"
