"""Chapter of `initialisation`: how deep networks train, beside six xi_c.

xi_c is the number of layers over which the correlation of two inputs comes nearer to its fixed point by the factor e.
Beyond six of them nothing of what told the inputs apart is left. Settings: tanh, width 100, Gaussian weights, sigma_b²
0.05, descent at rate 0.01 without momentum, batches of 64, 300 steps; the mean accuracy of the last 20 steps. In full
on 5,000 pictures of MNIST; else on digits, two scales of the ordered phase and batches of 32.

Source:
    Schoenholz, Gilmer, Ganguli, Sohl-Dickstein, "Deep information propagation", ICLR 2017, section 5. Theirs is width
    300 and rate 1e-3 for 200 and 2,000 steps.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from gradiometer.activations import ACTIVATIONS
from gradiometer.lab.bench import NEEDS_MNIST, Bench
from gradiometer.lab.datasets.images import images_for
from gradiometer.lab.experiments.activations.depth import failing_depth
from gradiometer.lab.experiments.chapter import Chapter
from gradiometer.lab.networks.plain import draw_layers, gaussian_start, standardised
from gradiometer.lab.networks.shapes import SHAPES
from gradiometer.lab.networks.stacked import stack_of, train_stack
from gradiometer.schema import FloatArray, HeatMap, Row, Section, Table
from gradiometer.theory.correlation_map import chi, correlation_depth_scale, fixed_correlation
from gradiometer.theory.length_map import fixed_length

TANH = ACTIVATIONS["tanh"]
SIGMA_B = math.sqrt(0.05)
WIDTH, RATE = 100, 0.01

PRINTED: dict[float, tuple[float, float, float]] = {
    1.0: (0.759, 22.0, 0.86),
    1.25: (0.863, 41.0, 1.02),
    1.5: (0.939, 95.0, 0.77),
    2.5: (1.134, 71.0, 0.80),
    3.5: (1.278, 47.0, 0.87),
}
"""sigma_w² to chi_1, 6 xi_c and the depth at which accuracy was lost half-way, over 6 xi_c."""

PAPER = "Schoenholz et al. 2017, section 5: networks train to about 6 xi_c, by a lecture note; ratio of an own run"
EXACT = "Recomputed by quadrature"

ROWS: dict[float, Row] = {
    square: Row(
        f"Depth at which accuracy falls half-way over 6 xi_c: tanh, sigma_w² {square:g}, sigma_b² 0.05",
        f"about 1 (own run: {ratio:g})",
        0.6,
        1.5,
        PAPER,
        "second_hand",
        needs="digits" if square == 1.0 else "mnist",
    )
    for square, (_, _, ratio) in PRINTED.items()
}
"""The rule, on both sides of the edge."""

CHI_ROW = Row("chi_1 of tanh at five scales: farthest from the printed", "0.759 to 1.278", 0.0, 6e-4, EXACT, "exact")
LIMIT_ROW = Row("6 xi_c of tanh at five scales: farthest from the printed", "22 to 95 layers", 0.0, 0.6, EXACT, "exact")


@dataclass(frozen=True, slots=True)
class DepthMap:
    """How well networks trained.

    Attributes:
        squares: sigma_w², ascending.
        depths: Hidden layers, ascending.
        accuracies: Mean over the seeds [scale depth].
        lost: Depth at which accuracy falls half-way, by seed; inf where it does not [scale seed].
    """

    squares: tuple[float, ...]
    depths: tuple[int, ...]
    accuracies: FloatArray
    lost: FloatArray


def train_map(
    bench: Bench, inputs: Tensor, labels: Tensor, squares: tuple[float, ...], depths: tuple[int, ...], seeds: range
) -> DepthMap:
    """Train networks of every scale and depth, those of one depth side by side."""
    steps, batch = bench.pick(toy=(3, 8), quick=(300, 32), full=(300, 64))
    found = np.zeros((len(squares), len(depths), len(seeds)))
    for index, depth in enumerate(depths):
        done = sum(depths[:index]) / sum(depths)
        bench.progress(0.25 + 0.25 * done, f"tanh networks of {depth} layers at {len(squares)} scales")
        sizes = [inputs.shape[1], *[WIDTH] * depth, 10]
        for column, seed in enumerate(seeds):
            networks = [draw_layers(sizes, gaussian_start(math.sqrt(square), SIGMA_B), seed) for square in squares]
            stack = stack_of(networks, [SHAPES["tanh"]])
            history = train_stack(
                stack, inputs, labels, [RATE] * len(squares), steps=steps, batch_size=batch, seed=seed
            )
            found[:, index, column] = history.last_accuracies()
    lost = [[failing_depth(depths, [*row[:, column]]) for column in range(len(seeds))] for row in found]
    return DepthMap(squares, depths, found.mean(axis=2), np.array(lost))


def limit_of(square: float) -> float:
    """Six xi_c of tanh at sigma_b² = 0.05, layers."""
    return 6.0 * correlation_depth_scale(TANH, math.sqrt(square), SIGMA_B)


def examine_depth_limit(bench: Bench) -> Chapter:
    """Train the map, and lay 6 xi_c beside it."""
    squares = bench.pick(toy=(0.8, 1.0), quick=(0.8, 1.0), full=(1.0, 1.25, 1.5, 1.76, 2.0, 2.5, 3.5))
    depths = bench.pick(toy=(2, 4), quick=(10, 20, 30), full=(5, 10, 20, 30, 45, 70, 100))
    inputs, labels = standardised(images_for(bench), 5000)
    mapped = train_map(bench, inputs, labels, squares, depths, bench.seeds(toy=1, quick=1, full=2))
    rows = [_filled(square, row, mapped) for square, row in ROWS.items()]
    limits = {square: limit_of(square) for square in PRINTED}
    chis = {square: chi(TANH, fixed_length(TANH, math.sqrt(square), SIGMA_B), math.sqrt(square)) for square in PRINTED}
    rows += [
        CHI_ROW.filled(max(abs(chis[square] - printed[0]) for square, printed in PRINTED.items())),
        LIMIT_ROW.filled(max(abs(limits[square] - printed[1]) for square, printed in PRINTED.items())),
    ]
    first = mapped.squares.index(1.0)
    sentence = (
        f"At sigma_w² = 1 tanh networks train to {np.mean(mapped.lost[first]):.0f} layers, where 6 xi_c is "
        f"{limits[1.0]:.0f}."
    )
    return Chapter((_section(mapped),), tuple(rows), sentence)


def _filled(square: float, row: Row, mapped: DepthMap) -> Row:
    """One row of the rule."""
    if square not in mapped.squares:
        return row.left_out(NEEDS_MNIST)
    return row.filled_from(mapped.lost[mapped.squares.index(square)] / limit_of(square))


def _words(depths: Sequence[float], deepest: int) -> str | float:
    return f"beyond {deepest}" if np.isinf(depths).any() else float(np.mean(depths))


def _section(mapped: DepthMap) -> Section:
    heat = HeatMap(
        "Training accuracy by depth and scale of the weights",
        "The line is 6 xi_c. Around the edge of chaos (sigma_w² = 1.76) correlation sets no limit, and others remain.",
        "hidden layers",
        "sigma_w²",
        tuple(float(depth) for depth in mapped.depths),
        mapped.squares,
        mapped.accuracies,
        path=tuple((min(limit_of(square), float(mapped.depths[-1])), square) for square in mapped.squares),
    )
    rows = []
    for index, square in enumerate(mapped.squares):
        sigma_w = math.sqrt(square)
        q = fixed_length(TANH, sigma_w, SIGMA_B)
        overlap = fixed_correlation(TANH, sigma_w, SIGMA_B)
        rows.append(
            (square, chi(TANH, q, sigma_w), overlap, limit_of(square), _words(mapped.lost[index], mapped.depths[-1]))
        )
    table = Table(
        "The rule beside the trainings",
        "c*: correlation that two inputs settle at. Chaotic above sigma_w² = 1.761: there inputs drift apart and "
        "gradients explode.",
        ("sigma_w²", "chi_1", "c*", "6 xi_c, layers", "accuracy falls half-way at, layers"),
        tuple(rows),
    )
    text = (
        "Where chi_1 is below 1 two different inputs become alike from layer to layer, and what told them apart is "
        "gone after about 6 xi_c layers; above 1 they become unrelated, and likenesses are gone. Theory computes xi_c "
        "from the activation and two numbers; we train networks of many depths and see where they stop learning. At "
        "the edge the limit from correlation is gone, not every limit: Gaussian weights treat directions unevenly, and "
        "the rate has to fall with depth."
    )
    return Section("How deep it trains: six xi_c", (text, heat, table))
