"""A training that goes on a fraction of a second at a time, and is the same again from the same settings."""

import math
import time
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from gradiometer.lab.datasets import LabelledImages
from gradiometer.lab.explorer.ladder import ladder_of
from gradiometer.lab.explorer.network import SEED, DigitNetwork, make_network
from gradiometer.lab.explorer.passing import pass_batch
from gradiometer.schema.explored import Course, DigitData, ExplorerSettings, Rung

SLICE_SECONDS = 0.15
"""How long one answer goes on training, so that a page follows it: processor time, for on a busy machine there would be
more answers than steps else."""

LOOKS_PER_EPOCH = 4
LONGEST_STRIDE = 50
MOST_LOOKS = 400
"""How often a training is looked at; of more looks than these every second one is kept."""

HELD_OUT = 1000
PROBED = 128
"""Digits that accuracy is counted on, and those that ladders are measured on: the first that are not trained on, and
the first that are."""


@dataclass(frozen=True, slots=True)
class Digits:
    """The data as tensors.

    Attributes:
        data: What they are.
        inputs: Pictures to train on, float32: MNIST takes 157 MB so [example pixel].
        labels: Their classes [example].
        held_inputs: Pictures not trained on, float64.
        held_labels: Their classes.
    """

    data: DigitData
    inputs: Tensor
    labels: Tensor
    held_inputs: Tensor
    held_labels: Tensor


def digits_of(images: LabelledImages) -> Digits:
    """Take from a set of pictures what is trained on, and the first of those that nothing was chosen by."""
    inputs, labels = torch.from_numpy(images.train_inputs), torch.from_numpy(images.train_labels)
    held = torch.from_numpy(images.test_inputs[:HELD_OUT].astype(np.float64))
    held_labels = torch.from_numpy(images.test_labels[:HELD_OUT])
    known = tuple(int(label) for label in held_labels)
    data = DigitData(images.name, images.side, len(inputs), known)
    return Digits(data, inputs, labels, held, held_labels)


@dataclass(frozen=True, slots=True)
class Look:
    """The state of a training at one step."""

    step: int
    accuracy: float
    cost: float
    ladder: tuple[Rung, ...]


@dataclass(slots=True)
class Training:
    """A network that is trained by plain descent.

    Attributes:
        digits: The data.
        network: The network; changed in place.
        step: Steps so far.
        is_diverged: A cost was not finite, and nothing more was done.
        looks: What it was like at some steps, the first among them.
        stride: Steps from one look to the next.
    """

    digits: Digits
    network: DigitNetwork
    step: int = 0
    is_diverged: bool = False
    looks: list[Look] = field(default_factory=list)
    stride: int = 1

    @property
    def epoch_steps(self) -> int:
        """Steps of an epoch, the last of which may have fewer examples."""
        return math.ceil(len(self.digits.inputs) / self.network.settings.batch_size)


def begin(settings: ExplorerSettings, digits: Digits) -> Training:
    """Begin a training at its first weights."""
    pixels, classes = digits.inputs.shape[1], int(digits.labels.max()) + 1
    network = make_network(settings, pixels, classes, float(digits.inputs.square().mean().sqrt()))
    training = Training(digits, network)
    training.stride = min(max(1, training.epoch_steps // LOOKS_PER_EPOCH), LONGEST_STRIDE)
    training.looks.append(look_at(training))
    return training


def batch_at(training: Training, step: int) -> tuple[Tensor, Tensor]:
    """The mini-batch of a step: every epoch goes through all examples in an order of its own."""
    epoch, place = divmod(step, training.epoch_steps)
    size = training.network.settings.batch_size
    generator = torch.Generator().manual_seed(SEED + epoch)
    chosen = torch.randperm(len(training.digits.inputs), generator=generator)[place * size : (place + 1) * size]
    return training.digits.inputs[chosen].double(), training.digits.labels[chosen]


def train_towards(training: Training, step: int, *, seconds: float = SLICE_SECONDS) -> None:
    """Train up to a step, or until the time is over or a cost is not finite.

    Args:
        training: The training; changed in place.
        step: Where to stop.
        seconds: Processor time that it may take; at least one step is taken.
    """
    end = time.thread_time() + seconds
    parameters: list[Tensor] = list(training.network.model.parameters())
    while training.step < step and not training.is_diverged:
        inputs, labels = batch_at(training, training.step)
        cost = training.network.cost.loss(training.network.model(inputs), labels)
        gradients = torch.autograd.grad(cost, parameters)
        training.is_diverged = not bool(torch.isfinite(cost))
        if training.is_diverged:
            break
        with torch.no_grad():
            torch._foreach_add_(parameters, gradients, alpha=-training.network.settings.learning_rate)
        training.step += 1
        if training.step % training.stride == 0:
            note_look(training)
        if time.thread_time() > end:
            break


def note_look(training: Training) -> None:
    """Keep what the network is like; where too much is kept, only every second of the looks."""
    training.looks.append(look_at(training))
    if len(training.looks) > MOST_LOOKS:
        training.looks = training.looks[::2]
        training.stride *= 2


def look_at(training: Training) -> Look:
    """Accuracy and cost on digits not trained on, and the ladder, as they are now."""
    digits, network = training.digits, training.network
    with torch.no_grad():
        outputs = network.model(digits.held_inputs)
        accuracy = float((outputs.argmax(1) == digits.held_labels).double().mean())
        cost = float(network.cost.loss(outputs, digits.held_labels))
    probed = pass_batch(network, digits.inputs[:PROBED].double(), digits.labels[:PROBED])
    return Look(training.step, accuracy, cost, ladder_of(network, probed))


def course_of(training: Training) -> Course:
    """How a training has gone, up to now."""
    now = training.looks[-1] if training.looks[-1].step == training.step else look_at(training)
    looks = training.looks if now is training.looks[-1] else [*training.looks, now]
    return Course(
        settings=training.network.settings,
        step=training.step,
        is_diverged=training.is_diverged,
        accuracy=now.accuracy,
        cost=now.cost,
        ladder=now.ladder,
        steps=tuple(look.step for look in looks),
        accuracies=tuple(look.accuracy for look in looks),
        costs=tuple(look.cost for look in looks),
        levels_db=tuple(look.ladder[-1].level_db for look in looks),
    )
