"""Which of many steps to keep when not all can be: all of the first and the last, fewer and fewer between."""

import numpy as np
from numpy.typing import NDArray

Steps = NDArray[np.int64]
Mask = NDArray[np.bool_]


def choose_spaced(steps: Steps, keep_count: int, *, first_count: int = 20, last_count: int = 50) -> Mask:
    """Choose steps to keep: the first, the last, and between them a set half log-spaced, half evenly spaced.

    Trouble shows at the beginning of a training or now, so both ends stay whole; a log-spaced set resolves the
    beginning at every scale, an even one keeps curves drawable to the end. Chosen again and again of what a growing run
    has left, the set stays one: the even half is even in steps and not in their ranks, of which the end would take ever
    more.

    Args:
        steps: Steps, ascending, [step].
        keep_count: How many to keep, all where there are no more.
        first_count: How many of the first always stay.
        last_count: How many of the last always stay. Where both do not fit, they share the room in proportion.

    Returns:
        A mask [step], all true where nothing has to go.

    Example:
        >>> int(choose_spaced(np.arange(1000), 100).sum())
        100
    """
    step_count = len(steps)
    if step_count <= keep_count:
        return np.ones(step_count, dtype=np.bool_)
    if first_count + last_count > keep_count:
        first_count = keep_count * first_count // (first_count + last_count)
        last_count = keep_count - first_count
    mask = np.zeros(step_count, dtype=np.bool_)
    mask[:first_count] = True
    mask[step_count - last_count :] = True
    between = steps[first_count : step_count - last_count]
    mask[first_count : step_count - last_count] = _choose_between(between, keep_count - first_count - last_count)
    return mask


def _choose_between(steps: Steps, count: int) -> Mask:
    """Choose so many steps, fewer than there are: near log-spaced and even ones, any others where two are the same."""
    start, end, even_count = float(steps[0]), float(steps[-1]), count // 2
    spaced = np.geomspace(start + 1.0, end + 1.0, count - even_count) - 1.0
    targets = np.concatenate([spaced, np.linspace(start, end, even_count)])
    above = np.searchsorted(steps, targets).clip(0, len(steps) - 1)
    below = (above - 1).clip(0)
    chosen = np.zeros(len(steps), dtype=np.bool_)
    chosen[np.where(targets - steps[below] <= steps[above] - targets, below, above)] = True
    others, missing_count = np.flatnonzero(~chosen), count - int(chosen.sum())
    chosen[others[np.arange(missing_count) * len(others) // max(missing_count, 1)]] = True
    return chosen


def spread_kinds(mask: Mask, kinds: NDArray[np.int64], *, first_count: int, last_count: int) -> Mask:
    """Exchange chosen steps for neighbours that are not, so that every kind has as many chosen ones as it can.

    Every second one of steps whose kinds take strict turns would be of every second kind alone. Of the steps that are
    nearest to a chosen one, up to half-way to the next, the one whose kind has the fewest so far takes its place.

    Args:
        mask: Which are chosen, [step].
        kinds: Of each step its kind, [step].
        first_count: How many of the first chosen ones stay as they are.
        last_count: How many of the last ones.

    Returns:
        A mask [step] with as many chosen ones.

    Example:
        >>> kinds = np.arange(12) % 2
        >>> mask = spread_kinds(np.arange(12) % 4 == 0, kinds, first_count=0, last_count=0)
        >>> int(mask.sum()), kinds[mask].tolist()
        (3, [0, 1, 0])
    """
    if not len(kinds) or kinds.min() == kinds.max():
        return mask
    chosen = np.flatnonzero(mask).tolist()
    end = len(chosen) - last_count
    kind_of = kinds.tolist()
    counts = np.bincount(kinds[[*chosen[:first_count], *chosen[end:]]], minlength=int(kinds.max()) + 1).tolist()
    for rank in range(first_count, end):
        place = chosen[rank]
        before = chosen[rank - 1] if rank else -1
        after = chosen[rank + 1] if rank + 1 < len(chosen) else len(mask)
        near = range(max(before, (before + place) // 2) + 1, (place + after) // 2 + 1)
        chosen[rank] = min([place, *near], key=lambda other: (counts[kind_of[other]], abs(other - place)))
        counts[kind_of[chosen[rank]]] += 1
    spread = np.zeros(len(mask), dtype=np.bool_)
    spread[chosen] = True
    return spread
