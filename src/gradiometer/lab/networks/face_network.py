"""A small convolutional network that tells faces from the rest, in three makings: healthy, starved, mended.

All three have the same five convolutions (7 by 7, then 3 by 3; the second and the fourth halve the picture), the mean
of each channel over the picture, and one unit that answers. What differs stands in `MAKINGS`: activation, start, and
whether a batch normalisation stands before each activation. One unit of the last convolution sees the whole picture.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gradiometer.lab.networks.drawing import seeded

SIDE = 25
"""Height and width of a picture, pixels."""

LEAST_SPREAD = 1e-5
"""Standard deviation of a picture's brightness below which there is rounding in it and nothing else: one pixel of 625
that differs by a 256th makes 1.6e-4."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """Shape of one convolution.

    Attributes:
        inputs: Channels that it reads.
        outputs: Channels that it writes: its units.
        side: Height and width of a filter.
        stride: Pixels from one place to the next.
    """

    inputs: int
    outputs: int
    side: int
    stride: int


CONVOLUTIONS: dict[str, Convolution] = {
    "conv1": Convolution(1, 8, 7, 1),
    "conv2": Convolution(8, 8, 3, 2),
    "conv3": Convolution(8, 12, 3, 1),
    "conv4": Convolution(12, 12, 3, 2),
    "conv5": Convolution(12, 16, 3, 1),
}
"""Name of each convolution, the first nearest the picture, and its shape."""


@dataclass(frozen=True, slots=True)
class Making:
    """What one of the networks is made of, and what that does to it, in words."""

    activation: Callable[[], nn.Module]
    words: str
    is_he: bool = False
    is_normalised: bool = False


MAKINGS: dict[str, Making] = {
    "healthy": Making(nn.ReLU, is_he=True, words="ReLU units, He's start: weights of variance 2/n for n inputs"),
    "starved": Making(nn.Sigmoid, words="sigmoid units, the common start before 2010: U(-1/√n, 1/√n)"),
    "mended": Making(
        nn.Sigmoid, is_normalised=True, words="the starved one with a batch normalisation before each sigmoid"
    ),
}
"""Name of each network and how it is made."""


def draw_face_network(making: str, seed: int) -> nn.Sequential:
    """Draw one of the networks.

    Args:
        making: A key of `MAKINGS`.
        seed: Seed of its weights; the makings do not share their draws.

    Returns:
        A network from pictures [example 1 height width] to one logit each [example 1]: above 0 for a face.
    """
    made = MAKINGS[making]
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    with seeded(seed):
        for number, (name, shape) in enumerate(CONVOLUTIONS.items(), start=1):
            layer = nn.Conv2d(shape.inputs, shape.outputs, shape.side, stride=shape.stride, padding=shape.side // 2)
            if made.is_he:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
            parts[name] = layer
            if made.is_normalised:
                parts[f"norm{number}"] = nn.BatchNorm2d(shape.outputs)
            parts[f"act{number}"] = made.activation()
        parts["mean"] = nn.AdaptiveAvgPool2d(1)
        parts["flat"] = nn.Flatten()
        parts["answer"] = nn.Linear(shape.outputs, 1)
    return nn.Sequential(parts)


def responses(network: nn.Sequential, pictures: Tensor, layer: str) -> Tensor:
    """What a layer's units say to some pictures, before their activation; gradients flow through.

    Args:
        network: One of the networks, in the mode in which it stands.
        pictures: Standardised pictures [example 1 height width].
        layer: `answer`, or a key of `CONVOLUTIONS`.

    Returns:
        Responses [example unit height width]; [example 1] of `answer`.
    """
    passed: Tensor = pictures
    for name, module in network.named_children():
        passed = module(passed)
        if name == layer:
            break
    else:
        raise KeyError(layer)
    return passed


def weight_of(network: nn.Sequential, name: str) -> Tensor:
    """A convolution's filters [unit channel height width]; the tensor itself, without its gradient."""
    weight: Tensor = network.get_parameter(f"{name}.weight").data
    return weight


def filters_of(network: nn.Sequential) -> dict[str, Tensor]:
    """Copies of each convolution's filters [unit channel height width]."""
    return {name: weight_of(network, name).clone() for name in CONVOLUTIONS}


def standardised(pictures: Tensor) -> Tensor:
    """Pictures with mean 0 and variance 1 each, so that brightness alone tells nothing.

    Args:
        pictures: Brightness [example pixel]; a picture of one brightness becomes all zero.

    Returns:
        The pictures as a network reads them [example 1 height width].
    """
    centred = pictures - pictures.mean(dim=1, keepdim=True)
    spread = centred.square().mean(dim=1, keepdim=True).sqrt()
    scale = torch.where(spread > LEAST_SPREAD, 1.0 / spread, 0.0)
    side = int(pictures.shape[1] ** 0.5)
    return (centred * scale).reshape(-1, 1, side, side)
