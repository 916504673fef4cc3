"""Mini-batch, online and full-batch descent on the same pictures: what a step costs, and what it is worth.

Each kind has a rate that suits it: the noisier its steps, the smaller. The `descent` experiment looks at direction and
noise; here it is only shown that all three are the same code, and what they give.
"""

from dataclasses import dataclass, replace

from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.images import LabelledImages
from gradiometer.lab.experiments.backpropagation.trainings import (
    CHAPTER_3,
    Learned,
    conduct_training,
)
from gradiometer.lab.experiments.chapter import Chapter
from gradiometer.schema import Chart, Line, Section, Table

WHOLE_BATCH = 1 << 30
"""A batch size beyond every set of pictures."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of descent.

    Attributes:
        words: What it is called.
        batch_size: Examples of a step.
        rate: A rate that suits it, found by trying out powers of ten and their thirds on the digits.
    """

    words: str
    batch_size: int
    rate: float


KINDS = (
    Kind("online, one picture a step", 1, 0.1),
    Kind("mini-batches of 10", 10, 0.5),
    Kind("full batch", WHOLE_BATCH, 3.0),
)


def descents_chapter(bench: Bench, images: LabelledImages) -> Chapter:
    """Train by all three kinds of descent for the same number of epochs."""
    examples = bench.pick(toy=40, quick=1000, full=10_000)
    epochs = bench.pick(toy=2, quick=15, full=15)
    seeds = bench.seeds(toy=2, quick=2, full=4)
    done = [_descended(kind, images, seeds, examples, epochs) for kind in KINDS]
    ends = [float(learned.accuracies[-1].mean()) for learned in done]
    sentence = (
        f"After {epochs} epochs on {examples:,} pictures online descent reads {ends[0]:.1f} %, mini-batches of ten "
        f"{ends[1]:.1f} %, full batches {ends[2]:.1f} % of unseen ones."
    )
    return Chapter((_section(done, examples, epochs),), sentence=sentence)


def _descended(kind: Kind, images: LabelledImages, seeds: range, examples: int, epochs: int) -> Learned:
    training = replace(
        CHAPTER_3,
        words=kind.words,
        start="default",
        rate=kind.rate,
        examples=examples,
        batch_size=kind.batch_size,
        judged_on="validation",
    )
    return conduct_training(training, images, seeds, examples=examples, epochs=epochs, progress=lambda over: None)


def _section(done: list[Learned], examples: int, epochs: int) -> Section:
    lines = tuple(
        Line(kind.words, tuple(learned.epochs.tolist()), tuple(learned.accuracies.mean(axis=1).tolist()))
        for kind, learned in zip(KINDS, done, strict=True)
    )
    return Section(
        "Online, mini-batch, full batch",
        (
            "A step may be taken after one picture (online), after a few (mini-batch) or after all of them (full "
            "batch): the gradient is the mean over the batch, and the code is the same. A full batch knows the "
            "direction exactly, and takes one step an epoch. One picture knows it badly, but there are as many steps "
            "as pictures, and what is wrong in one step averages out over the next. Mini-batches are nearly as "
            "quick to a good answer as single pictures, and much quicker to compute, because one product of matrices "
            "serves the whole batch.",
            Chart(
                f"Accuracy by epoch, {examples:,} pictures",
                "Validation accuracy, mean over the seeds.",
                "epoch",
                "accuracy, %",
                lines,
            ),
            Table(
                "The same number of epochs",
                "Processor time of all seeds together.",
                ("kind", "rate", "steps", "time, s", "accuracy at the end, %"),
                tuple(_cells(kind, learned, examples, epochs) for kind, learned in zip(KINDS, done, strict=True)),
            ),
        ),
    )


def _cells(kind: Kind, learned: Learned, examples: int, epochs: int) -> tuple[str | float, ...]:
    steps = epochs * -(-examples // min(kind.batch_size, examples))
    return kind.words, kind.rate, float(steps), learned.seconds, float(learned.accuracies[-1].mean())
