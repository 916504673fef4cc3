"""How a loss went: where it began, how low it came and when, where it ended, when it was no number."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from gradiometer.schema import FloatArray, LossSeries
from gradiometer.schema.turns import DEVIATIONS_PER_MEDIAN
from gradiometer.units import format_number

WINDOW_SHARE = 40
"""A window is this part of the series: wide enough for the noise of batches, narrow enough to date a turn."""

WIDEST_WINDOW = 51
"""Losses of a window at most."""

LEAST_CHANGE = 0.05
"""Change of the loss, as a share of its size, from which it counts as one; chosen by us on the examples."""

SHORT_WINDOW = 5
"""Losses of a window of a short series at most, and never more than a quarter of it."""

CLEAR_DEVIATIONS = 2.0
"""Standard deviations beyond the lowest that noise alone would give, from which on a change counts."""


@dataclass(frozen=True, slots=True)
class LossCourse:
    """The course of one loss. Losses are medians over a window, each of them a recorded loss.

    Attributes:
        site: `file:line` of its `backward` call.
        first_step: First step with a finite loss.
        first: Loss there.
        lowest_step: Step around which it was lowest.
        lowest: Loss there.
        most_fallen_step: First step around which nine tenths of the way down were done.
        last_step: Last step with a finite loss.
        last: Loss there.
        noise: Change that single batches make by themselves.
        has_fallen: It came down by more than its noise.
        has_risen: It ended above its lowest by more than its noise.
        finite_count: Recorded steps whose loss is finite.
        nonfinite_count: Recorded steps in which it was NaN or infinite.
        nonfinite_step: The first of them, None for none.
    """

    site: str
    first_step: int
    first: float
    lowest_step: int
    lowest: float
    most_fallen_step: int
    last_step: int
    last: float
    noise: float
    has_fallen: bool
    has_risen: bool
    finite_count: int
    nonfinite_count: int
    nonfinite_step: int | None


def follow_loss(series: LossSeries) -> LossCourse | None:
    """Follow one loss from its first step to its last; None where it was never finite.

    Example:
        >>> counts = np.zeros(4, dtype=np.int64)
        >>> course = follow_loss(LossSeries("a.py:3", np.arange(4), np.array([4.0, 2.0, 1.0, 1.0]), counts))
        >>> course.first, course.lowest, course.has_fallen, course.has_risen
        (4.0, 1.0, True, False)
    """
    is_finite = np.isfinite(series.values)
    if not is_finite.any():
        return None
    steps, values = series.steps[is_finite], series.values[is_finite]
    centres, smooth = smoothed(values)
    low = int(np.argmin(smooth))
    first, lowest, last = float(smooth[0]), float(smooth[low]), float(smooth[-1])
    noise = noise_of(values[centres] - smooth, len(values) - len(smooth) + 1)
    fall = first - lowest
    broken = np.flatnonzero(series.nonfinite_counts > 0)
    return LossCourse(
        site=series.site,
        first_step=int(steps[0]),
        first=first,
        lowest_step=int(steps[centres[low]]),
        lowest=lowest,
        most_fallen_step=int(steps[centres[int(np.argmax(smooth <= lowest + 0.1 * fall))]]),
        last_step=int(steps[-1]),
        last=last,
        noise=noise,
        has_fallen=fall > max(LEAST_CHANGE * abs(first), noise),
        has_risen=last - lowest > max(LEAST_CHANGE * abs(lowest), noise, 0.1 * fall),
        finite_count=len(values),
        nonfinite_count=len(broken),
        nonfinite_step=int(series.steps[broken[0]]) if len(broken) else None,
    )


def smoothed(values: FloatArray) -> tuple[NDArray[np.int64], FloatArray]:
    """Medians over windows of an odd number of values, and before them the place of each window's middle.

    Example:
        >>> smoothed(np.array([3.0, 9.0]))[1].tolist()
        [3.0, 9.0]
    """
    wanted = max(len(values) // WINDOW_SHARE, min(len(values) // 4, SHORT_WINDOW))
    width = (max(min(wanted, WIDEST_WINDOW), 1) - 1) // 2 * 2 + 1
    medians = np.median(sliding_window_view(values, width), axis=1)
    return np.arange(len(medians), dtype=np.int64) + width // 2, np.asarray(medians, dtype=np.float64)


def noise_of(residuals: FloatArray, width: int) -> float:
    """How far the lowest of many windows lies under their middle by the noise of single batches alone.

    Args:
        residuals: Losses less the median of the window around each.
        width: Losses of a window.

    Returns:
        The expected lowest of independent windows and `CLEAR_DEVIATIONS` more, from the spread of the residuals.

    Source:
        Expected least of n normal numbers: about the square root of 2 ln n standard deviations. Standard deviation of
        a median of n: 1.25 over the square root of n times that of one.
    """
    deviation = DEVIATIONS_PER_MEDIAN * float(np.median(np.abs(residuals)))
    windows = max(len(residuals) / width, 1.0)
    return 1.25 * deviation / math.sqrt(width) * (math.sqrt(2.0 * math.log(windows)) + CLEAR_DEVIATIONS)


def loss_in_words(course: LossCourse, *, name: str = "the loss") -> str:
    """Say a loss' course in a sentence.

    Args:
        course: The course.
        name: How to call the loss.
    """
    subject = name[0].upper() + name[1:]
    first, lowest, last = (format_number(value) for value in (course.first, course.lowest, course.last))
    if course.finite_count == 1:
        return f"{subject} was {first}; no other step has a finite one on record."
    if not course.has_fallen:
        if course.has_risen:
            return f"{subject} rose from {first} to {last} (step {course.last_step})."
        return f"{subject} did not move: {first} at first, {last} at step {course.last_step}."
    words = f"{subject} fell from {first} to {lowest} at its lowest, around step {course.lowest_step}"
    if course.most_fallen_step < course.lowest_step:
        words += f"; nine tenths of that were done by step {course.most_fallen_step}"
    if course.has_risen:
        return f"{words}. Then it rose again, to {last} at step {course.last_step}."
    return f"{words}."
