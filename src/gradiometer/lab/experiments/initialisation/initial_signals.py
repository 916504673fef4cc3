"""Chapter of `initialisation`: signal and gradient by layer under the standard and the normalised start, untrained.

Five hidden tanh layers, softmax and cross-entropy, standardised pictures (digits are enlarged to 16 by 16). The
standard start draws weights from U(-1/√n, 1/√n), the normalised one from U(±√6/√(n_in + n_out)); biases are zero.

Source:
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010,
    section 4. For small signals the mean singular value of a square matrix of entry variance v is 8/(3π)·√(n·v).
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.images import images_for
from gradiometer.lab.experiments.chapter import Chapter
from gradiometer.lab.networks.plain import Start, draw_layers, standard_start, standardised, textbook_start
from gradiometer.schema import Chart, FloatArray, Line, Row, Section, Table

STARTS: dict[str, Start] = {"standard": standard_start, "normalised": textbook_start("glorot")}
"""The two starts of the paper."""

HIDDEN_LAYERS = 5
NOTE = "Glorot and Bengio 2010, section 4.2, by a reading note"
PAPER = "Glorot and Bengio 2010, figures 6 to 8"
OURS = "Own run on MNIST, five layers of 1,000"
SMALL_SIGNALS = "8/(3π)·√(n·v), the mean singular value of a square random matrix"
TABLE = "Glorot and Bengio 2010, table 1, by a reading note"
TOO_LONG = "Needs 5 million updates of five layers of 1,000: hours on a CPU"

ROWS: dict[str, Row] = {
    "standard": Row(
        "Mean singular value of a layer's Jacobian, standard start", "about 0.5", 0.42, 0.55, NOTE, "second_hand"
    ),
    "normalised": Row("The same, normalised start", "about 0.8", 0.68, 0.88, NOTE, "second_hand"),
    "standard_small": Row("The same for small signals, standard start", "0.490", 0.48, 0.5, SMALL_SIGNALS, "exact"),
    "normalised_small": Row(
        "The same for small signals, normalised start", "0.849", 0.832, 0.866, SMALL_SIGNALS, "exact"
    ),
    "standard_even": Row(
        "Largest over least spread of the weights' gradients over five layers, standard start",
        "roughly constant over the layers",
        1.0,
        1.3,
        PAPER,
        "second_hand",
    ),
    "normalised_even": Row(
        "The same, normalised start", "roughly constant over the layers", 1.0, 1.3, PAPER, "second_hand"
    ),
    "standard_ratio": Row("Gradient of layer 5 over that of layer 1, standard start", "11.7", 8.0, 16.0, OURS, "own"),
    "normalised_ratio": Row("The same, normalised start", "2.3", 1.6, 3.2, OURS, "own"),
}
"""What is known of the two starts."""

LEFT_OUT: tuple[Row, ...] = (
    Row("Test error of five tanh layers on Shapeset, standard start, %", "27.15", 24.0, 30.0, TABLE, "second_hand"),
    Row("The same, normalised start, %", "15.60", 13.0, 18.0, TABLE, "second_hand"),
    Row("The same with sigmoid, standard start, %", "82.61", 80.0, 85.0, TABLE, "second_hand"),
    Row("Test error of five tanh layers on MNIST, standard start, %", "1.76", 1.5, 2.0, TABLE, "second_hand"),
    Row("The same, normalised start, %", "1.64", 1.4, 1.9, TABLE, "second_hand"),
)
"""What of the paper's table can't be run here."""


@dataclass(frozen=True, slots=True)
class Signals:
    """One drawn network before any step.

    Attributes:
        outputs: Spread of each hidden layer's outputs [layer].
        gradients: Spread of the loss gradient at each hidden layer's pre-activations [layer].
        weight_gradients: Spread of each hidden layer's weight gradients [layer].
        singular_values: Mean singular value of the Jacobian from each hidden layer's outputs to the next one's
            [layer - 1].
        small_signals: The same as if no unit were bent: of the weights alone [layer - 1].
    """

    outputs: FloatArray
    gradients: FloatArray
    weight_gradients: FloatArray
    singular_values: FloatArray
    small_signals: FloatArray


def measure_signals(inputs: Tensor, labels: Tensor, start: Start, width: int, seed: int, examples: int) -> Signals:
    """Draw a network, and pass one batch through it and back.

    Args:
        inputs: A batch [example input].
        labels: Their classes [example].
        start: How it is drawn.
        width: Units of a hidden layer.
        seed: Seed of the weights.
        examples: Examples whose Jacobians are taken.
    """
    layers = draw_layers([inputs.shape[1], *[width] * HIDDEN_LAYERS, 10], start, seed)
    signal, before, after = inputs, [], []
    for layer in layers[:-1]:
        before.append(layer(signal))
        signal = torch.tanh(before[-1])
        after.append(signal)
    loss = functional.cross_entropy(layers[-1](signal), labels)
    weights = [layer.weight for layer in layers[:-1]]
    found = torch.autograd.grad(loss, [*before, *weights])
    with torch.no_grad():
        singular = [
            [
                float(torch.linalg.svdvals((1.0 - out[example, :, None] ** 2) * weight).mean())
                for example in range(examples)
            ]
            for weight, out in zip(weights[1:], after[1:], strict=True)
        ]
        small = [float(torch.linalg.svdvals(weight).mean()) for weight in weights[1:]]
    spreads = [float(gradient.std()) for gradient in found]
    return Signals(
        outputs=np.array([float(out.detach().std()) for out in after]),
        gradients=np.array(spreads[:HIDDEN_LAYERS]),
        weight_gradients=np.array(spreads[HIDDEN_LAYERS:]),
        singular_values=np.array(singular).mean(axis=1),
        small_signals=np.array(small),
    )


def enlarged(inputs: Tensor, side: int) -> Tensor:
    """Square pictures of twice the height and width, every pixel four times [example 4·pixel]."""
    squares = inputs.reshape(-1, side, side)
    return squares.repeat_interleave(2, 1).repeat_interleave(2, 2).reshape(len(inputs), -1)


def examine_signals(bench: Bench) -> Chapter:
    """Measure the two starts."""
    images = images_for(bench)
    inputs, labels = standardised(images, 300)
    inputs = enlarged(inputs, images.side) if images.side < 16 else inputs
    width, examples = bench.pick(toy=(32, 1), quick=(326, 2), full=(1000, 2))
    seeds = bench.seeds(toy=1, quick=2, full=3)
    measured: dict[str, list[Signals]] = {}
    for index, (name, start) in enumerate(STARTS.items()):
        bench.progress(0.03 * index, f"signals by layer, {name} start")
        measured[name] = [measure_signals(inputs, labels, start, width, seed, examples) for seed in seeds]
    rows = [row for name, several in measured.items() for row in _rows(name, several)]
    ratios = {name: _ratio(several).mean() for name, several in measured.items()}
    sentence = (
        f"Through five tanh layers the standard start loses a factor of {ratios['standard']:.1f} of the gradient, the "
        f"normalised one {ratios['normalised']:.1f}."
    )
    left_out = tuple(row.left_out(TOO_LONG) for row in LEFT_OUT)
    return Chapter((_section(measured, width),), (*rows, *left_out), sentence)


def _rows(name: str, several: list[Signals]) -> list[Row]:
    evenness = [signals.weight_gradients.max() / signals.weight_gradients.min() for signals in several]
    singular = [signals.singular_values.mean() for signals in several]
    return [
        ROWS[name].filled_from(singular),
        ROWS[f"{name}_small"].filled_from([signals.small_signals.mean() for signals in several]),
        ROWS[f"{name}_even"].filled_from(evenness),
        ROWS[f"{name}_ratio"].filled_from(_ratio(several)),
    ]


def _ratio(several: list[Signals]) -> FloatArray:
    """The last hidden layer's gradient over the first one's, for each seed."""
    return np.array([signals.gradients[-1] / signals.gradients[0] for signals in several])


PARTS = (
    ("outputs", "Spread of the outputs by layer", "Forward: the signal."),
    ("gradients", "Spread of the gradient by layer", "Backward: the gradient at the pre-activations."),
    (
        "weight_gradients",
        "Spread of the weights' gradients by layer",
        "The product of the two is even over the layers, though each of them is not.",
    ),
)
"""What is drawn by layer: attribute of `Signals`, title and caption."""


def _section(measured: dict[str, list[Signals]], width: int) -> Section:
    x = tuple(float(layer) for layer in range(1, HIDDEN_LAYERS + 1))
    charts = [
        Chart(
            title,
            caption,
            "hidden layer",
            "spread",
            tuple(
                Line(name, x, tuple(np.mean([getattr(signals, part) for signals in several], axis=0).tolist()))
                for name, several in measured.items()
            ),
            y_scale="log",
        )
        for part, title, caption in PARTS
    ]
    table = Table(
        "Mean singular value from layer to layer",
        "Of the Jacobian at single examples; below it that of the weights alone, without tanh's slope.",
        ("start", *(f"{layer} to {layer + 1}" for layer in range(1, HIDDEN_LAYERS))),
        tuple(
            (label, *np.mean([getattr(signals, part) for signals in several], axis=0).tolist())
            for name, several in measured.items()
            for label, part in ((name, "singular_values"), (f"{name}, weights alone", "small_signals"))
        ),
    )
    text = (
        f"Five hidden tanh layers of {width} units, drawn and not trained. The standard start gives every weight the "
        "variance 1/(3n), so that each layer multiplies a small signal, and the gradient on its way back, by "
        f"√(1/3) = {math.sqrt(1 / 3):.2f}. The normalised start has 2/(n_in + n_out), which is 1/n between layers of "
        "one width: the signal keeps its size until tanh bends it. The mean singular value of a layer's Jacobian says "
        "how much a layer keeps of a direction on average."
    )
    return Section("Standard and normalised start", (text, *charts, table))
