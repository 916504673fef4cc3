"""Which of many steps to keep when not all can be: all of the first and the last, fewer and fewer between."""

import numpy as np
from numpy.typing import NDArray


def choose_spaced(
    steps: NDArray[np.int64], keep_count: int, *, first_count: int = 20, last_count: int = 50
) -> NDArray[np.bool_]:
    """Choose steps to keep: the first, the last, and between them a set half log-spaced, half evenly spaced.

    Trouble shows at the beginning of a training or now, so both ends stay whole; a log-spaced set resolves the
    beginning at every scale, an even one keeps curves drawable to the end.

    Args:
        steps: Steps, ascending, [step].
        keep_count: How many to keep at most.
        first_count: How many of the first always stay.
        last_count: How many of the last always stay. Where both do not fit, they share the room in proportion.

    Returns:
        A mask [step], all true where nothing has to go.

    Example:
        >>> int(choose_spaced(np.arange(1000), 100).sum()) <= 100
        True
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
    room = keep_count - first_count - last_count
    even_count = room // 2
    even = np.linspace(0, len(between) - 1, even_count).round().astype(np.int64)
    start, end = float(between[0]) + 1.0, float(between[-1]) + 1.0
    targets = np.geomspace(start, end, room - even_count) - 1.0
    spaced = np.searchsorted(between, targets).clip(0, len(between) - 1)
    mask[first_count + np.concatenate([even, spaced])] = True
    return mask
