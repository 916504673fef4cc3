"""Chapter of `activations`: how many ReLU units die at which learning rate, and what a small slope below zero changes.

A unit is dead where it is active on no example of the whole training set: then no gradient ever reaches it again.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.digits import load_digits
from gradiometer.lab.experiments.activations.training import unit_shares
from gradiometer.lab.experiments.chapter import Chapter
from gradiometer.lab.networks.plain import draw_layers, plain_network, standardised, torch_start, train_plain
from gradiometer.lab.networks.shapes import SHAPES
from gradiometer.lab.networks.stacked import stack_of, train_stack
from gradiometer.schema import Chart, FloatArray, Line, Row, Section

HIDDEN = (64, 64, 64)
NAMES = ("relu", "leaky_relu")
HEALTHY_RATE, DEADLY_RATE = 0.1, 2.0
"""Rates of the two trainings that are written to run files."""

ROWS: dict[str, Row] = {
    "dead": Row(
        "Greatest share of dead ReLU units over the learning rates",
        "as much as 40 %, if the rate is too high",
        0.4,
        1.0,
        "Stanford's cs231n, notes on neural networks, part 1",
        "seen",
    ),
    "dead_low": Row(
        "Share of dead ReLU units at the least rate",
        "with a proper setting of the learning rate this is less frequently an issue",
        0.0,
        0.1,
        "Stanford's cs231n, notes on neural networks, part 1",
        "seen",
    ),
    "leaky": Row(
        "Greatest share of dead leaky ReLU units, slope 0.01",
        "0: its slope is nowhere 0",
        0.0,
        0.0,
        "By its definition",
        "exact",
    ),
}
"""What is known of dying."""


@dataclass(frozen=True, slots=True)
class Deaths:
    """Dead units and accuracy by rate.

    Attributes:
        rates: The rates, ascending.
        dead: Share of dead units; NaN where the training ended in NaN [activation seed rate].
        accuracies: Training accuracy of the last 20 steps [activation seed rate].
    """

    rates: tuple[float, ...]
    dead: FloatArray
    accuracies: FloatArray


def count_deaths(inputs: Tensor, labels: Tensor, rates: tuple[float, ...], seeds: range, steps: int) -> Deaths:
    """Train ReLU and leaky ReLU networks side by side, one for each rate and seed, and count their dead units."""
    sizes = [inputs.shape[1], *HIDDEN, 10]
    drawn = [draw_layers(sizes, torch_start, seed) for seed in seeds]
    networks = [layers for _ in NAMES for layers in drawn for _ in rates]
    shapes = [SHAPES[name] for name in NAMES for _ in range(len(seeds) * len(rates))]
    stack = stack_of(networks, shapes)
    each = [rate for _ in NAMES for _ in seeds for rate in rates]
    history = train_stack(stack, inputs, labels, each, steps=steps, batch_size=64)
    shares = unit_shares(stack, inputs, [1.0] * stack.count)
    grid = (len(NAMES), len(seeds), len(rates))
    return Deaths(rates, shares.dead.reshape(grid), history.last_accuracies().reshape(grid))


def examine_deaths(bench: Bench) -> Chapter:
    """Count the dead by rate, and write the run files of a healthy and a dying training."""
    inputs, labels = standardised(load_digits())
    seeds = bench.seeds(toy=1, quick=2, full=5)
    rates = bench.pick(
        toy=(0.1, 2.0),
        quick=(0.03, 0.1, 0.3, 1.0, 2.0, 4.0),
        full=(0.01, 0.03, 0.1, 0.3, 0.6, 1.0, 1.5, 2.0, 3.0, 4.0),
    )
    steps = bench.pick(toy=4, quick=200, full=1000)
    bench.progress(0.75, "dead units by learning rate")
    deaths = count_deaths(inputs, labels, rates, seeds, steps)
    for name, rate in (("relu-healthy", HEALTHY_RATE), ("relu-dying", DEADLY_RATE)):
        model = plain_network(draw_layers([inputs.shape[1], *HIDDEN, 10], torch_start, 0), nn.ReLU)
        optimizer = torch.optim.SGD(model.parameters(), lr=rate)
        with bench.watched(name, model, optimizer):
            train_plain(model, optimizer, inputs, labels, steps=steps, batch_size=64)
    means = _means(deaths.dead)
    worst = int(np.nanargmax(means[0])) if np.isfinite(means[0]).any() else 0
    rows = (
        ROWS["dead"].filled(means[0, worst], seeds=len(seeds), spread=_spread(deaths.dead[0, :, worst])),
        ROWS["dead_low"].filled(means[0, 0], seeds=len(seeds), spread=_spread(deaths.dead[0, :, 0])),
        ROWS["leaky"].filled(float(np.nanmax(deaths.dead[1])), seeds=len(seeds)),
    )
    sentence = (
        f"ReLU units die by the learning rate: {100 * means[0, 0]:.0f} % are dead at {rates[0]:g}, "
        f"{100 * means[0, worst]:.0f} % at {rates[worst]:g}."
    )
    return Chapter((_section(deaths, steps),), rows, sentence)


def _means(shares: FloatArray) -> FloatArray:
    """Mean over the seeds that stayed finite [activation rate]; NaN where none did."""
    is_finite = np.isfinite(shares)
    counts = is_finite.sum(axis=1)
    sums = np.where(is_finite, shares, 0.0).sum(axis=1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _spread(values: FloatArray) -> tuple[float, float] | None:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if len(finite) > 1 else None


def _section(deaths: Deaths, steps: int) -> Section:
    names = ("ReLU", "leaky ReLU")
    ends = [int(np.isnan(deaths.dead[index]).sum()) for index in range(len(names))]
    charts = [
        Chart(
            title,
            caption,
            "learning rate",
            y_title,
            tuple(Line(name, deaths.rates, tuple(values[index].tolist())) for index, name in enumerate(names)),
            x_scale="log",
        )
        for title, y_title, caption, values in (
            (
                "Dead units by learning rate",
                "share of units",
                f"After {steps} steps, over {deaths.dead.shape[1]} seed(s). Trainings that ended in NaN are left out: "
                f"{ends[0]} of ReLU, {ends[1]} of leaky ReLU.",
                _means(deaths.dead),
            ),
            (
                "Training accuracy by learning rate",
                "training accuracy",
                "The same networks.",
                deaths.accuracies.mean(1),
            ),
        )
    ]
    text = (
        "A step that is too long throws a ReLU unit's bias or weights so far to one side that it is active on no "
        "example at all. From then on its output is 0, its slope is 0, and no gradient brings it back: it is dead. We "
        f"train the same network of {len(HIDDEN)} hidden layers at many rates and count the units that are active on "
        "no training example. Leaky ReLU has a small slope below zero, so that a unit thrown too far gets a gradient "
        "still; what it gains at high rates is not that training works there (see the accuracies), but that units can "
        f"come back. Two of the trainings, at rates {HEALTHY_RATE:g} and {DEADLY_RATE:g}, are in the run files."
    )
    return Section("How ReLU units die", (text, *charts))
