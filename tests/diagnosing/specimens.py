"""For each condition a small real training that has it, its healthy twin, and the same fault in functional calls.

Twins differ from their specimens by one thing. Every step is measured in full, so that a run does not depend on how
busy the machine is. Inputs are made: ten clusters in 16 dimensions, told apart by a good network in some tens of steps.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradiometer.schema import Run
from gradiometer.session import watch

CLASSES, INPUTS, WIDTH, BATCH = 10, 16, 24, 32


def make_clusters(count: int = 640, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Points around ten random centres, of unit scale, with the number of their centre."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(CLASSES, INPUTS, generator=generator)
    labels = torch.randint(0, CLASSES, (count,), generator=generator)
    points = centres[labels] + 0.3 * torch.randn(count, INPUTS, generator=generator)
    return points, labels


class Chain(nn.Module):
    """Linear layers with an activation between them, as modules or called as a function."""

    def __init__(self, depth: int, activation: nn.Module | Callable[[Tensor], Tensor], outputs: int = CLASSES) -> None:
        super().__init__()
        widths = [INPUTS, *[WIDTH] * depth]
        self.hidden = nn.ModuleList(nn.Linear(i, o) for i, o in zip(widths[:-1], widths[1:], strict=True))
        self.output = nn.Linear(WIDTH, outputs)
        is_module = isinstance(activation, nn.Module)
        self.activations = nn.ModuleList(type(activation)() for _ in range(depth)) if is_module else None
        self.function = None if is_module else activation

    def forward(self, points: Tensor) -> Tensor:
        for rank, layer in enumerate(self.hidden):
            points = layer(points)
            points = self.activations[rank](points) if self.activations is not None else self.function(points)
        return self.output(points)


def draw(model: nn.Module, draw_weight: Callable[[Tensor], object], bias: float = 0.0) -> nn.Module:
    """Draw all linear weights anew and set all biases."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            draw_weight(layer.weight)
            nn.init.constant_(layer.bias, bias)
    return model


def draw_he(weight: Tensor) -> Tensor:
    return nn.init.kaiming_normal_(weight, nonlinearity="relu")


def train(
    model: nn.Module,
    make_optimizer: Callable[..., torch.optim.Optimizer],
    *,
    steps: int,
    data: tuple[Tensor, Tensor] | None = None,
    loss_fn: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    overhead: float = 1.0,
) -> Run:
    """Train for some steps, watched."""
    points, labels = data or make_clusters()
    generator = torch.Generator().manual_seed(1)
    optimizer = make_optimizer([parameter for parameter in model.parameters() if parameter.requires_grad])
    with watch(model, optimizer, overhead=overhead) as watching:
        for _ in range(steps):
            batch = torch.randint(0, len(points), (BATCH,), generator=generator)
            optimizer.zero_grad()
            loss_fn(model(points[batch]), labels[batch]).backward()
            optimizer.step()
    return watching.run


def descent(rate: float, **settings: float) -> Callable[..., torch.optim.Optimizer]:
    return lambda parameters: torch.optim.SGD(parameters, lr=rate, **settings)


def adam(rate: float) -> Callable[..., torch.optim.Optimizer]:
    return lambda parameters: torch.optim.Adam(parameters, lr=rate)


def vanish(activation: nn.Module | Callable[[Tensor], Tensor]) -> Run:
    model = Chain(8, activation)
    is_relu = isinstance(activation, nn.ReLU)
    return train(draw(model, draw_he) if is_relu else model, descent(0.1), steps=60)


def explode(activation: nn.Module | Callable[[Tensor], Tensor], scale: float) -> Run:
    model = draw(Chain(10, activation), lambda weight: nn.init.normal_(weight, std=scale / math.sqrt(weight.shape[1])))
    return train(model, descent(0.05), steps=60)


def saturate(activation: nn.Module | Callable[[Tensor], Tensor], bias: float) -> Run:
    return train(draw(Chain(3, activation), nn.init.xavier_normal_, bias), descent(0.1), steps=60)


def die(activation: nn.Module | Callable[[Tensor], Tensor], bias: float) -> Run:
    return train(draw(Chain(3, activation), draw_he, bias), descent(0.1), steps=60)


def stick(activation: nn.Module | Callable[[Tensor], Tensor], rate: float) -> Run:
    return train(draw(Chain(2, activation), draw_he), descent(rate), steps=60)


def stall(activation: nn.Module | Callable[[Tensor], Tensor], *, is_shuffled: bool) -> Run:
    points, labels = make_clusters(4096)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(2)) if is_shuffled else slice(None)
    return train(draw(Chain(1, activation), draw_he), descent(0.05), steps=340, data=(points, labels[order]))


def thrash(activation: nn.Module | Callable[[Tensor], Tensor], rate: float) -> Run:
    return train(Chain(2, activation), adam(rate), steps=60)


class Logarithm(nn.Module):
    """The logarithm of what is above zero: -inf for everything else, unless a little is added."""

    def __init__(self, floor: float) -> None:
        super().__init__()
        self.floor = floor

    def forward(self, points: Tensor) -> Tensor:
        return torch.log(torch.relu(points) + self.floor)


class HandLogarithm(nn.Module):
    """A network that takes the same logarithm in its own forward."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(INPUTS, WIDTH)
        self.output = nn.Linear(WIDTH, CLASSES)

    def forward(self, points: Tensor) -> Tensor:
        return self.output(torch.log(F.relu(self.first(points))))


def overflow(model: nn.Module) -> Run:
    return train(model, descent(0.01), steps=20)


def logarithmic(floor: float) -> nn.Module:
    return nn.Sequential(nn.Linear(INPUTS, WIDTH), Logarithm(floor), nn.Linear(WIDTH, CLASSES))


def leaky(points: Tensor) -> Tensor:
    return F.leaky_relu(points, 0.1)


@dataclass(frozen=True)
class Specimen:
    """Three trainings for one condition.

    Attributes:
        sick: Has the condition.
        twin: Differs by one thing and is healthy.
        functional: Has the condition in functional calls.
    """

    sick: Callable[[], Run]
    twin: Callable[[], Run]
    functional: Callable[[], Run]


SPECIMENS: dict[str, Specimen] = {
    "vanishing": Specimen(lambda: vanish(nn.Sigmoid()), lambda: vanish(nn.ReLU()), lambda: vanish(torch.sigmoid)),
    "exploding": Specimen(
        lambda: explode(nn.Tanh(), 6.0), lambda: explode(nn.Tanh(), 1.0), lambda: explode(torch.tanh, 6.0)
    ),
    "saturated": Specimen(
        lambda: saturate(nn.Tanh(), 12.0), lambda: saturate(nn.Tanh(), 0.0), lambda: saturate(torch.tanh, 12.0)
    ),
    "dead": Specimen(lambda: die(nn.ReLU(), -20.0), lambda: die(nn.ReLU(), 0.0), lambda: die(F.relu, -20.0)),
    "stuck": Specimen(lambda: stick(nn.ReLU(), 1e-7), lambda: stick(nn.ReLU(), 0.1), lambda: stick(F.relu, 1e-7)),
    "non_finite": Specimen(
        lambda: overflow(logarithmic(0.0)), lambda: overflow(logarithmic(0.1)), lambda: overflow(HandLogarithm())
    ),
    "stalled": Specimen(
        lambda: stall(nn.ReLU(), is_shuffled=True),
        lambda: stall(nn.ReLU(), is_shuffled=False),
        lambda: stall(F.relu, is_shuffled=True),
    ),
    "thrashing": Specimen(
        lambda: thrash(nn.LeakyReLU(), 10.0), lambda: thrash(nn.LeakyReLU(), 3e-3), lambda: thrash(leaky, 10.0)
    ),
}


@cache
def run_of(condition: str, variant: str) -> Run:
    """The run of one specimen (`sick`, `twin` or `functional`), trained once from a known random state."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        return getattr(SPECIMENS[condition], variant)()
