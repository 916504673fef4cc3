"""SELU's two constants, derived: they make mean 0 and variance 1 a fixed point of a layer.

f(x) = scale·x above zero, scale·alpha·(e^x - 1) below. For a Gaussian input of mean 0 and variance 1, E[f] = 0 is a
condition on alpha alone, and E[f²] = 1 then gives the scale.

Source:
    Klambauer, Unterthiner, Mayr, Hochreiter, "Self-normalizing neural networks", NeurIPS 2017.
"""

import math

import numpy as np

from gradiometer.schema import FloatArray
from gradiometer.theory.moments import gaussian_mean


def self_normalising_constants() -> tuple[float, float]:
    """Derive SELU's scale and alpha by Gaussian integration.

    Returns:
        Scale and alpha.

    Example:
        >>> scale, alpha = self_normalising_constants()
        >>> round(scale, 9), round(alpha, 9)
        (1.050700987, 1.673263242)
    """
    above, below = (float(gaussian_mean(part, 0.0, 1.0)) for part in (_line, _decay))
    alpha = -above / below
    square = float(gaussian_mean(lambda x: (_line(x) + alpha * _decay(x)) ** 2, 0.0, 1.0))
    return 1.0 / math.sqrt(square), alpha


def _line(x: FloatArray) -> FloatArray:
    """What ELU is above zero."""
    return np.maximum(x, 0.0)


def _decay(x: FloatArray) -> FloatArray:
    """What ELU is below zero, at alpha 1."""
    return np.asarray(np.expm1(np.minimum(x, 0.0)))
