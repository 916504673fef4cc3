"""The same maps through time: a recurrent layer is a deep network whose depth is its number of steps.

h' = W phi(h) + input: the weights are the same at every step. In a wide layer that changes neither the length nor the
correlation map, nor chi_1, which is now the factor on the squared gradient per step; what arrives from the input at
every step stands beside sigma_b. How far back a gradient reaches is a number of steps instead of layers.

Beside what happens on average there is a bound that always holds: with gamma the activation's greatest slope and s the
largest singular value of W, no gradient grows by more than gamma·s a step. A layer whose gamma·s is below 1 forgets;
above 1 it can explode, which does not say that it will.

Source:
    Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks", ICML 2013;
    Chen, Pennington, Schoenholz, "Dynamical isometry and a mean field theory of RNNs", ICML 2018.
"""

import math

from gradiometer.activations import Activation


def safe_singular_value(activation: Activation) -> float:
    """The largest singular value of the recurrent weights at which no gradient can explode: 1 / gamma.

    Returns:
        1 for tanh and ReLU, 4 for the sigmoid; below it every gradient vanishes. inf for a constant activation.

    Example:
        >>> from gradiometer.activations import activation_of
        >>> safe_singular_value(activation_of("sigmoid"))
        4.0
    """
    return math.inf if activation.greatest_slope == 0.0 else 1.0 / activation.greatest_slope


def greatest_gain(activation: Activation, singular_value: float, steps: int) -> float:
    """By how much a gradient can grow at most on its way back through time.

    Args:
        activation: The activation of every step.
        singular_value: Largest singular value of the recurrent weights.
        steps: Steps back.

    Returns:
        (gamma·s)^steps, a ratio of norms; 1 for no step.
    """
    return float((activation.greatest_slope * singular_value) ** steps)


def largest_singular_value(sigma_w: float, *, is_orthogonal: bool) -> float:
    """The largest singular value of wide square weights: sigma_w if they are orthogonal, twice that if Gaussian.

    Source:
        Geman, "A limit theorem for the norm of random matrices", 1980.
    """
    return sigma_w if is_orthogonal else 2.0 * sigma_w


def half_life(chi_1: float) -> float:
    """Steps (or layers) over which the gradient's norm falls to half, or doubles; inf on the edge of chaos.

    Example:
        >>> half_life(0.25), half_life(0.0)
        (1.0, 0.0)
    """
    if chi_1 == 0.0:
        return 0.0
    return math.inf if abs(chi_1 - 1.0) < 1e-9 else math.log(2.0) / abs(0.5 * math.log(chi_1))
