"""Why is the gradient of an early weight a product, and what balances it?

What it shows: in a chain of single units the gradient of the first bias is one product, one slope and one weight for
each unit on the way; in a network it is the sum of such products over all paths. What is to be learned: a product of
many factors is stable only where they are balanced around 1. A sigmoid's slope is at most a quarter; a quarter and a
third make a twelfth, less than either; so with ordinary weights the product vanishes, with large ones it explodes where
the units happen not to be saturated, and the scale of weights that balances it can be computed.

Settings: chains of sigmoid units, weights and biases N(0, 1) and larger; networks of equal layers on pictures of equal
length. The pictures are the bundled digits in a quick run, MNIST else; every row holds on both.

Source:
    M. Nielsen, "Neural Networks and Deep Learning", 2015, chapter 5 and its exercise; Schoenholz et al., "Deep
    information propagation", ICLR 2017.
"""

import numpy as np

from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.images import images_for, one_hot
from gradiometer.lab.experiments.learning_speeds.gradient_lengths import RECIPES, FloatArray, draw_recipe
from gradiometer.lab.experiments.product import pages
from gradiometer.lab.experiments.product.layer_factors import (
    LayerFactors,
    factors_at_critical,
    factors_of_start,
    of_equal_length,
)
from gradiometer.lab.experiments.product.rows import rows_of
from gradiometer.lab.experiments.product.unit_chains import PathSum, draw_terms, paths_of, weight_gradient, window_width
from gradiometer.lab.networks.critical_start import draw_critical
from gradiometer.lab.networks.feed_forward import Array, FeedForward, Start, backward, draw_network, forward
from gradiometer.lab.networks.watched_descent import WatchedDescent, descend_watched
from gradiometer.schema import ExperimentReport

SPREADS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 100.0)
"""Standard deviations of weights and biases that chains are drawn with."""

CHAIN_LENGTH = 10
SCALES = (0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0)
"""Multiples of the critical scale."""

BALANCED = ("sigmoid", "tanh", "relu")
STARTS: tuple[tuple[str, Start], ...] = (
    ("sigmoid", "default"),
    ("sigmoid", "uniform"),
    ("tanh", "uniform"),
    ("tanh", "glorot"),
    ("relu", "glorot"),
    ("relu", "he"),
)
WATCHED: tuple[tuple[str, str, float], ...] = (
    ("product-vanishing", "sigmoid", 0.25),
    ("product-balanced", "sigmoid", 1.0),
    ("product-exploding", "relu", 3.0),
)
"""Run file, activation, and the multiple of the critical scale: a quarter of it is the usual variance 1/fan_in."""


def conduct(bench: Bench) -> ExperimentReport:
    """Take the gradient of an early weight apart, and find what balances it."""
    images = images_for(bench)
    pictures = images.train_inputs[: bench.pick(toy=10, quick=40, full=100)]
    bench.progress(0.0, "drawing chains")
    terms = _terms(bench)
    bench.progress(0.2, "paths through a small network")
    network, paths = _paths()
    bench.progress(0.25, "early weights of drawn networks")
    gradients = _early_gradients(bench, pictures, one_hot(images.train_labels[: len(pictures)], images.classes))
    factors = _factors(bench, of_equal_length(pictures))
    windows = _windows()
    watched = _watched(bench, images.train_inputs, one_hot(images.train_labels, images.classes))
    rows = rows_of(terms[1.0], paths, factors, tuple(windows))
    bench.progress(1.0, "done")
    return ExperimentReport(
        name="product",
        title="The gradient of an early weight is a product",
        summary=pages.summary(terms, factors, rows),
        sections=(
            pages.section_on_a_chain(),
            pages.section_on_fractions(),
            pages.section_on_distributions(terms, gradients),
            pages.section_on_the_window(windows, terms),
            pages.section_on_paths(network.sizes, paths),
            pages.section_on_balance(factors),
            pages.section_on_runs(watched),
        ),
        rows=rows,
        facts=(
            ("data", f"{images.name}, first {len(pictures)} pictures"),
            ("chains", f"{len(terms[1.0])} for each spread, {CHAIN_LENGTH} units each"),
            ("networks", f"{factors['relu', 'x1'].measured.shape[0]} for each start, width {_width(bench)}"),
        ),
        run_files=tuple(str(path) for path in bench.run_files),
    )


def _width(bench: Bench) -> int:
    return bench.pick(toy=20, quick=256, full=300)


def _terms(bench: Bench) -> dict[float, FloatArray]:
    """Spread of the weights to the terms of drawn chains [chain term]."""
    count = bench.pick(toy=200, quick=10_000, full=200_000)
    return {spread: draw_terms(CHAIN_LENGTH, spread, count, np.random.default_rng(7)) for spread in SPREADS}


def _paths() -> tuple[FeedForward, PathSum]:
    """A network small enough to list every path, and the paths of its first weight."""
    network = draw_network((2, 3, 3, 3, 1), (4,), dtype=np.float64)
    example, target, weight = np.array([0.8, 0.3]), np.array([1.0]), (0, 0)
    paths = paths_of(network, example, target, weight)
    return network, PathSum(tuple(paths), weight_gradient(network, example, target, weight))


def _early_gradients(bench: Bench, pictures: Array, targets: Array) -> dict[str, FloatArray]:
    """Names of recipes to the size of the gradient of first-layer weights, six hidden layers, one for each example."""
    seeds = bench.seeds(toy=2, quick=40, full=200)
    sizes = (pictures.shape[1], *[30] * 6, targets.shape[1])
    brightest = int(pictures.mean(axis=0).argmax())
    found = {}
    for recipe in RECIPES:
        network = draw_recipe(recipe, sizes, seeds, pictures)
        errors = backward(network, forward(network, pictures[None]), targets[None]).errors[0]
        found[recipe.name] = np.abs(errors * pictures[None, :, brightest, None]).astype(np.float64).ravel()
    return found


def _factors(bench: Bench, pictures: FloatArray) -> dict[tuple[str, str], LayerFactors]:
    """Activation and start, or multiple of the critical scale, to factors on the gradient."""
    width, depth = _width(bench), bench.pick(toy=3, quick=10, full=12)
    seeds = bench.seeds(toy=2, quick=12, full=40)
    shape = {"width": width, "depth": depth}
    found = {}
    for index, activation in enumerate(BALANCED):
        bench.progress(0.3 + 0.15 * index, f"factors of {activation} layers at multiples of the critical scale")
        for scale in SCALES:
            chosen = seeds if scale == 1.0 else seeds[: max(2, len(seeds) // 4)]
            found[activation, f"x{scale:g}"] = factors_at_critical(activation, scale, pictures, seeds=chosen, **shape)
    for activation, start in STARTS:
        bench.progress(0.8, f"factors of {activation} layers with the {start} start")
        found[activation, start] = factors_of_start(activation, start, pictures, seeds=seeds, **shape)
    return found


def _windows() -> dict[float, float]:
    """Sizes of a weight to the width of the window of inputs in which its term is at least 1."""
    return {float(size): window_width(size) for size in np.geomspace(4.0, 100.0, 400)}


def _watched(bench: Bench, inputs: Array, targets: Array) -> list[WatchedDescent]:
    """Six hidden layers below, at and above the critical scale."""
    steps = bench.pick(toy=6, quick=800, full=4000)
    sizes = (inputs.shape[1], *[30] * 6, targets.shape[1])
    found = []
    for name, activation, scale in WATCHED:
        bench.progress(0.9, f"watching {name}")
        network = draw_critical(sizes, (0,), activation, inputs, scale=scale)
        found.append(descend_watched(bench, name, network, inputs, targets, rate=0.1, steps=steps))
    return found
