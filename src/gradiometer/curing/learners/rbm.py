"""Restricted Boltzmann machines: two layers of units, learned by contrastive divergence.

With visible units v, hidden units h, weight W [hidden visible] and biases b (hidden), a (visible) the energy is
-a·v - b·h - h·Wv for binary visible units and ½|v - a|² - b·h - h·Wv for Gaussian ones of variance 1.

Source:
    Hinton, "Training products of experts by minimizing contrastive divergence", Neural Computation 2002; Tieleman,
    ICML 2008 (persistent chains); Nair and Hinton, ICML 2010 (noisy rectified units); Hinton, "A practical guide to
    training restricted Boltzmann machines", 2010 (start, batches, momentum, weight cost).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gradiometer.errors import SettingsError


@dataclass(frozen=True, slots=True)
class RbmSettings:
    """How a machine is learned.

    Attributes:
        visible: Kind of the visible units; values between 0 and 1 count as probabilities of binary ones.
        hidden: Kind of the hidden units: binary, or rectified with noise.
        gibbs_steps: Steps of the chain before its statistics are taken: the k of CD-k.
        is_persistent: The chain goes on from batch to batch instead of starting from the data.
        has_hidden_bias: Hidden biases are learned; else they stay 0.
        updates: How often weights are changed; 500 are five passes over 10,000 examples.
        batch_size: Examples of one update.
        rate: Learning rate; Gaussian and rectified units, and persistent chains, want a tenth of it.
        momentum: Share of the last change that goes on, in the first and in the second half of the updates.
        weight_cost: What pulls weights to 0, as a share of them.
    """

    visible: Literal["binary", "gaussian"] = "binary"
    hidden: Literal["binary", "rectified"] = "binary"
    gibbs_steps: int = 1
    is_persistent: bool = False
    has_hidden_bias: bool = True
    updates: int = 500
    batch_size: int = 100
    rate: float = 0.1
    momentum: tuple[float, float] = (0.5, 0.9)
    weight_cost: float = 2e-4


@dataclass(frozen=True, slots=True)
class Rbm:
    """A machine's parameters; learning changes them in place.

    Attributes:
        weight: What hidden units get from visible ones [hidden visible].
        hidden_bias: Biases of the hidden units.
        visible_bias: Biases of the visible units.
    """

    weight: Tensor
    hidden_bias: Tensor
    visible_bias: Tensor


def new_rbm(samples: Tensor, hidden_count: int, settings: RbmSettings, generator: torch.Generator) -> Rbm:
    """Draw a machine that knows no more than how active each visible unit is.

    Args:
        samples: Examples of the visible units [example visible].
        hidden_count: Number of hidden units.
        settings: How it will be learned.
        generator: Where its weights are drawn from, on the CPU.
    """
    mean = samples.mean(0)
    weight = torch.empty(hidden_count, samples.shape[1]).normal_(0.0, 0.01, generator=generator)
    return Rbm(
        weight=weight.to(samples.device),
        hidden_bias=torch.zeros(hidden_count, device=samples.device),
        visible_bias=mean.clamp(0.01, 0.99).logit() if settings.visible == "binary" else mean,
    )


def hidden_mean(rbm: Rbm, visible: Tensor, settings: RbmSettings) -> Tensor:
    """What the hidden units do on average for given visible ones; for rectified units nearly."""
    drive = visible @ rbm.weight.T + rbm.hidden_bias
    return drive.sigmoid() if settings.hidden == "binary" else drive.relu()


def hidden_draw(rbm: Rbm, visible: Tensor, settings: RbmSettings, generator: torch.Generator) -> Tensor:
    """Draw the hidden units for given visible ones."""
    drive = visible @ rbm.weight.T + rbm.hidden_bias
    if settings.hidden == "binary":
        return (torch.rand(drive.shape, generator=generator).to(drive.device) < drive.sigmoid()).to(drive.dtype)
    noise = torch.randn(drive.shape, generator=generator).to(drive.device)
    return (drive + drive.sigmoid().sqrt() * noise).relu()


def visible_mean(rbm: Rbm, hidden: Tensor, settings: RbmSettings) -> Tensor:
    """What the visible units do on average for given hidden ones."""
    drive = hidden @ rbm.weight + rbm.visible_bias
    return drive.sigmoid() if settings.visible == "binary" else drive


def visible_draw(rbm: Rbm, hidden: Tensor, settings: RbmSettings, generator: torch.Generator) -> Tensor:
    """Draw the visible units for given hidden ones."""
    mean = visible_mean(rbm, hidden, settings)
    if settings.visible == "binary":
        return (torch.rand(mean.shape, generator=generator).to(mean.device) < mean).to(mean.dtype)
    return mean + torch.randn(mean.shape, generator=generator).to(mean.device)


def fantasy_of(rbm: Rbm, hidden: Tensor, settings: RbmSettings, generator: torch.Generator) -> Tensor:
    """Visible units at the end of a chain that begins with hidden ones; without noise unless the chain goes on."""
    for _ in range(settings.gibbs_steps - 1):
        visible = visible_draw(rbm, hidden, settings, generator)
        hidden = hidden_draw(rbm, visible, settings, generator)
    if settings.is_persistent:
        return visible_draw(rbm, hidden, settings, generator)
    return visible_mean(rbm, hidden, settings)


def batches_of(samples: Tensor, batch_size: int, count: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Shuffled batches, pass after pass; the last of a pass may be smaller."""
    order = torch.randperm(len(samples), generator=generator)
    for _ in range(count):
        yield samples[order[:batch_size].to(samples.device)]
        order = order[batch_size:]
        if not len(order):
            order = torch.randperm(len(samples), generator=generator)


@torch.no_grad()
def train_rbm(samples: Tensor, hidden_count: int, settings: RbmSettings, generator: torch.Generator) -> Rbm:
    """Learn a machine by contrastive divergence.

    Args:
        samples: Examples of the visible units [example visible], float32.
        hidden_count: Number of hidden units.
        settings: How it is learned.
        generator: Where all random numbers are drawn from, on the CPU.
    """
    rbm = new_rbm(samples, hidden_count, settings, generator)
    parameters = (rbm.weight, rbm.hidden_bias, rbm.visible_bias)
    speeds = [torch.zeros_like(parameter) for parameter in parameters]
    chain: Tensor | None = None
    batches = batches_of(samples, settings.batch_size, settings.updates, generator)
    for update, data in enumerate(batches):
        start = data if chain is None else chain
        fantasy = fantasy_of(rbm, hidden_draw(rbm, start, settings, generator), settings, generator)
        chain = fantasy if settings.is_persistent else None
        positive, negative = hidden_mean(rbm, data, settings), hidden_mean(rbm, fantasy, settings)
        slopes = (
            positive.T @ data / len(data) - negative.T @ fantasy / len(fantasy) - settings.weight_cost * rbm.weight,
            (positive.mean(0) - negative.mean(0)) * settings.has_hidden_bias,
            data.mean(0) - fantasy.mean(0),
        )
        momentum = settings.momentum[2 * update >= settings.updates]
        for parameter, speed, slope in zip(parameters, speeds, slopes, strict=True):
            parameter.add_(speed.mul_(momentum).add_(slope, alpha=settings.rate))
    return rbm


def free_energy(rbm: Rbm, visible: Tensor, settings: RbmSettings) -> Tensor:
    """Minus the logarithm of the unnormalised probability of visible units, one number per example, nats.

    Raises:
        SettingsError: The hidden units are not binary: theirs has no closed form.
    """
    if settings.hidden != "binary":
        raise SettingsError("the free energy is known for binary hidden units only; choose hidden='binary'")
    hidden_part = torch.nn.functional.softplus(visible @ rbm.weight.T + rbm.hidden_bias).sum(1)
    if settings.visible == "binary":
        return -(visible @ rbm.visible_bias) - hidden_part
    return 0.5 * (visible - rbm.visible_bias).square().sum(1) - hidden_part
