"""Which recurrent network learns what: sums over a lag, copies after a delay, digits in pieces; and with clipping."""

import math
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.adding import draw_adding
from gradiometer.lab.datasets.copying import ALPHABET, SYMBOLS, draw_copying, memoryless_loss
from gradiometer.lab.datasets.images import LabelledImages
from gradiometer.lab.networks.recurrent import CELLS, Cell, SequenceNetwork, draw_sequence_network

SOLVED = 0.01
"""Mean squared error below which the adding problem counts as solved; who remembers one half has .083."""

CLIPPED_AT = 1.0
"""Norm that gradients are clipped at."""

HELD_OUT = 500
"""Sequences that a network is judged by."""


@dataclass(frozen=True, slots=True)
class Race:
    """One kind of network on the adding problem.

    Attributes:
        cell: A key of `CELLS`.
        lag: Time steps.
        rate: Learning rate of Adam.
        most_steps: Steps after which it counts as not solved.
        seeds: How many.
        hidden: Units.
        check_steps: Steps from one look at held-out sequences to the next.
        watched_as: Name of the first seed's run file; empty for none.
    """

    cell: str
    lag: int
    rate: float
    most_steps: int
    seeds: int
    hidden: int = 64
    check_steps: int = 100
    watched_as: str = ""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a race went.

    Attributes:
        race: What was run.
        curves: For each seed the mean squared error on held-out sequences at each look.
    """

    race: Race
    curves: list[list[float]]

    @property
    def steps(self) -> list[float]:
        """Steps until it was solved, for each seed; inf where it was not."""
        looks = [len(curve) * self.race.check_steps for curve in self.curves]
        return [
            float(steps) if curve[-1] < SOLVED else math.inf for steps, curve in zip(looks, self.curves, strict=True)
        ]

    @property
    def best(self) -> list[float]:
        """Least error of each seed."""
        return [min(curve) for curve in self.curves]


BATCH = 50
"""Sequences of a step."""


def take_step(network: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, bound: float = CLIPPED_AT) -> float:
    """One step with the gradient's norm clipped; gives the norm before that."""
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    norm = nn.utils.clip_grad_norm_(network.parameters(), bound)
    optimizer.step()
    return float(norm)


def adding_batch(count: int, lag: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Sequences of the adding problem and their sums, as tensors."""
    inputs, targets = draw_adding(count, lag, generator)
    return torch.from_numpy(inputs), torch.from_numpy(targets)


def run_race(bench: Bench, race: Race) -> Ran:
    """Train one kind of network until it solves the adding problem or its steps are over."""
    return Ran(race, [run_seed(bench, race, seed) for seed in range(race.seeds)])


def run_seed(bench: Bench, race: Race, seed: int) -> list[float]:
    """Train one seed; gives its error on held-out sequences at each look."""
    network = draw_sequence_network(CELLS[race.cell], (2, race.hidden, 1), seed)
    optimizer = torch.optim.Adam(network.parameters(), race.rate)
    generator = np.random.default_rng(1000 + seed)
    held_out, sums = adding_batch(HELD_OUT, race.lag, np.random.default_rng(7))
    is_watched = bool(race.watched_as) and seed == 0
    curve: list[float] = []
    with bench.watched(race.watched_as, network, optimizer) if is_watched else nullcontext():
        for step in range(1, race.most_steps + 1):
            inputs, targets = adding_batch(BATCH, race.lag, generator)
            take_step(network, optimizer, (network(inputs) - targets).square().mean())
            if step % race.check_steps == 0:
                with torch.no_grad():
                    curve.append(float((network(held_out) - sums).square().mean()))
                if curve[-1] < SOLVED:
                    break
    return curve


def copying_curve(name: str, delay: int, hidden: int, steps: int, rate: float = 0.003) -> list[float]:
    """Train on the copying problem; gives the held-out cross-entropy at 20 looks, as a share of the memoryless one."""
    network = draw_sequence_network(CELLS[name], (ALPHABET, hidden, SYMBOLS + 1), 0, reads_every_step=True)
    optimizer = torch.optim.Adam(network.parameters(), rate)
    generator = np.random.default_rng(0)
    held_out = copying_batch(200, delay, np.random.default_rng(7))
    shares = []
    for step in range(1, steps + 1):
        take_step(network, optimizer, copying_loss(network, *copying_batch(32, delay, generator)))
        if step % max(1, steps // 20) == 0:
            with torch.no_grad():
                shares.append(float(copying_loss(network, *held_out)) / memoryless_loss(delay))
    return shares


def copying_batch(count: int, delay: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Sequences of the copying problem, one-hot [example time symbol], and what is wanted [example time]."""
    symbols, targets = draw_copying(count, delay, generator)
    return F.one_hot(torch.from_numpy(symbols), ALPHABET).float(), torch.from_numpy(targets)


def copying_loss(network: SequenceNetwork, inputs: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of a time step, nats."""
    return F.cross_entropy(network(inputs).flatten(0, 1), targets.flatten())


def pieces_curve(name: str, images: LabelledImages, piece: int, hidden: int, epochs: int) -> list[float]:
    """Train on pictures that are shown piece by piece; gives the accuracy on test pictures after each epoch.

    Args:
        name: A key of `CELLS`.
        images: The pictures; the first 10,000 are learned from.
        piece: Pixels of a time step: the picture's side for row by row, 1 for pixel by pixel.
        hidden: Units.
        epochs: Passes over the pictures.
    """
    network = draw_sequence_network(CELLS[name], (piece, hidden, images.classes), 0)
    optimizer = torch.optim.Adam(network.parameters(), 0.003)
    inputs = torch.from_numpy(images.train_inputs[:10_000]).view(-1, images.pixels // piece, piece)
    tests = torch.from_numpy(images.test_inputs).view(-1, images.pixels // piece, piece)
    labels, wanted = torch.from_numpy(images.train_labels), torch.from_numpy(images.test_labels)
    generator = torch.Generator().manual_seed(0)
    shares = []
    for _ in range(epochs):
        for chosen in torch.split(torch.randperm(len(inputs), generator=generator), BATCH):
            take_step(network, optimizer, F.cross_entropy(network(inputs[chosen]), labels[chosen]))
        with torch.no_grad():
            shares.append(float((network(tests).argmax(1) == wanted).float().mean()))
    return shares


EXPLODING = Cell("relu", "identity", scale=1.1)
"""A network whose gradient grows by a tenth a step."""


@dataclass(frozen=True, slots=True)
class Clipped:
    """Trainings of a network whose gradient explodes, with and without clipping.

    Attributes:
        average_norm: Mean norm of its gradient, before clipping, over a training that was clipped at 1.
        norms: For each bound, as a multiple of that, the gradient's norm at each step, before clipping.
        losses: Likewise the loss.
        formula_error: Greatest distance of a clipped gradient from g t / |g|, as a share of t.
    """

    average_norm: float
    norms: dict[float, list[float]]
    losses: dict[float, list[float]]
    formula_error: float


BOUNDS = (0.5, 1.0, 10.0, math.inf)
"""Multiples of the average norm that gradients are clipped at; inf for not at all."""

CLIPPING_RATE = 0.03
"""Rate of plain descent at which the unclipped training is lost; ten times lower it is not."""


def measure_clipping(lag: int, hidden: int, steps: int) -> Clipped:
    """Train the exploding network with every bound."""
    average = float(np.mean(clipped_training(lag, hidden, steps, CLIPPED_AT)[0]))
    trainings = {multiple: clipped_training(lag, hidden, steps, multiple * average) for multiple in BOUNDS}
    norms = {multiple: training[0] for multiple, training in trainings.items()}
    losses = {multiple: training[1] for multiple, training in trainings.items()}
    return Clipped(average, norms, losses, formula_error(lag, hidden))


def clipped_training(lag: int, hidden: int, steps: int, bound: float) -> tuple[list[float], list[float]]:
    """Norm of the gradient before clipping, and loss, at each step of a training."""
    network = draw_sequence_network(EXPLODING, (2, hidden, 1), 0)
    optimizer = torch.optim.SGD(network.parameters(), CLIPPING_RATE)
    generator, norms, losses = np.random.default_rng(0), [], []
    for _ in range(steps):
        inputs, targets = adding_batch(BATCH, lag, generator)
        loss = (network(inputs) - targets).square().mean()
        norms.append(take_step(network, optimizer, loss, bound))
        losses.append(float(loss.detach()))
    return norms, losses


def formula_error(lag: int, hidden: int) -> float:
    """Greatest distance of torch's clipped gradient from g t / |g|, as a share of t, over 20 batches."""
    network = draw_sequence_network(EXPLODING, (2, hidden, 1), 0)
    parameters = list(network.parameters())
    generator, greatest = np.random.default_rng(1), 0.0
    for _ in range(20):
        inputs, targets = adding_batch(BATCH, lag, generator)
        gradients = torch.autograd.grad((network(inputs) - targets).square().mean(), parameters)
        whole = torch.cat([gradient.flatten() for gradient in gradients]).double()
        bound = float(whole.norm()) / 2.0
        copies = [gradient.clone() for gradient in gradients]
        for parameter, copy in zip(parameters, copies, strict=True):
            parameter.grad = copy
        nn.utils.clip_grad_norm_(parameters, bound)
        clipped = torch.cat([copy.flatten() for copy in copies]).double()
        greatest = max(greatest, float((clipped - whole * bound / whole.norm()).norm()) / bound)
    return greatest
