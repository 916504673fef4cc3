"""The trainings of Nielsen's book, chapters 1 and 3, with their settings, and how one of them is conducted.

Source:
    M. Nielsen, "Neural Networks and Deep Learning", 2015, chapters 1 and 3, and the programs in `fig/` of its
    repository. His costs include the L2 term, and so do those here.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.images import LabelledImages, one_hot
from gradiometer.lab.networks.feed_forward import (
    Cost,
    FeedForward,
    Start,
    assess,
    draw_network,
    train_epoch,
)

FloatArray = NDArray[np.float64]

ALL = 50_000
"""Pictures that the book trains on."""

FEW = 1_000
"""Pictures that it trains on to show overfitting."""

SIZES = (100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, ALL)
"""Numbers of pictures that it trains on to show what more of them are worth."""

FEW_OF_DIGITS = 0.1
"""Share of the bundled digits' training pictures that stands for the thousand."""

LONGEST = 1_500_000
"""Pictures, counted with repetition, that each of those trainings sees."""


@dataclass(frozen=True, slots=True)
class Training:
    """A training as the book sets it.

    Attributes:
        words: What it is called on the page.
        hidden: Units of the hidden layers.
        cost: What is minimised.
        start: How the first weights are drawn.
        rate: Learning rate.
        weight_cost: The lambda of the L2 term.
        epochs: How often it sees its pictures.
        examples: How many pictures it is trained on, the first ones.
        judged_on: Which pictures it is judged by.
        seeds: How many seeds are trained in full.
        batch_size: Pictures of a step.
        follows_training: Whether costs and accuracies on the training pictures are taken after every epoch, not only
            after the first and the last.
        judged_every: Epochs from one judgement to the next; the last is always judged.
    """

    words: str
    hidden: tuple[int, ...]
    cost: Cost
    start: Start
    rate: float
    weight_cost: float = 0.0
    epochs: int = 30
    examples: int = ALL
    judged_on: Literal["test", "validation"] = "test"
    seeds: int = 8
    batch_size: int = 10
    follows_training: bool = False
    judged_every: int = 1


@dataclass(frozen=True, slots=True)
class Learned:
    """What came of a training.

    Attributes:
        training: Its settings, as they were published.
        epochs: After which epochs it was judged, the first being 1 [epoch].
        accuracies: On the pictures it is judged by, percent [epoch seed].
        costs: Mean cost of these pictures with the L2 term [epoch seed].
        training_accuracies: On the training pictures, percent [epoch seed]; NaN where they were not taken.
        training_costs: Mean cost of the training pictures with the L2 term [epoch seed]; NaN likewise.
        network: The networks as they ended.
        seconds: Processor time of the training alone, all seeds together.
    """

    training: Training
    epochs: FloatArray
    accuracies: FloatArray
    costs: FloatArray
    training_accuracies: FloatArray
    training_costs: FloatArray
    network: FeedForward
    seconds: float

    @property
    def best(self) -> FloatArray:
        """Each seed's best accuracy after any epoch, as the book tells them, percent [seed]."""
        return np.asarray(self.accuracies.max(axis=0))


CHAPTER_1 = Training("30 hidden units", (30,), "quadratic", "large", 3.0)
CHAPTER_3 = Training("cross-entropy", (30,), "cross_entropy", "large", 0.5)
WITH_L2 = replace(CHAPTER_3, words="cross-entropy, L2", weight_cost=5.0)
VALIDATED = replace(WITH_L2, rate=0.1, judged_on="validation")
WIDE = replace(VALIDATED, hidden=(100,), seeds=4)
FROM_FEW = replace(CHAPTER_3, words="1,000 pictures", epochs=400, examples=FEW, follows_training=True, judged_every=2)
BY_RATE = replace(VALIDATED, start="default", seeds=4, follows_training=True)

TRAININGS: dict[str, Training] = {
    "none": replace(CHAPTER_1, words="no hidden layer", hidden=()),
    "two thin layers": replace(CHAPTER_3, words="16 and 16 hidden units", hidden=(16, 16), start="default"),
    "chapter 1": CHAPTER_1,
    "few": FROM_FEW,
    "few, L2": replace(FROM_FEW, words="1,000 pictures, L2", weight_cost=0.1),
    "cross-entropy": CHAPTER_3,
    "L2": WITH_L2,
    "default start": replace(VALIDATED, words="default first weights", start="default"),
    "large start": replace(VALIDATED, words="large first weights"),
    "rate 100": replace(CHAPTER_1, words="rate 100", hidden=(100,), rate=100.0, seeds=3, epochs=10),
    "rate 0.001": replace(CHAPTER_1, words="rate 0.001", hidden=(100,), rate=0.001, seeds=3),
    "rate 0.025": replace(BY_RATE, words="rate 0.025", rate=0.025),
    "rate 0.25": replace(BY_RATE, words="rate 0.25", rate=0.25),
    "rate 2.5": replace(BY_RATE, words="rate 2.5", rate=2.5),
    "chapter 1, wide": replace(CHAPTER_1, words="100 hidden units", hidden=(100,), seeds=6),
    "cross-entropy, wide": replace(CHAPTER_3, words="100 hidden units, cross-entropy", hidden=(100,), seeds=4),
    "default start, wide": replace(WIDE, words="100 hidden units, default first weights", start="default"),
    "large start, wide": replace(WIDE, words="100 hidden units, large first weights"),
    **{
        f"{size} pictures": replace(
            CHAPTER_3,
            words=f"{size:,} pictures",
            examples=size,
            epochs=LONGEST // size,
            weight_cost=size * 1e-4,
            judged_on="validation",
            judged_every=LONGEST // size // 10,
            seeds=4,
        )
        for size in SIZES
    },
    "L2, wide": replace(WIDE, words="100 hidden units, L2", rate=0.5),
    "L2, wide, slow": replace(WIDE, words="100 hidden units, L2, rate 0.1", epochs=60),
}
"""Name of a training to its settings, those that take less time first."""


def conduct_trainings(bench: Bench, images: LabelledImages, *, begin: float, end: float) -> dict[str, Learned]:
    """Conduct every training of the book, shortened where it has to be quick.

    Args:
        bench: What it is conducted on.
        images: The pictures.
        begin: Share of the experiment's work that lies before.
        end: Share of it that is done behind the last training.
    """
    plans = {name: _extent(bench, training, images) for name, training in TRAININGS.items()}
    works = {name: _work(TRAININGS[name], *plan) for name, plan in plans.items()}
    whole, done, learned = sum(works.values()), 0.0, {}
    for name, training in TRAININGS.items():
        examples, epochs, seeds = plans[name]

        def told(over: int, name: str = name, epochs: int = epochs, done: float = done) -> None:
            share = (done + works[name] * over / epochs) / whole
            bench.progress(begin + (end - begin) * share, f"{TRAININGS[name].words}, epoch {over} of {epochs}")

        learned[name] = conduct_training(training, images, seeds, examples=examples, epochs=epochs, progress=told)
        done += works[name]
    return learned


def _extent(bench: Bench, training: Training, images: LabelledImages) -> tuple[int, int, range]:
    """Pictures, epochs and seeds of a training: as published with all pictures, in proportion with fewer."""
    seeds = bench.seeds(toy=2, quick=min(3, training.seeds), full=training.seeds)
    if not bench.is_quick:
        return training.examples, training.epochs, seeds
    available = bench.pick(toy=40, quick=len(images.train_inputs), full=0)
    share = FEW_OF_DIGITS if training.examples == FEW and training.follows_training else training.examples / ALL
    examples = max(10, round(share * available))
    longest = bench.pick(toy=2, quick=60 if examples < available else 20, full=0)
    return examples, min(training.epochs, longest * max(1, available // (4 * examples))), seeds


def _work(training: Training, examples: int, epochs: int, seeds: range) -> float:
    """How much there is to compute, in any unit."""
    return float(epochs * examples * len(seeds) * (1 + sum(training.hidden)))


def conduct_training(
    training: Training,
    images: LabelledImages,
    seeds: range,
    *,
    examples: int,
    epochs: int,
    progress: Callable[[int], None],
) -> Learned:
    """Train one network for each seed as the book does; a step takes the published share of each weight away.

    Args:
        training: The settings.
        images: The pictures.
        seeds: Seeds of first weights and orders.
        examples: How many pictures to train on.
        epochs: How often.
        progress: Told the number of epochs that are over.
    """
    inputs, labels = images.train_inputs[:examples], images.train_labels[:examples]
    targets = one_hot(labels, images.classes)
    network = draw_network((images.pixels, *training.hidden, images.classes), seeds, training.start, cost=training.cost)
    orders = [np.random.default_rng((seed, 1)) for seed in seeds]
    weight_cost = training.weight_cost * len(inputs) / training.examples
    batch, seconds, judged = min(training.batch_size, len(inputs)), 0.0, []
    for epoch in range(epochs):
        started = time.process_time()
        train_epoch(network, inputs, targets, orders, rate=training.rate, batch_size=batch, weight_cost=weight_cost)
        seconds += time.process_time() - started
        is_last = epoch == epochs - 1
        if is_last or epoch % training.judged_every == 0:
            added = 0.5 * weight_cost / len(inputs) * _squared_weights(network)
            judgement = _judge(network, *_judged_by(images, training), added)
            on_training = training.follows_training or epoch == 0 or is_last
            of_training = _judge(network, inputs, labels, added) if on_training else _unknown(network)
            judged.append([np.full(len(seeds), epoch + 1.0), *judgement, *of_training])
        progress(epoch + 1)
    after, accuracies, costs, training_accuracies, training_costs = np.array(judged).transpose(1, 0, 2)
    return Learned(training, after[:, 0], accuracies, costs, training_accuracies, training_costs, network, seconds)


def _judged_by(images: LabelledImages, training: Training) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    if training.judged_on == "test":
        return images.test_inputs, images.test_labels
    return images.validation_inputs, images.validation_labels


def _judge(
    network: FeedForward, inputs: NDArray[np.float32], labels: NDArray[np.int64], added: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Accuracy in percent and cost with the L2 term [seed]."""
    share, cost = assess(network, inputs, one_hot(labels, network.sizes[-1]))
    return 100.0 * share, cost + added


def _unknown(network: FeedForward) -> tuple[FloatArray, FloatArray]:
    unknown = np.full(len(network.weights[0]), np.nan)
    return unknown, unknown


def _squared_weights(network: FeedForward) -> FloatArray:
    """Sum of the squares of all weights [seed]."""
    each = [np.square(weight, dtype=np.float64).sum(axis=(1, 2)) for weight in network.weights]
    return np.asarray(np.sum(each, axis=0))
