"""How fast each hidden layer learns: the length of its gradient, at the start and along full-batch descent.

The measure is Nielsen's: the norm of the mean over all examples of delta, the gradient of the cost by a layer's biases.
It is not the mean of the single examples' norms, which is several times as great.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradiometer.lab.networks.critical_start import draw_critical
from gradiometer.lab.networks.feed_forward import (
    Array,
    FeedForward,
    Gradients,
    Start,
    backward,
    descend,
    draw_network,
    forward,
)

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is begun.

    Attributes:
        name: What charts call it.
        activation: Of the hidden units.
        start: Of the weights; `critical` is theory's scale for this activation.
    """

    name: str
    activation: str
    start: Start | str


NIELSEN = Recipe("sigmoid, default start", "sigmoid", "default")

RECIPES: tuple[Recipe, ...] = (
    NIELSEN,
    Recipe("sigmoid, large start", "sigmoid", "large"),
    Recipe("sigmoid, Glorot", "sigmoid", "glorot"),
    Recipe("sigmoid, critical", "sigmoid", "critical"),
    Recipe("tanh, uniform", "tanh", "uniform"),
    Recipe("tanh, Glorot", "tanh", "glorot"),
    Recipe("ReLU, Glorot", "relu", "glorot"),
    Recipe("ReLU, He", "relu", "he"),
)
"""What is set side by side; the first is the published one."""


@dataclass(frozen=True, slots=True)
class Descent:
    """What was recorded before each step.

    Attributes:
        lengths: Gradient lengths of the hidden layers [step seed layer].
        costs: Mean cost without the L2 term [step seed].
    """

    lengths: FloatArray
    costs: FloatArray


def draw_recipe(recipe: Recipe, sizes: Sequence[int], seeds: Sequence[int], inputs: Array) -> FeedForward:
    """Draw one network for each seed; the inputs scale the first layer of a critical start."""
    if recipe.start == "critical":
        return draw_critical(sizes, seeds, recipe.activation, inputs)
    return draw_network(sizes, seeds, recipe.start, activation=recipe.activation)  # type: ignore[arg-type]


def lengths_of(gradients: Gradients) -> FloatArray:
    """Gradient lengths of the hidden layers [seed layer], first hidden layer first."""
    hidden = [np.linalg.norm(bias[:, 0, :].astype(np.float64), axis=1) for bias in gradients.biases[:-1]]
    return np.stack(hidden, axis=1)


def first_lengths(network: FeedForward, inputs: Array, targets: Array) -> FloatArray:
    """Gradient lengths before any step [seed layer]."""
    return lengths_of(backward(network, forward(network, inputs[None]), targets[None]))


def record_descent(
    network: FeedForward,
    inputs: Array,
    targets: Array,
    *,
    steps: int,
    rate: float = 0.1,
    weight_cost: float = 5.0,
    told: Callable[[float], None] = lambda share: None,
) -> Descent:
    """Take full-batch steps, and record every layer's gradient length before each.

    Args:
        network: The networks; changed in place.
        inputs: All examples [example inputs].
        targets: Their targets [example outputs].
        steps: Steps to take.
        rate: Learning rate.
        weight_cost: The lambda of the L2 term lambda/2n |W|².
        told: Told the share that is done.
    """
    lengths, costs = [], []
    decay = rate * weight_cost / len(inputs)
    for step in range(steps):
        passed = forward(network, inputs[None])
        gradients = backward(network, passed, targets[None])
        lengths.append(lengths_of(gradients))
        z = passed.pre_activations[-1].astype(np.float64)
        costs.append((np.logaddexp(0.0, z) - targets * z).sum(axis=2).mean(axis=1))
        descend(network, gradients, rate, decay=decay)
        if step % 50 == 0:
            told(step / steps)
    return Descent(np.stack(lengths), np.stack(costs))


def geometric_mean(values: FloatArray) -> FloatArray:
    """Geometric mean over the seeds [seed ...]; 0 where one of them is 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.exp(np.log(values).mean(axis=0)))


def percentile_of(published: float, values: FloatArray) -> float:
    """Share of the seeds below a published figure, per cent; ties count half.

    Example:
        >>> percentile_of(2.0, np.array([1.0, 2.0, 3.0, 4.0]))
        37.5
    """
    below, equal = (values < published).mean(), (values == published).mean()
    return float(100.0 * (below + 0.5 * equal))
