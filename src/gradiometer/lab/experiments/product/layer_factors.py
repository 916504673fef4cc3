"""What a layer makes of the gradient's norm on the way back, measured in drawn networks beside theory's figure.

Theory's factor for one layer is sqrt(sigma_w² E[f'(z)²]), z Gaussian with the variance q that the signal has there. The
signal is followed from the first layer on by the length map, since a network of a few layers need not have come to its
fixed length.

Source:
    Schoenholz et al., "Deep information propagation", ICLR 2017; gradiometer.theory.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradiometer.activations import Activation, activation_from, activation_of
from gradiometer.lab.networks.critical_start import draw_critical
from gradiometer.lab.networks.feed_forward import Array, FeedForward, Start, backward, draw_network, forward
from gradiometer.theory.correlation_map import chi
from gradiometer.theory.critical_scale import critical_scale
from gradiometer.theory.length_map import next_length

FloatArray = NDArray[np.float64]

START_SCALES: dict[Start, tuple[float, float]] = {
    "default": (1.0, 1.0),
    "glorot": (1.0, 0.0),
    "he": (math.sqrt(2.0), 0.0),
    "uniform": (math.sqrt(1.0 / 3.0), 0.0),
}
"""Start to sigma_w and sigma_b between layers of the same width."""


@dataclass(frozen=True, slots=True)
class LayerFactors:
    """Factors on the gradient's norm, layer by layer.

    Attributes:
        measured: For each seed and layer [seed layer].
        expected: Theory's, for each layer [layer].
    """

    measured: FloatArray
    expected: FloatArray

    @property
    def measured_mean(self) -> float:
        """Geometric mean of what was measured."""
        return float(np.exp(np.log(self.measured).mean()))

    @property
    def expected_mean(self) -> float:
        """Geometric mean of theory's factors."""
        return float(np.exp(np.log(self.expected).mean()))


def factors_at_critical(
    activation: str, scale: float, inputs: Array, *, width: int, depth: int, seeds: Sequence[int]
) -> LayerFactors:
    """Factors of a network whose weights are a multiple of the critical scale.

    Args:
        activation: Of the hidden units.
        scale: The multiple.
        inputs: Examples of equal length [example inputs].
        width: Units of a hidden layer.
        depth: Hidden layers.
        seeds: One network for each.
    """
    wanted = critical_scale(activation)
    sizes = (inputs.shape[1], *[width] * depth, 10)
    network = draw_critical(sizes, seeds, activation, inputs, scale=scale, dtype=np.float64)
    known = activation_of(activation)
    mean = wanted.output_mean
    felt = activation_from(
        known.name, lambda x: known.function(x) - mean, known.slope, known.greatest_slope, kinks=known.kinks
    )
    return _factors(network, felt, inputs, scale * wanted.sigma_w, wanted.sigma_b)


def factors_of_start(
    activation: str, start: Start, inputs: Array, *, width: int, depth: int, seeds: Sequence[int]
) -> LayerFactors:
    """Factors of a network with one of the usual starts; arguments as in `factors_at_critical`."""
    sizes = (inputs.shape[1], *[width] * depth, 10)
    network = draw_network(sizes, seeds, start, activation=activation, dtype=np.float64)
    sigma_w, sigma_b = START_SCALES[start]
    return _factors(network, activation_of(activation), inputs, sigma_w, sigma_b)


def _factors(network: FeedForward, felt: Activation, inputs: Array, sigma_w: float, sigma_b: float) -> LayerFactors:
    """Measure a drawn network, and follow the signal through it by theory from where it was measured."""
    passed = forward(network, inputs[None])
    targets = np.eye(network.sizes[-1])[np.arange(len(inputs)) % network.sizes[-1]]
    errors = backward(network, passed, targets[None]).errors[:-1]
    norms = np.stack([np.sqrt(np.square(error).sum(axis=(1, 2))) for error in errors], axis=1)
    q = float(np.square(passed.pre_activations[0]).mean())
    expected = []
    for _ in range(len(errors) - 1):
        expected.append(math.sqrt(chi(felt, q, sigma_w)))
        q = next_length(felt, q, sigma_w, sigma_b)
    return LayerFactors(norms[:, :-1] / norms[:, 1:], np.array(expected))


def of_equal_length(inputs: Array) -> FloatArray:
    """Examples scaled to the same length, √inputs, so that one q holds for all of them."""
    wide = np.asarray(inputs, dtype=np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(wide / lengths * math.sqrt(wide.shape[1]))
