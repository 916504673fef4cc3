"""Stacks of layers that are learned one after the other without labels: deep belief nets, stacks of autoencoders.

A deep belief net is a stack of restricted Boltzmann machines: the first is learned from the data, each further one from
what the hidden units of the one below do for the data. The top machine is a model of what the topmost features do
together; samples are drawn from it by Gibbs steps and then passed down, layer by layer, to pictures.

Source:
    Hinton, Osindero, Teh, "A fast learning algorithm for deep belief nets", Neural Computation 2006; Bengio, Lamblin,
    Popovici, Larochelle, "Greedy layer-wise training of deep networks", NIPS 2007.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gradiometer.curing.learners.autoencoder import AutoencoderSettings, encoded, train_autoencoder
from gradiometer.curing.learners.rbm import (
    Rbm,
    RbmSettings,
    hidden_draw,
    hidden_mean,
    train_rbm,
    visible_draw,
    visible_mean,
)

LayerWeights = tuple[Tensor, Tensor]
"""One layer: weight [output input], as torch keeps it, and bias [output]."""


@dataclass(frozen=True, slots=True)
class DeepBelief:
    """A stack of machines.

    Attributes:
        machines: The machines, the one at the data first.
        settings: How each was learned.
    """

    machines: tuple[Rbm, ...]
    settings: tuple[RbmSettings, ...]

    @property
    def layers(self) -> list[LayerWeights]:
        """Weights and hidden biases, to begin a network with."""
        return [(machine.weight, machine.hidden_bias) for machine in self.machines]


def learn_deep_belief(
    samples: Tensor, hidden: Sequence[int], settings: RbmSettings, generator: torch.Generator
) -> DeepBelief:
    """Learn a stack greedily.

    Args:
        samples: The data [example visible].
        hidden: Hidden units of each machine, from the data up.
        settings: How each is learned; the visible units of all but the first are the binary ones of the layer below.
        generator: Where all random numbers are drawn from.
    """
    machines, how, given = [], [], samples
    for rank, count in enumerate(hidden):
        own = settings if rank == 0 else replace(settings, visible="binary")
        machine = train_rbm(given, count, own, generator)
        given = hidden_mean(machine, given, own)
        machines.append(machine)
        how.append(own)
    return DeepBelief(tuple(machines), tuple(how))


def passed_up(net: DeepBelief, visible: Tensor) -> Tensor:
    """What the topmost units do on average for data, each layer given the averages of the one below."""
    for machine, settings in zip(net.machines, net.settings, strict=True):
        visible = hidden_mean(machine, visible, settings)
    return visible


def passed_down(net: DeepBelief, hidden: Tensor) -> Tensor:
    """The data that topmost units stand for, each layer given the averages of the one above."""
    for machine, settings in zip(reversed(net.machines), reversed(net.settings), strict=True):
        hidden = visible_mean(machine, hidden, settings)
    return hidden


def draw_chain(machine: Rbm, settings: RbmSettings, visible: Tensor, sweeps: int, generator: torch.Generator) -> Tensor:
    """Visible units after so many Gibbs steps, the last one's average."""
    for _ in range(sweeps - 1):
        visible = visible_draw(machine, hidden_draw(machine, visible, settings, generator), settings, generator)
    return visible_mean(machine, hidden_draw(machine, visible, settings, generator), settings)


def draw_samples(net: DeepBelief, begin: Tensor, sweeps: int, generator: torch.Generator) -> Tensor:
    """Draw pictures: Gibbs steps in the top machine, then down.

    Args:
        net: The stack.
        begin: Data that the chains start from [chain visible].
        sweeps: Gibbs steps of the top machine.
        generator: Where all random numbers are drawn from.
    """
    below = DeepBelief(net.machines[:-1], net.settings[:-1])
    top = draw_chain(net.machines[-1], net.settings[-1], passed_up(below, begin), sweeps, generator)
    return passed_down(below, top)


def learn_autoencoders(
    samples: Tensor, hidden: Sequence[int], settings: AutoencoderSettings, generator: torch.Generator
) -> list[LayerWeights]:
    """Learn a stack of autoencoders greedily, each from what the ones below give.

    Args:
        samples: The data [example visible], from 0 to 1 where its kind is `binary`.
        hidden: Units of each layer, from the data up.
        settings: How each is learned.
        generator: Where all random numbers are drawn from.
    """
    layers: list[LayerWeights] = []
    for count in hidden:
        learned = train_autoencoder(samples, (count, samples.shape[1]), settings, generator)
        samples = encoded(learned, samples, settings)
        layers.append((learned.weight, learned.hidden_bias))
    return layers
