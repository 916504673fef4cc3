"""Plain deep networks in torch: linear layers with an activation between them, drawn by a named start."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from gradiometer.curing.drawing import Draw, redraw
from gradiometer.curing.schemes import critical_draw, textbook_draw
from gradiometer.lab.datasets import LabelledImages
from gradiometer.lab.networks.drawing import seeded
from gradiometer.theory.critical_scale import CriticalScale

Start = Callable[[nn.Linear, bool, bool], Draw | None]
"""From a layer, whether it is the first, and whether it is the last, to how it is drawn; None keeps torch's draw."""


def torch_start(layer: nn.Linear, is_first: bool, is_last: bool) -> None:  # noqa: FBT001 - a Start
    """What `nn.Linear` draws by itself: weights and biases from U(-1/√n, 1/√n)."""


def textbook_start(scheme: str) -> Start:
    """A scheme of `gradiometer.curing.schemes`: `glorot`, `he`, `lecun` or `orthogonal`; biases of zero."""
    return lambda layer, is_first, is_last: textbook_draw(layer, scheme, is_last)


def standard_start(layer: nn.Linear, is_first: bool, is_last: bool) -> Draw:  # noqa: FBT001 - a Start
    """The common start before 2010: weights from U(-1/√n, 1/√n), biases of zero."""
    return Draw("uniform", 1.0 / math.sqrt(layer.in_features))


def sigmoid_start(layer: nn.Linear, is_first: bool, is_last: bool) -> Draw:  # noqa: FBT001 - a Start
    """Glorot's weights times 4, which makes up for the sigmoid's slope of a quarter at most; biases of zero."""
    glorot = textbook_draw(layer, "glorot", is_last)
    return replace(glorot, scale=4.0 * glorot.scale)


def gaussian_start(sigma_w: float, sigma_b: float = 0.0) -> Start:
    """The start of the theory: weights from N(0, sigma_w² / n), biases from N(0, sigma_b²)."""
    return lambda layer, is_first, is_last: Draw("normal", sigma_w / math.sqrt(layer.in_features), sigma_b)


def xavier_normal_start(layer: nn.Linear, is_first: bool, is_last: bool) -> Draw:  # noqa: FBT001 - a Start
    """Glorot's variance 2 / (n_in + n_out) with a Gaussian; biases of zero."""
    return Draw("normal", math.sqrt(2.0 / (layer.in_features + layer.out_features)))


def critical_start(scale: CriticalScale, input_rms: float) -> Start:
    """The edge of chaos of one activation, orthogonal, as the cure `redraw_weights:critical` draws it.

    Args:
        scale: From `gradiometer.theory.critical_scale`.
        input_rms: Root mean square of the input.
    """
    return lambda layer, is_first, is_last: critical_draw(
        layer, scale, input_rms if is_first else None, is_last=is_last
    )


def draw_layers(sizes: Sequence[int], start: Start, seed: int, *, pieces: int = 1) -> list[nn.Linear]:
    """Draw the linear layers of one network.

    Args:
        sizes: Units of each layer, the input first.
        start: How each layer is drawn.
        seed: Seed of all of them.
        pieces: Pre-activations of one hidden unit, as maxout has them; each piece is drawn as a layer of its own.
    """
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Linear] = []
    with seeded(seed), torch.no_grad():
        for index, (inputs, outputs) in enumerate(pairwise(sizes)):
            is_last = index == len(sizes) - 2
            parts = [nn.Linear(inputs, outputs) for _ in range(1 if is_last else pieces)]
            for part in parts:
                draw = start(part, index == 0, is_last)
                if draw is not None:
                    redraw(part, draw, generator)
            layers.append(parts[0] if len(parts) == 1 else _side_by_side(parts))
    return layers


def _side_by_side(parts: list[nn.Linear]) -> nn.Linear:
    """One layer that has the outputs of several, one after the other."""
    joined = nn.Linear(parts[0].in_features, sum(part.out_features for part in parts))
    joined.weight.copy_(torch.cat([part.weight for part in parts]))
    joined.bias.copy_(torch.cat([part.bias for part in parts]))
    return joined


def linear_of(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A torch layer with copies of a weight [output input] and a bias [output]."""
    with seeded(0):
        linear = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.copy_(bias)
    return linear


def plain_network(layers: Sequence[nn.Linear], activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Put an activation between the layers."""
    modules: list[nn.Module] = []
    for layer in layers:
        modules += [layer] if not modules else [activation(), layer]
    return nn.Sequential(*modules)


def orders(count: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Indices of each step's examples for one pass; what is left beyond full batches is left out."""
    shuffled = torch.randperm(count, generator=generator)
    yield from torch.split(shuffled[: count - count % batch_size], batch_size)


def train_plain(
    model: nn.Module,
    optimizer: Optimizer,
    inputs: Tensor,
    labels: Tensor,
    *,
    steps: int,
    batch_size: int,
    seed: int = 0,
) -> tuple[list[float], list[float]]:
    """Train a classifier by cross-entropy on batches drawn from all examples.

    Args:
        model: The network.
        optimizer: Its optimizer.
        inputs: Examples [example input].
        labels: Their classes [example].
        steps: Steps to take.
        batch_size: Examples of a step.
        seed: Seed of the order.

    Returns:
        Loss and accuracy of each step's batch, before the step.
    """
    generator, losses, accuracies = torch.Generator().manual_seed(seed), [], []
    for _ in range(steps):
        chosen = torch.randint(len(inputs), (batch_size,), generator=generator)
        optimizer.zero_grad()
        outputs = model(inputs[chosen])
        loss = functional.cross_entropy(outputs, labels[chosen])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
        accuracies.append(float((outputs.detach().argmax(1) == labels[chosen]).float().mean()))
    return losses, accuracies


def standardised(images: LabelledImages, count: int | None = None) -> tuple[Tensor, Tensor]:
    """The first training pictures with mean 0 and spread 1 over all their pixels, and their classes.

    Args:
        images: The pictures.
        count: How many; None for all.
    """
    inputs = torch.from_numpy(np.ascontiguousarray(images.train_inputs[:count]))
    return (inputs - inputs.mean()) / inputs.std(), torch.from_numpy(images.train_labels[:count].copy())
