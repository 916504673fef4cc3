"""Chapter of `initialisation`: plain tanh networks of 10 to 1,000 layers, without skip connections or normalisation.

Digits with pixels from -1 to 1, 1,400 to train and 397 to test; descent with momentum 0.9, batches of 64; biases of
zero. What carries 1,000 layers is orthogonal weights, and a rate of order 1/depth.

Source:
    Xiao et al., "Dynamical isometry and a mean field theory of CNNs: how to train 10,000-layer vanilla convolutional
    neural networks", ICML 2018; own runs.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.digits import load_digits
from gradiometer.lab.experiments.chapter import Chapter
from gradiometer.lab.networks.plain import (
    Start,
    draw_layers,
    plain_network,
    standard_start,
    textbook_start,
    train_plain,
    xavier_normal_start,
)
from gradiometer.lab.networks.shapes import SHAPES
from gradiometer.lab.networks.stacked import Stack, accuracies_on, loss_gradients, stack_of, train_stack
from gradiometer.schema import Chart, Line, Row, Section, Table

TRAINED_ON, BATCH, MOMENTUM = 1400, 64, 0.9


STARTS: dict[str, Start] = {
    "orthogonal": textbook_start("orthogonal"),
    "Xavier": xavier_normal_start,
    "torch's": standard_start,
}
"""Starts by their names on the page; of torch's the weights alone, biases are 0 in all."""

OURS = "Own run on digits, width 128"
XIAO = "Xiao et al. 2018, by the text of a later paper"

ROWS: dict[str, Row] = {
    "100_orthogonal": Row("100 tanh layers, orthogonal: training accuracy", "0.960", 0.9, 1.0, OURS, "own"),
    "100_orthogonal_test": Row("The same, test accuracy", "0.932", 0.82, 1.0, OURS, "own"),
    "100_Xavier": Row("100 tanh layers, Xavier: training accuracy", "0.100", 0.05, 0.5, OURS, "own"),
    "100_torch's": Row("100 tanh layers, torch's weights: training accuracy", "0.103", 0.05, 0.2, OURS, "own"),
    "100_even": Row(
        "100 orthogonal layers: gradient of the first over that of the last", "1.07", 0.7, 1.4, OURS, "own"
    ),
    "100_underflow": Row(
        "100 layers, torch's weights: norm of the first layer's gradient",
        "0: its square underflows",
        0.0,
        1e-15,
        OURS,
        "own",
    ),
    "300_orthogonal": Row(
        "300 tanh layers, orthogonal, rate 0.002: training accuracy", "0.951", 0.85, 1.0, OURS, "own"
    ),
    "1000_orthogonal": Row(
        "1,000 tanh layers, orthogonal, rate 2e-4: training accuracy", "0.921", 0.85, 1.0, OURS, "own"
    ),
    "1000_orthogonal_test": Row("The same, test accuracy", "0.907", 0.82, 1.0, OURS, "own"),
    "1000_fast": Row("1,000 tanh layers, orthogonal, rate 0.01: training accuracy", "0.10", 0.05, 0.3, OURS, "own"),
    "1000_Xavier": Row("1,000 tanh layers, Xavier, rate 2e-4: training accuracy", "0.10", 0.05, 0.3, OURS, "own"),
}
"""What is known of extreme depth."""

LEFT_OUT: tuple[Row, ...] = (
    Row(
        "Test accuracy of a plain 10,000-layer convolutional network on MNIST, %",
        "more than 99",
        99.0,
        100.0,
        XIAO,
        "second_hand",
    ),
    Row("The same on CIFAR-10, %", "82", 80.0, 84.0, XIAO, "second_hand"),
    Row(
        "Error of a 1,001-layer residual network on CIFAR-10, %",
        "4.62",
        4.4,
        4.9,
        "He et al., Identity mappings in deep residual networks, 2016",
        "seen",
    ),
)
"""What can't be run on a CPU."""

ONLY_FULL = "Takes minutes: run without --quick"


@dataclass(frozen=True, slots=True)
class Trial:
    """One network, and what became of it.

    Attributes:
        name: Its key in `ROWS`, where it has one.
        depth: Layers with weights.
        start: A key of `STARTS`.
        rate: Learning rate.
        train: Training accuracy.
        test: Test accuracy.
        first: Norm of the first layer's gradient before the first step.
        last: That of the last hidden layer's.
    """

    name: str
    depth: int
    start: str
    rate: float
    train: float = math.nan
    test: float = math.nan
    first: float = math.nan
    last: float = math.nan


def trials_of(depth: int, *, is_full: bool) -> list[Trial]:
    """The networks of one depth; beyond 100 layers only in full."""
    if depth == 1000 and is_full:
        return [
            Trial("1000_orthogonal", depth, "orthogonal", 2e-4),
            Trial("1000_middle", depth, "orthogonal", 1e-3),
            Trial("1000_fast", depth, "orthogonal", 1e-2),
            Trial("1000_Xavier", depth, "Xavier", 2e-4),
        ]
    if depth == 300:
        return [Trial("300_orthogonal", depth, "orthogonal", 0.002)]
    rate = 0.005 if depth == 100 else math.sqrt(1.0 - MOMENTUM) / depth
    return [Trial(f"{depth}_{start}", depth, start, rate) for start in STARTS]


def pictures() -> tuple[Tensor, Tensor]:
    """Digits with pixels from -1 to 1, in their order, and their classes."""
    images = load_digits()
    inputs = np.concatenate([images.train_inputs, images.validation_inputs, images.test_inputs])
    labels = np.concatenate([images.train_labels, images.validation_labels, images.test_labels])
    return torch.from_numpy(2.0 * inputs - 1.0), torch.from_numpy(labels)


def gradient_norms(stack: Stack, inputs: Tensor, labels: Tensor) -> tuple[list[float], list[float]]:
    """Norms of the gradients of the first and the last hidden layer's weights, by network; summed in float64."""
    _, _, gradients = loss_gradients(stack, inputs, labels)
    first, last = gradients[0], gradients[len(stack.weights) - 2]
    return tuple([float(norm) for norm in part.double().norm(dim=(1, 2))] for part in (first, last))  # type: ignore[return-value]


def run_trials(
    trials: Sequence[Trial], width: int, steps: int, seed: int, after_step: Callable[[int], None]
) -> list[Trial]:
    """Train networks of one depth side by side."""
    inputs, labels = pictures()
    sizes = [inputs.shape[1], *[width] * (trials[0].depth - 1), 10]
    stack = stack_of([draw_layers(sizes, STARTS[trial.start], seed) for trial in trials], [SHAPES["tanh"]])
    first, last = gradient_norms(stack, inputs[:BATCH], labels[:BATCH])
    seen, held = slice(0, TRAINED_ON), slice(TRAINED_ON, None)
    train_stack(
        stack,
        inputs[seen],
        labels[seen],
        [trial.rate for trial in trials],
        steps=steps,
        batch_size=BATCH,
        momentum=MOMENTUM,
        seed=seed,
        after_step=after_step,
    )
    train, test = (accuracies_on(stack, inputs[part], labels[part]) for part in (seen, held))
    return [
        replace(trial, train=float(train[index]), test=float(test[index]), first=first[index], last=last[index])
        for index, trial in enumerate(trials)
    ]


def examine_extremes(bench: Bench) -> Chapter:
    """Train ever deeper networks."""
    depths = bench.pick(toy=(4, 100), quick=(10, 30, 100), full=(10, 30, 100, 300, 1000))
    width, steps = bench.pick(toy=(8, 2), quick=(64, 120), full=(128, 250))
    done: list[Trial] = []
    for index, depth in enumerate(depths):
        begin = 0.55 + 0.35 * sum(depths[:index]) / sum(depths)

        def say(step: int, depth: int = depth, begin: float = begin) -> None:
            if step % 10 == 0:
                share = begin + 0.35 * depth / sum(depths) * step / steps
                bench.progress(share, f"tanh networks of {depth} layers, step {step} of {steps}")

        done += run_trials(trials_of(depth, is_full=bench.size == "full"), width, steps, 0, say)
    if bench.size == "full":
        _write_runs(bench, width, steps)
    rows = _rows({trial.name: trial for trial in done})
    deepest = max(
        (trial for trial in done if trial.start == "orthogonal" and trial.train >= 0.85), default=None, key=_depth
    )
    sentence = (
        "No plain network of many layers came to 85 % in so few steps."
        if deepest is None
        else f"With orthogonal weights and a rate of {deepest.rate:.2g} a plain network of {deepest.depth} tanh layers "
        f"comes to a training accuracy of {deepest.train:.2f} in {steps} steps."
    )
    return Chapter((_section(done, width, steps),), rows, sentence)


def _depth(trial: Trial) -> int:
    return trial.depth


def _write_runs(bench: Bench, width: int, steps: int) -> None:
    """Write run files of 100 layers, orthogonal and as torch draws them."""
    inputs, labels = pictures()
    for title, name in (("orthogonal", "orthogonal"), ("torch", "torch's")):
        sizes = [inputs.shape[1], *[width] * 99, 10]
        model = plain_network(draw_layers(sizes, STARTS[name], 0), nn.Tanh)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.005, momentum=MOMENTUM)
        with bench.watched(f"hundred-tanh-layers-{title}", model, optimizer):
            train_plain(model, optimizer, inputs[:TRAINED_ON], labels[:TRAINED_ON], steps=steps, batch_size=BATCH)


def _rows(done: dict[str, Trial]) -> tuple[Row, ...]:
    """The rows with what was measured; what was too deep to be run is left out."""
    measured: dict[str, float] = {}
    for name, trial in done.items():
        measured[name], measured[f"{name}_test"] = trial.train, trial.test
    orthogonal, plain = done["100_orthogonal"], done["100_torch's"]
    measured["100_even"], measured["100_underflow"] = orthogonal.first / orthogonal.last, plain.first
    rows = [row.filled(measured[name]) if name in measured else row.left_out(ONLY_FULL) for name, row in ROWS.items()]
    return (*rows, *(row.left_out("Needs days of a GPU's time") for row in LEFT_OUT))


def _section(done: list[Trial], width: int, steps: int) -> Section:
    lines = []
    for start in STARTS:
        trials = [trial for trial in done if trial.start == start and not trial.name.endswith(("_middle", "_fast"))]
        lines.append(Line(start, tuple(float(trial.depth) for trial in trials), tuple(trial.train for trial in trials)))
    chart = Chart(
        "Training accuracy by depth",
        f"Plain tanh layers of {width} units after {steps} steps, at a rate in proportion to 1/depth; chance is 0.1.",
        "layers",
        "training accuracy",
        tuple(lines),
        "log",
    )
    table = Table(
        "Every network",
        "Gradient: norm of the weights' gradient in the first and in the last hidden layer before the first step.",
        ("layers", "weights", "rate", "gradient, first", "gradient, last", "training accuracy", "test accuracy"),
        tuple(
            (float(trial.depth), trial.start, trial.rate, trial.first, trial.last, trial.train, trial.test)
            for trial in done
        ),
    )
    text = (
        "How deep can a plain network be, with no skip connections and no normalisation? Torch's weights lose a factor "
        "of 1.7 a layer, so that after a hundred nothing is left. Xavier's keep the gradient's length, and yet such a "
        "network hardly learns: a healthy norm, but all directions have become one. Orthogonal weights keep the "
        "directions, too. The rate has to fall as 1/depth, since every layer's step adds to the same change."
    )
    return Section("Ten to a thousand layers", (text, chart, table))
