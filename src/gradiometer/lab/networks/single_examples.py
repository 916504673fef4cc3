"""Backpropagation in a loop over single examples, as the book's first program has it: what vectorising is held against.

The same mathematics as `feed_forward`, one example at a time, with columns as vectors and lists of fresh arrays.

Source:
    M. Nielsen, "Neural Networks and Deep Learning", 2015, `src/network2.py` of its repository: the shape of its loops,
    written anew in float32, where the book computes in float64.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradiometer.lab.networks.feed_forward import FeedForward, sigmoid

Array = NDArray[Any]
Parameters = list[Array]


def train_epoch_singly(
    weights: Parameters,
    biases: Parameters,
    inputs: list[Array],
    targets: list[Array],
    order: np.random.Generator,
    *,
    rate: float,
    batch_size: int,
) -> tuple[Parameters, Parameters]:
    """Go through all examples once, by the cross-entropy.

    Args:
        weights: For each layer behind the input [outputs inputs].
        biases: Likewise [outputs 1].
        inputs: A column for each example [inputs 1].
        targets: Likewise [outputs 1].
        order: Where the order comes from.
        rate: Learning rate.
        batch_size: Examples of a step.

    Returns:
        The weights and biases behind the last step.
    """
    shuffled = order.permutation(len(inputs))
    for begin in range(0, len(inputs), batch_size):
        chosen = shuffled[begin : begin + batch_size]
        by_bias, by_weight = [np.zeros_like(bias) for bias in biases], [np.zeros_like(weight) for weight in weights]
        for example in chosen:
            more_by_bias, more_by_weight = gradient_of(weights, biases, inputs[example], targets[example])
            by_bias = [have + more for have, more in zip(by_bias, more_by_bias, strict=True)]
            by_weight = [have + more for have, more in zip(by_weight, more_by_weight, strict=True)]
        step = rate / len(chosen)
        weights = [weight - step * gradient for weight, gradient in zip(weights, by_weight, strict=True)]
        biases = [bias - step * gradient for bias, gradient in zip(biases, by_bias, strict=True)]
    return weights, biases


def gradient_of(
    weights: Parameters, biases: Parameters, example: Array, target: Array
) -> tuple[Parameters, Parameters]:
    """One example's gradient by the biases and by the weights."""
    outputs = [example]
    for weight, bias in zip(weights, biases, strict=True):
        outputs.append(sigmoid(weight @ outputs[-1] + bias))
    error = outputs[-1] - target
    by_bias, by_weight = [error], [error @ outputs[-2].T]
    for layer in range(len(weights) - 1, 0, -1):
        error = (weights[layer].T @ error) * outputs[layer] * (1.0 - outputs[layer])
        by_bias.insert(0, error)
        by_weight.insert(0, error @ outputs[layer - 1].T)
    return by_bias, by_weight


def as_single(network: FeedForward, seed_index: int = 0) -> tuple[Parameters, Parameters]:
    """Copies of one network's weights and biases, with outputs first."""
    weights = [weight[seed_index].T.copy() for weight in network.weights]
    return weights, [bias[seed_index].T.copy() for bias in network.biases]
