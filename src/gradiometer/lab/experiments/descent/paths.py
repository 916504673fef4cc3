"""Three ways down one cost surface, and the surface around them in the two directions in which they went.

All weights and biases are one point. The points passed on the way are parted into directions by their principal
components; the plane of the first two is drawn, with the cost at every place of a grid on it.

Source:
    H. Li et al., "Visualizing the loss landscape of neural nets", NeurIPS 2018, section 7. That a walk without any aim
    gives much the same shares: J. Antognini and J. Sohl-Dickstein, "PCA of high dimensional random walks with
    comparison to neural network training", NeurIPS 2018 (share of component k: 6/(π² k²)).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradiometer.lab.networks.feed_forward import (
    Array,
    FeedForward,
    accuracy,
    backward,
    batches,
    descend,
    draw_network,
    forward,
    mean_cost,
)

FloatArray = NDArray[np.float64]

LOOKS = 60
"""How often a training is looked at, evenly over its steps, besides the start."""


@dataclass(frozen=True, slots=True)
class WayDown:
    """One training.

    Attributes:
        batch_size: Examples of a step.
        rate: Learning rate.
        epochs: Epochs behind the start at which it was looked at [look].
        costs: Mean cost of all training examples then [look].
        step_costs: Cost of each step's own batch [step].
        points: All parameters then [look parameter].
        seconds: Wall time of the steps, what it took to look left out.
        accuracy: Share of the validation examples that it gets right at the end.
    """

    batch_size: int
    rate: float
    epochs: FloatArray
    costs: FloatArray
    step_costs: FloatArray
    points: FloatArray
    seconds: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Plane:
    """The plane of the two main directions of some paths.

    Attributes:
        origin: Mean of the paths' points [parameter].
        axes: The two directions, of length 1 [axis parameter].
        shares: Share of the points' variance along each.
    """

    origin: FloatArray
    axes: FloatArray
    shares: tuple[float, float]

    def place(self, points: FloatArray) -> FloatArray:
        """Coordinates of points on the plane [point axis]."""
        return np.asarray((points - self.origin) @ self.axes.T)


@dataclass(frozen=True, slots=True)
class Examples:
    """What is trained on, and what is judged on: inputs, targets and classes."""

    inputs: Array
    targets: Array
    judged: Array
    judged_labels: NDArray[np.int64]


def point_of(network: FeedForward, index: int = 0) -> FloatArray:
    """All parameters of one network as one point [parameter], layer by layer, weights then biases."""
    parts = [part[index].ravel() for pair in zip(network.weights, network.biases, strict=True) for part in pair]
    return np.concatenate(parts).astype(np.float64)


def networks_at(points: FloatArray, like: FeedForward, dtype: type[np.floating[Any]] = np.float32) -> FeedForward:
    """Networks at the given points [point parameter], of the shape of another."""
    weights, biases, begin = [], [], 0
    for inputs, outputs in zip(like.sizes, like.sizes[1:], strict=False):
        end = begin + inputs * outputs
        weights.append(points[:, begin:end].reshape(-1, inputs, outputs).astype(dtype))
        biases.append(points[:, end : end + outputs].reshape(-1, 1, outputs).astype(dtype))
        begin = end + outputs
    return FeedForward(like.sizes, weights, biases, like.activation, like.cost)


def go_down(
    sizes: Sequence[int],
    examples: Examples,
    *,
    batch_size: int,
    rate: float,
    epochs: int,
    seed: int = 0,
) -> WayDown:
    """Train one network by plain descent on the cross-entropy, for so many epochs, and look at it now and then.

    Args:
        sizes: Units of each layer.
        examples: What it is trained and judged on.
        batch_size: Examples of a step.
        rate: Learning rate.
        epochs: Times that every example is seen.
        seed: Of the weights, whatever the way, and of the order.
    """
    network = draw_network(sizes, (seed,))
    order = np.random.default_rng(seed)
    count = len(examples.inputs)
    total = epochs * -(-count // batch_size)
    chosen_steps = set(np.unique(np.linspace(1, total, min(LOOKS, total)).astype(int)).tolist())
    seen, costs, points = [0.0], [_cost(network, examples)], [point_of(network)]
    step_costs, step, seconds = [], 0, 0.0
    for _ in range(epochs):
        for chosen in batches(count, batch_size, (order,)):
            took, cost = _take_step(network, examples.inputs[chosen], examples.targets[chosen], rate)
            seconds += took
            step_costs.append(cost)
            step += 1
            if step in chosen_steps:
                seen.append(step * epochs / total)
                costs.append(_cost(network, examples))
                points.append(point_of(network))
    right = float(accuracy(network, examples.judged, examples.judged_labels)[0])
    numbers = (np.array(seen), np.array(costs), np.array(step_costs), np.stack(points))
    return WayDown(batch_size, rate, *numbers, seconds, right)


def _cost(network: FeedForward, examples: Examples) -> float:
    return float(mean_cost(network, examples.inputs, examples.targets)[0])


def _take_step(network: FeedForward, inputs: Array, targets: Array, rate: float) -> tuple[float, float]:
    """One step down; the seconds that it took, and the batch's cost before it."""
    begun = perf_counter()
    passed = forward(network, inputs)
    descend(network, backward(network, passed, targets), rate)
    took = perf_counter() - begun
    z = passed.pre_activations[-1].astype(np.float64)
    return took, float((np.logaddexp(0.0, z) - targets * z).sum(axis=2).mean())


def main_plane(points: FloatArray) -> Plane:
    """The plane of the first two principal components of points [point parameter]."""
    origin = points.mean(axis=0)
    _, sizes, axes = np.linalg.svd(points - origin, full_matrices=False)
    shares = np.square(sizes) / np.square(sizes).sum()
    return Plane(origin, axes[:2], (float(shares[0]), float(shares[1])))


def surface_on(plane: Plane, x: FloatArray, y: FloatArray, like: FeedForward, examples: Examples) -> FloatArray:
    """Mean training cost at every place of a grid on the plane [y x]."""
    rows = []
    for height in y:
        places = np.stack([x, np.full_like(x, height)], axis=1)
        networks = networks_at(plane.origin + places @ plane.axes, like)
        rows.append(mean_cost(networks, examples.inputs, examples.targets))
    return np.stack(rows)


def aimless_walk(steps: int, parameters: int, seed: int) -> FloatArray:
    """A walk of independent random steps [step parameter]."""
    return np.cumsum(np.random.default_rng(seed).standard_normal((steps, parameters)), axis=0)
