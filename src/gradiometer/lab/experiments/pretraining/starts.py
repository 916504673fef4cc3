"""Starts of deep networks, with and without pretraining, and how far each gets by depth."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import torch
from torch import Tensor, nn

from gradiometer.curing.learners.autoencoder import AutoencoderSettings
from gradiometer.curing.learners.rbm import RbmSettings
from gradiometer.lab.datasets.images import LabelledImages
from gradiometer.lab.networks.deep_belief import LayerWeights, learn_autoencoders, learn_deep_belief
from gradiometer.lab.networks.plain import (
    Start,
    draw_layers,
    linear_of,
    sigmoid_start,
    standard_start,
    textbook_start,
)
from gradiometer.lab.networks.shapes import SHAPES
from gradiometer.lab.networks.stacked import accuracies_on, stack_of, train_epochs

Learner = Literal["machines", "autoencoders"]
"""What learns layers one after the other without labels."""

Stacks = dict[tuple[Learner, int], list[LayerWeights]]
"""Learner and seed to the layers that were learned, from the pictures up."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a network begins, and what then trains it.

    Attributes:
        start: How its layers are drawn, unless they are learned.
        learner: What learns its layers one after the other; None where they are drawn.
        activation: What its hidden units do.
        rate: Learning rate.
        is_adam: Trained by Adam instead of plain descent.
        is_control: Tried at one depth only.
    """

    start: Start = standard_start
    learner: Learner | None = None
    activation: str = "sigmoid"
    rate: float = 0.1
    is_adam: bool = False
    is_control: bool = False


UNIFORM, GLOROT = "uniform ±1/√n", "Glorot"
MACHINES, AUTOENCODERS = "Boltzmann machines", "autoencoders"
GLOROT_RATE_1, GLOROT_RATE_3, GLOROT_ADAM = "Glorot, rate 1", "Glorot, rate 3", "Glorot, Adam"
GLOROT_TIMES_4, HE_RELU = "Glorot × 4", "He, ReLU"

STARTS: dict[str, Beginning] = {
    UNIFORM: Beginning(standard_start),
    GLOROT: Beginning(textbook_start("glorot")),
    MACHINES: Beginning(learner="machines"),
    AUTOENCODERS: Beginning(learner="autoencoders"),
    GLOROT_TIMES_4: Beginning(sigmoid_start, is_control=True),
    GLOROT_RATE_1: Beginning(textbook_start("glorot"), rate=1.0, is_control=True),
    GLOROT_RATE_3: Beginning(textbook_start("glorot"), rate=3.0, is_control=True),
    GLOROT_ADAM: Beginning(textbook_start("glorot"), rate=0.001, is_adam=True, is_control=True),
    HE_RELU: Beginning(textbook_start("he"), activation="relu", is_control=True),
}
"""Every start by its name; sigmoids under plain descent at a rate of 0.1 where nothing else is said."""

DEPTHS = (1, 3, 5, 7)
"""Hidden layers."""

CONTROLLED_DEPTH = 5
"""Where the controls are tried: nothing but pretraining gets plain descent anywhere there."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is trained.

    Attributes:
        pictures: Pictures to learn from, the first ones.
        width: Units of every hidden layer.
        epochs: Passes of the training with labels.
        batch_size: Pictures of one step of it.
        updates: How often each layer's weights are changed before that, without labels, by 100 pictures each.
    """

    pictures: int
    width: int
    epochs: int
    batch_size: int
    updates: int


@dataclass(frozen=True, slots=True)
class Pictures:
    """The pictures of a plan as tensors.

    Attributes:
        inputs: Brightness [example pixel], to learn from.
        labels: Their classes.
        test_inputs: Others, to be judged by.
        test_labels: Their classes.
        side: Height and width, pixels.
        classes: How many classes there are.
    """

    inputs: Tensor
    labels: Tensor
    test_inputs: Tensor
    test_labels: Tensor
    side: int
    classes: int


Curves = dict[tuple[int, str], list[list[float]]]
"""Depth and start to the accuracy on test pictures [seed][epoch]."""


def pictures_of(images: LabelledImages, count: int) -> Pictures:
    """The first pictures of a set, and its test pictures."""
    return Pictures(
        torch.from_numpy(images.train_inputs[:count]),
        torch.from_numpy(images.train_labels[:count]),
        torch.from_numpy(images.test_inputs),
        torch.from_numpy(images.test_labels),
        images.side,
        images.classes,
    )


def learn_stacks(pictures: Pictures, plan: Plan, seeds: range) -> Stacks:
    """Learn the deepest stacks; greedily learned, their first layers are those of a lower stack."""
    hidden = [plan.width] * max(DEPTHS)
    machine = RbmSettings(updates=plan.updates)
    encoder = AutoencoderSettings(activation="sigmoid", visible="binary", updates=plan.updates)
    stacks: Stacks = {}
    for seed in seeds:
        generators = (torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed))
        stacks["machines", seed] = learn_deep_belief(pictures.inputs, hidden, machine, generators[0]).layers
        stacks["autoencoders", seed] = learn_autoencoders(pictures.inputs, hidden, encoder, generators[1])
    return stacks


def begin(how: Beginning, pictures: Pictures, depth: int, plan: Plan, seed: int, stacks: Stacks) -> list[nn.Linear]:
    """The layers of one network: all drawn, or hidden ones from a stack that was learned below an output of zeros."""
    if how.learner is None:
        return draw_layers([pictures.inputs.shape[1], *[plan.width] * depth, pictures.classes], how.start, seed)
    hidden = [linear_of(weight, bias) for weight, bias in stacks[how.learner, seed][:depth]]
    return [*hidden, linear_of(torch.zeros(pictures.classes, plan.width), torch.zeros(pictures.classes))]


def trained_together(names: Sequence[str]) -> Iterator[list[str]]:
    """Names of starts that can be trained side by side: the same activation, and Adam or not."""

    def kind(name: str) -> tuple[str, bool]:
        return STARTS[name].activation, STARTS[name].is_adam

    for _, group in groupby(sorted(names, key=kind), key=kind):
        yield list(group)


def learning_curves(pictures: Pictures, depth: int, plan: Plan, seeds: range, stacks: Stacks) -> Curves:
    """Train every start that is tried at a depth, and note the accuracy after each epoch."""
    names = [name for name, start in STARTS.items() if depth == CONTROLLED_DEPTH or not start.is_control]
    curves: Curves = {}
    for together in trained_together(names):
        first = STARTS[together[0]]
        networks = [begin(STARTS[name], pictures, depth, plan, seed, stacks) for name in together for seed in seeds]
        stack = stack_of(networks, [SHAPES[first.activation]])
        training = train_epochs(
            stack,
            pictures.inputs,
            pictures.labels,
            [STARTS[name].rate for name in together for _ in seeds],
            epochs=plan.epochs,
            batch_size=plan.batch_size,
            is_adam=first.is_adam,
        )
        epochs = [accuracies_on(stack, pictures.test_inputs, pictures.test_labels).tolist() for _ in training]
        by_network = [list(curve) for curve in zip(*epochs, strict=True)]
        for rank, name in enumerate(together):
            curves[depth, name] = by_network[rank * len(seeds) : (rank + 1) * len(seeds)]
    return curves


def last_accuracies(curves: Curves, depth: int, name: str) -> list[float]:
    """Accuracy after the last epoch, for each seed."""
    return [curve[-1] for curve in curves[depth, name]]
