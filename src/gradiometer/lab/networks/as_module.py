"""One of the hand-written networks as a torch module, so that a training of it can be watched."""

from collections.abc import Callable

import torch
from torch import nn

from gradiometer.lab.networks.feed_forward import FeedForward
from gradiometer.lab.networks.plain import linear_of, plain_network

MODULES: dict[str, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "identity": nn.Identity,
}
"""Name of an activation to the module that computes it, with torch's default parameters."""


def as_module(network: FeedForward, seed_index: int = 0) -> nn.Sequential:
    """Copy one of the networks into torch.

    Args:
        network: The networks.
        seed_index: Which of them.

    Returns:
        Linear layers with activations between them, float32. The output is the last layer's pre-activation: the
        network's sigmoid belongs to the cost, `nn.BCEWithLogitsLoss(reduction="sum")` over the number of examples.
    """
    pairs = zip(network.weights, network.biases, strict=True)
    layers = [
        linear_of(torch.from_numpy(weight[seed_index].T.copy()), torch.from_numpy(bias[seed_index, 0].copy()))
        for weight, bias in pairs
    ]
    return plain_network(layers, MODULES[network.activation])
