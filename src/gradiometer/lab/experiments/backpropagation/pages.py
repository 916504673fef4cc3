"""What the trainings of the book show, as sections of the page."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from gradiometer.lab.datasets.images import LabelledImages
from gradiometer.lab.experiments.backpropagation.trainings import SIZES, FloatArray, Learned
from gradiometer.lab.experiments.chapter import Chapter
from gradiometer.lab.networks.feed_forward import forward
from gradiometer.schema import Chart, Line, Picture, PictureGrid, Section, Table

Trainings = Mapping[str, Learned]

LOST = 0.1
"""A digit is lost to a network that reads less than this share of its pictures; what guessing gives."""

MISREAD_SHOWN = 20
"""Misread pictures that are drawn."""


def pages_of(trainings: Trainings, images: LabelledImages) -> list[Chapter]:
    """The chapters on reading digits, costs, overfitting, first weights and learning rates, in this order."""
    return [
        _reading_chapter(trainings, images),
        _cost_chapter(trainings, images),
        _overfitting_chapter(trainings),
        _pictures_chapter(trainings),
        _start_chapter(trainings),
        _rate_chapter(trainings),
    ]


def _curve(learned: Learned, values: FloatArray, name: str = "") -> Line:
    """A training's mean over the seeds by epoch, with a band from the least to the greatest."""
    known = ~np.isnan(values[:, 0])
    return Line(
        name or learned.training.words,
        tuple(learned.epochs[known].tolist()),
        tuple(values[known].mean(axis=1).tolist()),
        low=tuple(values[known].min(axis=1).tolist()),
        high=tuple(values[known].max(axis=1).tolist()),
    )


def _accuracy_chart(title: str, trained: Sequence[Learned]) -> Chart:
    kind = trained[0].training.judged_on
    caption = f"Accuracy on the {kind} pictures; the bands go from the worst to the best seed."
    return Chart(title, caption, "epoch", "accuracy, %", tuple(_curve(each, each.accuracies) for each in trained))


def _best_table(trained: Sequence[Learned]) -> Table:
    rows = []
    for learned in trained:
        counts = f"{learned.network.parameter_count:,}"
        best, last = learned.best, learned.accuracies[-1]
        figures = (float(best.mean()), float(best.min()), float(best.max()), float(last.mean()))
        rows.append((learned.training.words, counts, len(best), *figures))
    heads = ("network", "weights and biases", "seeds", "best, mean %", "least %", "greatest %", "at the end, mean %")
    return Table(
        "In numbers", "Best accuracy after any epoch, over the seeds, and that at the end.", heads, tuple(rows)
    )


def _reading_chapter(trainings: Trainings, images: LabelledImages) -> Chapter:
    names = ("none", "chapter 1", "chapter 1, wide", "two thin layers")
    trained = [trainings[name] for name in names]
    plain, wide = trainings["chapter 1"], trainings["chapter 1, wide"]
    lost = [seeds_with_a_lost_digit(each, images) for each in trained[:3]]
    seeds = [len(each.best) for each in trained[:3]]
    section = Section(
        "Reading digits",
        (
            "A network gets a handwritten digit as the brightness of its pixels, and has ten outputs, one for each "
            "digit; it reads what its greatest output stands for. Nobody tells it what a digit looks like: its "
            "weights start by chance, and every step moves them a little against the gradient of the cost of ten "
            "pictures. One pass through all pictures is an epoch.",
            _accuracy_chart("Accuracy by epoch", trained),
            "The quadratic cost with large first weights is a gamble: an output that starts out near 0 for all "
            "pictures sits where the sigmoid is flat, gets hardly any gradient, and its digit may be lost for good, "
            f"read rightly in less than {LOST:.0%} of its pictures. That befell {lost[0]} of {seeds[0]} networks "
            f"without a hidden layer, {lost[1]} of {seeds[1]} with 30 hidden units and {lost[2]} of {seeds[2]} with "
            "100.",
            _best_table(trained),
            _weight_grid(plain, images),
            _misread_grid(plain, images),
        ),
    )
    sentence = (
        f"With 30 hidden units the networks read {plain.best.mean():.2f} % of unseen digits at best (mean of "
        f"{len(plain.best)} seeds), with 100 hidden units {wide.best.mean():.2f} %."
    )
    return Chapter((section,), sentence=sentence)


def _weight_grid(learned: Learned, images: LabelledImages) -> PictureGrid:
    first = learned.network.weights[0][0].astype(np.float64)
    pictures = tuple(
        Picture(f"unit {unit + 1}", first[:, unit].reshape(images.side, images.side)) for unit in range(first.shape[1])
    )
    return PictureGrid(
        "What the hidden units look for",
        "The weights of each hidden unit of the first seed's network, laid out as the pixels that they belong to: "
        "white asks for brightness, black speaks against it. They seldom look like strokes: many different sets of "
        "weights read equally well, and chance chose the start.",
        pictures,
    )


def _misread_grid(learned: Learned, images: LabelledImages) -> PictureGrid:
    answers = forward(learned.network, images.test_inputs[None]).output[0].argmax(axis=1)
    wrong = np.flatnonzero(answers != images.test_labels)[:MISREAD_SHOWN]
    pictures = tuple(
        Picture(
            f"{images.test_labels[place]} read as {answers[place]}",
            images.test_inputs[place].reshape(images.side, images.side).astype(np.float64),
        )
        for place in wrong
    )
    return PictureGrid("Misread", "The first test pictures that the first seed's network reads wrongly.", pictures)


def _cost_chapter(trainings: Trainings, images: LabelledImages) -> Chapter:
    words = {
        "chapter 1": "30 units, quadratic",
        "chapter 1, wide": "100 units, quadratic",
        "cross-entropy": "30 units, cross-entropy",
        "cross-entropy, wide": "100 units, cross-entropy",
    }
    trained = [_named(trainings[name], called) for name, called in words.items()]
    first = [float(each.accuracies[0].mean()) for each in (trained[0], trained[2])]
    lost = [seeds_with_a_lost_digit(each, images) for each in trained]
    seeds = [len(each.best) for each in trained]
    section = Section(
        "Two costs",
        (
            "The same networks trained by both costs, at the rates that the book chose for each. What cancels in one "
            f"neuron cancels in ten outputs: after the first epoch the quadratic cost has led to {first[0]:.1f} %, the "
            f"cross-entropy to {first[1]:.1f} %. A digit is lost in {lost[0] + lost[1]} of {seeds[0] + seeds[1]} "
            f"networks under the quadratic cost, in {lost[2] + lost[3]} of {seeds[2] + seeds[3]} under the "
            "cross-entropy.",
            _accuracy_chart("Accuracy by epoch under both costs", trained),
            _best_table(trained),
        ),
    )
    return Chapter((section,))


def _named(learned: Learned, words: str) -> Learned:
    """The same under another name."""
    return replace(learned, training=replace(learned.training, words=words))


def seeds_with_a_lost_digit(learned: Learned, images: LabelledImages) -> int:
    """How many of the networks read some digit rightly in less than `LOST` of its test pictures."""
    answers = forward(learned.network, images.test_inputs[None]).output.argmax(axis=2)
    digits = range(images.classes)
    shares = [(answers[:, images.test_labels == digit] == digit).mean(axis=1) for digit in digits]
    return int((np.min(shares, axis=0) < LOST).sum())


def _overfitting_chapter(trainings: Trainings) -> Chapter:
    plain, held = trainings["few"], trainings["few, L2"]
    turning = plain.epochs[plain.costs.mean(axis=1).argmin()]
    gain = float((held.best - plain.best).mean())
    unseen = tuple(_curve(each, each.accuracies, f"{each.training.words}: unseen") for each in (plain, held))
    seen = tuple(_curve(each, each.training_accuracies, f"{each.training.words}: trained on") for each in (plain, held))
    costs = tuple(_curve(each, each.costs, f"{each.training.words}: unseen") for each in (plain, held))
    whole, whole_held = trainings["cross-entropy"], trainings["L2"]
    section = Section(
        "Overfitting, and what holds against it",
        (
            "Trained on few pictures, a network soon knows them by heart. Its cost on them goes on falling, but on "
            f"pictures that it has not seen the cost is least at epoch {turning:.0f} and rises from there on: it has "
            "begun to learn what is peculiar to these few. L2 regularisation adds lambda/2n times the sum of all "
            "squared weights to the cost, so that every step first takes a small share of each weight away, and only "
            f"what many pictures ask for again and again stays. Here it adds {gain:.1f} points to the best accuracy.",
            Chart("Few pictures: accuracy", "Bands: least to greatest seed.", "epoch", "accuracy, %", (*seen, *unseen)),
            Chart("Few pictures: cost of unseen ones", "With the L2 term.", "epoch", "cost", costs, y_scale="log"),
            "With all pictures there is less to learn by heart, and less to gain: accuracy at the end "
            f"{whole.accuracies[-1].mean():.2f} % without L2 and {whole_held.accuracies[-1].mean():.2f} % with it, "
            f"while on the pictures trained on it is {whole.training_accuracies[-1].mean():.2f} and "
            f"{whole_held.training_accuracies[-1].mean():.2f} %.",
            _best_table([whole, whole_held, trainings["L2, wide"], trainings["L2, wide, slow"]]),
        ),
    )
    sentence = (
        f"On few pictures the cost of unseen ones turns at epoch {turning:.0f}, and L2 adds {gain:.1f} points to the "
        "best accuracy."
    )
    return Chapter((section,), sentence=sentence)


def _pictures_chapter(trainings: Trainings) -> Chapter:
    by_size = [trainings[f"{size} pictures"] for size in SIZES]
    ends = np.array(
        [[each.accuracies[-1].mean(), each.accuracies[-1].min(), each.accuracies[-1].max()] for each in by_size]
    )
    line = Line(
        "validation accuracy at the end",
        tuple(float(size) for size in SIZES),
        tuple(ends[:, 0].tolist()),
        low=tuple(ends[:, 1].tolist()),
        high=tuple(ends[:, 2].tolist()),
    )
    section = Section(
        "What more pictures are worth",
        (
            "The same network with the same number of steps, on ever more different pictures: it reads "
            f"{ends[0, 0]:.1f} % of unseen ones with the fewest to learn from, and {ends[-1, 0]:.1f} % with all of "
            "them. The axis is logarithmic: a straight line would mean that each tenfold is worth the same.",
            Chart(
                "Accuracy by number of pictures",
                "In a run on bundled digits the numbers stand for the same shares of them.",
                "pictures",
                "accuracy, %",
                (line,),
                x_scale="log",
            ),
        ),
    )
    return Chapter((section,))


def _start_chapter(trainings: Trainings) -> Chapter:
    names = ("default start", "large start", "default start, wide", "large start, wide")
    trained = [trainings[name] for name in names]
    first = [float(each.accuracies[0].mean()) for each in trained]
    last = [float(each.accuracies[-1].mean()) for each in trained]
    inputs = trained[0].network.sizes[0]
    section = Section(
        "First weights",
        (
            f"A hidden unit sums up {inputs} inputs. With weights of standard deviation 1 its pre-activation is so "
            "large that its sigmoid is flat from the start, and it learns slowly. With weights divided by the square "
            "root of the number of inputs it starts out in the steep part. After the first epoch the smaller start "
            f"leads by {first[0] - first[1]:.1f} points with 30 hidden units and by {first[2] - first[3]:.1f} with "
            f"100, at the end by {last[0] - last[1]:.2f} and {last[2] - last[3]:.2f}. An epoch of few pictures is few "
            "steps, in which small weights have hardly grown: there the larger start may lead at first.",
            _accuracy_chart("Accuracy by epoch from both starts", trained),
        ),
    )
    return Chapter((section,))


def _rate_chapter(trainings: Trainings) -> Chapter:
    trained = [trainings[f"rate {rate}"] for rate in ("0.025", "0.25", "2.5")]
    ends = [float(each.training_costs[-1].mean()) for each in trained]
    slow, wild = trainings["rate 0.001"], trainings["rate 100"]
    section = Section(
        "Learning rate",
        (
            "The rate says how far a step goes. Too small, and it takes long; too great, and a step leaps across the "
            f"valley that it is to go down: the cost ends at {ends[0]:.3f}, {ends[1]:.3f} and {ends[2]:.3f} for the "
            "three rates below. At both ends learning ceases: with the quadratic cost and 100 hidden units, rate "
            f"0.001 reads {slow.accuracies[-1].mean():.1f} % at the end and rate 100 "
            f"{wild.accuracies[-1].mean():.1f} %, where guessing gives 10.",
            Chart(
                "Cost on the training pictures",
                "With the L2 term; bands: least to greatest seed.",
                "epoch",
                "cost",
                tuple(_curve(each, each.training_costs) for each in trained),
            ),
        ),
    )
    return Chapter((section,))
