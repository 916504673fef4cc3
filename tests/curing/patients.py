"""Networks that cures are tried on, each with its optimizer and a batch; drawn from a fixed seed."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Optimizer


class FunctionalNetwork(nn.Module):
    """Activations are functions, one of them in place; the output unit is a sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.second = nn.Linear(8, 8)
        self.third = nn.Linear(8, 8)
        self.output = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.sigmoid(self.first(x))
        x = self.second(x).sigmoid()
        x = self.third(x).sigmoid_()
        return torch.sigmoid(self.output(x))


class AttributeNetwork(nn.Module):
    """Layers as attributes and in a ModuleList, one activation module shared by all, a weight read by name."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.body = nn.ModuleList([nn.Linear(8, 8) for _ in range(2)])
        self.output = nn.Linear(8, 3)
        self.activation = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.first(x)) + 0.0 * self.first.weight.sum()
        for layer in self.body:
            x = self.activation(layer(x))
        return self.output(x)


class ConvolutionalNetwork(nn.Module):
    """Convolutions with in-place ReLU, a transposed one among them, and a norm that is there already."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(4, 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(4, 6, 2, stride=2),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x.reshape(-1, 1, 2, 3)).mean(dim=(2, 3)))


def sigmoid_stack(depth: int = 3, width: int = 8) -> nn.Sequential:
    """Linear layers with sigmoids between them."""
    layers: list[nn.Module] = []
    inputs = 6
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), nn.Sigmoid()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, 3))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "sigmoid_stack": sigmoid_stack,
    "functional": FunctionalNetwork,
    "attribute": AttributeNetwork,
    "convolutional": ConvolutionalNetwork,
}


@dataclass
class Pair:
    """A fresh model and its optimizer."""

    model: nn.Module
    optimizer: Optimizer


def fresh_model(name: str) -> nn.Module:
    """The same model every time."""
    torch.manual_seed(11)
    return NETWORKS[name]()


def fresh_pair(name: str) -> Pair:
    """The same model and optimizer every time."""
    model = fresh_model(name)
    return Pair(model, SGD(model.parameters(), lr=0.1, momentum=0.9))


def first_batch() -> Tensor:
    """The batch that the first forward of `train` is called with."""
    return torch.randn(16, 6, generator=torch.Generator().manual_seed(5))


def gathered_inputs() -> Tensor:
    """More inputs of that kind, as a run that gathers them would have kept."""
    return torch.randn(96, 6, generator=torch.Generator().manual_seed(6))


def train(
    model: nn.Module,
    optimizer: Optimizer,
    modes: list[torch.overrides.TorchFunctionMode],
    steps: int = 3,
    script_modes: Sequence[torch.overrides.TorchFunctionMode] = (),
) -> Tensor:
    """Take a few steps as the launcher would, modes entered during the forward; returns the last outputs."""
    with ExitStack() as stack:
        for mode in script_modes:
            stack.enter_context(mode)
        return _trained(model, optimizer, modes, steps)


def _trained(
    model: nn.Module, optimizer: Optimizer, modes: list[torch.overrides.TorchFunctionMode], steps: int
) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    outputs = torch.zeros(0)
    for _ in range(steps):
        x = torch.randn(16, 6, generator=generator)
        y = torch.randint(0, 3, (16,), generator=generator)
        for mode in modes:
            mode.__enter__()
        outputs = model(x)
        for mode in reversed(modes):
            mode.__exit__(None, None, None)
        optimizer.zero_grad()
        F.cross_entropy(outputs, y).backward()
        optimizer.step()
    return outputs.detach()


def same_bits(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    """Whether two state dicts have the same names and bits."""
    return list(left) == list(right) and all(torch.equal(left[name], right[name]) for name in left)


def finding(condition: str = "vanishing", cause: str = "activation_slope", layers: tuple[str, ...] = ()):
    """A finding with little in it."""
    from gradiometer.schema import Cause, Finding

    return Finding(condition, "critical", layers, Cause(cause, None, ""), (), (), "")
