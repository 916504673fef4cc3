"""Deep networks of equal shape stacked in one tensor a layer, each with an activation and a rate of its own.

What takes time in a small network is calling functions, not multiplying: one call serves all networks of a stack. None
sees another, for the sum of their losses has each one's own gradient. What differs from network to network is
activation, start, rate and seed; what is the same is the shape, the batches and the steps. Hidden layers can be looked
into, and all is trained by descent with momentum or by Adam, written out.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from gradiometer.lab.networks.plain import orders

Shape = Callable[[Tensor, Tensor], Tensor]
"""An activation, from pre-activations and the layer's learned slope; most take no notice of the slope."""

TakeStep = Callable[[Sequence[Tensor]], None]
"""Changes what is trained in place, from its gradients."""

CHUNK = 2000
"""Examples that are judged at a time."""


@dataclass(slots=True)
class Stack:
    """Networks of equal shape; training changes their tensors in place.

    Attributes:
        weights: One for each layer [network input output].
        biases: One for each layer [network 1 output].
        shapes: The hidden units' activations, and how many networks in a row have each.
        slopes: For each hidden layer what a learned slope starts at [network 1 1]; PReLU's.
    """

    weights: list[Tensor]
    biases: list[Tensor]
    shapes: tuple[tuple[Shape, int], ...]
    slopes: list[Tensor] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Networks in the stack."""
        return self.weights[0].shape[0]

    @property
    def parameters(self) -> list[Tensor]:
        """All that is trained."""
        return [*self.weights, *self.biases, *self.slopes]


@dataclass(frozen=True, slots=True)
class History:
    """How the trainings went.

    Attributes:
        losses: Mean cross-entropy of each step's batch [step network].
        accuracies: Share of each step's batch whose class was told [step network].
    """

    losses: NDArray[np.float64]
    accuracies: NDArray[np.float64]

    def last_accuracies(self, steps: int = 20) -> NDArray[np.float64]:
        """Mean accuracy of the last steps [network]."""
        return np.asarray(self.accuracies[-steps:].mean(axis=0))

    def last_losses(self, steps: int = 20) -> NDArray[np.float64]:
        """Mean loss of the last steps [network]."""
        return np.asarray(self.losses[-steps:].mean(axis=0))

    def steps_to(self, loss: float, window: int = 5) -> NDArray[np.float64]:
        """Steps until the mean of so many losses is at most this [network]; nan where it never is."""
        sums = np.cumsum(np.vstack([np.zeros(self.losses.shape[1]), self.losses]), axis=0)
        reached = (sums[window:] - sums[:-window]) / window <= loss
        return np.where(reached.any(axis=0), reached.argmax(axis=0) + float(window), np.nan)


def stack_of(networks: Sequence[Sequence[nn.Linear]], shapes: Sequence[Shape], slope: float = 0.25) -> Stack:
    """Put networks side by side.

    Args:
        networks: The linear layers of each; the same sizes in all.
        shapes: The hidden units' activation: one for all networks, or one for each; cheapest where networks of the
            same activation stand in a row.
        slope: What a learned slope starts at.
    """
    each = list(shapes) * (len(networks) if len(shapes) == 1 else 1)
    rows = tuple((shape, len(list(same))) for shape, same in groupby(each))
    layers = list(zip(*networks, strict=True))
    weights = [torch.stack([layer.weight.detach().T for layer in same]).contiguous() for same in layers]
    biases = [torch.stack([layer.bias.detach()[None] for layer in same]) for same in layers]
    slopes = [torch.full((len(networks), 1, 1), slope) for _ in layers[:-1]]
    return Stack(weights, biases, rows, slopes)


def hidden_layers(stack: Stack, inputs: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Pass a batch forward.

    Args:
        stack: The networks.
        inputs: One batch for all [batch input].

    Yields:
        For each hidden layer its pre-activations and outputs [network batch unit].
    """
    signal = inputs.expand(stack.count, -1, -1)
    for weight, bias, slope in zip(stack.weights[:-1], stack.biases[:-1], stack.slopes, strict=True):
        before = torch.baddbmm(bias, signal, weight)
        signal = _activate(stack.shapes, before, slope)
        yield before, signal


def _activate(shapes: tuple[tuple[Shape, int], ...], before: Tensor, slope: Tensor) -> Tensor:
    if len(shapes) == 1:
        return shapes[0][0](before, slope)
    counts = [count for _, count in shapes]
    parts = zip(shapes, torch.split(before, counts), torch.split(slope, counts), strict=True)
    return torch.cat([shape(part, own) for (shape, _), part, own in parts])


def outputs_of(stack: Stack, inputs: Tensor) -> Tensor:
    """What the networks answer to one batch for all [network batch class]."""
    signal = inputs.expand(stack.count, -1, -1)
    for _, after in hidden_layers(stack, inputs):
        signal = after
    return torch.baddbmm(stack.biases[-1], signal, stack.weights[-1])


def loss_gradients(stack: Stack, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Outputs [network batch class], each network's mean cross-entropy [network], and its gradients."""
    for tensor in stack.parameters:
        tensor.requires_grad_()
    outputs = outputs_of(stack, inputs)
    repeated = labels.expand(stack.count, -1)
    losses = functional.cross_entropy(outputs.mT, repeated, reduction="none").mean(1)
    found = torch.autograd.grad(losses.sum(), stack.parameters, allow_unused=True)
    gradients = [
        torch.zeros_like(tensor) if gradient is None else gradient
        for tensor, gradient in zip(stack.parameters, found, strict=True)
    ]
    return outputs.detach(), losses.detach(), gradients


def train_stack(
    stack: Stack,
    inputs: Tensor,
    labels: Tensor,
    rates: Sequence[float],
    *,
    steps: int,
    batch_size: int,
    momentum: float = 0.0,
    is_adam: bool = False,
    seed: int = 0,
    after_step: Callable[[int], None] | None = None,
) -> History:
    """Train all networks on the same batches.

    Args:
        stack: The networks; changed in place.
        inputs: Examples [example input].
        labels: Their classes [example].
        rates: Learning rate of each network.
        steps: Steps to take.
        batch_size: Examples of a step; drawn with replacement.
        momentum: Of the descent; Adam has its own.
        is_adam: By Adam instead of descent.
        seed: Seed of the order.
        after_step: Called with the number of steps that are done.
    """
    generator = torch.Generator().manual_seed(seed)
    take_step = by_adam(stack, rates) if is_adam else by_descent(stack, rates, momentum)
    losses, accuracies = [], []
    for step in range(steps):
        chosen = torch.randint(len(inputs), (batch_size,), generator=generator)
        outputs, loss, gradients = loss_gradients(stack, inputs[chosen], labels[chosen])
        losses.append(loss)
        accuracies.append((outputs.argmax(2) == labels[chosen]).float().mean(1))
        take_step(gradients)
        if after_step is not None:
            after_step(step + 1)
    return History(torch.stack(losses).double().numpy(), torch.stack(accuracies).double().numpy())


def train_epochs(
    stack: Stack,
    inputs: Tensor,
    labels: Tensor,
    rates: Sequence[float],
    *,
    epochs: int,
    batch_size: int,
    is_adam: bool = False,
    seed: int = 0,
) -> Iterator[Tensor]:
    """Train all networks by passes over the examples, on the same batches.

    Args:
        stack: The networks; changed in place.
        inputs: Examples [example input].
        labels: Their classes [example].
        rates: Learning rate of each network.
        epochs: Passes over the examples.
        batch_size: Examples of a step; what is left of a pass beyond full batches is left out.
        is_adam: By Adam instead of plain descent.
        seed: Seed of the order.

    Yields:
        After every pass the mean loss of its batches, nats [network].
    """
    generator = torch.Generator().manual_seed(seed)
    take_step = by_adam(stack, rates) if is_adam else by_descent(stack, rates)
    for _ in range(epochs):
        losses = []
        for chosen in orders(len(inputs), batch_size, generator):
            _, loss, gradients = loss_gradients(stack, inputs[chosen], labels[chosen])
            losses.append(loss)
            take_step(gradients)
        yield torch.stack(losses).mean(0)


def by_descent(stack: Stack, rates: Sequence[float], momentum: float = 0.0) -> TakeStep:
    """Descent, each network at its own rate: v = momentum · v + g, w = w - rate · v."""
    parameters, rate = stack.parameters, torch.tensor(rates, dtype=torch.float32)[:, None, None]
    velocities = [torch.zeros_like(tensor) for tensor in parameters]

    def take_step(gradients: Sequence[Tensor]) -> None:
        with torch.no_grad():
            torch._foreach_mul_(velocities, momentum)
            torch._foreach_add_(velocities, list(gradients))
            for tensor, velocity in zip(parameters, velocities, strict=True):
                tensor.addcmul_(velocity, rate, value=-1.0)

    return take_step


def by_adam(stack: Stack, rates: Sequence[float]) -> TakeStep:
    """Adam with its usual settings, each network at its own rate, which torch's optimizer can't give them.

    Source:
        Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.
    """
    parameters, rate = stack.parameters, torch.tensor(rates, dtype=torch.float32)[:, None, None]
    means, squares = ([torch.zeros_like(tensor) for tensor in parameters] for _ in range(2))
    counter = count(1)

    def take_step(gradients: Sequence[Tensor]) -> None:
        done = next(counter)
        with torch.no_grad():
            torch._foreach_lerp_(means, list(gradients), 1.0 - 0.9)
            torch._foreach_mul_(squares, 0.999)
            torch._foreach_addcmul_(squares, list(gradients), list(gradients), 1.0 - 0.999)
            for tensor, mean, square in zip(parameters, means, squares, strict=True):
                spread = (square / (1.0 - 0.999**done)).sqrt_().add_(1e-8)
                tensor.addcmul_(mean / spread, rate, value=-1.0 / (1.0 - 0.9**done))

    return take_step


def accuracies_on(stack: Stack, inputs: Tensor, labels: Tensor) -> NDArray[np.float64]:
    """Share of the examples whose class has the greatest output [network]."""
    right = torch.zeros(stack.count, dtype=torch.float64)
    with torch.no_grad():
        for some, classes in zip(torch.split(inputs, CHUNK), torch.split(labels, CHUNK), strict=True):
            right += (outputs_of(stack, some).argmax(2) == classes).sum(1)
    return np.asarray((right / len(inputs)).numpy())
