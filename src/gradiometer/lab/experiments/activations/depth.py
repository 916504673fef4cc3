"""Chapter of `activations`: the depth at which training fails, with torch's own start and with each function's own.

All networks of a depth train side by side on the same batches for the same number of steps, by descent with momentum
0.9, each at several rates around the one that theory suggests for its depth; the best rate counts. The own start is
orthogonal at the function's edge of chaos, as the cure `redraw_weights:critical` draws it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.digits import load_digits
from gradiometer.lab.experiments.chapter import Chapter
from gradiometer.lab.networks.plain import Start, critical_start, draw_layers, standardised, torch_start
from gradiometer.lab.networks.shapes import SHAPES, TITLES, own_scale, pieces_of
from gradiometer.lab.networks.stacked import stack_of, train_stack
from gradiometer.schema import Chart, FloatArray, Line, Row, Section, Table

MOMENTUM = 0.9
WIDTH, BATCH = 32, 32
HALF_WAY = 0.55
"""Half-way between chance, 0.1, and all right."""

STARTS = ("torch's start", "own start")

LOG = "Own runs, docs/log.md: ten hidden sigmoid layers on digits"

ROWS: dict[str, Row] = {
    "sigmoid_default": Row(
        "Training accuracy of ten sigmoid layers, torch's start, best rate", "0.08 to 0.10", 0.05, 0.2, LOG, "own"
    ),
    "sigmoid_own": Row("The same with the sigmoid's own start", "learns at once", 0.6, 1.0, LOG, "own"),
    "failing": Row(
        "Share of the activations that fail at fewer layers with torch's start than with their own",
        "all",
        1.0,
        1.0,
        "Own runs; torch's start has n·Var[w] = 1/3, a factor of at most 1/√3 a layer for slopes up to 1",
        "own",
    ),
}
"""What is known of depth."""


@dataclass(frozen=True, slots=True)
class DepthPlan:
    """What is trained.

    Attributes:
        depths: Hidden layers, ascending.
        products: Rate times layers over sigma_w; the rates that each network is tried at.
        steps: Steps of each training.
        seeds: Seeds of the weights.
    """

    depths: tuple[int, ...]
    products: tuple[float, ...]
    steps: int
    seeds: Sequence[int]


def best_accuracies(plan: DepthPlan, depth: int, inputs: Tensor, labels: Tensor, input_rms: float) -> FloatArray:
    """Train every activation at one depth.

    Returns:
        Mean accuracy of the last 20 steps at the best rate, mean over the seeds [activation start].
    """
    sizes = [inputs.shape[1], *[WIDTH] * depth, 10]
    found = np.zeros((len(SHAPES), len(STARTS)))
    for names in _groups():
        networks, rates = [], []
        for name in names:
            scale = own_scale(name)
            starts: tuple[Start, ...] = (torch_start, critical_start(scale, input_rms))
            for start in starts:
                for seed in plan.seeds:
                    layers = draw_layers(sizes, start, seed, pieces=pieces_of(name))
                    networks += [layers] * len(plan.products)
                    rates += [product * scale.sigma_w / (depth + 1) for product in plan.products]
        each = len(rates) // len(names)
        stack = stack_of(networks, [SHAPES[name] for name in names for _ in range(each)])
        history = train_stack(stack, inputs, labels, rates, steps=plan.steps, batch_size=BATCH, momentum=MOMENTUM)
        parted = history.last_accuracies().reshape(len(names), len(STARTS), len(plan.seeds), len(plan.products))
        chosen = [list(SHAPES).index(name) for name in names]
        found[chosen] = parted.max(axis=3).mean(axis=2)
    return found


def _groups() -> Iterator[list[str]]:
    """Activations whose networks have tensors of the same sizes."""
    for pieces in (1, 2):
        yield [name for name in SHAPES if pieces_of(name) == pieces]


def failing_depth(depths: Sequence[int], accuracies: Sequence[float]) -> float:
    """Depth at which the accuracy first falls below half-way, between the depths linearly.

    Args:
        depths: Hidden layers, ascending.
        accuracies: The accuracy at each.

    Returns:
        The depth; inf where it is not reached, the least depth where that fails already.

    Example:
        >>> failing_depth([2, 4, 8], [0.95, 0.75, 0.35])
        6.0
    """
    for index, accuracy in enumerate(accuracies):
        if accuracy < HALF_WAY:
            if index == 0:
                return float(depths[0])
            share = (accuracies[index - 1] - HALF_WAY) / (accuracies[index - 1] - accuracy)
            return depths[index - 1] + share * (depths[index] - depths[index - 1])
    return math.inf


def examine_depth(bench: Bench) -> Chapter:
    """Train every activation at every depth."""
    plan = DepthPlan(
        depths=bench.pick(toy=(2, 10), quick=(2, 5, 10, 20), full=(2, 5, 10, 20, 40)),
        products=bench.pick(toy=(0.3,), quick=(0.3, 0.06), full=(0.6, 0.3, 0.1, 0.03)),
        steps=bench.pick(toy=4, quick=80, full=300),
        seeds=bench.seeds(toy=1, quick=1, full=3),
    )
    inputs, labels = standardised(load_digits())
    accuracies = np.zeros((len(plan.depths), len(SHAPES), len(STARTS)))
    for index, depth in enumerate(plan.depths):
        bench.progress(0.1 + 0.5 * sum(plan.depths[:index]) / sum(plan.depths), f"networks of {depth} layers")
        accuracies[index] = best_accuracies(plan, depth, inputs, labels, 1.0)
    failing = np.array(
        [[failing_depth(plan.depths, [*accuracies[:, i, j]]) for j in range(len(STARTS))] for i in range(len(SHAPES))]
    )
    ten, sigmoid = plan.depths.index(10), list(SHAPES).index("sigmoid")
    rows = (
        ROWS["sigmoid_default"].filled(accuracies[ten, sigmoid, 0], seeds=len(plan.seeds)),
        ROWS["sigmoid_own"].filled(accuracies[ten, sigmoid, 1], seeds=len(plan.seeds)),
        ROWS["failing"].filled(float((failing[:, 0] < failing[:, 1]).mean()), seeds=len(plan.seeds)),
    )
    alive = [TITLES[name] for name, depth in zip(SHAPES, failing[:, 1], strict=True) if math.isinf(depth)]
    sentence = (
        f"With torch's own weights the activations fail between {_words(failing[:, 0].min(), plan)} and "
        f"{_words(failing[:, 0].max(), plan)}; with weights drawn for each "
        f"{', '.join(alive) or 'none of them'} still train(s) at {plan.depths[-1]}."
    )
    return Chapter((_section(plan, accuracies, failing),), rows, sentence)


def _words(depth: float, plan: DepthPlan) -> str:
    if math.isinf(depth):
        return f"beyond {plan.depths[-1]} layers"
    return f"at most {plan.depths[0]} layers" if depth == plan.depths[0] else f"{depth:.0f} layers"


def _section(plan: DepthPlan, accuracies: FloatArray, failing: FloatArray) -> Section:
    x = tuple(float(depth) for depth in plan.depths)
    charts = [
        Chart(
            f"Training accuracy by depth, {STARTS[start]}",
            f"After {plan.steps} steps at the best of {len(plan.products)} rate(s); chance is 0.1.",
            "hidden layers",
            "training accuracy",
            tuple(
                Line(TITLES[name], x, tuple(accuracies[:, index, start].tolist())) for index, name in enumerate(SHAPES)
            ),
            x_scale="log",
        )
        for start in range(len(STARTS))
    ]
    table = Table(
        "Depth at which training fails",
        f"Hidden layers at which the accuracy after {plan.steps} steps falls below half-way between chance and all "
        "right. Rate: the own start's sigma_w is the scale of its weights, √n times their spread.",
        ("activation", *STARTS, "sigma_w of the own start"),
        tuple(
            (TITLES[name], *(_words(failing[index, start], plan) for start in range(2)), own_scale(name).sigma_w)
            for index, name in enumerate(SHAPES)
        ),
    )
    text = (
        f"We train networks of {plan.depths[0]} to {plan.depths[-1]} hidden layers of {WIDTH} units on digits, the "
        "same batches and the same number of steps for each activation, twice: as torch draws the weights, and drawn "
        "so that this very activation neither shrinks nor grows signal and gradient. Torch's weights have the variance "
        "1/(3n): every linear layer multiplies the gradient by 0.58, and the activation's slope comes on top. What "
        "looks like a failing of the activation is mostly one of its weights; where the own start fails, too, it is "
        "the activation itself, or the evenness with which it treats directions."
    )
    return Section("Depth at which training fails", (text, *charts, table))
