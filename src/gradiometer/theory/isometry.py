"""How unevenly a deep network treats directions: the singular values of its end-to-end Jacobian.

chi_1 = 1 keeps the gradient's norm on average. It does not keep every direction: through Gaussian weights a few
directions win what the others lose, more with every layer, until all gradients point the same way. A network of 100
tanh layers with Gaussian weights at criticality has healthy gradient norms, and hardly learns at the learning rate at
which the same network with orthogonal weights learns best (`docs/log.md`).

Source:
    Pennington, Schoenholz, Ganguli, "Resurrecting the sigmoid in deep learning through dynamical isometry", NeurIPS
    2017; the same, "The emergence of spectral universality in deep networks", AISTATS 2018.
"""

import math

import numpy as np

from gradiometer.activations import Activation
from gradiometer.theory.moments import gaussian_mean

SMALLEST = 1e-18
"""A length that stands for the limit of small signals."""


def slope_excess(activation: Activation, q: float) -> float:
    """Mean fourth power of the slope over the square of its mean square: 1 for a line, 2 for ReLU, never less than 1.

    Args:
        activation: The activation.
        q: Variance of its pre-activations; at 0 the limit of small signals is taken.

    Returns:
        mu_2 / mu_1² of the papers; inf where the activation has no slope at all.

    Example:
        >>> from gradiometer.activations import activation_of
        >>> round(slope_excess(activation_of("relu"), 1.0), 9)
        2.0
    """
    root = np.float64(math.sqrt(max(q, SMALLEST)))
    second = float(gaussian_mean(lambda x: activation.slope(x) ** 2, 0.0, root, activation.kinks))
    fourth = float(gaussian_mean(lambda x: activation.slope(x) ** 4, 0.0, root, activation.kinks))
    return fourth / second**2 if second > 0.0 else math.inf


def singular_spread(activation: Activation, q: float, depth: float, *, is_orthogonal: bool) -> float:
    """Variance of the squared singular values of the end-to-end Jacobian, over the square of their mean.

    Args:
        activation: The activation of every layer.
        q: Variance of its pre-activations.
        depth: Layers.
        is_orthogonal: The weights are orthogonal matrices; Gaussian otherwise.

    Returns:
        The relative variance: 0 means that all directions are treated alike. It grows by the same amount with every
        layer: by the excess of the activation's slope, and by 1 for Gaussian weights.

    Example:
        >>> from gradiometer.activations import activation_of
        >>> round(singular_spread(activation_of("relu"), 1.0, 10, is_orthogonal=True), 6)
        10.0
    """
    return depth * (slope_excess(activation, q) - (1.0 if is_orthogonal else 0.0))
