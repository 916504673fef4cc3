"""How much of the error arrives at each layer, measured beside expected."""

import math

import torch

from gradiometer.activations import activation_of
from gradiometer.lab.explorer.network import DigitNetwork
from gradiometer.lab.explorer.passing import Passed, levels_db
from gradiometer.schema.explored import Rung
from gradiometer.theory.gain import activation_gain_db, linear_gain_db


def ladder_of(network: DigitNetwork, passed: Passed) -> tuple[Rung, ...]:
    """The levels from the output down to layer 1.

    Expected is what weights of the same root mean square, independent and Gaussian, make of it on average in a wide
    network whose pre-activations have the spread that is measured: what training has arranged, and what luck of the
    draw there is in few units, shows as the difference.

    Args:
        network: The network.
        passed: A batch that was passed through it.
    """
    activation = activation_of(network.settings.activation)
    measured, expected_db = levels_db(passed), 0.0
    rungs = [Rung(network.depth, measured[-1], expected_db)]
    for layer in range(network.depth - 1, 0, -1):
        weight = network.linears[layer].weight.detach()
        expected_db += linear_gain_db(float(weight.square().mean().sqrt()), weight.shape[1])
        signal = passed.pre_activations[layer - 1]
        variance, mean = float(signal.var(correction=0)), float(signal.mean())
        is_finite = math.isfinite(variance) and bool(torch.isfinite(weight).all())
        expected_db += activation_gain_db(activation, variance, mean) if is_finite else math.nan
        rungs.append(Rung(layer, measured[layer - 1], expected_db))
    return tuple(rungs)
