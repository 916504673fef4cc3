"""What do batch size and learning rate do to the way down the cost surface?

What it shows: one example at a time (online), mini-batches and all examples at once (full batch) on the same network
and examples: time, noise, direction, and the path on the cost surface in its two main directions; learning rates that
are too small, right and too large, and why; what one example asks against the average of all. What is to be learned: a
small batch's gradient is a noisy copy of the true one, but many noisy steps bring more than one exact step on the same
examples; a rate is too large where it meets the surface's greatest curvature; and one example alone would have
the network call everything by its class.

Settings: one hidden layer of 30 sigmoids, cross-entropy, no regularisation, weights N(0, 1/fan_in), biases N(0, 1). The
first 1,000 training digits in a quick run, of MNIST the first 5,000 else; single examples' gradients on the first 1,000
of them.

Source:
    M. Nielsen, "Neural Networks and Deep Learning", 2015, chapters 1 and 3; G. Sanderson (3Blue1Brown), "Neural
    networks", 2017, chapter 3; McCandlish et al. 2018; Li et al. 2018.
"""

import numpy as np
from numpy.typing import NDArray

from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.images import LabelledImages, images_for, one_hot
from gradiometer.lab.experiments.descent import pages
from gradiometer.lab.experiments.descent.directions import (
    class_agreement,
    cosines_with,
    directions_of_batches,
    example_gradients,
)
from gradiometer.lab.experiments.descent.found import Alone, Contest, Curvature, Moment, Surface
from gradiometer.lab.experiments.descent.paths import (
    Examples,
    WayDown,
    go_down,
    main_plane,
    networks_at,
    surface_on,
)
from gradiometer.lab.experiments.descent.rates import costs_from, greatest_curvature
from gradiometer.lab.experiments.descent.rows import rows_of
from gradiometer.lab.networks.feed_forward import (
    FeedForward,
    backward,
    descend,
    draw_network,
    forward,
    mean_cost,
)
from gradiometer.lab.networks.watched_descent import WatchedDescent, descend_watched
from gradiometer.schema import ExperimentReport

HIDDEN_UNITS = 30
RATES: dict[str, tuple[float, ...]] = {
    "online": (0.03, 0.1, 0.3, 1.0),
    "mini-batch": (0.1, 0.5, 2.0, 5.0),
    "full batch": (0.5, 1.0, 2.0, 4.0),
}
"""Learning rates that each way is tried at; the best goes on the page."""

SHOWN_RATES = (0.025, 0.25, 2.5, 10.0)
"""From too small to too large; the first three as in Nielsen's chapter 3."""

MORE_EPOCHS = 20
"""How many times as many epochs full batches get, to see what they do with as much time as the others take."""

MULTIPLES = (0.5, 1.8, 4.0)
"""Learning rates in units of one over the greatest curvature; above 2 the steepest direction is unstable."""

BATCH_SIZES = (1, 3, 10, 30, 100, 300)
ALONE_RATE = 0.05
WATCHED: tuple[tuple[str, float], ...] = (("descent-right-rate", 0.5), ("descent-too-large-rate", 30.0))


def conduct(bench: Bench) -> ExperimentReport:
    """Go down one cost surface in three ways, at several rates, and by one example's wish."""
    images = images_for(bench)
    examples = _examples(images, bench.pick(toy=60, quick=1000, full=5000))
    labels = images.train_labels[: bench.pick(toy=60, quick=1000, full=1000)]
    sizes = (images.pixels, HIDDEN_UNITS, images.classes)
    contests = _contests(bench, sizes, examples)
    patient = _patient(bench, sizes, examples, contests["full batch"])
    bench.progress(0.5, "the cost surface")
    surface = _surface(bench, sizes, contests, examples)
    moments = _moments(bench, sizes, contests["mini-batch"].best, examples, labels)
    bench.progress(0.7, "learning rates")
    by_rate = {rate: _by_rate(bench, sizes, examples, rate) for rate in SHOWN_RATES}
    curvature = _curvature(bench, sizes, examples)
    bench.progress(0.9, "one example alone")
    alone = [_alone(bench, sizes, examples, images, label) for label in range(images.classes)]
    watched = _watched(bench, sizes, examples)
    return ExperimentReport(
        name="descent",
        title="Ways down: batch size, learning rate, and what one example asks",
        summary=pages.summary(contests, moments, alone),
        sections=(
            pages.section_on_ways(contests, patient, len(examples.inputs)),
            pages.section_on_direction(moments),
            pages.section_on_surface(contests, surface),
            pages.section_on_rates(by_rate, curvature),
            pages.section_on_one_example(moments, alone),
            pages.section_on_runs(watched),
        ),
        rows=rows_of(contests, moments, curvature, alone),
        facts=(
            ("data", f"{images.name}, first {len(examples.inputs)} training pictures, {len(labels)} for directions"),
            ("seeds", str(len(contests["online"].ways))),
            ("epochs", f"{contests['online'].epochs}"),
            ("parameters", str(draw_network(sizes, (0,)).parameter_count)),
        ),
        run_files=tuple(str(path) for path in bench.run_files),
    )


def _examples(images: LabelledImages, count: int) -> Examples:
    inputs = images.train_inputs[:count]
    targets = one_hot(images.train_labels[: len(inputs)], images.classes).astype(np.float32)
    return Examples(inputs, targets, images.validation_inputs, images.validation_labels)


def _contests(bench: Bench, sizes: tuple[int, ...], examples: Examples) -> dict[str, Contest]:
    """Each way at each of its rates, and with several seeds at the best."""
    epochs = bench.pick(toy=1, quick=10, full=10)
    seeds = bench.seeds(toy=2, quick=3, full=5)
    found = {}
    for index, (name, rates) in enumerate(RATES.items()):
        batch_size = {"online": 1, "mini-batch": 10}.get(name, len(examples.inputs))
        tried = {}
        for place, rate in enumerate(rates):
            bench.progress(0.15 * index + 0.02 * place, f"{name}, rate {rate:g}")
            tried[rate] = go_down(sizes, examples, batch_size=batch_size, rate=rate, epochs=epochs)
        best = min(tried, key=lambda rate: tried[rate].costs[-1])
        ways = [tried[best]]
        for seed in seeds[1:]:
            bench.progress(0.15 * index + 0.1, f"{name}, seed {seed}")
            ways.append(go_down(sizes, examples, batch_size=batch_size, rate=best, epochs=epochs, seed=seed))
        found[name] = Contest(tried, tuple(ways), epochs)
    return found


def _patient(bench: Bench, sizes: tuple[int, ...], examples: Examples, contest: Contest) -> WayDown:
    """Full batches at their best rate for many more epochs."""
    bench.progress(0.45, "full batch, more epochs")
    epochs = contest.epochs * MORE_EPOCHS
    return go_down(sizes, examples, batch_size=len(examples.inputs), rate=contest.best.rate, epochs=epochs)


def _surface(bench: Bench, sizes: tuple[int, ...], contests: dict[str, Contest], examples: Examples) -> Surface:
    """The cost around the paths of all three ways from one start, on the plane of their two main directions."""
    points = np.concatenate([contest.best.points for contest in contests.values()])
    plane = main_plane(points)
    places = plane.place(points)
    low, high = places.min(axis=0), places.max(axis=0)
    margin = 0.15 * (high - low)
    count = bench.pick(toy=4, quick=25, full=41)
    x, y = (np.linspace(low[axis] - margin[axis], high[axis] + margin[axis], count) for axis in range(2))
    costs = surface_on(plane, x, y, draw_network(sizes, (0,)), examples)
    return Surface(plane, x, y, costs)


def _moments(
    bench: Bench, sizes: tuple[int, ...], way: WayDown, examples: Examples, labels: NDArray[np.int64]
) -> tuple[Moment, Moment]:
    """Single examples' gradients at the start and at the end of a way by mini-batches."""
    draws = bench.pick(toy=20, quick=200, full=300)
    inputs, targets = examples.inputs[: len(labels)], examples.targets[: len(labels)]
    generator = np.random.default_rng(11)
    found: list[Moment] = []
    for name, point in (("at the start", way.points[0]), ("after training", way.points[-1])):
        bench.progress(0.55 if not found else 0.62, f"gradients of single examples {name}")
        network = networks_at(point[None], draw_network(sizes, (0,)), dtype=np.float64)
        gradients = example_gradients(network, inputs, targets)
        fitting = [size for size in BATCH_SIZES if size < len(labels)]
        whole = backward(network, forward(network, inputs[None]), targets[None])
        pairs = zip(whole.weights, whole.biases, strict=True)
        true = np.concatenate([part.ravel() for pair in pairs for part in pair])
        found.append(
            Moment(
                name,
                tuple(directions_of_batches(gradients, size, draws, generator) for size in fitting),
                cosines_with(gradients.each, gradients.mean),
                class_agreement(gradients, labels, sizes[-1]),
                gradients.noise_scale,
                float(np.linalg.norm(true - gradients.mean) / np.linalg.norm(true)),
                targets - forward(network, inputs[None]).output[0],
            )
        )
    return found[0], found[1]


def _by_rate(bench: Bench, sizes: tuple[int, ...], examples: Examples, rate: float) -> WayDown:
    epochs = bench.pick(toy=1, quick=15, full=30)
    return go_down(sizes, examples, batch_size=10, rate=rate, epochs=epochs)


def _curvature(bench: Bench, sizes: tuple[int, ...], examples: Examples) -> Curvature:
    """The greatest curvature amid a training, and full-batch descent from there at multiples of one over it."""
    start = go_down(
        sizes, examples, batch_size=len(examples.inputs), rate=0.5, epochs=bench.pick(toy=3, quick=100, full=100)
    )
    like = draw_network(sizes, (0,))
    rounds, steps = bench.pick(toy=4, quick=60, full=60), bench.pick(toy=4, quick=30, full=30)
    greatest = greatest_curvature(start.points[-1], like, examples, rounds)
    runs = {
        multiple: costs_from(start.points[-1], like, examples, rate=multiple / greatest, steps=steps)
        for multiple in MULTIPLES
    }
    return Curvature(greatest, runs)


def _alone(bench: Bench, sizes: tuple[int, ...], examples: Examples, images: LabelledImages, label: int) -> Alone:
    """Train on the first example of one class alone, and see what the network calls all the others."""
    network = draw_network(sizes, (label,))
    chosen = int(np.flatnonzero(images.train_labels[: len(examples.inputs)] == label)[0])
    inputs, targets = examples.inputs[None, chosen : chosen + 1], examples.targets[None, chosen : chosen + 1]
    shares, costs = [], []
    for _ in range(bench.pick(toy=20, quick=60, full=100)):
        shares.append(_share_called(network, examples, label))
        costs.append(float(mean_cost(network, examples.inputs, examples.targets)[0]))
        descend(network, backward(network, forward(network, inputs), targets), ALONE_RATE)
    return Alone(label, np.array(shares), np.array(costs))


def _share_called(network: FeedForward, examples: Examples, label: int) -> float:
    return float((forward(network, examples.judged[None]).output[0].argmax(axis=1) == label).mean())


def _watched(bench: Bench, sizes: tuple[int, ...], examples: Examples) -> list[WatchedDescent]:
    """Mini-batches at a right rate and at one that is far too large."""
    steps = bench.pick(toy=6, quick=600, full=3000)
    found = []
    for name, rate in WATCHED:
        bench.progress(0.95, f"watching {name}")
        network = draw_network(sizes, (0,))
        found.append(descend_watched(bench, name, network, examples.inputs, examples.targets, rate=rate, steps=steps))
    return found
