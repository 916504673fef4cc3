"""What is published on learning speeds, and what of it a run confirms.

Source:
    M. Nielsen, "Neural Networks and Deep Learning", 2015, chapter 5: figures in the text, and the raw data in
    fig/norms_during_training_{2,3,4}_layers.json of its repository. Bands: a single net's length may lie a factor of 2
    from the geometric mean of the seeds, a layer's ratio anywhere in [3, 8], a single run's accuracy 0.4 to 0.5 points
    from the mean of eight seeds.
"""

import math

import numpy as np

from gradiometer.lab.bench import NEEDS_MNIST
from gradiometer.lab.experiments.learning_speeds.gradient_lengths import (
    Descent,
    FloatArray,
    geometric_mean,
    percentile_of,
)
from gradiometer.schema import Row

NIELSEN_DATA = "Nielsen 2015, chapter 5, fig/norms_during_training_{}_layers.json"
NIELSEN_TEXT = "Nielsen 2015, chapter 5"

FIRST_LENGTHS: dict[int, tuple[float, ...]] = {
    2: (0.06574, 0.30922),
    3: (0.01184, 0.05997, 0.28314),
    4: (0.00298, 0.01708, 0.06954, 0.28514),
}
"""Hidden layers to their published gradient lengths before any step, the first hidden layer first."""

LATER_LENGTHS: dict[tuple[int, int], tuple[float, ...]] = {
    (2, 50): (0.0010, 0.0013),
    (2, 499): (0.0034, 0.0096),
    (3, 50): (9e-5, 3.3e-4, 1.6e-3),
    (3, 499): (9e-5, 2.2e-4, 1.26e-3),
    (4, 100): (2e-5, 4e-5, 2.2e-4, 9.6e-4),
    (4, 499): (1e-5, 3e-5, 1.8e-4, 9.2e-4),
}
"""Hidden layers and step of full-batch descent to published lengths, rounded as they are known."""

ACCURACIES: dict[int, tuple[float, float]] = {1: (96.48, 0.4), 2: (96.90, 0.4), 3: (96.57, 0.5), 4: (96.53, 0.5)}
"""Hidden layers to the published validation accuracy after 30 epochs and how far a mean over seeds may be off, %."""


def first_rows(lengths: dict[int, FloatArray], start_control: FloatArray) -> list[Row]:
    """Rows on the lengths before any step.

    Args:
        lengths: Hidden layers to lengths [seed layer].
        start_control: Lengths of four hidden layers with the large start [seed layer].
    """
    rows = [row for depth in FIRST_LENGTHS for row in _length_rows(depth, lengths[depth])]
    rows += [row for depth in FIRST_LENGTHS for row in _ratio_rows(depth, lengths[depth])]
    ordered = [float((np.diff(lengths[depth], axis=1) > 0.0).all(axis=1).mean()) for depth in FIRST_LENGTHS]
    rows.append(
        Row(
            "2 to 4 hidden layers: share of the seeds in which every layer's gradient is longer than the one before",
            "1",
            1.0,
            1.0,
            "own runs, 40 seeds each on MNIST",
            "own",
        ).filled(min(ordered), seeds=len(lengths[2]))
    )
    later = np.median(start_control[:, 2:] / start_control[:, 1:-1], axis=0)
    rows.append(
        Row(
            "4 hidden layers, large start (the control): median ratio of neighbours behind the first pair",
            "1.5 to 1.7",
            1.2,
            2.2,
            "own runs, 40 seeds on MNIST",
            "own",
        ).filled(float(later.mean()), spread=(float(later.min()), float(later.max())), seeds=len(start_control))
    )
    return rows


def _length_rows(depth: int, lengths: FloatArray) -> list[Row]:
    middle = geometric_mean(lengths)
    return [
        Row(
            f"{depth} hidden layers, layer {layer + 1}: gradient length at the start",
            f"{figure}",
            figure / 2.0,
            figure * 2.0,
            NIELSEN_DATA.format(depth),
            "seen",
        ).filled(
            middle[layer], spread=(float(lengths[:, layer].min()), float(lengths[:, layer].max())), seeds=len(lengths)
        )
        for layer, figure in enumerate(FIRST_LENGTHS[depth])
    ]


def _ratio_rows(depth: int, lengths: FloatArray) -> list[Row]:
    published = FIRST_LENGTHS[depth]
    rows = []
    for layer in range(depth - 1):
        ratios = lengths[:, layer + 1] / lengths[:, layer]
        row = Row(
            f"{depth} hidden layers: length of layer {layer + 2} over layer {layer + 1} at the start",
            f"{published[layer + 1] / published[layer]:.2f}",
            3.0,
            8.0,
            NIELSEN_DATA.format(depth),
            "seen",
        )
        spread = (float(ratios.min()), float(ratios.max()))
        rows.append(row.filled(float(geometric_mean(ratios)), spread=spread, seeds=len(ratios)))
    return rows


def path_rows(descents: dict[int, Descent], *, is_mnist: bool) -> list[Row]:
    """Rows on the lengths along 500 steps; those that only the published data set can answer are left out else."""
    ratio = Row(
        "4 hidden layers: length of the last over the first at step 250 of full-batch descent",
        "about 100",
        30.0,
        300.0,
        NIELSEN_DATA.format(4),
        "seen",
    )
    count = sum(len(figures) for figures in LATER_LENGTHS.values())
    inside = Row(
        f"published lengths at steps 50 to 499 that lie between the least and the greatest of our seeds, of {count}",
        f"{count}",
        0.8 * count,
        float(count),
        NIELSEN_DATA.format("{2,3,4}"),
        "seen",
        needs="mnist",
    )
    lengths = descents[4].lengths
    middle = lengths[min(250, len(lengths) - 1)]
    rows = [ratio.filled_from(middle[:, -1] / middle[:, 0])]
    if not is_mnist:
        return [*rows, inside.left_out(NEEDS_MNIST)]
    held = sum(0.0 < entry[3] < 100.0 for entry in later_percentiles(descents))
    return [*rows, inside.filled(held, seeds=lengths.shape[1])]


def percentile_row(lengths: dict[int, FloatArray], *, is_mnist: bool) -> Row:
    """How many of the nine published first lengths lie in the middle nine tenths of the seeds."""
    row = Row(
        "published lengths at the start that lie between the 5th and the 95th percentile of our seeds, of 9",
        "9",
        7.0,
        9.0,
        "own runs, 40 seeds each on MNIST",
        "own",
        needs="mnist",
    )
    if not is_mnist:
        return row.left_out(NEEDS_MNIST)
    places = [place for _, _, _, place in first_percentiles(lengths)]
    return row.filled(sum(5.0 <= place <= 95.0 for place in places), seeds=len(lengths[2]))


def first_percentiles(lengths: dict[int, FloatArray]) -> list[tuple[int, int, float, float]]:
    """Hidden layers, layer, published length, and its percentile among the seeds."""
    return [
        (depth, layer + 1, figure, percentile_of(figure, lengths[depth][:, layer]))
        for depth, figures in FIRST_LENGTHS.items()
        for layer, figure in enumerate(figures)
    ]


def later_percentiles(descents: dict[int, Descent]) -> list[tuple[str, int, float, float]]:
    """Hidden layers and step, layer, published length, and its percentile; steps that were not taken are left out."""
    return [
        (f"{depth}, step {step}", layer + 1, figure, percentile_of(figure, descents[depth].lengths[step, :, layer]))
        for (depth, step), figures in LATER_LENGTHS.items()
        if step < len(descents[depth].lengths)
        for layer, figure in enumerate(figures)
    ]


def accuracy_rows(accuracies: dict[int, FloatArray], *, is_mnist: bool) -> list[Row]:
    """Rows on validation accuracy by depth.

    Args:
        accuracies: Hidden layers to accuracy [seed epoch], from 0 to 1.
        is_mnist: Whether it was the published training.
    """
    rows = {
        depth: Row(
            f"{depth} hidden layer{'s' if depth > 1 else ''} of 30: validation accuracy after 30 epochs",
            f"{figure}",
            figure - tolerance,
            figure + tolerance,
            NIELSEN_TEXT,
            "second_hand" if depth == 1 else "seen",
            unit="%",
            needs="mnist",
        )
        for depth, (figure, tolerance) in ACCURACIES.items()
    }
    step = Row(
        "accuracy that the second hidden layer adds to the first, means over the seeds",
        "0.42 (two runs)",
        0.2,
        math.inf,
        f"{NIELSEN_TEXT}; own runs 0.68",
        "seen",
        unit="points",
        needs="mnist",
    )
    if not is_mnist:
        return [row.left_out(NEEDS_MNIST) for row in (*rows.values(), step)]
    last = {depth: 100.0 * values[:, -1] for depth, values in accuracies.items()}
    filled = [row.filled_from(last[depth]) for depth, row in rows.items()]
    return [*filled, step.filled(last[2].mean() - last[1].mean(), seeds=len(last[1]))]
