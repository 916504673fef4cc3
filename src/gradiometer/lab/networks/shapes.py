"""The activations that the lab compares, as torch functions with each its own start."""

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from gradiometer.lab.networks.stacked import Shape
from gradiometer.theory.critical_scale import CriticalScale, critical_scale

MAXOUT_SCALE = CriticalScale(sigma_w=1.0, sigma_b=0.0, q=1.0, output_mean=0.0, entry_rms=1.0)
"""Maxout of two pieces has this scale: the greater of two independent pre-activations of variance q has the mean
square q, and its slope is 1 by whichever piece is the greater."""


def maxout(before: Tensor, slope: Tensor) -> Tensor:
    """The greater of a unit's two pre-activations; the second half of the columns are the second pieces.

    Args:
        before: Pre-activations [... 2·unit].
        slope: Not used.

    Source:
        Goodfellow et al., "Maxout networks", ICML 2013.
    """
    first, second = before.chunk(2, dim=-1)
    return torch.maximum(first, second)


def prelu(before: Tensor, slope: Tensor) -> Tensor:
    """ReLU with a learned slope below zero.

    Source:
        He et al., "Delving deep into rectifiers", ICCV 2015.
    """
    return torch.where(before > 0.0, before, slope * before)


SHAPES: dict[str, Shape] = {
    "sigmoid": lambda before, slope: torch.sigmoid(before),
    "tanh": lambda before, slope: torch.tanh(before),
    "relu": lambda before, slope: torch.relu(before),
    "leaky_relu": lambda before, slope: functional.leaky_relu(before, 0.01),
    "prelu": prelu,
    "elu": lambda before, slope: functional.elu(before),
    "selu": lambda before, slope: functional.selu(before),
    "gelu": lambda before, slope: functional.gelu(before),
    "silu": lambda before, slope: functional.silu(before),
    "softplus": lambda before, slope: functional.softplus(before),
    "maxout": maxout,
}
"""The activations, by their names in `gradiometer.activations`; maxout is none of one number, and not there."""

TITLES: dict[str, str] = {
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "relu": "ReLU",
    "leaky_relu": "leaky ReLU",
    "prelu": "PReLU",
    "elu": "ELU",
    "selu": "SELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "softplus": "softplus",
    "maxout": "maxout",
}
"""What they are called in text."""


def pieces_of(name: str) -> int:
    """Pre-activations of one hidden unit: two for maxout."""
    return 2 if name == "maxout" else 1


@cache
def own_scale(name: str) -> CriticalScale:
    """The scale of weights and biases at which a shape keeps signal and gradient.

    Args:
        name: A key of `SHAPES`.
    """
    return MAXOUT_SCALE if name == "maxout" else critical_scale(name)


def leaky(negative_slope: float) -> Shape:
    """Leaky ReLU of another slope below zero; at 1 it is the identity."""
    return lambda before, slope: functional.leaky_relu(before, negative_slope)
