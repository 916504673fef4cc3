"""Chapter of `initialisation`: 22 and 30 ReLU layers under Xavier's and He's weights, and what a layer does to power.

ReLU lets half of the signal's power pass. He's weights, of variance 2/n, make up for it; Xavier's, 1/n, lose a factor
of 2 in power a layer: 2^-30 = 9e-10 through thirty. The networks are plain layers on digits, the published ones
convolutions on ImageNet.

Source:
    He, Zhang, Ren, Sun, "Delving deep into rectifiers", ICCV 2015, section 2.2 and figures 2 and 3.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.digits import load_digits
from gradiometer.lab.experiments.chapter import Chapter
from gradiometer.lab.experiments.initialisation.filter_stack import (
    VGG_ROWS,
    measured_shrinking,
    printed_spreads,
    shrinking,
)
from gradiometer.lab.networks.plain import (
    draw_layers,
    plain_network,
    standardised,
    textbook_start,
    train_plain,
)
from gradiometer.lab.networks.shapes import SHAPES
from gradiometer.lab.networks.stacked import History, stack_of, train_stack
from gradiometer.schema import Chart, FloatArray, Line, Row, Section, Table

WIDTH, BATCH, MOMENTUM = 64, 64, 0.9
STARTS = ("glorot", "he")
TITLES = ("Xavier", "He")
LEARNED = 1.5
"""A loss on the way down from ln 10 = 2.30."""

CAPTIONS = "He et al. 2015, captions of figures 2 and 3, by a lecture's notebook; here plain layers on digits"
TABLE = "He et al. 2015, table 4"

ROWS: dict[str, Row] = {
    "power": Row(
        "Factor of a ReLU layer with weights of variance 1/n on the gradient's power, width 256",
        "1/2",
        0.485,
        0.515,
        "He et al. 2015, equation 14",
        "exact",
    ),
    "22_order": Row(
        "22 ReLU layers: share of seeds in which He's loss starts to fall before Xavier's, each at its best rate",
        "both converge, He's starts to fall earlier",
        1.0,
        1.0,
        CAPTIONS,
        "second_hand",
    ),
    "30_he": Row("30 ReLU layers, He: training accuracy", "converges", 0.6, 1.0, CAPTIONS, "second_hand"),
    "30_xavier": Row(
        "30 ReLU layers, Xavier: training accuracy at its best rate",
        "completely stalls",
        0.05,
        0.2,
        CAPTIONS,
        "second_hand",
    ),
}
"""What is known of rectified depth."""

LEFT_OUT = Row(
    "Top-1 error of the 30-layer convolutional network on ImageNet, %", "38.56", 38.0, 39.2, TABLE, "remembered"
)


@dataclass(frozen=True, slots=True)
class Race:
    """Trainings of one depth under both starts at several rates.

    Attributes:
        depth: Layers with weights.
        steps_to_learn: Steps until the loss is at most `LEARNED`, at the quickest rate; inf for never [start seed].
        accuracies: Training accuracy of the last 20 steps at the best rate [start seed].
        losses: Loss of each step at the best rate, of the first seed [start step].
    """

    depth: int
    steps_to_learn: FloatArray
    accuracies: FloatArray
    losses: FloatArray


def run_race(inputs: Tensor, labels: Tensor, depth: int, rates: tuple[float, ...], seeds: range, steps: int) -> Race:
    """Train networks of one depth side by side."""
    sizes = [inputs.shape[1], *[WIDTH] * (depth - 1), 10]
    drawn = [draw_layers(sizes, textbook_start(start), seed) for start in STARTS for seed in seeds]
    stack = stack_of([layers for layers in drawn for _ in rates], [SHAPES["relu"]])
    each = list(rates) * len(drawn)
    history: History = train_stack(stack, inputs, labels, each, steps=steps, batch_size=BATCH, momentum=MOMENTUM)
    grid = (len(STARTS), len(seeds), len(rates))
    reached = np.nan_to_num(history.steps_to(LEARNED), nan=np.inf).reshape(grid)
    accuracies = history.last_accuracies().reshape(grid)
    best = accuracies[:, 0].argmax(axis=1)
    losses = history.losses.T.reshape(*grid, steps)[np.arange(len(STARTS)), 0, best]
    return Race(depth, reached.min(axis=2), accuracies.max(axis=2), losses)


def power_factors(seeds: range, width: int, depth: int) -> list[float]:
    """Factor of each ReLU layer with weights of variance 1/n on the squared gradient, geometric mean, by seed."""
    factors = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        signal = torch.randn(64, width, generator=generator, dtype=torch.float64)
        weights, masks = [], []
        for _ in range(depth):
            weight = torch.randn(width, width, generator=generator, dtype=torch.float64) / math.sqrt(width)
            before = signal @ weight
            weights.append(weight)
            masks.append(before > 0.0)
            # Power halves forward, too; it is put back so that depth costs no digits.
            signal = math.sqrt(2.0) * before.relu()
        gradient = torch.randn(64, width, generator=generator, dtype=torch.float64)
        first = gradient.square().sum()
        for weight, mask in zip(reversed(weights), reversed(masks), strict=True):
            gradient = (gradient * mask) @ weight.T
        factors.append(float((gradient.square().sum() / first) ** (1.0 / depth)))
    return factors


def examine_rectified(bench: Bench) -> Chapter:
    """Race Xavier against He, and measure a layer."""
    inputs, labels = standardised(load_digits())
    rates = bench.pick(toy=(0.003,), quick=(0.003,), full=(0.03, 0.01, 0.003, 0.001))
    steps, seeds = bench.pick(toy=6, quick=250, full=600), bench.seeds(toy=1, quick=1, full=3)
    races = []
    for depth in (22, 30):
        bench.progress(0.1 + 0.003 * depth, f"{depth} ReLU layers under Xavier and He")
        races.append(run_race(inputs, labels, depth, rates, seeds, steps))
    _write_runs(bench, inputs, labels)
    power_seeds = bench.seeds(toy=2, quick=10, full=10)
    factors = power_factors(power_seeds, bench.pick(toy=64, quick=256, full=256), depth=10)
    shrunk = measured_shrinking(bench.pick(toy=4, quick=16, full=16), bench.pick(toy=8, quick=1, full=1))
    earlier = (races[0].steps_to_learn[1] < races[0].steps_to_learn[0]).astype(float)
    rows = (
        ROWS["power"].filled_from(factors),
        ROWS["22_order"].filled_from(earlier),
        ROWS["30_he"].filled_from(races[1].accuracies[1]),
        ROWS["30_xavier"].filled_from(races[1].accuracies[0]),
        *(VGG_ROWS[name].filled(spread) for name, spread in printed_spreads().items()),
        VGG_ROWS["shrinking"].filled(shrinking()),
        VGG_ROWS["measured"].filled(shrunk),
        LEFT_OUT.left_out("Needs ImageNet and weeks of a GPU's time"),
    )
    sentence = (
        f"Through 30 ReLU layers He's weights come to an accuracy of {races[1].accuracies[1].mean():.2f}, Xavier's to "
        f"{races[1].accuracies[0].mean():.2f}."
    )
    return Chapter((_section(races, rates, factors),), rows, sentence)


def _write_runs(bench: Bench, inputs: Tensor, labels: Tensor) -> None:
    """Write a run file of thirty layers under each start."""
    sizes = [inputs.shape[1], *[WIDTH] * 29, 10]
    for start, title in zip(STARTS, TITLES, strict=True):
        model = plain_network(draw_layers(sizes, textbook_start(start), 0), nn.ReLU)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.003, momentum=MOMENTUM)
        with bench.watched(f"thirty-relu-layers-{title.lower()}", model, optimizer):
            train_plain(model, optimizer, inputs, labels, steps=bench.pick(toy=3, quick=25, full=300), batch_size=BATCH)


def _section(races: list[Race], rates: tuple[float, ...], factors: list[float]) -> Section:
    charts = [
        Chart(
            f"{race.depth} ReLU layers",
            "Loss of each step's batch at the better of the rates; 2.30 is chance.",
            "steps",
            "loss",
            tuple(
                Line(title, tuple(float(step) for step in range(len(losses))), tuple(losses.tolist()))
                for title, losses in zip(TITLES, race.losses, strict=True)
            ),
        )
        for race in races
    ]
    table = Table(
        "Who learns, and when",
        f"Best of the rates {', '.join(map(str, rates))}; means over the seeds. Learned: loss at most {LEARNED}.",
        ("layers", "weights", "steps until learned", "training accuracy"),
        tuple(
            (
                float(race.depth),
                title,
                "never" if np.isinf(race.steps_to_learn[index]).all() else float(race.steps_to_learn[index].mean()),
                float(race.accuracies[index].mean()),
            )
            for race in races
            for index, title in enumerate(TITLES)
        ),
    )
    text = (
        "Half of what arrives at a ReLU is below zero and goes no further, so that a layer with weights of variance "
        f"1/n (Xavier) halves the power of signal and gradient: we measure a factor of {np.mean(factors):.3f} a layer. "
        "He's 2/n puts it back. At 22 layers the loss is still to be overcome; at 30 it is 2^-30 of the power, and "
        "descent stands still. Both starts are tried at the same rates."
    )
    return Section("22 and 30 ReLU layers", (text, *charts, table))
