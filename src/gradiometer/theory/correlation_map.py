"""Two inputs' correlation from layer to layer, its fixed point, and the edge of chaos.

Where chi_1 < 1 (ordered) inputs become alike and gradients vanish; where chi_1 > 1 (chaotic) they drift apart and
gradients explode. Either way depth is limited to about 6 xi_c layers.

Dropout has no such edge. It thins two equal inputs by different masks, so that they come out unlike: c = 1 is no longer
a fixed point, c* is below 1 and xi_c finite at every rate above 0. Of its activation's variance a layer sees
1 / (1 - rate) as much, of two inputs' covariance what it saw before.
"""

import math
from collections.abc import Callable

from gradiometer.activations import Activation
from gradiometer.theory.length_map import fixed_length
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
        The correlation in the next layer; nan at q = 0, where there is no signal. Under dropout the same, with the
        longer q that dropout gives.

    Source:
        Poole et al. 2016, equation 5, at the fixed length; with dropout Schoenholz et al. 2017.
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


def fixed_correlation(
    activation: Activation, sigma_w: float, sigma_b: float = 0.0, *, dropout: float = 0.0, start: float = 1.0
) -> float:
    """The correlation c* that two different inputs settle at in a deep network.

    Args:
        activation: The activation of every layer.
        sigma_w: Scale of the weights.
        sigma_b: Scale of the biases.
        dropout: Share of units that dropout silences, 0 to below 1.
        start: Variance in the first layer.

    Returns:
        c*: without dropout 1 where chi_1 is at most 1; nan where q* is 0 or infinite.
    """
    q = fixed_length(activation, widened(sigma_w, dropout), sigma_b, start)
    if q == 0.0 or math.isinf(q):
        return math.nan
    if dropout == 0.0 and chi(activation, q, sigma_w) <= 1.0 + 1e-9:
        return 1.0

    def excess(correlation: float) -> float:
        """Without dropout 1 is a fixed point, too: dividing by the distance from it leaves the other one."""
        difference = next_correlation(activation, correlation, q, sigma_w, sigma_b) - correlation
        return difference if dropout > 0.0 else difference / (1.0 - correlation)

    at_zero, nearest = excess(0.0), 1.0 if dropout > 0.0 else 1.0 - 1e-6
    if at_zero <= 1e-12:
        return 0.0
    at_nearest = excess(nearest)
    return 1.0 if at_nearest >= 0.0 else _crossing(excess, (0.0, at_zero), (nearest, at_nearest))


def _crossing(function: Callable[[float], float], left: tuple[float, float], right: tuple[float, float]) -> float:
    """A zero between two points of opposite sign, to 1e-10, by false position with the Illinois rule.

    A fifth of the evaluations that halving takes; each is a double integral.
    """
    (here, at_here), (there, at_there), before = right, left, math.inf
    while abs(here - before) > 1e-10 and at_here != 0.0:
        before = here
        guess = (there * at_here - here * at_there) / (at_here - at_there)
        at_guess = function(guess)
        if at_guess * at_here < 0.0:
            there, at_there = here, at_here
        else:
            at_there *= 0.5
        here, at_here = guess, at_guess
    return here


def widened(sigma_w: float, dropout: float) -> float:
    """The scale of weights that gives the same variance without dropout as sigma_w with it.

    Example:
        >>> widened(1.0, 0.75)
        2.0
    """
    return sigma_w / math.sqrt(1.0 - dropout)


def correlation_depth_scale(
    activation: Activation, sigma_w: float, sigma_b: float = 0.0, *, dropout: float = 0.0, start: float = 1.0
) -> float:
    """Layers over which a deviation from c* shrinks by the factor e: xi_c. Networks train to about 6 xi_c layers.

    Args:
        activation: The activation of every layer.
        sigma_w: Scale of the weights.
        sigma_b: Scale of the biases.
        dropout: Share of units that dropout silences, 0 to below 1.
        start: Variance in the first layer.

    Returns:
        xi_c; inf on the edge of chaos, 0 where all is forgotten in one layer, nan where q* is 0 or infinite.

    Source:
        Schoenholz et al. 2017, equation 10; the factor 6 from its section 5.
    """
    q = fixed_length(activation, widened(sigma_w, dropout), sigma_b, start)
    correlation = fixed_correlation(activation, sigma_w, sigma_b, dropout=dropout, start=start)
    if math.isnan(correlation):
        return math.nan
    return depth_scale(chi(activation, q, sigma_w, correlation))


def depth_scale(factor: float) -> float:
    """Layers over which something changes by the factor e, when every layer multiplies it by `factor`.

    Example:
        >>> depth_scale(math.exp(-0.5)), depth_scale(math.exp(0.5)), depth_scale(1.0)
        (2.0, 2.0, inf)
    """
    if abs(factor - 1.0) < 1e-9:
        return math.inf
    return 0.0 if factor == 0.0 else 1.0 / abs(math.log(abs(factor)))
