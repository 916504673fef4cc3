"""Chapter of `initialisation`: starts that look at the data or at the architecture: LSUV, ReZero, SkipInit, Fixup.

LSUV divides each layer's orthogonal weights by the spread of its output on a batch. The other three start every block
of a residual network as nothing, or nearly so, and let the training open it.

Source:
    Mishkin and Matas, "All you need is a good init", ICLR 2016; Bachlechner et al., "ReZero is all you need", UAI 2021;
    De and Smith, NeurIPS 2020; Zhang, Dauphin, Ma, "Fixup initialization", ICLR 2019.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gradiometer.curing.cure import Patient
from gradiometer.curing.lsuv import ScaleToUnitVariance
from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.digits import load_digits
from gradiometer.lab.experiments.chapter import Chapter
from gradiometer.lab.networks.plain import draw_layers, plain_network, standardised, torch_start, train_plain
from gradiometer.lab.networks.residual import PathKind, residual_network
from gradiometer.schema import Chart, FloatArray, Line, Row, Section

KINDS: dict[PathKind, str] = {
    "none": "no path",
    "plain": "x + F(x)",
    "rezero": "ReZero",
    "skipinit": "SkipInit",
    "fixup": "Fixup",
}
"""Kinds of networks, and what they are called."""

REZERO = "Bachlechner et al., ReZero is all you need, 2021: their README"
SKIPINIT = "De and Smith, Batch normalization biases residual blocks, 2020"
FIXUP = "Zhang et al., Fixup initialization, 2019"
LSUV = "Mishkin and Matas, All you need is a good init, 2016"

ROWS: dict[str, Row] = {
    "lsuv_least": Row("LSUV: least output variance of a layer", "1, within 0.1", 0.9, 1.1, LSUV, "seen"),
    "lsuv_greatest": Row("LSUV: greatest output variance of a layer", "1, within 0.1", 0.9, 1.1, LSUV, "seen"),
    "rezero": Row(
        "Deep fully connected network: training accuracy with ReZero less that without paths",
        "1,500 % faster",
        0.3,
        1.0,
        REZERO + "; the order alone",
        "seen",
    ),
    "skipinit": Row("SkipInit: last loss over first", "trains", 0.0, 0.5, SKIPINIT, "remembered"),
    "fixup": Row("Fixup: last loss over first", "trains", 0.0, 0.5, FIXUP, "remembered"),
}
"""What is known of these starts."""

LEFT_OUT: tuple[Row, ...] = (
    Row("ReZero: a 12-layer Transformer on enwiki8, faster by, %", "56", 50.0, 62.0, REZERO, "seen"),
    Row(
        "Fixup: deepest residual network trained one epoch on CIFAR-10, layers", "10,000", 1e4, 1e4, FIXUP, "remembered"
    ),
    Row("SkipInit: deepest Wide-ResNet trained on CIFAR-10, layers", "1,000", 1e3, 1e3, SKIPINIT, "remembered"),
)
"""What can't be run on a CPU."""


@dataclass(frozen=True, slots=True)
class Course:
    """A training of one kind.

    Attributes:
        losses: Loss of each step's batch.
        accuracy: Mean training accuracy of the last 20 steps, at most.
    """

    losses: FloatArray
    accuracy: float


def train_kind(inputs: Tensor, labels: Tensor, kind: PathKind, blocks: int, steps: int, seed: int) -> Course:
    """Train one kind of deep network by descent with momentum 0.9 at rate 0.01."""
    model = residual_network(inputs.shape[1], 32, blocks, 10, kind, seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    losses, accuracies = train_plain(model, optimizer, inputs, labels, steps=steps, batch_size=32, seed=seed)
    return Course(np.array(losses), float(np.mean(accuracies[-20:])))


def output_variances(model: nn.Module, inputs: Tensor) -> list[float]:
    """Variance of what each linear layer hands on."""
    found: list[float] = []
    signal = inputs
    with torch.no_grad():
        for module in model.children():
            signal = module(signal)
            if isinstance(module, nn.Linear):
                found.append(float(signal.var(unbiased=False)))
    return found


def examine_starts(bench: Bench) -> Chapter:
    """Scale by a batch, and open closed blocks."""
    bench.progress(0.92, "LSUV, ReZero, SkipInit, Fixup")
    inputs, labels = standardised(load_digits())
    model = plain_network(draw_layers([64, *[64] * bench.pick(toy=3, quick=20, full=20), 10], torch_start, 0), nn.ReLU)
    before = output_variances(model, inputs[:256])
    with torch.no_grad():
        ScaleToUnitVariance().apply(Patient(model=model, inputs=(inputs[:256],)))
    after = output_variances(model, inputs[:256])
    blocks, steps = bench.pick(toy=(2, 6), quick=(15, 80), full=(50, 400))
    seeds = bench.seeds(toy=1, quick=1, full=3)
    courses = {kind: [train_kind(inputs, labels, kind, blocks, steps, seed) for seed in seeds] for kind in KINDS}
    gains = [better.accuracy - worse.accuracy for better, worse in zip(courses["rezero"], courses["none"], strict=True)]
    rows = (
        ROWS["lsuv_least"].filled(min(after)),
        ROWS["lsuv_greatest"].filled(max(after)),
        ROWS["rezero"].filled_from(gains),
        ROWS["skipinit"].filled_from(_falls(courses["skipinit"])),
        ROWS["fixup"].filled_from(_falls(courses["fixup"])),
        *(row.left_out("Needs days of a GPU's time") for row in LEFT_OUT),
    )
    accuracies = {kind: float(np.mean([course.accuracy for course in several])) for kind, several in courses.items()}
    return Chapter((_scaled_section(before, after), _paths_section(courses, blocks, accuracies)), rows)


def _falls(several: list[Course]) -> list[float]:
    """Mean loss of the last 10 steps over that of the first 3."""
    return [float(course.losses[-10:].mean() / course.losses[:3].mean()) for course in several]


def _scaled_section(before: list[float], after: list[float]) -> Section:
    x = tuple(float(layer) for layer in range(1, len(before) + 1))
    chart = Chart(
        "Output variance by layer",
        "On the batch that LSUV was given.",
        "layer",
        "variance",
        (Line("torch's weights", x, tuple(before)), Line("LSUV", x, tuple(after))),
        y_scale="log",
    )
    text = (
        "Rules for the scale of weights know the activation, not the network. LSUV asks the data: it draws orthogonal "
        "weights, sends one batch through, and divides each layer's weights by the spread of its output before the "
        "next layer sees it. It is the cure scale_to_unit_variance, applied here to a deep ReLU network."
    )
    return Section("Scaled by the data: LSUV", (text, chart))


def _paths_section(courses: dict[PathKind, list[Course]], blocks: int, accuracies: dict[PathKind, float]) -> Section:
    lines = tuple(
        Line(
            f"{KINDS[kind]}, accuracy {accuracies[kind]:.2f}",
            tuple(float(step) for step in range(len(several[0].losses))),
            tuple(np.clip(several[0].losses, None, 1e3).tolist()),
        )
        for kind, several in courses.items()
    )
    chart = Chart(
        f"{blocks} blocks of two layers",
        "Loss of each step's batch, first seed, cut at 1,000; a gap is a NaN. 2.30 is chance.",
        "steps",
        "loss",
        lines,
        y_scale="log",
    )
    text = (
        "A path around each block carries the gradient past it. But x + F(x) doubles the signal's power in every "
        f"block, 2^{blocks} in all, so that without normalisation such a network blows up. Three starts prevent it: "
        "ReZero and SkipInit put a gate before each branch that is 0 at first, Fixup scales the branches down with "
        "their number and starts their last layer at 0. Each begins as a shallow network and grows deep as it learns."
    )
    return Section("Blocks that start closed", (text, chart))
