"""Pre-activation variance from layer to layer, and its fixed point.

q' = sigma_w² E[phi(√q z)²] + sigma_b². Below the fixed point the signal grows towards it, above it shrinks.
"""

import math
from collections.abc import Callable

import numpy as np

from gradiometer.activations import Activation
from gradiometer.theory.moments import mean_square

SMALLEST, LARGEST = 1e-9, 1e9
"""A length that leaves this range has vanished or run away."""


def next_length(activation: Activation, q: float, sigma_w: float, sigma_b: float = 0.0) -> float:
    """Variance of the next layer's pre-activations.

    Args:
        activation: The activation between the two layers.
        q: Variance in this layer.
        sigma_w: Scale of the weights.
        sigma_b: Scale of the biases.

    Returns:
        The variance in the next layer.

    Source:
        Poole et al. 2016, equation 3.
    """
    return sigma_w**2 * mean_square(activation, q) + sigma_b**2


def fixed_length(activation: Activation, sigma_w: float, sigma_b: float = 0.0, start: float = 1.0) -> float:
    """The variance q* that a deep network settles at.

    The map is increasing, so that from its start the length moves one way until it meets the first fixed point.

    Args:
        activation: The activation of every layer.
        sigma_w: Scale of the weights.
        sigma_b: Scale of the biases.
        start: Variance in the first layer.

    Returns:
        q*; 0 where the signal vanishes, inf where it grows without end, `start` itself where every length is a fixed
        point (ReLU at sigma_w² = 2 without biases).

    Example:
        >>> from gradiometer.activations import activation_of
        >>> round(fixed_length(activation_of("tanh"), 1.0, 0.05**0.5), 4)
        0.1936
    """

    def excess(q: float) -> float:
        difference = next_length(activation, q, sigma_w, sigma_b) / q - 1.0
        return 0.0 if abs(difference) < 1e-11 else difference

    direction = excess(start)
    if direction == 0.0:
        return start
    factor = 1.25 if direction > 0.0 else 0.8
    here = start
    while SMALLEST <= here <= LARGEST:
        there = here * factor
        if excess(there) * direction <= 0.0:
            return bisect(excess, here, there)
        here = there
    return math.inf if direction > 0.0 else 0.0


def bisect(function: Callable[[float], float], left: float, right: float) -> float:
    """A zero of a function between two arguments of opposite sign, to a relative 1e-13."""
    is_positive = function(left) > 0.0
    for _ in range(200):
        middle = 0.5 * (left + right)
        if abs(right - left) <= 1e-13 * abs(middle):
            break
        if (function(middle) > 0.0) == is_positive:
            left = middle
        else:
            right = middle
    return 0.5 * (left + right)


def length_slope(activation: Activation, q: float, sigma_w: float) -> float:
    """Derivative of the length map, sigma_w² (E[phi'²] + E[phi phi'']): a fixed point is stable where it is below 1.

    Taken by central differences of the map itself, so that kinks need no second derivative.
    """
    width = 1e-4 * q
    upper = mean_square(activation, q + width)
    lower = mean_square(activation, q - width)
    return sigma_w**2 * (upper - lower) / (2.0 * width)


def length_depth_scale(activation: Activation, sigma_w: float, sigma_b: float = 0.0, start: float = 1.0) -> float:
    """Layers over which a deviation from q* shrinks by the factor e: xi_q.

    Args:
        activation: The activation of every layer.
        sigma_w: Scale of the weights.
        sigma_b: Scale of the biases.
        start: Variance in the first layer.

    Returns:
        xi_q; inf where it does not shrink, nan where there is no finite positive q*.

    Source:
        Schoenholz et al. 2017, equation 9.
    """
    q = fixed_length(activation, sigma_w, sigma_b, start)
    if q == 0.0 or math.isinf(q):
        return math.nan
    slope = length_slope(activation, q, sigma_w)
    return math.inf if slope > 1.0 - 1e-9 else float(-1.0 / np.log(slope))
