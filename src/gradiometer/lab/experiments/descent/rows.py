"""What is published or exact on ways down, beside what was measured."""

import math

import numpy as np

from gradiometer.lab.experiments.descent.found import Alone, Contest, Curvature, Moment
from gradiometer.lab.experiments.descent.paths import aimless_walk, main_plane
from gradiometer.lab.experiments.descent.rates import breaking_multiple
from gradiometer.schema import Row

WALKS = "Antognini and Sohl-Dickstein 2018: component k has the share 6/(π² k²)"
FIRST_SHARE, SECOND_SHARE = 6.0 / math.pi**2, 1.5 / math.pi**2

ROWS: dict[str, Row] = {
    "mean": Row(
        "mean of the examples' own gradients against backpropagation over all, relative difference", "0",
        0.0, 1e-10, "linearity", "exact",
    ),
    "cosine": Row(
        "cosine of a batch's gradient with the true one at the start against the formula, greatest relative difference",
        "0", 0.0, 0.15, "McCandlish et al. 2018; sampling without repetition", "own",
    ),
    "stochastic": Row(
        "share of seeds in which mini-batches end lower than full batches after the same epochs, each at its best rate",
        "1", 1.0, 1.0, "Nielsen 2015, chapter 1: speeds up learning", "remembered",
    ),
    "alone": Row(
        "trained on one example alone: share of all pictures that are called by its class, mean over the classes",
        "all", 0.99, 1.0, "Sanderson (3Blue1Brown) 2017, chapter 3", "remembered",
    ),
    "plane": Row(
        "share of a path's variance in its two main directions, least of the three ways", "0.4 to 0.9", 0.4, 1.0,
        "Li et al. 2018, section 7; here at least its lower end", "remembered",
    ),
    "walk_first": Row(
        "an aimless walk of 400 steps: share of its first direction", f"{FIRST_SHARE:.4f}",
        FIRST_SHARE - 0.02, FIRST_SHARE + 0.02, WALKS, "exact",
    ),
    "walk_second": Row(
        "an aimless walk of 400 steps: share of its second direction", f"{SECOND_SHARE:.4f}",
        SECOND_SHARE - 0.02, SECOND_SHARE + 0.02, WALKS, "exact",
    ),
    "bowl": Row(
        "learning rate times curvature at which descent on a bowl breaks", "2", 2.0 - 1e-6, 2.0 + 1e-6, "arithmetic",
        "exact",
    ),
    "below": Row(
        "full-batch descent at 1.8 over the greatest curvature: share of the steps that lower the cost", "1",
        1.0, 1.0, "own reasoning from the bowl", "own",
    ),
    "above": Row(
        "the same at 4 over it: greatest cost of the way over that at its start", "above 1", 1.0 + 1e-9, math.inf,
        "own reasoning from the bowl", "own",
    ),
}  # fmt: skip


def rows_of(
    contests: dict[str, Contest],
    moments: tuple[Moment, Moment],
    curvature: Curvature,
    alone: list[Alone],
) -> tuple[Row, ...]:
    """Every row with what was measured."""
    batches, full = contests["mini-batch"].ways, contests["full batch"].ways
    walk = main_plane(aimless_walk(400, 4000, 0)).shares
    paths = [sum(main_plane(contest.best.points).shares) for contest in contests.values()]
    below, above = curvature.runs[1.8], curvature.runs[4.0]
    wins = [float(ours.costs[-1] < theirs.costs[-1]) for ours, theirs in zip(batches, full, strict=True)]
    measured = {
        "mean": max(moment.difference for moment in moments),
        "cosine": moments[0].formula_error,
        "plane": min(paths),
        "walk_first": walk[0],
        "walk_second": walk[1],
        "bowl": breaking_multiple(),
        "below": float((np.diff(below) < 0.0).mean()),
        "above": float(above.max() / above[0]),
    }
    shares = [run.shares[-1] for run in alone]
    rows = {name: row.filled(measured[name]) for name, row in ROWS.items() if name in measured}
    rows["stochastic"] = ROWS["stochastic"].filled_from(wins)
    rows["alone"] = ROWS["alone"].filled_from(shares)
    return tuple(rows[name] for name in ROWS)
