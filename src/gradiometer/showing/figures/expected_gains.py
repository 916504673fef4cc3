"""The gain that theory expects of each layer as it is drawn: what random weights of its size do to a gradient."""

import math

from gradiometer.activations import ACTIVATIONS, activation_of
from gradiometer.schema import Layer, Run
from gradiometer.theory.gain import activation_gain_db, linear_gain_db


def expected_gains(run: Run, snapshot_index: int) -> dict[str, float]:
    """Gains that mean-field theory expects along the trunk, from the sizes of weights and outputs alone.

    Args:
        run: The run.
        snapshot_index: The full measurement to read the sizes from.

    Returns:
        Name of a layer to its gain, dB: of linear layers for weights that are independent of the gradient, of
        activations for Gaussian pre-activations of mean 0 and the measured size. Other layers are left out:
        convolutions, too, whose strides and edges theory does not count.
    """
    if not {"output_rms", "trunk_position"} <= run.layer_columns.keys() or "weight_rms" not in run.parameter_columns:
        return {}
    trunk = run.trunk(snapshot_index)
    sizes = run.layer_columns["output_rms"][snapshot_index]
    weights = weights_of(run, snapshot_index)
    expected = {}
    for rank, column in enumerate(trunk):
        before = float(sizes[trunk[rank + 1]]) if rank + 1 < len(trunk) else math.nan
        gain = gain_of(run.layers[column], before, weights)
        if gain is not None:
            expected[run.layers[column].name] = gain
    return expected


def gain_of(layer: Layer, input_rms: float, weights: dict[str, float]) -> float | None:
    """The gain expected of one layer, dB; None where theory says nothing of it."""
    if layer.activation in ACTIVATIONS and math.isfinite(input_rms):
        return activation_gain_db(activation_of(layer.activation), input_rms**2)
    if layer.name in weights and layer.fan_in:
        return linear_gain_db(weights[layer.name], layer.fan_in)
    return None


def weights_of(run: Run, snapshot_index: int) -> dict[str, float]:
    """Root mean square of each linear layer's weight matrix."""
    values = run.parameter_columns["weight_rms"][snapshot_index].tolist()
    return {
        parameter.layer: value
        for parameter, value in zip(run.parameters, values, strict=True)
        if parameter.layer is not None and len(parameter.shape) == 2 and math.isfinite(value)
    }
