"""Chapter of `initialisation`: the last hidden sigmoid layer saturates at once, and may climb out.

A narrow variant of the paper's figure 2: four hidden sigmoid layers under the standard start with biases of zero. While
the lower layers hand up next to nothing of the input, the output layer's best answer is a constant one, and the
quickest way to it is to shut off what comes from the last hidden layer: its outputs go to 0, where the sigmoid is flat.

Source:
    Glorot and Bengio 2010, section 3.1 and figure 2.
"""

import numpy as np
import torch

from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.digits import load_digits
from gradiometer.lab.experiments.chapter import Chapter
from gradiometer.lab.networks.plain import draw_layers, standard_start, standardised
from gradiometer.lab.networks.shapes import SHAPES
from gradiometer.lab.networks.stacked import hidden_layers, stack_of, train_stack
from gradiometer.schema import Chart, FloatArray, Line, Row, Section

HIDDEN = (100, 100, 100, 100)
RATE, BATCH = 1.0, 10
LOW = 0.1
"""Below it the last layer counts as fallen."""

PAPER = "Glorot and Bengio 2010, figure 2, by a reading note; here in layers of 100 on digits"

ROWS: dict[str, Row] = {
    "last": Row(
        "Mean output of the last of four hidden sigmoid layers, least within the first tenth of training",
        "falls to about 0 at once",
        0.0,
        0.1,
        PAPER,
        "second_hand",
    ),
    "others": Row(
        "Mean output of the other three hidden layers when it falls below 0.1",
        "stay near 0.5",
        0.4,
        0.6,
        PAPER + "; the mean of the three, of which the third is drawn along",
        "second_hand",
    ),
}
"""What is known of the saturation."""


def watch_means(seeds: range, steps: int, looks: list[int]) -> tuple[FloatArray, FloatArray]:
    """Train, and take each hidden layer's mean output over 300 examples on the way.

    Returns:
        Means [look layer seed], and the mean losses of the steps [step seed].
    """
    inputs, labels = standardised(load_digits())
    sizes = [inputs.shape[1], *HIDDEN, 10]
    stack = stack_of([draw_layers(sizes, standard_start, seed) for seed in seeds], [SHAPES["sigmoid"]])
    found: list[FloatArray] = []

    def look(step: int) -> None:
        if step in looks:
            with torch.no_grad():
                means = [after.mean((1, 2)).double().numpy() for _, after in hidden_layers(stack, inputs[:300])]
            found.append(np.array(means))

    look(0)
    history = train_stack(stack, inputs, labels, [RATE] * len(seeds), steps=steps, batch_size=BATCH, after_step=look)
    return np.array(found), history.losses


def examine_saturation(bench: Bench) -> Chapter:
    """Watch the last hidden layer shut itself off."""
    steps, seeds = bench.pick(toy=10, quick=1500, full=4000), bench.seeds(toy=1, quick=1, full=5)
    looks = sorted({0, *np.unique(np.geomspace(1, steps, 28).astype(int)).tolist()})
    bench.progress(0.08, "the last sigmoid layer saturates")
    means, _ = watch_means(seeds, steps, looks)
    early = np.array([step <= steps / 10 for step in looks])
    columns = np.arange(len(seeds))
    lowest = means[early, -1].min(axis=0)
    fallen = means[:, -1] < LOW
    when = np.where(fallen.any(axis=0), fallen.argmax(axis=0), means[:, -1].argmin(axis=0))
    others = means[:, :-1].mean(axis=1)[when, columns]
    rows = (ROWS["last"].filled_from(lowest), ROWS["others"].filled_from(others))
    return Chapter((_section(means, looks),), rows)


def _section(means: FloatArray, looks: list[int]) -> Section:
    x = tuple(float(step) for step in looks)
    lines = tuple(
        Line(
            f"hidden layer {layer + 1}",
            x,
            tuple(means[:, layer].mean(axis=1).tolist()),
            "line",
            tuple(means[:, layer].min(axis=1).tolist()),
            tuple(means[:, layer].max(axis=1).tolist()),
        )
        for layer in range(means.shape[1])
    )
    chart = Chart(
        "Mean output of each hidden sigmoid layer",
        "0.5 is the middle of the sigmoid, 0 its flat end. The band is the spread over the seeds.",
        "steps",
        "mean output",
        lines,
    )
    text = (
        f"Four hidden sigmoid layers of {HIDDEN[0]} units train under the standard start at rate {RATE:g}, {BATCH} "
        "digits a step. At first the last hidden layer tells nothing of the input, so that all that it adds to the "
        "outputs is noise, and descent removes it in the quickest way: it pushes the layer's outputs towards 0. For "
        "tanh 0 would be the steepest place; for the sigmoid it is a flat end, and hardly a gradient passes down from "
        "there. The layers below wait until it comes back, if it does. In a network as narrow as this the third layer "
        "is drawn along upwards."
    )
    return Section("The last sigmoid layer shuts itself off", (text, chart))
