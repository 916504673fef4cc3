"""Trainings of experiment `hyper-parameters`: one network, three hyper-parameters, early stopping, and an account.

What every training costs is booked in examples: one forward and one backward pass of one example is one. That is what
procedure and search are given in equal amounts; both look at the validation pictures after every epoch, which is not
booked. Plain descent with momentum, one hidden layer of ReLU units, He's start, cross-entropy over classes.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import SGD

from gradiometer.lab.datasets.images import LabelledImages
from gradiometer.lab.networks.drawing import seeded

MOMENTUM = 0.9
"""Momentum of every training; not looked for."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The hyper-parameters that are looked for.

    Attributes:
        rate: Learning rate.
        batch: Examples of a step.
        decay: Weight decay, as `torch.optim.SGD` takes it.
    """

    rate: float
    batch: int
    decay: float


@dataclass(frozen=True, slots=True)
class Problem:
    """Pictures in three parts, and the network that learns them; plain arrays, so that it goes to other processes.

    Attributes:
        name: Name of the data set.
        classes: How many classes there are.
        hidden: Units of the hidden layer.
        train: Pictures [example pixel] and classes [example] to learn from; likewise:
        validation: To choose by.
        test: That nothing is chosen by.
    """

    name: str
    classes: int
    hidden: int
    train: tuple[NDArray[np.float32], NDArray[np.int64]]
    validation: tuple[NDArray[np.float32], NDArray[np.int64]]
    test: tuple[NDArray[np.float32], NDArray[np.int64]]

    def tensors(self, part: tuple[NDArray[np.float32], NDArray[np.int64]]) -> tuple[Tensor, Tensor]:
        """A part as torch takes it."""
        return torch.from_numpy(part[0]), torch.from_numpy(part[1])


@dataclass(slots=True)
class Account:
    """Examples that were spent, and how many there are to spend.

    Attributes:
        limit: Most that may be spent; None for no bound.
        spent: What was spent.
    """

    limit: int | None = None
    spent: int = 0

    def book(self, examples: int) -> None:
        """Book what was spent."""
        self.spent += examples

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left."""
        return self.limit is not None and self.spent >= self.limit


@dataclass(frozen=True, slots=True)
class Fitted:
    """How a training went.

    Attributes:
        settings: What it was trained with.
        losses: Mean training loss of each epoch; nan from the first that was not finite.
        validation: Share of the validation pictures told right after each epoch.
        best_epoch: Index of the epoch that told most right; the first of several.
        test: Share of the test pictures told right after that epoch.
    """

    settings: Settings
    losses: tuple[float, ...]
    validation: tuple[float, ...]
    best_epoch: int
    test: float

    @property
    def best(self) -> float:
        """Validation accuracy of the best epoch."""
        return self.validation[self.best_epoch]


def problem_of(images: LabelledImages, *, train: int, validation: int, hidden: int) -> Problem:
    """The first pictures of each part of a data set; all that it tests on."""
    return Problem(
        name=images.name,
        classes=images.classes,
        hidden=hidden,
        train=(images.train_inputs[:train], images.train_labels[:train]),
        validation=(images.validation_inputs[:validation], images.validation_labels[:validation]),
        test=(images.test_inputs, images.test_labels),
    )


def draw_classifier(problem: Problem, seed: int) -> nn.Sequential:
    """One hidden layer of ReLU units, He's start; the output layer's weights have variance 1/n."""
    with seeded(seed):
        first = nn.Linear(problem.train[0].shape[1], problem.hidden)
        last = nn.Linear(problem.hidden, problem.classes)
        nn.init.kaiming_normal_(first.weight, nonlinearity="relu")
        nn.init.normal_(last.weight, std=1.0 / math.sqrt(problem.hidden))
        nn.init.zeros_(first.bias)
        nn.init.zeros_(last.bias)
    return nn.Sequential(first, nn.ReLU(), last)


def descent(network: nn.Module, settings: Settings) -> SGD:
    """Descent with momentum."""
    return SGD(network.parameters(), lr=settings.rate, momentum=MOMENTUM, weight_decay=settings.decay)


def fit(problem: Problem, settings: Settings, seed: int, account: Account, *, epochs: int, patience: int) -> Fitted:
    """Train with early stopping: see `fit_network`."""
    network = draw_classifier(problem, seed)
    return fit_network(
        network, descent(network, settings), problem, settings, seed, account, epochs=epochs, patience=patience
    )


def fit_network(
    network: nn.Module,
    optimizer: SGD,
    problem: Problem,
    settings: Settings,
    seed: int,
    account: Account,
    *,
    epochs: int,
    patience: int,
) -> Fitted:
    """Train until the validation accuracy has not risen for some epochs, the account is empty, or the loss not finite.

    Args:
        network: Drawn, not trained yet.
        optimizer: Its optimizer.
        problem: What to learn.
        settings: What it is trained with; the optimizer has it already.
        seed: Seed of the order of the examples.
        account: What it is booked on; an epoch that begins is ended.
        epochs: Epochs at most; at least one is taken.
        patience: Epochs without a rise after which it ends.
    """
    inputs, labels = problem.tensors(problem.train)
    order = torch.Generator().manual_seed(seed)
    losses: list[float] = []
    validation: list[float] = []
    best_epoch, test = 0, math.nan
    for epoch in range(epochs):
        losses.append(train_epoch(network, optimizer, inputs, labels, settings.batch, order, account))
        validation.append(accuracy(network, problem, problem.validation))
        if validation[epoch] > validation[best_epoch] or epoch == 0:
            best_epoch, test = epoch, accuracy(network, problem, problem.test)
        if epoch - best_epoch >= patience or account.is_empty or not math.isfinite(losses[-1]):
            break
    return Fitted(settings, tuple(losses), tuple(validation), best_epoch, test)


def train_epoch(
    network: nn.Module,
    optimizer: SGD,
    inputs: Tensor,
    labels: Tensor,
    batch: int,
    order: torch.Generator,
    account: Account,
) -> float:
    """Go through all examples once; gives the mean loss, nan where one was not finite, and ends there."""
    total = 0.0
    shuffled = torch.randperm(len(inputs), generator=order)
    for begin in range(0, len(inputs), batch):
        chosen = shuffled[begin : begin + batch]
        loss = take_step(network, optimizer, inputs[chosen], labels[chosen])
        account.book(len(chosen))
        if not math.isfinite(loss):
            return math.nan
        total += loss * len(chosen)
    return total / len(inputs)


def take_step(network: nn.Module, optimizer: SGD, inputs: Tensor, labels: Tensor) -> float:
    """One step on one batch; gives the loss before it."""
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(network(inputs), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return float(loss.detach())


def accuracy(network: nn.Module, problem: Problem, part: tuple[NDArray[np.float32], NDArray[np.int64]]) -> float:
    """Share of a part's pictures that a network tells right."""
    inputs, labels = problem.tensors(part)
    with torch.no_grad():
        return float((network(inputs).argmax(dim=1) == labels).double().mean())
