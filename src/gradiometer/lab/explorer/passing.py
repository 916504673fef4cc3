"""A batch passed forward and back: pre-activations, activations and errors of every layer, by autograd."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gradiometer.lab.explorer.network import DigitNetwork
from gradiometer.units import decibels


@dataclass(frozen=True, slots=True)
class Passed:
    """What a batch makes of every layer; layer n stands at n - 1.

    Attributes:
        inputs: The pictures [example pixel].
        outputs: What the network hands to its cost [example class].
        cost: Mean cost of an example.
        pre_activations: z of every layer, the output among them [example unit].
        activations: What goes out of every layer, the output among them [example unit].
        errors: Gradient of the mean cost by z, times the examples: each example's own [example unit].
        activation_errors: Likewise by the activations.
    """

    inputs: Tensor
    outputs: Tensor
    cost: float
    pre_activations: list[Tensor]
    activations: list[Tensor]
    errors: list[Tensor]
    activation_errors: list[Tensor]

    def below(self, layer: int) -> Tensor:
        """What a layer reads, layers counted from 1 [example unit]."""
        return self.inputs if layer == 1 else self.activations[layer - 2]


def pass_batch(network: DigitNetwork, inputs: Tensor, labels: Tensor) -> Passed:
    """Pass a batch forward and its cost back; the network stays as it is.

    Args:
        network: The network.
        inputs: Pictures [example pixel].
        labels: Their classes [example].
    """
    pre_activations: list[Tensor] = []
    signal = inputs
    activations: list[Tensor] = []
    for module in network.model:
        is_linear = module is network.linears[min(len(pre_activations), network.depth - 1)]
        if is_linear and pre_activations:
            activations.append(signal)
        signal = module(signal)
        if is_linear:
            pre_activations.append(signal)
    activations.append(signal)
    cost = network.cost.loss(signal, labels)
    found = torch.autograd.grad(cost, [*pre_activations, *activations])
    errors = [gradient * len(inputs) for gradient in found]
    return Passed(
        inputs=inputs,
        outputs=signal.detach(),
        cost=float(cost.detach()),
        pre_activations=[one.detach() for one in pre_activations],
        activations=[one.detach() for one in activations],
        errors=errors[: network.depth],
        activation_errors=errors[network.depth :],
    )


def levels_db(passed: Passed) -> list[float]:
    """Norm of every layer's errors relative to the output's, dB; nan where the output has none."""
    norms = [float(torch.linalg.vector_norm(error)) for error in passed.errors]
    return [decibels(norm / norms[-1]) if norms[-1] > 0.0 else float("nan") for norm in norms]


def gradients_of(network: DigitNetwork, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Autograd's gradient of the mean cost by every parameter, called `1.weight`, `1.bias`, `2.weight` ..."""
    named = {
        f"{layer}.{kind}": value
        for layer, linear in enumerate(network.linears, start=1)
        for kind, value in linear.named_parameters()
    }
    cost = network.cost.loss(network.model(inputs), labels)
    return dict(zip(named, torch.autograd.grad(cost, list(named.values())), strict=True))
