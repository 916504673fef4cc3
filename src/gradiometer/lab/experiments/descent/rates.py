"""When a learning rate is too large: the curvature of the cost surface, and what steps do on it.

Along a direction in which the cost is C = k/2 w², a step of rate r multiplies w by 1 - r k. It comes nearer as long as
r < 2/k, fastest at 1/k, and flies away above 2/k. Of all directions the one of the greatest curvature sets the limit.
"""

import math

import numpy as np
from numpy.typing import NDArray

from gradiometer.lab.experiments.descent.paths import Examples, networks_at
from gradiometer.lab.networks.feed_forward import FeedForward, backward, descend, forward, mean_cost

FloatArray = NDArray[np.float64]

NUDGE = 1e-4
"""Half the distance over which the gradient's change is measured: far above rounding, far below any bend."""


def bowl_costs(multiple: float, steps: int) -> FloatArray:
    """Costs on the bowl C = w²/2 from w = 1, at a rate that is a multiple of 1/curvature [step].

    Example:
        >>> bowl_costs(1.0, 2).tolist()
        [0.5, 0.0, 0.0]
    """
    w = (1.0 - multiple) ** np.arange(steps + 1)
    return 0.5 * w * w


def breaking_multiple(steps: int = 2000) -> float:
    """The multiple of 1/curvature above which descent on a bowl ends higher than it began, by halving."""
    low, high = 0.0, 10.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        w = 1.0
        for _ in range(steps):
            w -= middle * w
            if abs(w) > 1e6:
                break
        if abs(w) > 1.0:
            high = middle
        else:
            low = middle
    return 0.5 * (low + high)


def gradient_at(point: FloatArray, like: FeedForward, examples: Examples) -> FloatArray:
    """Gradient of the mean cost by all weights and biases, in float64 [parameter]."""
    network = networks_at(point[None], like, dtype=np.float64)
    inputs, targets = examples.inputs[None].astype(np.float64), examples.targets[None].astype(np.float64)
    gradients = backward(network, forward(network, inputs), targets)
    pairs = zip(gradients.weights, gradients.biases, strict=True)
    return np.concatenate([part.ravel() for pair in pairs for part in pair])


def greatest_curvature(point: FloatArray, like: FeedForward, examples: Examples, rounds: int = 40) -> float:
    """Greatest curvature of the cost surface at a point, by power iteration on differences of the gradient.

    Args:
        point: Weights and biases [parameter].
        like: A network of that shape.
        examples: What the cost is over.
        rounds: Iterations; each takes two gradients.

    Returns:
        The eigenvalue of the Hessian that is greatest in size.
    """
    direction = np.random.default_rng(0).standard_normal(point.size)
    curvature = 0.0
    for _ in range(rounds):
        direction /= np.linalg.norm(direction)
        ahead = gradient_at(point + NUDGE * direction, like, examples)
        behind = gradient_at(point - NUDGE * direction, like, examples)
        change = (ahead - behind) / (2.0 * NUDGE)
        curvature = float(direction @ change)
        direction = change
    return curvature


def costs_from(point: FloatArray, like: FeedForward, examples: Examples, *, rate: float, steps: int) -> FloatArray:
    """Costs of full-batch descent from a point, before each step and behind the last [step]; inf once it overflows."""
    network = networks_at(point[None], like, dtype=np.float64)
    inputs, targets = examples.inputs[None].astype(np.float64), examples.targets[None].astype(np.float64)
    costs = [float(mean_cost(network, examples.inputs, examples.targets)[0])]
    for _ in range(steps):
        descend(network, backward(network, forward(network, inputs), targets), rate)
        costs.append(float(mean_cost(network, examples.inputs, examples.targets)[0]))
    return np.array([cost if math.isfinite(cost) else math.inf for cost in costs])
