"""How well the level after a cure is foretold: drawn networks, each cure applied and the level measured again.

Networks are drawn with fixed seeds: MLPs, convolutional and residual networks with and without norm, transformers;
several activations, depths, widths and scales of the weights; measured at their first step and after some training.
For every cure that acts on how a signal goes through a network its level at the trunk's far end is foretold from the
run alone, then the cure is applied to the same model and the level measured on the same batch.

    python benchmarks/prediction.py [--networks 60] [--seed 0] [--verbose]
"""

import argparse
import copy
import math
import random
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradiometer.curing import Patient, parse_cure
from gradiometer.errors import CureRefusedError
from gradiometer.forecasting import Forecast, forecast_level
from gradiometer.forecasting.forecast import MOST_SCATTER_DB
from gradiometer.gain_budget import gain_budget
from gradiometer.schema import Run
from gradiometer.session import watch

LABELS = (
    "redraw_weights:critical",
    "redraw_weights:he",
    "redraw_weights:glorot",
    "insert_normalisation",
    "exchange_activation:relu",
    "exchange_activation:relu+redraw_weights:he",
    "exchange_activation:tanh+redraw_weights:glorot",
    "exchange_activation:gelu+redraw_weights:critical",
)
"""Cures that act on how a signal goes through a network."""

ACTIVATIONS: tuple[type[nn.Module], ...] = (nn.Sigmoid, nn.Tanh, nn.ReLU, nn.GELU, nn.LeakyReLU, nn.SiLU)

SCALES = (0.3, 1.0, 1.0, 1.0, 3.0)
"""By what the weights that torch draws are multiplied."""

GOOD_DB = 3.0
"""A prediction nearer than this is good."""


class Residual(nn.Module):
    """A sum of what comes in and two layers of it, a norm before them or not."""

    def __init__(self, width: int, activation: type[nn.Module], *, has_norm: bool) -> None:
        """Take its width and its activation."""
        super().__init__()
        self.norm = nn.LayerNorm(width) if has_norm else nn.Identity()
        self.first, self.second, self.activation = nn.Linear(width, width), nn.Linear(width, width), activation()

    def forward(self, x: Tensor) -> Tensor:
        """Add the branch."""
        return x + self.second(self.activation(self.first(self.norm(x))))


class ConvolutionalResidual(nn.Module):
    """A basic block of a ResNet, with batch normalisation or without."""

    def __init__(self, channels: int, activation: type[nn.Module], *, has_norm: bool) -> None:
        """Take its channels and its activation."""
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(channels) if has_norm else nn.Identity() for _ in range(2)])
        self.activations = nn.ModuleList([activation(), activation()])

    def forward(self, x: Tensor) -> Tensor:
        """Add the branch, then the activation."""
        branch = self.activations[0](self.norms[0](self.first(x)))
        return self.activations[1](x + self.norms[1](self.second(branch)))


@dataclass(frozen=True, slots=True)
class Case:
    """One drawn network with its data.

    Attributes:
        words: What it is.
        model: The network.
        inputs: A batch.
        labels: Its classes.
        steps: Steps of plain descent before it is measured.
    """

    words: str
    model: nn.Module
    inputs: Tensor
    labels: Tensor
    steps: int


def mlp(draw: random.Random, activation: type[nn.Module]) -> tuple[nn.Module, Tensor]:
    """Linear layers of one width."""
    depth, width = draw.choice([4, 8, 16, 30]), draw.choice([32, 64, 128])
    layers: list[nn.Module] = [nn.Linear(32, width), activation()]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), activation()]
    return nn.Sequential(*layers, nn.Linear(width, 10)), torch.randn(64, 32)


def convolutional(draw: random.Random, activation: type[nn.Module]) -> tuple[nn.Module, Tensor]:
    """Convolutions with pooling between and at the end."""
    depth, width = draw.choice([3, 6, 10]), draw.choice([16, 32])
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), activation()]
    for index in range(depth - 1):
        layers += [nn.Conv2d(width, width, 3, padding=1), activation()]
        if index == depth // 2:
            layers.append(draw.choice([nn.MaxPool2d, nn.AvgPool2d])(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * 64, 10)), torch.randn(32, 3, 16, 16)


def residual(draw: random.Random, activation: type[nn.Module]) -> tuple[nn.Module, Tensor]:
    """Residual blocks of linear layers."""
    depth, width, has_norm = draw.choice([2, 6, 12]), draw.choice([32, 64]), draw.random() < 0.5
    blocks = [Residual(width, activation, has_norm=has_norm) for _ in range(depth)]
    return nn.Sequential(nn.Linear(32, width), *blocks, nn.Linear(width, 10)), torch.randn(64, 32)


def convolutional_residual(draw: random.Random, activation: type[nn.Module]) -> tuple[nn.Module, Tensor]:
    """A small ResNet."""
    depth, width, has_norm = draw.choice([2, 4]), 16, draw.random() < 0.5
    blocks = [ConvolutionalResidual(width, activation, has_norm=has_norm) for _ in range(depth)]
    ends = (nn.Conv2d(3, width, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))
    return nn.Sequential(ends[0], *blocks, *ends[1:]), torch.randn(32, 3, 12, 12)


FAMILIES: dict[str, Callable[[random.Random, type[nn.Module]], tuple[nn.Module, Tensor]]] = {
    "mlp": mlp,
    "convolutional": convolutional,
    "residual": residual,
    "convolutional residual": convolutional_residual,
}
"""Family to what draws one of it."""


def drawn_case(number: int, seed: int) -> Case:
    """Draw one network, its weights, its data and how long it is trained."""
    draw = random.Random(1000 * seed + number)
    torch.manual_seed(1000 * seed + number)
    family, activation = list(FAMILIES)[number % len(FAMILIES)], draw.choice(ACTIVATIONS)
    model, inputs = FAMILIES[family](draw, activation)
    scale, steps = draw.choice(SCALES), draw.choice([0, 0, 20])
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(scale)
    words = f"{family}, {activation.__name__}, weights x {scale:g}, {steps} steps"
    return Case(words, model, inputs, torch.randint(0, 10, (len(inputs),)), steps)


def measured(case: Case, model: nn.Module, patient: Patient | None = None) -> Run:
    """One full step of a model."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with watch(model, optimizer, overhead=1.0, dear=()) as watching:
        optimizer.zero_grad()
        with ExitStack() as stack:
            for mode in patient.forward_modes if patient else ():
                stack.enter_context(mode)
            F.cross_entropy(model(case.inputs), case.labels).backward()
        optimizer.step()
    return watching.run


def errors_of(case: Case) -> list[tuple[str, Forecast, float]]:
    """Label, forecast and measured level of every cure that can be foretold and applied."""
    optimizer = torch.optim.SGD(case.model.parameters(), lr=0.01)
    for _ in range(case.steps):
        optimizer.zero_grad()
        F.cross_entropy(case.model(case.inputs), case.labels).backward()
        optimizer.step()
    run = measured(case, copy.deepcopy(case.model))
    found = []
    for label in LABELS:
        foretold = forecast_level(run, 0, label)
        treated = copy.deepcopy(case.model)
        patient = Patient(treated, run=run)
        try:
            parse_cure(label).apply(patient)
        except CureRefusedError:
            continue
        level_db = gain_budget(measured(case, treated, patient), 0).gain_db
        if foretold is not None and math.isfinite(level_db):
            found.append((label, foretold, level_db))
    return found


def main() -> None:
    """Print how far predictions are from what is measured, by cure and in all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    errors: dict[str, list[float]] = defaultdict(list)
    for number in range(options.networks):
        case = drawn_case(number, options.seed)
        for label, foretold, level_db in errors_of(case):
            error_db = foretold.level_db - level_db
            errors["all"].append(error_db)
            is_sure = foretold.scatter_db <= MOST_SCATTER_DB
            if is_sure:
                for name in ("all that are sure enough to be said", label, case.words.split(",", maxsplit=1)[0]):
                    errors[name].append(error_db)
            if options.verbose and abs(error_db) > GOOD_DB:
                numbers = f"{foretold.level_db:+8.1f} {level_db:+8.1f} {error_db:+6.1f} ± {foretold.scatter_db:.1f}"
                print(f"{number:3d} {case.words:60s} {label:50s} {numbers}")
    print(f"{'':50s} {'count':>6s} {'within 3 dB':>12s} {'median':>8s} {'90 %':>8s} {'worst':>8s}")
    for name, values in errors.items():
        sizes = sorted(abs(value) for value in values)
        good = sum(size <= GOOD_DB for size in sizes) / len(sizes)
        ninth = sizes[min(len(sizes) - 1, math.ceil(0.9 * len(sizes)) - 1)]
        print(f"{name:50s} {len(sizes):6d} {good:12.1%} {median(sizes):8.2f} {ninth:8.2f} {sizes[-1]:8.2f}")


if __name__ == "__main__":
    main()
