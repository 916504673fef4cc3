"""The learning rate that a deep network can bear: it falls as 1 / depth.

One step changes the weights of every layer by a matrix of about rank one, of some share s of their own norm, and the
changes of all layers point the same way along the signal. The end-to-end map then changes by the factor (1 + s)^depth:
s has to stay below 1 / depth or so if the gradient is still to be true when it is followed. Weights have the norm
sigma_w, so that

- **plain descent**, where s is the rate times the norm g of one layer's gradient, bears sigma_w / (depth · g);
- **momentum** adds steps up: by 1 / (1 - momentum) where they agree, by about its square root where they do not. The
  square root is what networks were seen to bear: √(1 - momentum) · sigma_w / (depth · g);
- **Adam** moves every weight by about the rate, whatever g, so that the norm of a change is the rate times the width:
  sigma_w / (depth · width).

g is the norm of the signal times that of the gradient, which the maps give (`layer_gradient`). Where the signal fades
with depth, as at the critical point of tanh, training brings it back, so that g is not taken below 1 / sigma_w.

The laws are derived; that their constant is 1 was measured, on networks of 30 to 1,000 layers with orthogonal weights
(`docs/log.md`): they come apart at 2 to 6 times these rates, with a momentum of 0.99 at 1 to 1.5 times. With Gaussian
weights 100 layers bear about a third of it, and how much they learn depends on the draw: what they lack is isometry.
Networks with skip connections or normalisation bear more, and in one of few layers it is the task that sets the limit,
not the depth.

Source:
    Saxe, McClelland, Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks",
    ICLR 2014: the rate of a deep linear network has to fall as 1 / depth. The rest is ours.
"""

import math

from gradiometer.activations import Activation
from gradiometer.errors import SettingsError
from gradiometer.theory.length_map import LARGEST
from gradiometer.theory.moments import mean_square, mean_square_slope, small_signal_slope_square

OPTIMIZERS = ("sgd", "adam")
"""Kinds of optimizers that a rate is known for: descent, with or without momentum, and Adam with its relatives."""


def suggested_learning_rate(
    depth: int,
    *,
    optimizer: str = "sgd",
    momentum: float = 0.9,
    width: int = 128,
    sigma_w: float = 1.0,
    gradient: float = 0.0,
) -> float:
    """The learning rate to begin with in a plain deep network, without normalisation or skip connections.

    Args:
        depth: Layers with weights on the way from the input to the output, at least 1.
        optimizer: One of `OPTIMIZERS`.
        momentum: Momentum of the descent, 0 to below 1; Adam's is not asked for.
        width: Units of a hidden layer; only Adam's rate goes by it.
        sigma_w: Scale of the hidden weights: their variance is sigma_w² / fan_in.
        gradient: Norm of one layer's gradient, from `layer_gradient`, where it is known; only the rate of descent goes
            by it, and not below 1 / sigma_w.

    Returns:
        The rate.

    Raises:
        SettingsError: There is no such optimizer, or no network of that shape.

    Example:
        >>> round(suggested_learning_rate(1000), 6), suggested_learning_rate(10, optimizer="adam", width=100)
        (0.000316, 0.001)
    """
    if depth < 1 or width < 1 or not 0.0 <= momentum < 1.0 or not 0.0 < sigma_w < math.inf:
        raise SettingsError("depth and width are at least 1, momentum at least 0 and below 1, sigma_w above 0")
    if optimizer == "sgd":
        return math.sqrt(1.0 - momentum) * sigma_w / (depth * max(gradient, 1.0 / sigma_w))
    if optimizer == "adam":
        return sigma_w / (depth * width)
    raise SettingsError(f"no learning rate is known for {optimizer!r}; choose {' or '.join(OPTIMIZERS)}")


def layer_gradient(
    activation: Activation, sigma_w: float, sigma_b: float = 0.0, *, depth: int, width: int, entry: float = 1.0
) -> float:
    """Norm of the gradient of one hidden layer's weights, for one example and an output gradient of norm 1.

    Args:
        activation: The activation of every layer.
        sigma_w: Scale of the hidden weights.
        sigma_b: Scale of the biases.
        depth: Layers with weights.
        width: Units of a hidden layer.
        entry: Variance of the first layer's pre-activations.

    Returns:
        Root mean square of the norms over the hidden layers, the output's weights being of scale 1; inf where the
        signal grows beyond all bounds on its way.

    Example:
        >>> from gradiometer.activations import activation_of
        >>> round(layer_gradient(activation_of("relu"), 2.0**0.5, depth=30, width=128, entry=0.5625), 2)
        4.24
    """
    layers, q = max(depth - 1, 1), entry
    outputs: list[float] = []
    slopes: list[float] = []
    while len(outputs) < layers:
        if q > LARGEST:
            return math.inf
        outputs.append(mean_square(activation, q))
        slopes.append(mean_square_slope(activation, q) if q > 0.0 else small_signal_slope_square(activation))
        before, q = q, sigma_w**2 * outputs[-1] + sigma_b**2
        if abs(q - before) <= 1e-12 * q:
            outputs += [outputs[-1]] * (layers - len(outputs))
            slopes += [slopes[-1]] * (layers - len(slopes))
    total, backward = 0.0, 1.0
    for output, slope in zip(reversed(outputs), reversed(slopes), strict=True):
        backward *= slope
        total += width * output * backward
        backward *= sigma_w**2
    return math.sqrt(total / layers)
