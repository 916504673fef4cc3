"""When the gradient exploded or was no number, and how often it was clipped."""

from collections.abc import Iterator

import numpy as np

from gradiometer.explaining.moments import Moment
from gradiometer.schema import FloatArray, Run
from gradiometer.units import format_number, format_share

EXPLOSION_RATIO = 100.0
"""Norm over the median of the measurements before it from which on a gradient has exploded: 40 dB, the distance that
`vanishing` has as its floor."""

LEAST_BEFORE = 3
"""Measurements that a median is taken of at least."""

CLIPPED_BELOW = 0.999
"""Norm after clipping over that before, below which a step counts as clipped: roundings are above it."""


def total_norms(run: Run) -> FloatArray:
    """Norm of the gradient over all parameters in each full measurement; nan where none of it was measured."""
    grid = run.parameter_columns.get("gradient_rms")
    if grid is None or not grid.size:
        return np.full(run.snapshot_count, np.nan)
    counts = np.array([parameter.element_count for parameter in run.parameters], dtype=np.float64)
    norms = np.sqrt(np.nansum(grid**2 * counts, axis=1))
    return np.where(np.isnan(grid).all(axis=1), np.nan, norms)


def gradient_moments(run: Run) -> Iterator[Moment]:
    """The first explosion, the first gradient and weight that were no number, and clipping."""
    yield from explosion_moments(run)
    for name, words in (("gradient_nonfinite_count", "gradient"), ("weight_nonfinite_count", "weights")):
        yield from nonfinite_moments(run, name, words)
    yield from clipping_moments(run)


def explosion_moments(run: Run) -> Iterator[Moment]:
    """The first full measurement whose gradient is far above all that came before."""
    norms = total_norms(run)
    known = np.flatnonzero(np.isfinite(norms))
    for rank in range(LEAST_BEFORE, len(known)):
        norm, usual = float(norms[known[rank]]), float(np.median(norms[known[:rank]]))
        if usual > 0.0 and norm >= EXPLOSION_RATIO * usual:
            words = f"The gradient exploded: its norm over all parameters was {format_number(norm)}, "
            words += f"{format_number(norm / usual)} times the median of the measurements before."
            yield Moment(int(run.snapshot_steps[known[rank]]), "gradient", words)
            return


def nonfinite_moments(run: Run, column: str, words: str) -> Iterator[Moment]:
    """The first full measurement in which a gradient, or weights, held NaN or infinity."""
    counts = run.parameter_columns.get(column)
    if counts is None:
        return
    rows = np.flatnonzero((np.nan_to_num(counts) > 0.0).any(axis=1))
    if not len(rows):
        return
    broken = np.flatnonzero(np.nan_to_num(counts[rows[0]]) > 0.0)
    names = ", ".join(run.parameters[index].name for index in broken[:3])
    more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
    verb = "was" if words == "gradient" else "were"
    text = f"The {words} of {len(broken)} of {len(run.parameters)} parameters {verb} NaN or infinite: {names}{more}."
    yield Moment(int(run.snapshot_steps[rows[0]]), "non_finite", text)


def clipping_moments(run: Run) -> Iterator[Moment]:
    """How often the gradient was clipped, where the script clips it."""
    total, clipped = (run.step_columns.get(name) for name in ("total_norm", "clipped_total_norm"))
    if total is None or clipped is None:
        return
    known = np.isfinite(total) & np.isfinite(clipped)
    is_clipped = known & (clipped < CLIPPED_BELOW * total)
    if is_clipped.any():
        share = format_share(float(is_clipped.sum() / known.sum()))
        greatest = format_number(float(total[is_clipped].max()))
        text = f"The script clipped the gradient in {share} of the recorded steps; its norm was {greatest} at most."
        yield Moment(int(run.steps[np.flatnonzero(is_clipped)[0]]), "gradient", text)
