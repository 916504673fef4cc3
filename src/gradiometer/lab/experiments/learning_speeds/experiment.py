"""How much slower do early layers learn than late ones?

What it shows: in a network of sigmoid units with the usual first weights every hidden layer learns about five times as
slowly as the one behind it, from the first step on and all along the way down. What is to be learned: the gradient
reaches an early layer through all the later ones, each of which passes on a share of it; a deeper network is therefore
not simply a better one, and the share depends on the activation and on the scale of the first weights.

Settings: layers of 30 units, cross-entropy, weights N(0, 1/fan_in) and biases N(0, 1); lengths on the first 1,000
training pictures, 500 steps of full-batch descent at rate 0.1 with lambda 5; accuracies after 30 epochs of mini-batches
of 10. In a quick run the same on the bundled digits, with fewer steps, epochs and seeds for what takes long.

Source:
    M. Nielsen, "Neural Networks and Deep Learning", 2015, chapter 5.
"""

from collections.abc import Callable, Sequence

import numpy as np

from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.images import LabelledImages, images_for, one_hot
from gradiometer.lab.experiments.learning_speeds import pages
from gradiometer.lab.experiments.learning_speeds.gradient_lengths import (
    NIELSEN,
    RECIPES,
    Descent,
    FloatArray,
    Recipe,
    draw_recipe,
    first_lengths,
    record_descent,
)
from gradiometer.lab.experiments.learning_speeds.published import (
    accuracy_rows,
    first_rows,
    path_rows,
    percentile_row,
)
from gradiometer.lab.networks.feed_forward import Array, accuracy, draw_network, train_epoch
from gradiometer.lab.networks.watched_descent import WatchedDescent, descend_watched
from gradiometer.schema import ExperimentReport

DEPTHS = (1, 2, 3, 4)
HIDDEN_UNITS = 30
MEASURED_ON = 1000
"""Training pictures that lengths are measured on, the first ones."""

WEIGHT_COST_SHARE = 5.0 / 50_000
"""The published lambda over the published number of pictures, kept where there are fewer."""

WATCHED: tuple[tuple[str, Recipe], ...] = (
    ("four-hidden-layers-sigmoid", NIELSEN),
    ("four-hidden-layers-sigmoid-critical", RECIPES[3]),
    ("four-hidden-layers-relu", RECIPES[-1]),
)


def conduct(bench: Bench) -> ExperimentReport:
    """Measure gradient lengths by depth, at the start and along the way, and what depth is worth."""
    images = images_for(bench)
    inputs = images.train_inputs[: bench.pick(toy=60, quick=MEASURED_ON, full=MEASURED_ON)]
    targets = one_hot(images.train_labels[: len(inputs)], images.classes)
    seeds = bench.seeds(toy=3, quick=40, full=40)
    bench.progress(0.0, "gradient lengths at the start")
    starts = _start_lengths(inputs, targets, seeds, RECIPES)
    lengths = _lengths_by_depth(inputs, targets, seeds)
    descents = _descents(bench, inputs, targets)
    others = _other_descents(bench, inputs, targets)
    accuracies = _accuracies(bench, images)
    watched, is_mnist = _watched(bench, inputs, targets), not bench.is_quick
    rows = (
        *first_rows(lengths, starts["sigmoid, large start"]),
        percentile_row(lengths, is_mnist=is_mnist),
        *path_rows(descents, is_mnist=is_mnist),
        *accuracy_rows(accuracies, is_mnist=is_mnist),
    )
    return ExperimentReport(
        name="learning-speeds",
        title="Learning speeds: how much slower early layers learn than late ones",
        summary=pages.summary(lengths, descents[4], accuracies, starts, watched),
        sections=(
            pages.section_on_the_start(lengths),
            pages.section_on_the_way(descents),
            pages.section_on_accuracy(accuracies, is_mnist=is_mnist),
            pages.section_on_recipes(starts, others),
            pages.section_on_runs(watched),
        ),
        rows=rows,
        facts=(
            ("data", f"{images.name}, first {len(inputs)} training pictures for lengths"),
            ("seeds", f"{len(seeds)} at the start, {descents[4].lengths.shape[1]} along the way"),
            ("steps", str(len(descents[4].lengths))),
            ("epochs", str(accuracies[1].shape[1])),
        ),
        run_files=tuple(str(path) for path in bench.run_files),
    )


def _sizes(inputs: Array, depth: int, classes: int) -> tuple[int, ...]:
    return (inputs.shape[1], *[HIDDEN_UNITS] * depth, classes)


def _lengths_by_depth(inputs: Array, targets: Array, seeds: Sequence[int]) -> dict[int, FloatArray]:
    """Hidden layers to lengths before any step [seed layer]."""
    found = {}
    for depth in DEPTHS:
        network = draw_network(_sizes(inputs, depth, targets.shape[1]), seeds)
        found[depth] = first_lengths(network, inputs, targets)
    return found


def _start_lengths(
    inputs: Array, targets: Array, seeds: Sequence[int], recipes: Sequence[Recipe]
) -> dict[str, FloatArray]:
    """Names of recipes to lengths of four hidden layers before any step [seed layer]."""
    found = {}
    for recipe in recipes:
        network = draw_recipe(recipe, _sizes(inputs, 4, targets.shape[1]), seeds, inputs)
        found[recipe.name] = first_lengths(network, inputs, targets)
    return found


def _descents(bench: Bench, inputs: Array, targets: Array) -> dict[int, Descent]:
    """Hidden layers to what full-batch descent recorded."""
    seeds = bench.seeds(toy=3, quick=6, full=40)
    steps = bench.pick(toy=8, quick=260, full=500)
    found = {}
    for depth in DEPTHS:
        network = draw_network(_sizes(inputs, depth, targets.shape[1]), seeds)
        told = _telling(bench, 0.05 + 0.1 * (depth - 1), 0.1, f"full-batch descent, hidden layers: {depth}")
        found[depth] = record_descent(network, inputs, targets, steps=steps, told=told)
    return found


def _other_descents(bench: Bench, inputs: Array, targets: Array) -> dict[str, Descent]:
    """Names of recipes to what full-batch descent of four hidden layers recorded."""
    seeds = bench.seeds(toy=2, quick=3, full=8)
    steps = bench.pick(toy=5, quick=100, full=500)
    found = {}
    for index, recipe in enumerate(RECIPES):
        network = draw_recipe(recipe, _sizes(inputs, 4, targets.shape[1]), seeds, inputs)
        told = _telling(bench, 0.45 + 0.015 * index, 0.015, f"full-batch descent, {recipe.name}")
        found[recipe.name] = record_descent(network, inputs, targets, steps=steps, told=told)
    return found


def _telling(bench: Bench, begin: float, width: float, words: str) -> Callable[[float], None]:
    return lambda share: bench.progress(begin + width * share, words)


def _accuracies(bench: Bench, images: LabelledImages) -> dict[int, FloatArray]:
    """Hidden layers to validation accuracy after each epoch of mini-batches [seed epoch]."""
    seeds = bench.seeds(toy=2, quick=4, full=8)
    epochs = bench.pick(toy=1, quick=15, full=30)
    count = bench.pick(toy=60, quick=len(images.train_inputs), full=len(images.train_inputs))
    inputs, targets = images.train_inputs[:count], one_hot(images.train_labels[:count], images.classes)
    found = {}
    for depth in DEPTHS:
        network = draw_network(_sizes(inputs, depth, images.classes), seeds)
        orders = [np.random.default_rng(1000 + seed) for seed in seeds]
        reached = []
        for epoch in range(epochs):
            share = (depth - 1 + epoch / epochs) / len(DEPTHS)
            bench.progress(0.57 + 0.4 * share, f"epoch {epoch + 1} of {epochs}, hidden layers: {depth}")
            train_epoch(
                network, inputs, targets, orders, rate=0.1, batch_size=10, weight_cost=WEIGHT_COST_SHARE * count
            )
            reached.append(accuracy(network, images.validation_inputs, images.validation_labels))
        found[depth] = np.stack(reached, axis=1)
    return found


def _watched(bench: Bench, inputs: Array, targets: Array) -> list[WatchedDescent]:
    """A network whose early layers hardly learn, and two whose layers all do, watched."""
    steps = bench.pick(toy=6, quick=1000, full=5000)
    found = []
    for name, recipe in WATCHED:
        bench.progress(0.97, f"watching {name}")
        network = draw_recipe(recipe, _sizes(inputs, 4, targets.shape[1]), (0,), inputs)
        found.append(descend_watched(bench, name, network, inputs, targets, rate=0.1, steps=steps))
    return found
