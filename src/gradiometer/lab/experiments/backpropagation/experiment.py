"""How well does a network learn by backpropagation written out, and how fast?

What it shows: forty lines of numpy, the four equations of backpropagation, are all that a network needs to learn to
read digits as well as the textbook says. What is to be learned: where the gradient of every weight comes from; why a
hidden layer; what cost, regularisation, number of pictures, first weights, learning rate and batch size do; and what it
costs to compute.

Settings: Nielsen's, of chapters 1 and 3: MNIST, sigmoid units, batches of ten, 30 epochs; where he trained one network,
several seeds side by side. A quick run takes the bundled digits, and the same shares of them.

Source:
    M. Nielsen, "Neural Networks and Deep Learning", 2015, chapters 1 to 3; D. Rumelhart, G. Hinton, R. Williams,
    "Learning representations by back-propagating errors", Nature 1986; G. Sanderson (3Blue1Brown), "Neural networks",
    parts 1 to 4, 2017, for the network with two layers of 16.
"""

from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.images import LabelledImages, images_for, one_hot
from gradiometer.lab.experiments.backpropagation.checks import checks_chapter
from gradiometer.lab.experiments.backpropagation.descents import descents_chapter
from gradiometer.lab.experiments.backpropagation.neuron import neuron_chapter
from gradiometer.lab.experiments.backpropagation.pages import pages_of
from gradiometer.lab.experiments.backpropagation.published import published_rows
from gradiometer.lab.experiments.backpropagation.speed import speed_chapter
from gradiometer.lab.experiments.backpropagation.trainings import conduct_trainings
from gradiometer.lab.experiments.chapter import Chapter, rows_of, sections_of, summary_of
from gradiometer.lab.networks.feed_forward import draw_network
from gradiometer.lab.networks.watched_descent import descend_watched
from gradiometer.schema import ExperimentReport, Section

WATCHED: tuple[tuple[str, float], ...] = (("thirty-hidden-units", 0.5), ("thirty-hidden-units-rate-100", 100.0))
"""Names of the run files with the learning rate of each: one that learns, and one that does not."""


def conduct(bench: Bench) -> ExperimentReport:
    """Check the equations, train the book's networks, and time them."""
    images = images_for(bench)
    bench.progress(0.0, "checking gradients")
    checks = checks_chapter(bench)
    bench.progress(0.02, "timing")
    speed = speed_chapter(bench)
    watched = _watched_chapter(bench, images)
    bench.progress(0.06, "online, mini-batch, full batch")
    descents = descents_chapter(bench, images)
    trainings = conduct_trainings(bench, images, begin=0.08, end=1.0)
    published = Chapter((), tuple(published_rows(trainings, images)))
    seeds = [len(each.best) for each in trainings.values()]
    reading, costs, *others = pages_of(trainings, images)
    chapters = [checks, reading, neuron_chapter(), costs, *others, descents, speed, watched, published]
    bench.progress(1.0, "done")
    return ExperimentReport(
        name="backpropagation",
        title="Backpropagation, written out",
        summary=summary_of(chapters),
        sections=sections_of(chapters),
        rows=rows_of(chapters),
        facts=(
            ("Data", f"{images.name}: {len(images.train_inputs):,} training pictures. {images.source}"),
            ("Seeds", f"{min(seeds)} to {max(seeds)} for each training, as the rows say"),
            ("Precision", "float32; gradients are checked in float64"),
        ),
    )


def _watched_chapter(bench: Bench, images: LabelledImages) -> Chapter:
    """Watch the twins of two networks in torch, and say what gradiometer says of them."""
    steps = bench.pick(toy=3, quick=300, full=2000)
    targets = one_hot(images.train_labels, images.classes)
    network = draw_network((images.pixels, 30, images.classes), [0])
    sentences = [
        descend_watched(bench, name, network, images.train_inputs, targets, rate=rate, steps=steps).sentence()
        for name, rate in WATCHED
    ]
    section = Section(
        "What gradiometer says",
        (
            "The same network as a torch module, trained twice from the same first weights, once at the book's rate "
            "and once at a rate two hundred times as great; each wrote a run file that `gradiometer report` shows.",
            *sentences,
        ),
    )
    return Chapter((section,))
