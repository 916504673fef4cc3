"""Autoencoders of one layer: it learns to give back what it gets, plain or with a part of its input blotted out.

The way back uses the same weights as the way there: transposed for a linear layer, the transposed convolution for a
convolution, of any stride, padding and grouping.

Source:
    Bengio et al., "Greedy layer-wise training of deep networks", NIPS 2007; Vincent et al., ICML 2008 (denoising);
    Masci et al., ICANN 2011 (convolutions); Kingma and Ba, ICLR 2015 (the steps).
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from gradiometer.curing.learners.rbm import batches_of


@dataclass(frozen=True, slots=True)
class AutoencoderSettings:
    """How an autoencoder is learned.

    Attributes:
        activation: Function of the hidden units, by its name in `torch.nn.functional`.
        activation_settings: What else that function is given, by name.
        convolution: Stride, padding, dilation and groups of a convolution; None for a linear layer.
        visible: Kind of what it gives back: `binary` for values from 0 to 1 (cross-entropy), else squares of errors.
        has_hidden_bias: Hidden biases are learned; else they stay 0.
        corruption: Share of the input that is set to 0; 0 for a plain autoencoder.
        updates: How often weights are changed.
        batch_size: Examples of one update.
        rate: Learning rate of Adam.
    """

    activation: str = "tanh"
    activation_settings: dict[str, Any] = field(default_factory=dict)
    convolution: dict[str, Any] | None = None
    visible: Literal["binary", "gaussian"] = "gaussian"
    has_hidden_bias: bool = True
    corruption: float = 0.1
    updates: int = 500
    batch_size: int = 100
    rate: float = 0.003


@dataclass(frozen=True, slots=True)
class Autoencoder:
    """A learned layer.

    Attributes:
        weight: Weight as its layer has it, outputs first.
        hidden_bias: Biases of its outputs.
        visible_bias: Biases of what it gives back, one per feature or channel.
    """

    weight: Tensor
    hidden_bias: Tensor
    visible_bias: Tensor


def encoded(autoencoder: Autoencoder, visible: Tensor, settings: AutoencoderSettings) -> Tensor:
    """What the layer gives for its input."""
    activation = getattr(F, settings.activation)
    if settings.convolution is None:
        drive = F.linear(visible, autoencoder.weight, autoencoder.hidden_bias)
    else:
        convolve = getattr(F, f"conv{autoencoder.weight.dim() - 2}d")
        drive = convolve(visible, autoencoder.weight, autoencoder.hidden_bias, **settings.convolution)
    given: Tensor = activation(drive, **settings.activation_settings)
    return given


def decoded(
    autoencoder: Autoencoder, hidden: Tensor, settings: AutoencoderSettings, sizes: tuple[int, ...] = ()
) -> Tensor:
    """The input as it is given back; of binary units the logits.

    Args:
        autoencoder: The layer.
        hidden: What it gave.
        settings: How it is learned.
        sizes: Of a convolution's input, without examples and channels.
    """
    if settings.convolution is None:
        return F.linear(hidden, autoencoder.weight.T, autoencoder.visible_bias)
    kernel, missing = autoencoder.weight.shape[2:], []
    for axis, size in enumerate(sizes):
        stride, padding, dilation = (settings.convolution[name][axis] for name in ("stride", "padding", "dilation"))
        reached = (hidden.shape[2 + axis] - 1) * stride - 2 * padding + dilation * (kernel[axis] - 1) + 1
        missing.append(size - reached)
    convolve_back = getattr(F, f"conv_transpose{len(sizes)}d")
    given: Tensor = convolve_back(
        hidden, autoencoder.weight, autoencoder.visible_bias, output_padding=missing, **settings.convolution
    )
    return given


def reconstruction_loss(autoencoder: Autoencoder, seen: Tensor, whole: Tensor, settings: AutoencoderSettings) -> Tensor:
    """Error of what is given back: mean over the examples, sum over all else, halved squares or nats."""
    hidden = encoded(autoencoder, seen, settings)
    back = decoded(autoencoder, hidden, settings, tuple(whole.shape[2:]))
    if settings.visible == "binary":
        return F.binary_cross_entropy_with_logits(back, whole, reduction="sum") / len(whole)
    return 0.5 * (back - whole).square().sum() / len(whole)


def new_autoencoder(
    samples: Tensor, shape: tuple[int, ...], settings: AutoencoderSettings, generator: torch.Generator
) -> Autoencoder:
    """Draw a layer by Glorot's rule on the CPU; what it gives back begins with the mean of its inputs."""
    positions = torch.Size(shape[2:]).numel()
    bound = (6.0 / ((shape[0] + shape[1]) * positions)) ** 0.5
    weight = torch.empty(shape).uniform_(-bound, bound, generator=generator)
    mean = samples.transpose(0, 1).flatten(1).mean(1)
    return Autoencoder(
        weight=weight.to(samples.device),
        hidden_bias=torch.zeros(shape[0], device=samples.device),
        visible_bias=mean.clamp(0.01, 0.99).logit() if settings.visible == "binary" else mean,
    )


@torch.enable_grad()
def train_autoencoder(
    samples: Tensor, shape: tuple[int, ...], settings: AutoencoderSettings, generator: torch.Generator
) -> Autoencoder:
    """Learn a layer by giving back its input.

    Args:
        samples: Its inputs [example features] or [example channels positions ...], float32.
        shape: Shape of its weight, outputs first.
        settings: How it is learned.
        generator: Where all random numbers are drawn from, on the CPU.
    """
    autoencoder = new_autoencoder(samples, shape, settings, generator)
    learned = [autoencoder.weight, autoencoder.visible_bias]
    learned += [autoencoder.hidden_bias] if settings.has_hidden_bias else []
    means, squares = [torch.zeros_like(one) for one in learned], [torch.zeros_like(one) for one in learned]
    for parameter in learned:
        parameter.requires_grad_()
    batches = batches_of(samples, settings.batch_size, settings.updates, generator)
    for update, whole in enumerate(batches, start=1):
        seen = whole * (torch.rand(whole.shape, generator=generator) >= settings.corruption).to(whole.device)
        gradients = torch.autograd.grad(reconstruction_loss(autoencoder, seen, whole, settings), learned)
        with torch.no_grad():
            for parameter, gradient, mean, square in zip(learned, gradients, means, squares, strict=True):
                mean.lerp_(gradient, 0.1)
                square.lerp_(gradient.square(), 0.001)
                scale = (square / (1.0 - 0.999**update)).sqrt() + 1e-8
                parameter.sub_(settings.rate / (1.0 - 0.9**update) * mean / scale)
    for parameter in learned:
        parameter.requires_grad_(False)  # noqa: FBT003 - torch's own name for it has none
    return autoencoder
