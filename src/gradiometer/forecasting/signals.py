"""How a signal goes forward through one layer and a gradient back, by mean-field theory."""

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from gradiometer.activations import ACTIVATIONS
from gradiometer.forecasting.changes import Weights
from gradiometer.schema import FloatArray
from gradiometer.theory.gain import activation_gain_db
from gradiometer.theory.moments import mean_output, mean_square
from gradiometer.units import decibels

POPULATION = 1024
"""Values that stand for a distribution that is not Gaussian."""

GAUSSIAN = np.array([NormalDist().inv_cdf((rank + 0.5) / POPULATION) for rank in range(POPULATION)])
GAUSSIAN /= math.sqrt(float(np.mean(GAUSSIAN**2)))
"""Values of a Gaussian of mean square 1, equally likely."""

LEAST_SQUARE = 1e-200
"""Mean squares are kept above this, so that ratios of them exist."""


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal at one point of a network, over all its elements.

    Attributes:
        square: Mean square.
        mean: Mean.
        spread: Variance of one element over the examples: 0 where all examples are alike.
        values: As many values as stand for its distribution, in no order; None for a Gaussian of mean zero.
    """

    square: float
    mean: float = 0.0
    spread: float = 0.0
    values: FloatArray | None = None

    def population(self, seed: int = 0) -> FloatArray:
        """Values that stand for its distribution, in the order that a seed gives them."""
        values = math.sqrt(self.square) * GAUSSIAN if self.values is None else self.values
        return np.asarray(np.random.default_rng(seed).permutation(values))

    def plus(self, other: "Signal") -> "Signal":
        """The sum of two signals that know nothing of each other."""
        square = self.square + other.square + 2.0 * self.mean * other.mean
        is_gaussian = self.values is None and other.values is None
        values = None if is_gaussian else self.population() + other.population(1)
        return Signal(square, self.mean + other.mean, self.spread + other.spread, values)

    def times(self, ratio: float) -> "Signal":
        """The signal with its mean square multiplied."""
        root = math.sqrt(ratio)
        values = None if self.values is None else self.values * root
        return Signal(self.square * ratio, self.mean * root, self.spread * ratio, values)


@dataclass(frozen=True, slots=True)
class Step:
    """What one layer does.

    Attributes:
        signal: The signal behind it.
        gain_db: Its gain on the gradient's way back, dB.
    """

    signal: Signal
    gain_db: float


def through_weights(signal: Signal, weights: Weights, geometry_db: float = 0.0) -> Step:
    """Through a linear or convolutional layer whose weights are drawn at random.

    Args:
        signal: What comes in.
        weights: Their scale.
        geometry_db: What the edges of a convolution take, dB.
    """
    ratio = weights.sigma**2 * 10.0 ** (geometry_db / 10.0)
    centred = signal.square - 2.0 * weights.taken_mean * signal.mean + weights.taken_mean**2
    square = ratio * max(centred, 0.0) + weights.bias_square
    return Step(Signal(max(square, LEAST_SQUARE), 0.0, ratio * signal.spread), decibels(weights.sigma) + geometry_db)


def through_activation(signal: Signal, activation: str) -> Step:
    """Through an activation.

    Args:
        signal: What comes in.
        activation: Its name.
    """
    if signal.values is None:
        log_square = round(math.log(max(signal.square, LEAST_SQUARE)), 3)
        square, mean, gain_db, leaving = moments_of(activation, log_square)
    else:
        leaving = ACTIVATIONS[activation].function(signal.values)
        square, mean = float(np.mean(leaving**2)), float(np.mean(leaving))
        gain_db = decibels(math.sqrt(float(np.mean(ACTIVATIONS[activation].slope(signal.values) ** 2))))
    unlike = min(1.0, signal.spread / max(signal.square - signal.mean**2, LEAST_SQUARE))
    spread = unlike * max(square - mean**2, 0.0)
    return Step(Signal(max(square, LEAST_SQUARE), mean, spread, leaving), gain_db)


@lru_cache(maxsize=4096)
def moments_of(activation: str, log_square: float) -> tuple[float, float, float, FloatArray]:
    """Of an activation, at the logarithm of a mean square: its output's mean square and mean, its gain, its values."""
    known, square = ACTIVATIONS[activation], math.exp(log_square)
    values = known.function(math.sqrt(square) * GAUSSIAN)
    return mean_square(known, square), mean_output(known, square), activation_gain_db(known, square), values


@lru_cache(maxsize=4096)
def slope_excess(activation: str, log_square: float) -> float:
    """Mean fourth power of an activation's slope over the square of its mean square: 1 for a line, 2 for ReLU."""
    slopes = ACTIVATIONS[activation].slope(math.exp(0.5 * log_square) * GAUSSIAN) ** 2
    return float(np.mean(slopes**2)) / max(float(np.mean(slopes)) ** 2, LEAST_SQUARE)


def through_new_norm(signal: Signal, kind: str, rank: float) -> Step:
    """Through a norm that was just put in: what comes out has a mean square of 1.

    Args:
        signal: What comes in.
        kind: `batch`, which divides by the spread over the examples, or `layer`, by that over the elements.
        rank: Directions that the batch has: the fewer, the more the spread of one unit differs from another's, and
            those of little spread win more than the others lose.
    """
    square = max(signal.spread if kind == "batch" else signal.square, LEAST_SQUARE)
    spread = 1.0 if kind == "batch" else min(1.0, signal.spread / max(signal.square, LEAST_SQUARE))
    uneven = 1.0 + 2.0 / rank if kind == "batch" else 1.0
    return Step(Signal(1.0, 0.0, spread), decibels(math.sqrt(uneven / square)))
