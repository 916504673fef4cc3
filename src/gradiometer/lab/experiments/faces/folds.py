"""The trainings of experiment `faces`: each network on four folds of the pictures, each picture held out once."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.faces import load_faces
from gradiometer.lab.networks.face_network import draw_face_network, filters_of, standardised
from gradiometer.schema import FloatArray, Run

FOLDS = 4
"""Parts of the pictures; each is held out once. 50 pictures are the test set of scikit-image's own example."""

RATE = 0.02
"""Learning rate of the first epoch; it falls evenly towards 0. At a constant 0.05 the healthy network told 93 % of
held-out pictures right instead of 98 at 0.02, in one trial of each."""

MOMENTUM = 0.9
"""Momentum of the descent. Plain descent on purpose: Adam divides the gradient's size out; see `train_by_adam`."""

ADAM_RATE = 0.003
"""Adam's rate of the first epoch in the control: torch's own 1e-3 is slower, and these networks have few steps."""


DECAY = 0.01
"""Weight decay: shrinks what chance drew and no gradient holds up. Without any, the trained filters look like noise."""

BATCH = 25
"""Pictures of a step."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """All pictures.

    Attributes:
        inputs: Standardised [example 1 height width].
        labels: 1 for a face, 0 for none [example].
        brightness: Mean brightness of each before it was standardised [example].
        source: Where they are from.
    """

    inputs: Tensor
    labels: Tensor
    brightness: FloatArray
    source: str


@dataclass(frozen=True, slots=True)
class Training:
    """One network trained on all folds but one.

    Attributes:
        seed: What its weights were drawn from.
        network: As it ended, in evaluation mode.
        start: Its filters as they were drawn.
        held_out: Indices of the pictures that it never saw.
        logits: What it answers to these.
        losses: Mean training loss of each epoch.
        run: What was measured, of the first fold and seed alone.
    """

    seed: int
    network: nn.Sequential
    start: dict[str, Tensor]
    held_out: Tensor
    logits: Tensor
    losses: tuple[float, ...]
    run: Run | None


@dataclass(frozen=True, slots=True)
class Trained:
    """All trainings of one making.

    Attributes:
        making: A key of `MAKINGS`.
        trainings: By seed, then by fold.
        accuracies: Share of the held-out pictures that is told right, one for each seed.
        areas: Area under the receiver operating characteristic, one for each seed: the mean over its folds.
    """

    making: str
    trainings: tuple[tuple[Training, ...], ...]
    accuracies: tuple[float, ...]
    areas: tuple[float, ...]

    @property
    def first(self) -> Training:
        """The training that was watched."""
        return self.trainings[0][0]


def take_pictures() -> Pictures:
    """All faces and pieces of background in the data set's one order, a face and a piece in turn.

    Raises:
        DataError: scikit-image is not installed.
    """
    faces = load_faces()
    inputs = np.concatenate([faces.train_inputs, faces.validation_inputs, faces.test_inputs])
    labels = np.concatenate([faces.train_labels, faces.validation_labels, faces.test_labels])
    brightness = inputs.mean(axis=1).astype(np.float64)
    return Pictures(standardised(torch.from_numpy(inputs)), torch.from_numpy(labels).float(), brightness, faces.source)


def held_out_in(fold: int, count: int) -> Tensor:
    """Which pictures a fold holds out: a run of them, faces and others in equal number."""
    return torch.arange(fold * count // FOLDS, (fold + 1) * count // FOLDS)


def train_all(bench: Bench, making: str, pictures: Pictures, *, epochs: int, done: float, share: float) -> Trained:
    """Train one making with all seeds on all folds; the first training is watched and writes a run file.

    Args:
        bench: Where it is done.
        making: A key of `MAKINGS`.
        pictures: All pictures.
        epochs: How often each picture is gone through.
        done: Share of the experiment that is done before.
        share: Share that this is.
    """
    seeds = bench.seeds(toy=1, quick=1, full=5)
    folds = range(bench.pick(toy=1, quick=FOLDS, full=FOLDS))
    trainings = []
    for seed in seeds:
        row = []
        for fold in folds:
            bench.progress(done + share * (seed + fold / len(folds)) / len(seeds), f"{making} network, fold {fold + 1}")
            row.append(train(bench, making, pictures, seed, fold, epochs))
        trainings.append(tuple(row))
    accuracies = tuple(accuracy_over(row, pictures.labels) for row in trainings)
    areas = tuple(
        math.fsum(area_under_curve(one.logits.numpy(), pictures.labels[one.held_out].numpy()) for one in row) / len(row)
        for row in trainings
    )
    return Trained(making, tuple(trainings), accuracies, areas)


def train(bench: Bench, making: str, pictures: Pictures, seed: int, fold: int, epochs: int) -> Training:
    """Train one network on all folds but one."""
    drawn_from = 1000 * seed + fold
    network = draw_face_network(making, drawn_from)
    start = filters_of(network)
    held_out = held_out_in(fold, len(pictures.labels))
    order = torch.Generator().manual_seed(seed)
    optimizer = SGD(network.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
    run = None
    if seed == 0 and fold == 0:
        with bench.watched(f"faces-{making}", network, optimizer) as watching:
            losses = descend(network, optimizer, pictures, held_out, order, epochs)
        run = watching.run
    else:
        losses = descend(network, optimizer, pictures, held_out, order, epochs)
    logits = answers_to(network, pictures.inputs[held_out])
    return Training(drawn_from, network, start, held_out, logits, losses, run)


def train_by_adam(pictures: Pictures, epochs: int) -> Training:
    """The control: the starved network of the first fold, with the same start and order, trained by Adam."""
    network = draw_face_network("starved", 0)
    start, held_out = filters_of(network), held_out_in(0, len(pictures.labels))
    order = torch.Generator().manual_seed(0)
    losses = descend(network, Adam(network.parameters(), lr=ADAM_RATE), pictures, held_out, order, epochs)
    return Training(0, network, start, held_out, answers_to(network, pictures.inputs[held_out]), losses, None)


def answers_to(network: nn.Sequential, inputs: Tensor) -> Tensor:
    """A trained network's logits [example]; it is left in evaluation mode."""
    network.eval()
    with torch.no_grad():
        logits: Tensor = network(inputs)[:, 0]
    return logits


def descend(
    network: nn.Sequential,
    optimizer: Optimizer,
    pictures: Pictures,
    held_out: Tensor,
    order: torch.Generator,
    epochs: int,
) -> tuple[float, ...]:
    """Go through all pictures but those held out some times; gives the mean loss of each epoch."""
    is_seen = torch.ones(len(pictures.labels), dtype=torch.bool)
    is_seen[held_out] = False
    seen = torch.nonzero(is_seen)[:, 0]
    loss_of, rate = nn.BCEWithLogitsLoss(), float(optimizer.param_groups[0]["lr"])
    losses = []
    for epoch in range(epochs):
        optimizer.param_groups[0]["lr"] = rate * (1.0 - epoch / epochs)
        taken = []
        for chosen in torch.split(seen[torch.randperm(len(seen), generator=order)], BATCH):
            optimizer.zero_grad()
            loss = loss_of(network(pictures.inputs[chosen])[:, 0], pictures.labels[chosen])
            loss.backward()
            optimizer.step()
            taken.append(float(loss.detach()))
        losses.append(math.fsum(taken) / len(taken))
    return tuple(losses)


def accuracy_over(trainings: tuple[Training, ...], labels: Tensor) -> float:
    """Share of all held-out pictures that their network tells right."""
    right = sum(int(((one.logits > 0.0) == (labels[one.held_out] > 0.5)).sum()) for one in trainings)
    return right / sum(len(one.held_out) for one in trainings)


def best_threshold_accuracy(values: FloatArray, labels: FloatArray) -> float:
    """Accuracy of the best single threshold on one number for each picture, chosen on the same pictures.

    Example:
        >>> best_threshold_accuracy(np.array([0.1, 0.2, 0.8, 0.3]), np.array([0.0, 0.0, 1.0, 1.0]))
        1.0
    """
    shares = [float(((values > cut) == (labels > 0.5)).mean()) for cut in (-math.inf, *values)]
    return max(max(shares), 1.0 - min(shares))


def area_under_curve(scores: FloatArray, labels: FloatArray) -> float:
    """Chance that a face has a higher score than what is none; a tie counts a half.

    Source:
        Mann, Whitney, Annals of Mathematical Statistics 1947: the area under the receiver operating characteristic.

    Example:
        >>> area_under_curve(np.array([3.0, 1.0, 2.0, 0.0]), np.array([1.0, 1.0, 0.0, 0.0]))
        0.75
    """
    ahead = scores[labels > 0.5][:, None] - scores[labels <= 0.5][None, :]
    return float((ahead > 0.0).mean() + 0.5 * (ahead == 0.0).mean())


def wilson_interval(share: float, count: int, deviations: float = 1.959964) -> tuple[float, float]:
    """Interval of a share of independent draws; by default of 95 % confidence.

    Source:
        Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.

    Example:
        >>> [round(end, 4) for end in wilson_interval(0.5, 100)]
        [0.4038, 0.5962]
    """
    squared = deviations * deviations
    centre = (share + squared / (2.0 * count)) / (1.0 + squared / count)
    half = (
        deviations
        / (1.0 + squared / count)
        * math.sqrt(share * (1.0 - share) / count + squared / (4.0 * count * count))
    )
    return centre - half, centre + half
