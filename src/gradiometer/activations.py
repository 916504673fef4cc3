"""Every known activation: its function, slope, greatest slope and where it is flat; numpy only.

Measuring, theory, diagnosing and curing all speak of activations by the names in `ACTIVATIONS`, which are those of
`torch.nn.functional`. `MODULE_ACTIVATIONS` and `FUNCTION_ACTIVATIONS` lead from what a script calls to these names.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from gradiometer.errors import SettingsError

Elementwise = Callable[[NDArray[np.float64]], NDArray[np.float64]]

FLAT_SHARE = 0.05
"""An activation is flat where its slope is below this share of its greatest: the design's word for saturated."""

SEARCHED_TO = 40.0
"""Pre-activations up to this size are searched for slopes; beyond it no network is of interest."""

SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
"""They make (mean 0, variance 1) a fixed point (Klambauer et al. 2017)."""

ERF_SLOPE = 2.0 / math.sqrt(math.pi)
"""Greatest slope of erf."""


@dataclass(frozen=True, slots=True)
class Activation:
    """An elementwise function between two layers.

    Attributes:
        name: Its key in `ACTIVATIONS`.
        function: The function, on float64 arrays of any shape.
        slope: Its derivative; at a kink the value that torch's autograd takes.
        greatest_slope: Greatest absolute slope (its supremum), a plain factor: sigmoid ¼, ReLU 1.
        flat_below: The absolute slope is below `FLAT_SHARE` of the greatest for every pre-activation below this;
            None where the function is never flat on that side.
        flat_above: The same for every pre-activation above this.
        is_rectifier: Zero output comes with zero slope over a whole range, so that a unit can die.
        kinks: Pre-activations at which function or slope jumps, ascending.
    """

    name: str
    function: Elementwise
    slope: Elementwise
    greatest_slope: float
    flat_below: float | None = None
    flat_above: float | None = None
    is_rectifier: bool = False
    kinks: tuple[float, ...] = ()


def activation_from(
    name: str,
    function: Elementwise,
    slope: Elementwise,
    greatest_slope: float | None = None,
    *,
    is_rectifier: bool = False,
    kinks: tuple[float, ...] = (),
) -> Activation:
    """Make an activation from its function and slope; the rest is found by search.

    Args:
        name: What to call it.
        function: The function, on float64 arrays.
        slope: Its derivative.
        greatest_slope: Greatest absolute slope where it is known exactly; found on a grid to about 1e-9 otherwise.
        is_rectifier: Zero output comes with zero slope over a whole range.
        kinks: Where function or slope jumps.

    Returns:
        The activation; a constant function has greatest slope 0 and is flat nowhere (there is nothing to lose).
    """
    greatest = _greatest(slope) if greatest_slope is None else greatest_slope
    threshold = FLAT_SHARE * greatest
    below = None if greatest == 0.0 else _flat_end(slope, threshold, side=-1.0)
    above = None if greatest == 0.0 else _flat_end(slope, threshold, side=1.0)
    return Activation(name, function, slope, greatest, below, above, is_rectifier, tuple(sorted(kinks)))


def _greatest(slope: Elementwise) -> float:
    """Greatest absolute slope: a grid, then ever finer grids around its best point."""
    centre, half_width = 0.0, SEARCHED_TO
    for _ in range(4):
        points = np.linspace(centre - half_width, centre + half_width, 4001)
        centre = float(points[np.argmax(np.abs(slope(points)))])
        half_width /= 500.0
    return float(np.abs(slope(np.array([centre])))[0])


def _flat_end(slope: Elementwise, threshold: float, *, side: float) -> float | None:
    """Where the outermost flat range on one side begins; None where the function is not flat out there."""
    distances = np.linspace(SEARCHED_TO, -SEARCHED_TO, 4001)
    is_steep = np.abs(slope(side * distances)) >= threshold
    first = int(np.argmax(is_steep))
    if first == 0:
        return None
    outer, inner = float(distances[first - 1]), float(distances[first])
    for _ in range(60):
        middle = 0.5 * (outer + inner)
        if abs(float(slope(np.array([side * middle]))[0])) >= threshold:
            inner = middle
        else:
            outer = middle
    return side * outer if abs(outer) > 1e-12 else 0.0


_erf = np.vectorize(math.erf, otypes=[np.float64])


def _logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + e^-x) without overflow on either side."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))


def _normal_cdf(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * (1.0 + _erf(x / math.sqrt(2.0))))


def _normal_density(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi))


def _two_slopes(name: str, negative_slope: float) -> Activation:
    """A line with a kink at zero: relu, leaky_relu, prelu and rrelu."""
    return activation_from(
        name,
        lambda x: np.where(x > 0.0, x, negative_slope * x),
        lambda x: np.where(x > 0.0, 1.0, negative_slope),
        greatest_slope=max(1.0, abs(negative_slope)),
        is_rectifier=negative_slope == 0.0,
        kinks=(0.0,),
    )


def _ramp(name: str, low: float, high: float, *, offset: float, rate: float, is_rectifier: bool) -> Activation:
    """A line between two bends and constant outside: hardtanh, relu6, hardsigmoid."""
    return activation_from(
        name,
        lambda x: offset + rate * np.clip(x, low, high),
        lambda x: np.where((x > low) & (x < high), rate, 0.0),
        greatest_slope=abs(rate),
        is_rectifier=is_rectifier,
        kinks=(low, high),
    )


def _hardswish() -> Activation:
    return activation_from(
        "hardswish",
        lambda x: x * np.clip(x + 3.0, 0.0, 6.0) / 6.0,
        lambda x: np.where(x <= -3.0, 0.0, np.where(x < 3.0, x / 3.0 + 0.5, 1.0)),
        greatest_slope=1.5,
        is_rectifier=True,
        kinks=(-3.0, 3.0),
    )


def _exponential(name: str, positive: float, alpha: float, scale: float) -> Activation:
    """A line above zero, an exponential that levels off below: elu, celu, selu."""
    return activation_from(
        name,
        lambda x: np.where(x > 0.0, positive * x, alpha * np.expm1(np.minimum(x, 0.0) / scale)),
        lambda x: np.where(x > 0.0, positive, alpha / scale * np.exp(np.minimum(x, 0.0) / scale)),
        greatest_slope=max(abs(positive), abs(alpha / scale)),
        is_rectifier=alpha == 0.0,
        kinks=(0.0,),
    )


def _selu() -> Activation:
    """Its two constants make (mean 0, variance 1) a fixed point (Klambauer et al. 2017)."""
    scale, alpha = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
    return _exponential("selu", scale, scale * alpha, 1.0)


def _gelu(approximate: str = "none") -> Activation:
    if approximate == "none":
        return activation_from("gelu", lambda x: x * _normal_cdf(x), lambda x: _normal_cdf(x) + x * _normal_density(x))
    rate, cubic = math.sqrt(2.0 / math.pi), 0.044715

    def slope(x: NDArray[np.float64]) -> NDArray[np.float64]:
        bent = np.tanh(rate * (x + cubic * x**3))
        return np.asarray(0.5 * (1.0 + bent) + 0.5 * x * (1.0 - bent**2) * rate * (1.0 + 3.0 * cubic * x**2))

    return activation_from("gelu", lambda x: 0.5 * x * (1.0 + np.tanh(rate * (x + cubic * x**3))), slope)


def _mish() -> Activation:
    def function(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(x * np.tanh(np.logaddexp(0.0, x)))

    def slope(x: NDArray[np.float64]) -> NDArray[np.float64]:
        bent = np.tanh(np.logaddexp(0.0, x))
        return np.asarray(bent + x * (1.0 - bent**2) * _logistic(x))

    return activation_from("mish", function, slope)


def _softplus(beta: float = 1.0, threshold: float = 20.0) -> Activation:
    """Torch turns to the identity where beta·x exceeds its threshold, which changes nothing that can be seen here."""
    return activation_from(
        "softplus",
        lambda x: np.where(beta * x > threshold, x, np.logaddexp(0.0, beta * x) / beta),
        lambda x: np.where(beta * x > threshold, 1.0, _logistic(beta * x)),
        greatest_slope=1.0,
    )


def _hardshrink(lambd: float = 0.5) -> Activation:
    return activation_from(
        "hardshrink",
        lambda x: np.where(np.abs(x) > lambd, x, 0.0),
        lambda x: np.where(np.abs(x) > lambd, 1.0, 0.0),
        greatest_slope=1.0,
        is_rectifier=lambd > 0.0,
        kinks=(-lambd, lambd),
    )


def _softshrink(lambd: float = 0.5) -> Activation:
    return activation_from(
        "softshrink",
        lambda x: np.sign(x) * np.maximum(np.abs(x) - lambd, 0.0),
        lambda x: np.where(np.abs(x) > lambd, 1.0, 0.0),
        greatest_slope=1.0,
        is_rectifier=lambd > 0.0,
        kinks=(-lambd, lambd),
    )


def _threshold(threshold: float = 0.0, value: float = 0.0) -> Activation:
    return activation_from(
        "threshold",
        lambda x: np.where(x > threshold, x, value),
        lambda x: np.where(x > threshold, 1.0, 0.0),
        greatest_slope=1.0,
        is_rectifier=value == 0.0,
        kinks=(threshold,),
    )


_MAKERS: Mapping[str, Callable[..., Activation]] = MappingProxyType(
    {
        "sigmoid": lambda: activation_from("sigmoid", _logistic, lambda x: _logistic(x) * _logistic(-x), 0.25),
        "tanh": lambda: activation_from("tanh", np.tanh, lambda x: 1.0 - np.tanh(x) ** 2, 1.0),
        "relu": lambda: _two_slopes("relu", 0.0),
        "leaky_relu": lambda negative_slope=0.01: _two_slopes("leaky_relu", negative_slope),
        "prelu": lambda negative_slope=0.25: _two_slopes("prelu", negative_slope),
        # Its slope below zero is drawn between two bounds; their mean stands for it.
        "rrelu": lambda lower=1.0 / 8.0, upper=1.0 / 3.0: _two_slopes("rrelu", 0.5 * (lower + upper)),
        "relu6": lambda: _ramp("relu6", 0.0, 6.0, offset=0.0, rate=1.0, is_rectifier=True),
        "elu": lambda alpha=1.0: _exponential("elu", 1.0, alpha, 1.0),
        "celu": lambda alpha=1.0: _exponential("celu", 1.0, alpha, alpha),
        "selu": lambda: _exponential("selu", SELU_SCALE, SELU_SCALE * SELU_ALPHA, 1.0),
        "gelu": _gelu,
        "silu": lambda: activation_from(
            "silu", lambda x: x * _logistic(x), lambda x: _logistic(x) * (1.0 + x * _logistic(-x))
        ),
        "mish": _mish,
        "softplus": _softplus,
        "softsign": lambda: activation_from(
            "softsign", lambda x: x / (1.0 + np.abs(x)), lambda x: 1.0 / (1.0 + np.abs(x)) ** 2, 1.0
        ),
        "hardtanh": lambda min_val=-1.0, max_val=1.0: _ramp(
            "hardtanh", min_val, max_val, offset=0.0, rate=1.0, is_rectifier=0.0 in (min_val, max_val)
        ),
        "hardsigmoid": lambda: _ramp("hardsigmoid", -3.0, 3.0, offset=0.5, rate=1.0 / 6.0, is_rectifier=True),
        "hardswish": _hardswish,
        "logsigmoid": lambda: activation_from(
            "logsigmoid", lambda x: -np.logaddexp(0.0, -x), lambda x: _logistic(-x), 1.0
        ),
        "tanhshrink": lambda: activation_from("tanhshrink", lambda x: x - np.tanh(x), lambda x: np.tanh(x) ** 2, 1.0),
        "hardshrink": _hardshrink,
        "softshrink": _softshrink,
        "threshold": _threshold,
        "erf": lambda: activation_from("erf", _erf, lambda x: ERF_SLOPE * np.exp(-x * x), ERF_SLOPE),
        "sin": lambda: activation_from("sin", np.sin, np.cos, 1.0),
        "identity": lambda: activation_from("identity", lambda x: x + 0.0, np.ones_like, 1.0),
    }
)

ACTIVATIONS: dict[str, Activation] = {name: maker() for name, maker in _MAKERS.items()}
"""Every known activation with torch's default parameters."""

MODULE_ACTIVATIONS: dict[str, str] = {
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "ReLU": "relu",
    "LeakyReLU": "leaky_relu",
    "PReLU": "prelu",
    "RReLU": "rrelu",
    "ReLU6": "relu6",
    "ELU": "elu",
    "CELU": "celu",
    "SELU": "selu",
    "GELU": "gelu",
    "SiLU": "silu",
    "Mish": "mish",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Hardtanh": "hardtanh",
    "Hardsigmoid": "hardsigmoid",
    "Hardswish": "hardswish",
    "LogSigmoid": "logsigmoid",
    "Tanhshrink": "tanhshrink",
    "Hardshrink": "hardshrink",
    "Softshrink": "softshrink",
    "Threshold": "threshold",
}
"""Class name in `torch.nn` to name in `ACTIVATIONS`."""

FUNCTION_ACTIVATIONS: dict[str, str] = {
    **{name: name for name in MODULE_ACTIVATIONS.values()},
    "expit": "sigmoid",
}
"""Name of the function in `torch`, `torch.nn.functional` or of the Tensor method to name in `ACTIVATIONS`.

A trailing underscore (`relu_`, the in-place form) is taken off before looking up. `sin`, `erf` and the identity are
left out: called as a function they are seldom an activation.
"""


def parameters_of(name: str) -> tuple[str, ...]:
    """Names of the parameters that shape an activation, as torch's modules and functions call them.

    Raises:
        SettingsError: There is no activation of that name.

    Example:
        >>> parameters_of("hardtanh")
        ('min_val', 'max_val')
    """
    return tuple(signature(_maker_of(name)).parameters)


def activation_of(name: str, **parameters: float | str) -> Activation:
    """Look up an activation, with other parameters than torch's defaults where they are given.

    Args:
        name: Its name in `ACTIVATIONS`.
        parameters: Named as in torch (`negative_slope`, `alpha`, `beta`, `min_val` ...), see `parameters_of`;
            `approximate` of `gelu` is a word.

    Returns:
        The activation; the one in `ACTIVATIONS` itself where no parameter is given.

    Raises:
        SettingsError: There is no activation of that name, or it has no such parameter.

    Example:
        >>> activation_of("leaky_relu", negative_slope=0.0).is_rectifier
        True
        >>> round(activation_of("sigmoid").flat_above, 3)
        4.357
    """
    maker = _maker_of(name)
    if not parameters:
        return ACTIVATIONS[name]
    unknown = set(parameters) - set(signature(maker).parameters)
    if unknown:
        raise SettingsError(f"{name} has no parameter {', '.join(sorted(unknown))}; it has {parameters_of(name)}")
    return maker(**parameters)


def _maker_of(name: str) -> Callable[..., Activation]:
    if name not in _MAKERS:
        raise SettingsError(f"there is no activation {name!r}; known are {', '.join(_MAKERS)}")
    return _MAKERS[name]
