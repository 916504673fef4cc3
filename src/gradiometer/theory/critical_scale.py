"""The weight and bias scale that puts a network on the edge of chaos.

For every length q there is one sigma_w with chi_1 = 1, and one sigma_b that makes q a fixed point. A network wants the
smallest q at which that sigma_b exists and the fixed point is stable. For tanh, ELU and everything else that goes
straight through the origin and bends down it is q = 0 without biases; for GELU and SiLU it is the half-stable point of
Roberts, Yaida and Hanin; for ReLU every q serves.

An activation whose output has a mean (sigmoid, softplus) has no such point at a length of practical use: the
sigmoid's is at q = 56 with sigma_w = 10.6, where nearly all units are saturated. The mean is the trouble, since it
sends the same large signal to every unit whatever the input. So it is taken out: the bias of each unit is set to
minus what the mean brings it, b = -W·m, and the sigmoid becomes ½ tanh(x/2), critical at sigma_w = 4. Ten hidden
sigmoid layers trained so learn at once; at sigma_w = 4 with zero biases they stay at chance under plain descent.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradiometer.activations import Activation
from gradiometer.errors import SettingsError
from gradiometer.theory.length_map import bisect, fixed_length, length_slope
from gradiometer.theory.moments import (
    as_activation,
    mean_output,
    mean_square,
    mean_square_slope,
    small_signal_slope_square,
)

LARGEST_USEFUL_LENGTH = 30.0
"""Critical points beyond it are not used: SiLU's lies at 14, the sigmoid's saturated one at 56."""


@dataclass(frozen=True, slots=True)
class CriticalScale:
    """Where a network with this activation is on the edge of chaos.

    Attributes:
        sigma_w: Scale of the weights: their variance is sigma_w² / fan_in.
        sigma_b: Scale of the biases.
        q: The fixed length; 0 stands for the limit of small signals.
        output_mean: What the biases have to take out, b = -W·output_mean; 0 where no compensation is needed.
        entry_rms: Root mean square that the first layer's pre-activations should have.
    """

    sigma_w: float
    sigma_b: float
    q: float
    output_mean: float
    entry_rms: float


def critical_sigma_w(activation: Activation | str | Callable[..., Any], sigma_b: float) -> tuple[float, float]:
    """The critical line: sigma_w with chi_1 = 1 for a given sigma_b, without compensation of a mean.

    Args:
        activation: An activation, its name, or a Python function.
        sigma_b: Scale of the biases, above 0.

    Returns:
        sigma_w and the fixed length q* there.

    Raises:
        SettingsError: chi_1 does not reach 1 for this sigma_b (a ReLU has its only critical point at sigma_b = 0).

    Source:
        Schoenholz et al. 2017, section 3; Pennington et al. 2017 print the line of tanh.

    Example:
        >>> sigma_w, q = critical_sigma_w("tanh", 0.05**0.5)
        >>> round(sigma_w**2, 4), round(q, 3)
        (1.761, 0.57)
    """
    known = as_activation(activation)

    def excess(log_q: float) -> float:
        q = math.exp(log_q)
        slope_square = mean_square_slope(known, q)
        return -math.inf if slope_square < 1e-300 else q - mean_square(known, q) / slope_square - sigma_b**2

    points = np.linspace(math.log(1e-8), math.log(1e6), 113)
    values = [excess(float(point)) for point in points]
    for left, right, low, high in zip(points[:-1], points[1:], values[:-1], values[1:], strict=True):
        if low < 0.0 <= high:
            q = math.exp(bisect(excess, float(left), float(right)))
            return 1.0 / math.sqrt(mean_square_slope(known, q)), q
    raise SettingsError(f"{known.name} has no critical point at sigma_b = {sigma_b:g}; try a smaller sigma_b")


def critical_scale(activation: Activation | str | Callable[..., Any]) -> CriticalScale:
    """The scale to draw a network's weights and biases at.

    Args:
        activation: The hidden activation: one of `gradiometer.activations`, its name, or a Python function.

    Returns:
        Weights, biases, fixed length and compensation of the mean.

    Raises:
        SettingsError: The activation has no slope, so nothing can keep a gradient.

    Source:
        Poole et al. 2016; for the half-stable points Roberts, Yaida, Hanin, "The Principles of Deep Learning
        Theory", 2022, chapter 5 (GELU: sigma_w² 1.98305, sigma_b² 0.17292). Compensation of the mean is ours.

    Example:
        >>> scale = critical_scale("sigmoid")
        >>> round(scale.sigma_w, 6), scale.sigma_b, scale.output_mean
        (4.0, 0.0, 0.5)
    """
    known = as_activation(activation)
    if known.greatest_slope == 0.0:
        raise SettingsError(f"{known.name} is constant: no scale of weights keeps a gradient through it")
    q = _smallest_stable_length(known)
    if q is not None:
        return _scale_at(known, q, output_mean=0.0)
    return _scale_at(known, 0.0, output_mean=mean_output(known, 0.0))


def _scale_at(activation: Activation, q: float, *, output_mean: float) -> CriticalScale:
    """Fill in what follows from the length; a length of 0 is the limit of small ones."""
    slope_square = mean_square_slope(activation, q) if q > 0.0 else small_signal_slope_square(activation)
    if slope_square < 1e-12:
        raise SettingsError(f"{activation.name} is flat around zero: small signals do not pass it")
    sigma_b_square = 0.0 if q == 0.0 else q - mean_square(activation, q) / slope_square
    sigma_b = math.sqrt(sigma_b_square) if sigma_b_square > 1e-9 * q else 0.0
    entry_rms = math.sqrt(q) if q > 0.0 else _half_slope_rms(activation, slope_square)
    return CriticalScale(1.0 / math.sqrt(slope_square), sigma_b, q, output_mean, entry_rms)


def _half_slope_rms(activation: Activation, slope_square: float) -> float:
    """Where the mean square slope has fallen to half: as much signal as goes in without being squashed; at most 2."""

    def excess(log_q: float) -> float:
        return mean_square_slope(activation, math.exp(log_q)) - 0.5 * slope_square

    low, high = math.log(1e-6), math.log(1e6)
    return 1.0 if excess(high) >= 0.0 else min(2.0, math.exp(0.5 * bisect(excess, low, high)))


def _smallest_stable_length(activation: Activation) -> float | None:
    """The smallest length with chi_1 = 1 that is a stable fixed point; 0 for the small-signal limit, None for none."""
    if abs(mean_output(activation, 0.0)) > 1e-9:
        return None
    if _is_scale_free(activation):
        return 1.0
    points = np.linspace(math.log(1e-4), math.log(LARGEST_USEFUL_LENGTH), 60)
    values = [_instability(activation, math.exp(float(point))) for point in points]
    if values[0] <= 0.0:
        return 0.0
    for index in range(1, len(points)):
        if values[index] <= 0.0:
            root = bisect(
                lambda log_q: _instability(activation, math.exp(log_q)),
                float(points[index - 1]),
                float(points[index]),
            )
            return math.exp(root)
    return None


def _is_scale_free(activation: Activation) -> bool:
    """Whether a length of any size is kept, as by every function of two straight lines through the origin."""
    sigma_w = 1.0 / math.sqrt(max(mean_square_slope(activation, 1.0), 1e-300))
    return fixed_length(activation, sigma_w, 0.0, start=1.0) == 1.0 and math.isclose(
        mean_square(activation, 4.0), 4.0 * mean_square(activation, 1.0), rel_tol=1e-9
    )


def _instability(activation: Activation, q: float) -> float:
    """Above 0 where q can't be held: its sigma_b² would be negative, or the length map is steeper than 1 there."""
    slope_square = mean_square_slope(activation, q)
    if slope_square < 1e-12:
        return 1.0
    steepness = length_slope(activation, q, 1.0 / math.sqrt(slope_square)) - 1.0
    shortfall = mean_square(activation, q) / (slope_square * q) - 1.0
    return max(steepness, shortfall)
