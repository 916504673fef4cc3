"""Two inputs' correlation from layer to layer, its fixed point, and the edge of chaos.

Where chi_1 < 1 (ordered) inputs become alike and gradients vanish; where chi_1 > 1 (chaotic) they drift apart and
gradients explode. Either way depth is limited to about 6 xi_c layers.
"""

import math

from gradiometer.activations import Activation
from gradiometer.theory.length_map import bisect, fixed_length
from gradiometer.theory.moments import mean_square_slope, pair_mean


def next_correlation(activation: Activation, correlation: float, q: float, sigma_w: float, sigma_b: float) -> float:
    """Correlation of two inputs in the next layer.

    Args:
        activation: The activation between the two layers.
        correlation: Correlation in this layer.
        q: The fixed length q*, of both inputs.
        sigma_w: Scale of the weights.
        sigma_b: Scale of the biases.

    Returns:
        The correlation in the next layer; nan at q = 0, where there is no signal.

    Source:
        Poole et al. 2016, equation 5, at the fixed length.
    """
    if q == 0.0:
        return math.nan
    return (sigma_w**2 * pair_mean(activation.function, q, correlation, activation.kinks) + sigma_b**2) / q


def chi(activation: Activation, q: float, sigma_w: float, correlation: float = 1.0) -> float:
    """Slope of the correlation map, sigma_w² E[phi'(u) phi'(v)]; at correlation 1 the papers' chi_1.

    chi_1 is also the factor by which a layer multiplies the squared norm of the gradient on its way back.

    Args:
        activation: The activation of the layer.
        q: Variance of its pre-activations.
        sigma_w: Scale of its weights.
        correlation: Correlation of two inputs.

    Returns:
        The slope; 1 at correlation 1 is the edge of chaos.

    Example:
        >>> from gradiometer.activations import activation_of
        >>> round(chi(activation_of("relu"), 1.0, 2.0**0.5), 12)
        1.0
    """
    if correlation == 1.0:
        return sigma_w**2 * mean_square_slope(activation, q)
    return sigma_w**2 * pair_mean(activation.slope, q, correlation, activation.kinks)


def fixed_correlation(activation: Activation, sigma_w: float, sigma_b: float = 0.0) -> float:
    """The correlation c* that two different inputs settle at in a deep network.

    Returns:
        c*: 1 where chi_1 is at most 1; nan where q* is 0 or infinite.
    """
    q = fixed_length(activation, sigma_w, sigma_b)
    if q == 0.0 or math.isinf(q):
        return math.nan
    if chi(activation, q, sigma_w) <= 1.0 + 1e-9:
        return 1.0

    def excess(correlation: float) -> float:
        return next_correlation(activation, correlation, q, sigma_w, sigma_b) - correlation

    return 0.0 if excess(0.0) <= 1e-12 else bisect(excess, 0.0, 1.0 - 1e-6)


def correlation_depth_scale(activation: Activation, sigma_w: float, sigma_b: float = 0.0) -> float:
    """Layers over which a deviation from c* shrinks by the factor e: xi_c. Networks train to about 6 xi_c layers.

    Returns:
        xi_c; inf on the edge of chaos, nan where q* is 0 or infinite.

    Source:
        Schoenholz et al. 2017, equation 10; the factor 6 from its section 5.
    """
    q = fixed_length(activation, sigma_w, sigma_b)
    correlation = fixed_correlation(activation, sigma_w, sigma_b)
    if math.isnan(correlation):
        return math.nan
    slope = chi(activation, q, sigma_w, correlation)
    return math.inf if abs(slope - 1.0) < 1e-9 else -1.0 / math.log(slope)
