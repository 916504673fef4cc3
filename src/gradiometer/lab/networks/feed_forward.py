"""A feed-forward network and its backpropagation, written out in numpy; several seeds are trained side by side.

With weights W, biases b, activation f, pre-activations z = a W + b and activations a = f(z), the gradients of the cost
C of one example are, layer by layer from the output L back to the input:

    error at the output      delta_L = dC/da_L * f'(z_L)          (a_L - y for sigmoid with cross-entropy)
    error passed back        delta_l = (delta_(l+1) W_(l+1)^T) * f'(z_l)
    gradient of the biases   dC/db_l = delta_l
    gradient of the weights  dC/dW_l = a_(l-1)^T delta_l

A batch's gradient is the mean over its examples. A layer's weights lie in memory with an output's weights side by side,
so that products with few examples run along them.

Source:
    Rumelhart, Hinton, Williams, "Learning representations by back-propagating errors", Nature 1986; the four equations
    as in Nielsen, "Neural Networks and Deep Learning", 2015, chapter 2.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gradiometer.activations import ACTIVATIONS

Array = NDArray[Any]
Cost = Literal["cross_entropy", "quadratic"]
Start = Literal["default", "large", "glorot", "he", "uniform"]

WEIGHT_SPREADS: dict[Start, Callable[[int, int], float]] = {
    "default": lambda inputs, outputs: 1.0 / math.sqrt(inputs),
    "large": lambda inputs, outputs: 1.0,
    "glorot": lambda inputs, outputs: math.sqrt(2.0 / (inputs + outputs)),
    "he": lambda inputs, outputs: math.sqrt(2.0 / inputs),
    "uniform": lambda inputs, outputs: 1.0 / math.sqrt(3.0 * inputs),
}
"""Start to the standard deviation of the first weights; `default` and `large` are Nielsen's, `uniform` has the variance
of U(-1/√n, 1/√n), the common start before 2010. All are drawn from a Gaussian."""

GAUSSIAN_BIASES: frozenset[Start] = frozenset({"default", "large"})
"""Starts whose biases are drawn with standard deviation 1; the others' are 0."""

ASKED_AT_ONCE = 5000
"""Examples that are passed forward together where nothing is learned, which bounds the memory taken."""


@dataclass(slots=True)
class FeedForward:
    """Several networks of the same shape, one for each seed; descent changes their arrays in place.

    Attributes:
        sizes: Units of each layer, the input first.
        weights: For each layer behind the input [seed inputs outputs].
        biases: Likewise [seed 1 outputs].
        activation: Name of the hidden units' activation; a key of `gradiometer.activations.ACTIVATIONS`.
        cost: What is minimised: the cross-entropy of sigmoid outputs, summed over them, or half the squared distance.
    """

    sizes: tuple[int, ...]
    weights: list[Array]
    biases: list[Array]
    activation: str = "sigmoid"
    cost: Cost = "cross_entropy"

    @property
    def parameter_count(self) -> int:
        """Weights and biases of one of the networks."""
        return sum(inputs * outputs + outputs for inputs, outputs in zip(self.sizes, self.sizes[1:], strict=False))


@dataclass(frozen=True, slots=True)
class ForwardPass:
    """What a forward pass leaves behind for the way back.

    Attributes:
        pre_activations: For each layer behind the input [seed batch outputs].
        activations: The input, then each layer's output [seed batch units].
    """

    pre_activations: list[Array]
    activations: list[Array]

    @property
    def output(self) -> Array:
        """What the networks answer [seed batch outputs]."""
        return self.activations[-1]


@dataclass(frozen=True, slots=True)
class Gradients:
    """The gradient of the batch's mean cost.

    Attributes:
        errors: For each layer behind the input, the gradient of each example's own cost by the layer's
            pre-activations [seed batch outputs].
        weights: As the network's.
        biases: As the network's.
    """

    errors: list[Array]
    weights: list[Array]
    biases: list[Array]


def draw_network(
    sizes: Sequence[int],
    seeds: Sequence[int],
    start: Start = "default",
    *,
    activation: str = "sigmoid",
    cost: Cost = "cross_entropy",
    dtype: type[np.floating[Any]] = np.float32,
) -> FeedForward:
    """Draw one network for each seed; a seed's network does not depend on the others."""
    weights, biases = [], []
    generators = [np.random.default_rng(seed) for seed in seeds]
    for inputs, outputs in zip(sizes, sizes[1:], strict=False):
        spread = WEIGHT_SPREADS[start](inputs, outputs)
        drawn = [spread * generator.standard_normal((inputs, outputs)).T for generator in generators]
        weights.append(np.stack(drawn).astype(dtype, order="C").swapaxes(1, 2))
        bias_spread = 1.0 if start in GAUSSIAN_BIASES else 0.0
        drawn = [bias_spread * generator.standard_normal((1, outputs)) for generator in generators]
        biases.append(np.stack(drawn).astype(dtype))
    return FeedForward(tuple(sizes), weights, biases, activation, cost)


def forward(network: FeedForward, inputs: Array) -> ForwardPass:
    """Pass a batch forward; the output layer's units are sigmoids.

    Args:
        network: The networks.
        inputs: A batch for each seed [seed batch inputs], or one for all [1 batch inputs].
    """
    activations, pre_activations = [inputs], []
    last = len(network.weights) - 1
    for index, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        z = product(activations[-1], weight)
        z += bias
        pre_activations.append(z)
        activations.append(activate("sigmoid" if index == last else network.activation, z))
    return ForwardPass(pre_activations, activations)


def activate(activation: str, z: Array) -> Array:
    """What units with these pre-activations put out, in the same precision."""
    if activation == "sigmoid":
        return sigmoid(z)
    if activation == "tanh":
        return np.tanh(z)
    return ACTIVATIONS[activation].function(z).astype(z.dtype, copy=False)


def slope_at(activation: str, z: Array, output: Array) -> Array:
    """The activation's slope, from the output where that is shorter; in the same precision."""
    if activation == "sigmoid":
        return output * (1.0 - output)
    if activation == "tanh":
        return 1.0 - output * output
    return ACTIVATIONS[activation].slope(z).astype(z.dtype, copy=False)


def backward(network: FeedForward, passed: ForwardPass, targets: Array) -> Gradients:
    """Pass the error back, and read the gradients off it: the four equations.

    Args:
        network: The networks.
        passed: What the forward pass left.
        targets: What was wanted [seed batch outputs], or [1 batch outputs].
    """
    error = passed.output - targets
    if network.cost == "quadratic":
        error *= slope_at("sigmoid", passed.pre_activations[-1], passed.output)
    errors = [error]
    for index in range(len(network.weights) - 1, 0, -1):
        error = product(error, network.weights[index].swapaxes(1, 2))
        error *= slope_at(network.activation, passed.pre_activations[index - 1], passed.activations[index])
        errors.append(error)
    errors.reverse()
    shares = [error / error.shape[1] for error in errors]
    inward = zip(passed.activations, shares, strict=False)
    weights = [product(activation.swapaxes(1, 2), share) for activation, share in inward]
    biases = [np.add.reduce(share, axis=1, keepdims=True) for share in shares]
    return Gradients(errors, weights, biases)


def product(left: Array, right: Array) -> Array:
    """The matrix product of each seed's two, taken as (right^T left^T)^T, which BLAS does faster where left is flat.

    Args:
        left: Activations or errors [seed rows inner], one for all seeds or one for each.
        right: Likewise [seed inner columns].
    """
    # numpy's matmul leaves BLAS where a column meets a row: 57 µs for 784 by 30, where an outer product takes 4.
    multiply = np.multiply if left.shape[2] == 1 else np.matmul
    swapped: Array = multiply(right.swapaxes(1, 2), left.swapaxes(1, 2))
    return swapped.swapaxes(1, 2)


def descend(network: FeedForward, gradients: Gradients, rate: float, *, decay: float = 0.0) -> None:
    """Take one step down, in place.

    Args:
        network: The networks.
        gradients: Of the batch.
        rate: Learning rate.
        decay: Share of each weight that is taken away first: `rate * lambda / n` of the L2 term lambda/2n |W|².
    """
    for weight, gradient in zip(network.weights, gradients.weights, strict=True):
        if decay:
            weight *= 1.0 - decay
        weight -= rate * gradient
    for bias, gradient in zip(network.biases, gradients.biases, strict=True):
        bias -= rate * gradient


def train_epoch(
    network: FeedForward,
    inputs: Array,
    targets: Array,
    orders: Sequence[np.random.Generator],
    *,
    rate: float,
    batch_size: int,
    weight_cost: float = 0.0,
) -> None:
    """Go through all examples once, every seed in an order of its own.

    Args:
        network: The networks; changed in place.
        inputs: All examples [example inputs].
        targets: All targets [example outputs].
        orders: A generator for each seed's order.
        rate: Learning rate.
        batch_size: Examples of a step: 1 is online, all of them full-batch descent.
        weight_cost: The lambda of the L2 term lambda/2n |W|², n the number of examples.
    """
    count = len(inputs)
    decay = rate * weight_cost / count
    for chosen in batches(count, batch_size, orders):
        passed = forward(network, inputs.take(chosen, axis=0))
        gradients = backward(network, passed, targets.take(chosen, axis=0))
        descend(network, gradients, rate, decay=decay)


def batches(count: int, batch_size: int, orders: Sequence[np.random.Generator]) -> Iterator[NDArray[np.int64]]:
    """Indices of each step's examples [seed batch], in a fresh order for each seed; the last batch may be smaller."""
    shuffled = np.stack([order.permutation(count) for order in orders])
    for begin in range(0, count, batch_size):
        yield shuffled[:, begin : begin + batch_size]


def assess(network: FeedForward, inputs: Array, targets: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Accuracy and mean cost of all examples in one forward pass, for each seed [seed].

    Args:
        network: The networks.
        inputs: The examples [example inputs].
        targets: What is wanted, 1 at one output [example outputs].
    """
    right, total = np.zeros((2, len(network.weights[0])))
    for begin in range(0, len(inputs), ASKED_AT_ONCE):
        asked = slice(begin, begin + ASKED_AT_ONCE)
        passed = forward(network, inputs[None, asked])
        total += _costs(network, passed, targets[asked]).sum(axis=(1, 2))
        right += (passed.output.argmax(axis=2) == targets[asked].argmax(axis=1)).sum(axis=1)
    return right / len(inputs), total / len(inputs)


def mean_cost(network: FeedForward, inputs: Array, targets: Array) -> NDArray[np.float64]:
    """Mean cost of all examples, for each seed [seed]; without the L2 term."""
    return assess(network, inputs, targets)[1]


def accuracy(network: FeedForward, inputs: Array, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of the examples whose class has the greatest output, for each seed [seed]."""
    return assess(network, inputs, np.eye(network.sizes[-1], dtype=inputs.dtype)[labels])[0]


def _costs(network: FeedForward, passed: ForwardPass, targets: Array) -> NDArray[np.float64]:
    """Each output's part in the cost [seed example outputs]."""
    if network.cost == "quadratic":
        return np.asarray(0.5 * np.square(passed.output - targets, dtype=np.float64))
    z = passed.pre_activations[-1].astype(np.float64)
    return np.asarray(np.logaddexp(0.0, z) - targets * z)


def sigmoid(z: Array) -> Array:
    """The logistic function, as a stretched hyperbolic tangent; no overflow at any z."""
    output = np.multiply(z, 0.5)
    np.tanh(output, out=output)
    output *= 0.5
    output += 0.5
    return output
