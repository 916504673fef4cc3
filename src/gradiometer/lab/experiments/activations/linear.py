"""Chapter of `activations`: without a bend a deep network is a linear one; leaky ReLU of slope 1 shows it.

W_3 (W_2 (W_1 x + b_1) + b_2) + b_3 = (W_3 W_2 W_1) x + b: the layers collapse into one matrix, and no depth makes up
for the bend that is missing. The task is to tell odd digits from even ones, which one matrix can do only in part.
"""

import numpy as np
import torch
from torch import Tensor

from gradiometer.activations import activation_of
from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.images import images_for
from gradiometer.lab.experiments.chapter import Chapter
from gradiometer.lab.networks.plain import critical_start, draw_layers, standardised
from gradiometer.lab.networks.shapes import leaky
from gradiometer.lab.networks.stacked import Stack, accuracies_on, outputs_of, stack_of, train_stack
from gradiometer.schema import Chart, FloatArray, Line, Row, Section, Table
from gradiometer.theory.critical_scale import critical_scale

SLOPES = (0.0, 0.01, 0.1, 0.3, 0.6, 0.9, 1.0)
HIDDEN = (32, 32, 32)
RATE = 0.02

ROWS: dict[str, Row] = {
    "matrix": Row(
        "Greatest difference between a trained network of slope 1 and one matrix, as a share of its greatest output",
        "0: the layers collapse into their product",
        0.0,
        1e-12,
        "By arithmetic; float64",
        "exact",
    ),
    "accuracy": Row(
        "Training accuracy of slope 1 less that of a linear model, odd or even",
        "0: they are the same set of functions",
        -0.03,
        0.03,
        "By arithmetic; 3 points for how far the two descents have come",
        "exact",
    ),
    "bend": Row(
        "Training accuracy of slope 0.01 less that of slope 1, odd or even",
        "above 0",
        0.02,
        1.0,
        "Own runs: what the bend is good for",
        "own",
    ),
}
"""What is known of slope 1."""


def collapsed(stack: Stack, network: int) -> tuple[Tensor, Tensor]:
    """The product of all layers of one network, as if nothing stood between them.

    Returns:
        Matrix [input output] and bias [1 output], float64.
    """
    matrix = torch.eye(stack.weights[0].shape[1], dtype=torch.float64)
    bias = torch.zeros(1, stack.weights[0].shape[1], dtype=torch.float64)
    for weight, own in zip(stack.weights, stack.biases, strict=True):
        weight, own = weight[network].detach().double(), own[network].detach().double()
        matrix, bias = matrix @ weight, bias @ weight + own
    return matrix, bias


def distance_from_matrix(stack: Stack, network: int, inputs: Tensor) -> float:
    """Greatest difference between what a network answers and what its collapsed layers do, over its greatest answer."""
    precise = Stack(
        [weight.detach().double() for weight in stack.weights],
        [bias.detach().double() for bias in stack.biases],
        stack.shapes,
        [slope.detach().double() for slope in stack.slopes],
    )
    matrix, bias = collapsed(stack, network)
    answers = outputs_of(precise, inputs.double())[network]
    return float((answers - (inputs.double() @ matrix + bias)).abs().max() / answers.abs().max())


def train_slopes(inputs: Tensor, labels: Tensor, seeds: range, steps: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Train deep networks of every slope, and a linear model.

    Returns:
        Training accuracies of the networks [slope seed] and of the linear model [seed]; distance of each network from
        its collapsed layers [slope seed].
    """
    scales = [critical_scale(activation_of("leaky_relu", negative_slope=slope)) for slope in SLOPES]
    sizes = [inputs.shape[1], *HIDDEN, 2]
    networks = [draw_layers(sizes, critical_start(scale, 1.0), seed) for scale in scales for seed in seeds]
    shapes = [shape for shape in map(leaky, SLOPES) for _ in seeds]
    deep = stack_of(networks, shapes)
    train_stack(deep, inputs, labels, [RATE] * len(networks), steps=steps, batch_size=128, momentum=0.9)
    start = critical_start(critical_scale("identity"), 1.0)
    linear = stack_of([draw_layers([inputs.shape[1], 2], start, seed) for seed in seeds], [leaky(1.0)])
    train_stack(linear, inputs, labels, [RATE] * len(seeds), steps=steps, batch_size=128, momentum=0.9)
    some = inputs[:256]
    distances = [distance_from_matrix(deep, index, some) for index in range(len(networks))]
    grid = (len(SLOPES), len(seeds))
    accuracies = accuracies_on(deep, inputs, labels).reshape(grid)
    return accuracies, accuracies_on(linear, inputs, labels), np.array(distances).reshape(grid)


def examine_linear(bench: Bench) -> Chapter:
    """Bend the activation less and less, down to not at all."""
    images = images_for(bench)
    inputs, digits = standardised(images, bench.pick(toy=200, quick=1200, full=10_000))
    labels, seeds = digits % 2, bench.seeds(toy=1, quick=2, full=3)
    steps = bench.pick(toy=3, quick=400, full=3000)
    bench.progress(0.85, "leaky ReLU, bent less and less")
    accuracies, linear, distances = train_slopes(inputs, labels, seeds, steps)
    unbent, small = SLOPES.index(1.0), SLOPES.index(0.01)
    rows = (
        ROWS["matrix"].filled(float(distances[unbent].max()), seeds=len(seeds)),
        ROWS["accuracy"].filled_from(accuracies[unbent] - linear),
        ROWS["bend"].filled_from(accuracies[small] - accuracies[unbent]),
    )
    means = accuracies.mean(axis=1)
    sentence = (
        f"Leaky ReLU of slope 1 is no activation: the trained network equals one matrix to "
        f"{distances[unbent].max():.1g} and tells odd from even {means[unbent]:.3f} of the time, a linear model "
        f"{linear.mean():.3f}, slope 0.01 {means[small]:.3f}."
    )
    return Chapter((_section(accuracies, linear, distances, images.name),), rows, sentence)


def _section(accuracies: FloatArray, linear: FloatArray, distances: FloatArray, data: str) -> Section:
    lows, highs = accuracies.min(axis=1).tolist(), accuracies.max(axis=1).tolist()
    chart = Chart(
        "Odd or even: training accuracy by the slope below zero",
        "At slope 1 nothing is bent. The band is the spread over the seeds.",
        "slope below zero",
        "training accuracy",
        (
            Line(
                "network of three hidden layers",
                SLOPES,
                tuple(accuracies.mean(1).tolist()),
                "line",
                (*lows,),
                (*highs,),
            ),
            Line("linear model", (SLOPES[0], SLOPES[-1]), (float(linear.mean()),) * 2, "dashes"),
        ),
    )
    table = Table(
        "How far each network is from being one matrix",
        "Greatest difference between its answers and those of its layers multiplied together, as a share of its "
        "greatest answer; the largest over the seeds.",
        ("slope below zero", "difference", "training accuracy"),
        tuple(
            (slope, float(distances[index].max()), float(accuracies[index].mean()))
            for index, slope in enumerate(SLOPES)
        ),
    )
    text = (
        f"Why have an activation at all? We ask networks of {len(HIDDEN)} hidden layers whether a digit ({data}) is "
        "odd, which no single matrix can tell in full, and bend the activation less and less: the slope below zero "
        "goes from 0 (ReLU) to 1 (nothing). At 1 the layers W_3(W_2(W_1 x)) are one matrix W_3 W_2 W_1, and three "
        "hidden layers can do no more than none."
    )
    return Section("No bend, no depth", (text, chart, table))
