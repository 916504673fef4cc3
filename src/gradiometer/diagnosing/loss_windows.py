"""Numbers of a series of losses: its stretches, its noise, and how surely one stretch lies above another.

Stretches are fifths of the steps, not of the recorded losses: of a fast training the first steps are all recorded,
later ones seldom.
"""

import math
from dataclasses import dataclass

import numpy as np

from gradiometer.schema import FloatArray, LossSeries


def finite_losses(series: LossSeries) -> tuple[FloatArray, FloatArray]:
    """Steps and values of the losses that are finite.

    Returns:
        Two arrays [loss].
    """
    is_finite = np.isfinite(series.values)
    return series.steps[is_finite].astype(np.float64), series.values[is_finite]


@dataclass(frozen=True, slots=True)
class Stretches:
    """The stretches of a series that its judgement compares, an array [loss] each.

    Attributes:
        head: The first losses that are not exactly zero, three at most.
        middle: The fifth before the last.
        tail: The last fifth.
        late: All but the first fifth.
        best: The fifth with the lowest mean.
        best_step: Last step of it.
    """

    head: FloatArray
    middle: FloatArray
    tail: FloatArray
    late: FloatArray
    best: FloatArray
    best_step: int


def stretches_of(steps: FloatArray, values: FloatArray, *, least_count: int = 5) -> Stretches:
    """Cut a series into the stretches that are compared.

    Args:
        steps: Steps of the losses, ascending.
        values: The losses, two at least.
        least_count: Losses that a stretch has at least, where a fifth of them is as many.

    Returns:
        The stretches; the middle one is empty where the tail takes all.
    """
    count = len(values)
    width = (steps[-1] - steps[0] + 1.0) / 5.0
    least = max(2, min(least_count, count // 5))
    tail = min(int(np.searchsorted(steps, steps[-1] - width, side="right")), count - least)
    middle = max(0, min(int(np.searchsorted(steps, steps[-1] - 2.0 * width, side="right")), tail - least))
    begins = np.arange(count - least + 1)
    ends = np.clip(np.searchsorted(steps, steps[begins] + width, side="left"), begins + least, count)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    lowest = int(np.argmin((sums[ends] - sums[begins]) / (ends - begins)))
    # The sum over an empty batch is exactly zero, and no start.
    filled = values[values != 0.0] if (values[: count // 2 + 1] != 0.0).any() else values
    return Stretches(
        head=filled[: max(1, min(3, count // 10))],
        middle=values[middle:tail],
        tail=values[tail:],
        late=values[min(int(np.searchsorted(steps, steps[0] + width)), tail) :],
        best=values[begins[lowest] : ends[lowest]],
        best_step=int(steps[ends[lowest] - 1]),
    )


def turn_of(steps: FloatArray, values: FloatArray, *, best: float, end: float) -> int:
    """Step from which on a loss stays above the middle between its best and where it ends.

    Args:
        steps: Steps of the losses.
        values: The losses.
        best: Its lowest level.
        end: Where it ends, or what counts as lost where that is lower; single losses below the middle do not count
            where they are fewer than a fifth.

    Example:
        >>> turn_of(np.arange(6.0), np.array([3.0, 1.0, 1.0, 3.0, 3.0, 3.0]), best=1.0, end=3.0)
        3
    """
    is_high = values > 0.5 * (best + end)
    shares = np.cumsum(is_high[::-1])[::-1] / np.arange(len(values), 0, -1)
    lasting = np.flatnonzero(is_high & (shares >= 0.8))
    return int(steps[lasting[0]]) if len(lasting) else int(steps[-1])


def sigmas_between(higher: FloatArray, lower: FloatArray) -> float:
    """How many standard errors the mean of some losses is above that of others; 0 for fewer than four of either."""
    if min(len(higher), len(lower)) < 4:
        return 0.0
    error = math.sqrt(higher.var(ddof=1) / len(higher) + lower.var(ddof=1) / len(lower))
    return float((higher.mean() - lower.mean()) / max(error, 1e-300))


def noise_of(values: FloatArray) -> float:
    """Standard deviation of single losses about their trend: from the median jump between neighbours.

    Example:
        >>> noise_of(np.array([1.0, 1.0, 1.0, 5.0]))
        0.0
    """
    jumps = np.abs(np.diff(values))
    # 1.4826 turns a median absolute deviation of normal numbers into their standard deviation; a jump has two of them.
    return float(1.4826 * np.median(jumps) / math.sqrt(2.0)) if len(jumps) else 0.0


def mean_error(values: FloatArray, noise: float) -> float:
    """Standard error of the mean of some losses, the greater of what their noise and their own spread give.

    The median jump misses losses that are rare and large; the spread counts a trend as noise. The greater is safe.
    """
    spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return max(noise, spread) / math.sqrt(max(1, len(values)))
