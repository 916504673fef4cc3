"""The explorer's networks: plain layers in float64, so that products and autograd agree to the last digits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional

from gradiometer.lab.networks.as_module import MODULES
from gradiometer.lab.networks.plain import (
    Start,
    critical_start,
    draw_layers,
    gaussian_start,
    plain_network,
    textbook_start,
    torch_start,
)
from gradiometer.schema.explored import ExplorerSettings
from gradiometer.theory.critical_scale import CriticalScale, critical_scale

SEED = 0
TOO_FAR = 4.0
"""Starts that are too large or too small miss the critical scale by this factor, 12 dB a layer."""


def right_answers(outputs: Tensor, labels: Tensor) -> Tensor:
    """What the outputs should be: 1 at the class and 0 elsewhere [example class]."""
    return functional.one_hot(labels, outputs.shape[-1]).to(outputs.dtype)


@dataclass(frozen=True, slots=True)
class Cost:
    """What is made of the network's outputs.

    Attributes:
        loss: From outputs and classes to the mean cost of an example.
        said: From outputs to what they say, in proportion to which the right answer is missed.
        ends_in_sigmoid: Whether the outputs pass a sigmoid of the network's own before the cost.
    """

    loss: Callable[[Tensor, Tensor], Tensor]
    said: Callable[[Tensor], Tensor]
    ends_in_sigmoid: bool = False


COSTS: Mapping[str, Cost] = MappingProxyType(
    {
        "cross_entropy": Cost(functional.cross_entropy, lambda outputs: outputs.softmax(-1)),
        "sigmoid_cross_entropy": Cost(
            lambda outputs, labels: (
                functional.binary_cross_entropy_with_logits(outputs, right_answers(outputs, labels), reduction="none")
                .sum(-1)
                .mean()
            ),
            torch.sigmoid,
        ),
        "squared_error": Cost(
            lambda outputs, labels: 0.5 * (outputs - right_answers(outputs, labels)).square().sum(-1).mean(),
            lambda outputs: outputs,
            ends_in_sigmoid=True,
        ),
    }
)
"""The costs, by their names in `gradiometer.schema.explored`; the last two are Nielsen's."""

Starts = Mapping[str, Callable[[CriticalScale, float], Start]]

STARTS: Starts = MappingProxyType(
    {
        "torch": lambda scale, input_rms: torch_start,
        "glorot": lambda scale, input_rms: textbook_start("glorot"),
        "he": lambda scale, input_rms: textbook_start("he"),
        "critical": critical_start,
        "too_large": lambda scale, input_rms: gaussian_start(TOO_FAR * scale.sigma_w),
        "too_small": lambda scale, input_rms: gaussian_start(scale.sigma_w / TOO_FAR),
    }
)
"""How first weights are drawn, from the activation's critical scale and the pictures' root mean square."""


@dataclass(slots=True)
class DigitNetwork:
    """A network, and where its parts are.

    Attributes:
        settings: What it was made by.
        model: Linear layers with activations between them; training changes it in place.
        linears: The linear layers.
    """

    settings: ExplorerSettings
    model: nn.Sequential
    linears: list[nn.Linear]

    @property
    def cost(self) -> Cost:
        """What is made of its outputs."""
        return COSTS[self.settings.cost]

    @property
    def depth(self) -> int:
        """Layers with weights."""
        return len(self.linears)


def make_network(settings: ExplorerSettings, pixels: int, classes: int, input_rms: float) -> DigitNetwork:
    """Make a network with its first weights.

    Args:
        settings: Already checked.
        pixels: Numbers of a picture.
        classes: Outputs.
        input_rms: Root mean square of the pictures.
    """
    sizes = [pixels, *[settings.units] * settings.hidden_layers, classes]
    start = STARTS[settings.start](critical_scale(settings.activation), input_rms)
    linears = [layer.double() for layer in draw_layers(sizes, start, SEED)]
    model = plain_network(linears, MODULES[settings.activation])
    if COSTS[settings.cost].ends_in_sigmoid:
        model.append(nn.Sigmoid())
    return DigitNetwork(settings, model, linears)
