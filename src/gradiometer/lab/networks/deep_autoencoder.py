"""A deep autoencoder: pictures through ever fewer units to a short code, and back by the mirror image of that way.

Hidden units are sigmoids, those of the code are linear, and the output gives the logits of each pixel's brightness. To
pretrain it, Boltzmann machines are stacked up to the code, which a linear autoencoder learns; then the stack is
unrolled: the way back begins with the same weights, transposed, and is free to differ from then on.

Source:
    Hinton and Salakhutdinov, "Reducing the dimensionality of data with neural networks", Science 2006. They learn the
    code's layer by a machine with Gaussian hidden units.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradiometer.curing.learners.autoencoder import AutoencoderSettings, train_autoencoder
from gradiometer.curing.learners.rbm import RbmSettings, hidden_mean, train_rbm
from gradiometer.lab.networks.plain import Start, draw_layers, linear_of, plain_network


def learn_ways(
    samples: Tensor, sizes: Sequence[int], settings: RbmSettings, generator: torch.Generator
) -> tuple[list[nn.Linear], list[nn.Linear]]:
    """Learn both ways without training the whole.

    Args:
        samples: Pictures [example pixel], brightness from 0 to 1.
        sizes: Units of the hidden layers, the code's last.
        settings: How each machine is learned; the code takes as many updates, in batches of the same size.
        generator: Where all random numbers are drawn from.

    Returns:
        Layers of the way to the code, and of the way back, in the order in which they are passed.
    """
    there: list[nn.Linear] = []
    back: list[nn.Linear] = []
    given = samples
    for count in sizes[:-1]:
        machine = train_rbm(given, count, settings, generator)
        there.append(linear_of(machine.weight, machine.hidden_bias))
        back.append(linear_of(machine.weight.T, machine.visible_bias))
        given = hidden_mean(machine, given, settings)
    linear = AutoencoderSettings(
        activation="leaky_relu",
        activation_settings={"negative_slope": 1.0},
        visible="binary",
        corruption=0.0,
        updates=settings.updates,
        batch_size=settings.batch_size,
    )
    code = train_autoencoder(given, (sizes[-1], given.shape[1]), linear, generator)
    there.append(linear_of(code.weight, code.hidden_bias))
    back.append(linear_of(code.weight.T, code.visible_bias))
    return there, back[::-1]


def draw_ways(sizes: Sequence[int], start: Start, seed: int) -> tuple[list[nn.Linear], list[nn.Linear]]:
    """Draw both ways by chance.

    Args:
        sizes: Units of the input and of the hidden layers, the code's last.
        start: How each layer is drawn.
        seed: Seed of all of them.
    """
    whole = draw_layers([*sizes, *sizes[-2::-1]], start, seed)
    return whole[: len(sizes) - 1], whole[len(sizes) - 1 :]


def unrolled(there: Sequence[nn.Linear], back: Sequence[nn.Linear]) -> nn.Sequential:
    """The whole as one module: sigmoids but behind the code and the output, which is the logits of the picture."""
    return nn.Sequential(*plain_network(there, nn.Sigmoid), *plain_network(back, nn.Sigmoid))


def cross_entropy(logits: Tensor, pictures: Tensor) -> Tensor:
    """What is minimised: mean over the pictures of the sum over their pixels, nats."""
    return F.binary_cross_entropy_with_logits(logits, pictures, reduction="sum") / len(pictures)


@torch.no_grad()
def squared_error(network: nn.Module, pictures: Tensor) -> float:
    """Squared error of what is given back: mean over the pictures, sum over their pixels."""
    return float((network(pictures).sigmoid() - pictures).square().sum() / len(pictures))


def principal_components(samples: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Mean [feature] and leading principal axes [component feature] of samples, in float64."""
    exact = samples.double()
    mean = exact.mean(0)
    centred = exact - mean
    _, axes = torch.linalg.eigh(centred.T @ centred)
    return mean, axes.T.flip(0)[:count]


def rebuilt(samples: Tensor, mean: Tensor, axes: Tensor) -> Tensor:
    """Samples as principal components give them back [example feature], float64."""
    return mean + (samples.double() - mean) @ axes.T @ axes
