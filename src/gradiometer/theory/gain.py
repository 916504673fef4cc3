"""The gain that each layer should have, dB.

A chain of layers keeps its gradient where their gains add up to nothing: the linear layers have to win back what the
activations between them lose.
"""

import math

import numpy as np

from gradiometer.activations import Activation
from gradiometer.theory.correlation_map import chi
from gradiometer.theory.moments import gaussian_mean
from gradiometer.units import decibels


def linear_gain_db(weight_rms: float, fan_in: int) -> float:
    """Expected gain of a linear or convolutional layer whose weights are independent of the gradient.

    Args:
        weight_rms: Root mean square of its weights.
        fan_in: Inputs that one unit sums over.

    Returns:
        20·log10(weight_rms·√fan_in), dB: sigma_w of the papers; -inf for weights of zero. A convolution has it
        where its stride is 1 and edges do not count.

    Example:
        >>> round(linear_gain_db(0.1, 100), 12)
        0.0
    """
    return decibels(weight_rms * math.sqrt(fan_in))


def activation_gain_db(activation: Activation, q: float, mean: float = 0.0) -> float:
    """Expected gain of an activation whose pre-activations are Gaussian and independent of the gradient.

    Args:
        activation: The activation.
        q: Variance of its pre-activations.
        mean: Their mean.

    Returns:
        10·log10 E[phi'²], dB: 0 for the identity, -3.01 for ReLU at mean 0, at best -12.04 for the sigmoid.
    """
    square = gaussian_mean(lambda x: activation.slope(x) ** 2, mean, np.sqrt(q), activation.kinks)
    return decibels(math.sqrt(float(square)))


def layer_gain_db(activation: Activation, q: float, sigma_w: float) -> float:
    """Expected gain of one activation and one linear layer together, 10·log10 chi_1, dB.

    Example:
        >>> from gradiometer.activations import activation_of
        >>> round(layer_gain_db(activation_of("sigmoid"), 0.0, 1.0), 2)
        -12.04
    """
    return decibels(math.sqrt(chi(activation, q, sigma_w)))
