"""Gaussian expectations of an activation and of its derivative."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradiometer.activations import Activation, activation_from, activation_of
from gradiometer.schema import FloatArray

REACH = 12.0
"""Standard deviations that are integrated over; what lies beyond is below 1e-32."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_GRID = np.linspace(-REACH, REACH, 17)
_FEATURES = np.array([-16.0, -8.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 8.0, 16.0])


def as_activation(activation: Activation | str | Callable[..., Any]) -> Activation:
    """Take an activation in any of the forms that theory accepts.

    Args:
        activation: One of `gradiometer.activations`, its name, or a Python function of a number or of a numpy array.
            Of a function the slope is taken by central differences, and a kink is expected at zero only.

    Returns:
        The activation.

    Raises:
        SettingsError: There is no activation of that name.

    Example:
        >>> import math
        >>> as_activation(math.tanh).slope(np.array([0.0])).round(6)
        array([1.])
    """
    if isinstance(activation, Activation):
        return activation
    if isinstance(activation, str):
        return activation_of(activation)
    function = _on_arrays(activation)
    width = 1e-6

    def slope(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((function(x + width) - function(x - width)) / (2.0 * width))

    return activation_from(getattr(activation, "__name__", "activation"), function, slope, kinks=(0.0,))


def _on_arrays(function: Callable[..., Any]) -> Callable[[FloatArray], FloatArray]:
    """The function itself where it takes arrays, otherwise element by element."""
    try:
        takes_arrays = np.shape(function(np.array([0.5, 1.0]))) == (2,)
    except (TypeError, ValueError):
        takes_arrays = False
    if takes_arrays:
        return lambda x: np.asarray(function(x), dtype=np.float64)
    return np.vectorize(function, otypes=[np.float64])


def gaussian_mean(
    function: Callable[[FloatArray], FloatArray],
    mean: ArrayLike,
    deviation: ArrayLike,
    kinks: tuple[float, ...] = (0.0,),
) -> FloatArray:
    """Expectation of a function of a Gaussian variable.

    Composite Gauss-Legendre on panels that end at the kinks and get finer around the origin. Gauss-Hermite has no
    panels: a kink costs it all but three digits, and a steep function seen from far (a sigmoid at q = 100) falls
    between its nodes.

    Args:
        function: Function of a float64 array.
        mean: Mean of the variable, any shape.
        deviation: Its standard deviation, same shape or one that broadcasts; 0 gives the function at the mean.
        kinks: Where function or slope jumps.

    Returns:
        The expectation, in the shape that mean and deviation broadcast to; absolute error about 1e-13 for functions
        that do not grow faster than a polynomial.

    Example:
        >>> float(gaussian_mean(np.square, 1.0, 2.0).round(10))
        5.0
    """
    centre, spread = np.broadcast_arrays(np.asarray(mean, dtype=np.float64), np.asarray(deviation, dtype=np.float64))
    edges = _panel_edges(centre, spread, kinks)
    half = 0.5 * np.diff(edges, axis=-1)[..., None]
    z = 0.5 * (edges[..., :-1] + edges[..., 1:])[..., None] + half * _NODES
    density = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    values = function(centre[..., None, None] + spread[..., None, None] * z)
    return np.asarray((values * density * half * _WEIGHTS).sum(axis=(-1, -2)))


def _panel_edges(centre: FloatArray, spread: FloatArray, kinks: tuple[float, ...]) -> FloatArray:
    """Where the panels of integration end, in standard deviations from the mean, ascending [..., edge]."""
    safe = np.where(spread > 0.0, spread, 1.0)
    special = np.concatenate([_FEATURES, np.asarray(kinks, dtype=np.float64)])
    grid = np.broadcast_to(_GRID, (*centre.shape, len(_GRID)))
    features = np.clip((special - centre[..., None]) / safe[..., None], -REACH, REACH)
    return np.sort(np.concatenate([grid, features], axis=-1), axis=-1)


def pair_mean(
    function: Callable[[FloatArray], FloatArray],
    q: float,
    correlation: float,
    kinks: tuple[float, ...] = (0.0,),
) -> float:
    """Expectation of f(u)·f(v) of two Gaussian variables of mean zero.

    Args:
        function: Function of a float64 array.
        q: Variance of either variable.
        correlation: Their correlation, -1 to 1.
        kinks: Where function or slope jumps.

    Returns:
        The expectation; E[f²] at correlation 1, E[f]² at 0.

    Example:
        >>> round(pair_mean(lambda x: x, 2.0, 0.5), 10)
        1.0
    """
    root = float(np.sqrt(q))
    rest = float(np.sqrt(max(0.0, 1.0 - correlation**2)))
    if rest < 1e-7:
        sign = 1.0 if correlation > 0.0 else -1.0
        mirrored = tuple(kinks) + tuple(-kink for kink in kinks)
        return float(gaussian_mean(lambda u: function(u) * function(sign * u), 0.0, root, mirrored))

    def conditional(u: FloatArray) -> FloatArray:
        flat = gaussian_mean(function, correlation * u.ravel(), root * rest, kinks)
        return np.asarray(function(u) * flat.reshape(u.shape))

    return float(gaussian_mean(conditional, 0.0, root, kinks))


def mean_output(activation: Activation, q: float) -> float:
    """E[phi], the mean of the activation's output at pre-activation variance q."""
    return float(gaussian_mean(activation.function, 0.0, np.sqrt(q), activation.kinks))


def mean_square(activation: Activation, q: float) -> float:
    """E[phi²] at pre-activation variance q."""
    return float(gaussian_mean(lambda x: activation.function(x) ** 2, 0.0, np.sqrt(q), activation.kinks))


def mean_square_slope(activation: Activation, q: float) -> float:
    """E[phi'²] at pre-activation variance q."""
    return float(gaussian_mean(lambda x: activation.slope(x) ** 2, 0.0, np.sqrt(q), activation.kinks))
