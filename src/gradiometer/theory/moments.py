"""Gaussian expectations of an activation and of its derivative."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gradiometer.activations import SEARCHED_TO, Activation, activation_from, activation_of
from gradiometer.errors import SettingsError
from gradiometer.schema import FloatArray
from gradiometer.theory.smooth_pieces import FIRST_EDGES, find_pieces

REACH = 12.0
"""Standard deviations that are integrated over; what lies beyond is below 1e-32."""

SOFTENED_STEPS = (-7.0, -3.5, 0.0, 3.5, 7.0)
"""Where the bend that is left of a kink begins, steepens and ends, in standard deviations of what is averaged over."""

BLOCK = 2048
"""Outer nodes of a double integral that are done at once, to bound the memory."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_GRID = np.linspace(-REACH, REACH, 17)
_FEATURES = np.array([-16.0, -8.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 8.0, 16.0])


def as_activation(activation: Activation | str | Callable[..., Any]) -> Activation:
    """Take an activation in any of the forms that theory accepts.

    Args:
        activation: One of `gradiometer.activations`, its name, or a Python function of a number or of a numpy array.
            Of a function kinks and slope are found by splitting it into smooth pieces (`smooth_pieces`).

    Returns:
        The activation; that of a function has an integration's edge in `kinks` also where it turns sharply.

    Raises:
        SettingsError: There is no activation of that name, or the function takes neither a number nor an array, gives
            NaN or infinity between -40 and 40, or is too rough to be integrated.

    Example:
        >>> import math
        >>> as_activation(math.tanh).slope(np.array([0.0])).round(6)
        array([1.])
        >>> as_activation(lambda x: abs(x - 0.37)).kinks
        (0.37,)
    """
    if isinstance(activation, Activation):
        return activation
    if isinstance(activation, str):
        return activation_of(activation)
    name = getattr(activation, "__name__", "activation")
    function, is_single = _on_arrays(activation, name)
    pieces = find_pieces(function, name, is_single=is_single)

    def slope(x: FloatArray) -> FloatArray:
        width = 1e-5 * np.maximum(np.abs(x), SEARCHED_TO)
        outside = (function(x + width) - function(x - width)) / (2.0 * width)
        return np.where(np.abs(x) <= SEARCHED_TO, pieces.slope(x), outside)

    turns = set(pieces.edges[1:-1].tolist()) - set(FIRST_EDGES) | set(pieces.kinks)
    return activation_from(name, function, slope, kinks=tuple(turns))


def _on_arrays(activation: Callable[..., Any], name: str) -> tuple[Callable[[FloatArray], FloatArray], bool]:
    """The function on arrays, element by element where it takes none itself, and whether float32 comes out."""
    try:
        given: Any = np.asarray(activation(np.array([0.5, 1.0])))
    except (TypeError, ValueError, AttributeError):
        given = np.zeros(())
    if given.shape == (2,):
        is_single = given.dtype.kind == "f" and given.dtype.itemsize < 8
        return lambda x: np.asarray(activation(x), dtype=np.float64), is_single
    try:
        float(activation(0.5))
    except (TypeError, ValueError, AttributeError) as fault:
        raise SettingsError(
            f"{name} takes neither a number nor a numpy array ({fault}); for a function of tensors write "
            "lambda x: function(torch.as_tensor(x)).numpy()"
        ) from fault
    return np.vectorize(activation, otypes=[np.float64]), False


def gaussian_mean(
    function: Callable[[FloatArray], FloatArray],
    mean: ArrayLike,
    deviation: ArrayLike,
    kinks: tuple[float, ...] = (0.0,),
) -> FloatArray:
    """Expectation of a function of a Gaussian variable.

    Composite Gauss-Legendre on panels that end at the kinks and get finer around the origin. Gauss-Hermite has no
    panels: at 101 nodes a kink costs it all but two or three digits, and a steep function seen from far (a sigmoid at
    q = 100) falls between its nodes.

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
    lowest, highest = np.min(centre - REACH * spread), np.max(centre + REACH * spread)
    special = special[(special > lowest) & (special < highest)]
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
        blocks = np.array_split(u.ravel(), max(1, u.size // BLOCK))
        flat = np.concatenate([gaussian_mean(function, correlation * block, root * rest, kinks) for block in blocks])
        return np.asarray(function(u) * flat.reshape(u.shape))

    return float(gaussian_mean(conditional, 0.0, root, (*kinks, *_softened(kinks, root * rest, correlation))))


def _softened(kinks: tuple[float, ...], spread: float, correlation: float) -> list[float]:
    """Edges that follow a kink of f in E[f(v) | u], where it is a bend as wide as v is left free by u."""
    if abs(correlation) < 0.3:
        return []
    return [(kink + step * spread) / correlation for kink in kinks for step in SOFTENED_STEPS]


def mean_output(activation: Activation, q: float) -> float:
    """E[phi], the mean of the activation's output at pre-activation variance q."""
    return float(gaussian_mean(activation.function, 0.0, np.sqrt(q), activation.kinks))


def mean_square(activation: Activation, q: float) -> float:
    """E[phi²] at pre-activation variance q."""
    return float(gaussian_mean(lambda x: activation.function(x) ** 2, 0.0, np.sqrt(q), activation.kinks))


def mean_square_slope(activation: Activation, q: float) -> float:
    """E[phi'²] at pre-activation variance q."""
    return float(gaussian_mean(lambda x: activation.slope(x) ** 2, 0.0, np.sqrt(q), activation.kinks))


def small_signal_slope_square(activation: Activation) -> float:
    """The limit of E[phi'²] for q to 0: half from each side of zero, where there may be a kink."""
    sides = activation.slope(np.array([-1e-9, 1e-9]))
    return float(np.mean(sides**2))
