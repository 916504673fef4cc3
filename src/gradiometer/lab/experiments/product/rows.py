"""What is published or exact on the product, beside what was measured."""

import math

import numpy as np

from gradiometer.lab.experiments.learning_speeds.gradient_lengths import FloatArray
from gradiometer.lab.experiments.product.layer_factors import LayerFactors
from gradiometer.lab.experiments.product.unit_chains import (
    PathSum,
    balanced_chain,
    draw_chain,
    first_gradient,
    measured_window,
    sigmoid_slope,
    terms_of,
    window_width,
)
from gradiometer.schema import Row

NIELSEN = "Nielsen 2015, chapter 5"
EXERCISE = "Nielsen 2015, chapter 5, exercise on the window of inputs"
SHARE_BELOW_ONE = math.erf(math.sqrt(0.5))
"""Share of weights from N(0, 1) that are smaller than 1."""

ROWS: dict[str, Row] = {
    "quarter": Row("greatest slope of the sigmoid", "1/4", 0.25, 0.25, NIELSEN, "exact"),
    "third": Row(
        "variance of a weight from U(-1/√n, 1/√n), times n", "1/3", 1 / 3 - 0.005, 1 / 3 + 0.005, "arithmetic", "exact"
    ),
    "twelfth": Row(
        "gradient through two terms of a quarter and a third", "1/12", 1 / 12 - 1e-12, 1 / 12 + 1e-12, "arithmetic",
        "exact",
    ),
    "chain": Row(
        "product of the terms against the derivative of the cost itself, greatest relative difference of 20 chains",
        "0", 0.0, 1e-12, NIELSEN, "exact",
    ),
    "paths": Row(
        "sum over all paths against backpropagation, relative difference", "0", 0.0, 1e-12, "chain rule", "exact"
    ),
    "most": Row(
        "share of terms w s'(z) below a quarter, weights N(0, 1); at least the share of weights below 1",
        f"at least {SHARE_BELOW_ONE:.4f}", SHARE_BELOW_ONE, 1.0, NIELSEN, "remembered",
    ),
    "hundred": Row("term of a weight of 100 at z = 0", "25", 25.0 - 1e-9, 25.0 + 1e-9, NIELSEN, "remembered"),
    "least": Row("least weight whose term reaches 1", "4", 4.0 - 1e-6, 4.0 + 1e-6, EXERCISE, "exact"),
    "widest": Row("greatest width of the window of inputs", "0.45", 0.445, 0.455, EXERCISE, "remembered"),
    "where": Row("weight at which the window is widest", "6.9", 6.85, 6.95, EXERCISE, "remembered"),
    "formula": Row(
        "width by formula against counting, greatest relative difference at weights from 4.5 to 60", "0", 0.0, 0.002,
        EXERCISE, "exact",
    ),
    "side": Row(
        "share of scales, off the balance, at which theory says rightly whether the gradient shrinks or grows", "1",
        1.0, 1.0, "Schoenholz et al. 2017", "second_hand",
    ),
}  # fmt: skip

FACTOR_BAND = (0.98, 1.02)
"""Measured over theory's factor for one layer: mean of ten seeds or more at width 100 or more."""

FACTOR_ROWS: dict[tuple[str, str], str] = {
    ("sigmoid", "x1"): "sigmoid at the critical scale",
    ("tanh", "x1"): "tanh at the critical scale",
    ("relu", "x1"): "ReLU at the critical scale",
    ("sigmoid", "default"): "sigmoid, weights N(0, 1/n), biases N(0, 1)",
    ("sigmoid", "uniform"): "sigmoid, weights of variance 1/3n: a quarter times the root of a third",
    ("tanh", "uniform"): "tanh, weights of variance 1/3n",
    ("tanh", "glorot"): "tanh, Glorot",
    ("relu", "he"): "ReLU, He",
}


def rows_of(
    terms: FloatArray, paths: PathSum, factors: dict[tuple[str, str], LayerFactors], windows: tuple[float, ...]
) -> tuple[Row, ...]:
    """Every row with what was measured.

    Args:
        terms: Terms of chains with weights N(0, 1) [chain term].
        paths: Of the small network.
        factors: By activation and start.
        windows: Sizes of weights among which the widest window is looked for.
    """
    grid = np.linspace(min(windows), max(windows), 20_001)
    widths = np.array([window_width(float(size)) for size in grid])
    measured = {
        "quarter": float(sigmoid_slope(np.linspace(-8.0, 8.0, 16_001)).max()),
        "third": float(np.random.default_rng(3).uniform(-1.0, 1.0, 200_000).var()),
        "twelfth": first_gradient(balanced_chain((1 / 4, 1 / 3))),
        "chain": max(_chain_difference(seed) for seed in range(20)),
        "paths": abs(sum(path.product for path in paths.paths) / paths.gradient - 1.0),
        "most": float((np.abs(terms) < 0.25).mean()),
        "hundred": terms_of(balanced_chain((25.0,)))[1].value * terms_of(balanced_chain((25.0,)))[2].value,
        "least": _least_weight(),
        "widest": float(widths.max()),
        "where": float(grid[widths.argmax()]),
        "formula": max(abs(measured_window(size) / window_width(size) - 1.0) for size in (4.5, 6.9, 12.0, 25.0, 60.0)),
        "side": _right_sides(factors),
    }
    rows = [row.filled(measured[name]) for name, row in ROWS.items()]
    return (*rows, *(_factor_row(name, factors[key]) for key, name in FACTOR_ROWS.items()))


def _factor_row(name: str, factors: LayerFactors) -> Row:
    low, high = FACTOR_BAND
    ratios = np.exp(np.log(factors.measured / factors.expected).mean(axis=1))
    row = Row(
        f"{name}: factor of a layer on the gradient, measured over theory's",
        "1", low, high, "Schoenholz et al. 2017; own runs within 1 %", "own",
    )  # fmt: skip
    spread = (float(ratios.min()), float(ratios.max()))
    return row.filled(float(np.exp(np.log(ratios).mean())), spread=spread, seeds=len(ratios))


def _chain_difference(seed: int) -> float:
    """Product of the terms against the derivative of the cost, relative."""
    chain = draw_chain(6, 1.0, seed)
    return abs(math.prod(term.value for term in terms_of(chain)) / first_gradient(chain) - 1.0)


def _least_weight() -> float:
    """Smallest weight for which some z has |w s'(z)| of 1 or more, by halving."""
    slopes = sigmoid_slope(np.linspace(-1.0, 1.0, 2001))
    low, high = 0.0, 100.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        if (middle * slopes).max() >= 1.0:
            high = middle
        else:
            low = middle
    return high


def _right_sides(factors: dict[tuple[str, str], LayerFactors]) -> float:
    """Share of the factors that theory puts 5 % or more from 1 and that lie on the same side of it when measured."""
    told = [(run.expected_mean, run.measured_mean) for run in factors.values() if abs(run.expected_mean - 1.0) > 0.05]
    return float(np.mean([(expected > 1.0) == (measured > 1.0) for expected, measured in told]))
