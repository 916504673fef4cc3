"""Classifiers of the same shape trained side by side in torch, each from first weights and at a rate of its own.

What takes time in a small network is calling functions, not multiplying. Weights of several networks lie in one tensor,
so that one call serves them all; none sees another, for the sum of their losses has each one's own gradient.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradiometer.lab.networks.as_module import MODULES
from gradiometer.lab.networks.drawing import seeded

LayerWeights = tuple[Tensor, Tensor]
"""One layer: weight [outputs inputs], as torch keeps it, and bias [outputs]."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}
"""What hidden units may do."""


def uniform_weights(outputs: int, inputs: int, generator: torch.Generator) -> Tensor:
    """U(-1/√n, 1/√n), the common start before 2010."""
    bound = 1.0 / math.sqrt(inputs)
    return torch.empty(outputs, inputs).uniform_(-bound, bound, generator=generator)


def glorot_weights(outputs: int, inputs: int, generator: torch.Generator) -> Tensor:
    """U(-√6/√(n+m), √6/√(n+m)) of Glorot and Bengio 2010."""
    bound = math.sqrt(6.0 / (inputs + outputs))
    return torch.empty(outputs, inputs).uniform_(-bound, bound, generator=generator)


def sigmoid_glorot_weights(outputs: int, inputs: int, generator: torch.Generator) -> Tensor:
    """Glorot's, times 4: the sigmoid's slope is a quarter at most, and this makes up for it."""
    return 4.0 * glorot_weights(outputs, inputs, generator)


def he_weights(outputs: int, inputs: int, generator: torch.Generator) -> Tensor:
    """N(0, 2/n) of He et al. 2015, for ReLU."""
    return torch.empty(outputs, inputs).normal_(0.0, math.sqrt(2.0 / inputs), generator=generator)


DrawWeights = Callable[[int, int, torch.Generator], Tensor]


def draw_layers(sizes: Sequence[int], draw: DrawWeights, seed: int) -> list[LayerWeights]:
    """Draw the layers of one network; biases are 0.

    Args:
        sizes: Units of the input and of each layer.
        draw: What draws a weight.
        seed: Seed of a generator of its own.
    """
    generator = torch.Generator().manual_seed(seed)
    pairs = zip(sizes, sizes[1:], strict=False)
    return [(draw(outputs, inputs, generator), torch.zeros(outputs)) for inputs, outputs in pairs]


@dataclass(slots=True)
class SideBySide:
    """Several networks of the same shape; training changes their tensors in place.

    Attributes:
        weights: For each layer behind the input [network inputs outputs]; the last is the output layer.
        biases: Likewise [network 1 outputs].
        activation: What hidden units do; a key of `ACTIVATIONS`.
    """

    weights: list[Tensor]
    biases: list[Tensor]
    activation: str

    @property
    def parameters(self) -> list[Tensor]:
        """Weights and biases, layer after layer."""
        return [tensor for pair in zip(self.weights, self.biases, strict=True) for tensor in pair]

    def logits(self, inputs: Tensor) -> Tensor:
        """What the networks answer [network batch classes] to inputs [network batch features]."""
        activation, hidden = ACTIVATIONS[self.activation], inputs
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = activation(torch.baddbmm(bias, hidden, weight))
        return torch.baddbmm(self.biases[-1], hidden, self.weights[-1])


def silent_output(units: int, classes: int) -> LayerWeights:
    """An output layer of zeros: every class is as likely as any other, until it is trained."""
    return torch.zeros(classes, units), torch.zeros(classes)


def put_side_by_side(networks: Sequence[Sequence[LayerWeights]], activation: str) -> SideBySide:
    """Copy networks into one.

    Args:
        networks: The layers of each, the output layer last.
        activation: What hidden units do.
    """
    weights = [torch.stack([weight.T for weight, _ in layer]).contiguous() for layer in zip(*networks, strict=True)]
    biases = [torch.stack([bias[None] for _, bias in layer]) for layer in zip(*networks, strict=True)]
    return SideBySide(weights, biases, activation)


def linear_of(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A torch layer with copies of a weight and a bias."""
    with seeded(0):
        linear = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.copy_(bias)
    return linear


def as_sequential(layers: Sequence[LayerWeights], activation: str) -> nn.Sequential:
    """One network as a torch module, from copies of its layers, the output layer last."""
    modules: list[nn.Module] = []
    for weight, bias in layers:
        modules += [linear_of(weight, bias), MODULES[activation]()]
    return nn.Sequential(*modules[:-1])


@dataclass(frozen=True, slots=True)
class Training:
    """How networks are trained.

    Attributes:
        epochs: Passes over the examples.
        batch_size: Examples of a step; what is left of a pass beyond full batches is left out.
        rates: Learning rate of each network.
        is_adam: By Adam, all at the first rate, instead of plain descent.
        seed: Seed of the order of examples, the same for all networks.
    """

    epochs: int
    batch_size: int
    rates: tuple[float, ...]
    is_adam: bool = False
    seed: int = 0


def orders(count: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Indices of each step's examples, for one pass."""
    shuffled = torch.randperm(count, generator=generator)
    yield from torch.split(shuffled[: count - count % batch_size], batch_size)


def train_epochs(networks: SideBySide, inputs: Tensor, labels: Tensor, training: Training) -> Iterator[Tensor]:
    """Train all networks; after every epoch their mean training loss is given, nats [network].

    Args:
        networks: The networks; changed in place.
        inputs: All examples [example features].
        labels: Their classes [example].
        training: How.
    """
    parameters = networks.parameters
    rates = torch.tensor(training.rates)[:, None, None]
    optimizer = torch.optim.Adam(parameters, training.rates[0]) if training.is_adam else None
    generator = torch.Generator().manual_seed(training.seed)
    for _ in range(training.epochs):
        losses = []
        for chosen in orders(len(inputs), training.batch_size, generator):
            for parameter in parameters:
                parameter.requires_grad_()
            each = losses_of(networks, inputs[chosen], labels[chosen])
            gradients = torch.autograd.grad(each.sum(), parameters)
            with torch.no_grad():
                step_down(parameters, gradients, rates, optimizer)
            losses.append(each.detach())
        yield torch.stack(losses).mean(0)


def step_down(
    parameters: Sequence[Tensor], gradients: Sequence[Tensor], rates: Tensor, optimizer: torch.optim.Optimizer | None
) -> None:
    """Take one step by the optimizer, or by plain descent where there is none."""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if optimizer is None:
            parameter.sub_(rates * gradient)
        else:
            parameter.grad = gradient
    if optimizer is not None:
        optimizer.step()


def losses_of(networks: SideBySide, inputs: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of each network over the same examples, nats [network]."""
    logits = networks.logits(inputs.expand(len(networks.weights[0]), -1, -1))
    targets = labels.expand(len(logits), -1)
    each = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    return each.view(len(logits), -1).mean(1)


@torch.no_grad()
def accuracies(networks: SideBySide, inputs: Tensor, labels: Tensor) -> list[float]:
    """Share of the examples whose class has the greatest output, for each network."""
    right = torch.zeros(len(networks.weights[0]))
    for some, classes in zip(torch.split(inputs, 2000), torch.split(labels, 2000), strict=True):
        logits = networks.logits(some.expand(len(right), -1, -1))
        right += (logits.argmax(2) == classes).sum(1)
    return [float(share) for share in right / len(inputs)]
