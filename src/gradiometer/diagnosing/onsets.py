"""When a condition set in: the first full measurement from which on it holds."""

import numpy as np
from numpy.typing import NDArray

from gradiometer.schema import Run


def lasting_onset(holds: NDArray[np.bool_]) -> int | None:
    """First index from which on something holds to the end; None where it does not hold at the end.

    Example:
        >>> lasting_onset(np.array([True, False, True, True])), lasting_onset(np.array([True, False]))
        (2, None)
    """
    if not len(holds) or not holds[-1]:
        return None
    misses = np.flatnonzero(~holds)
    return int(misses[-1]) + 1 if len(misses) else 0


def first_onset(holds: NDArray[np.bool_]) -> int | None:
    """First index at which something holds; None where it never does.

    Example:
        >>> first_onset(np.array([False, True, False])), first_onset(np.array([], dtype=bool))
        (1, None)
    """
    found = np.flatnonzero(holds)
    return int(found[0]) if len(found) else None


def step_at(run: Run, index: int | None) -> int:
    """Step of a full measurement; 0 for None."""
    return 0 if index is None or not run.snapshot_count else int(run.snapshot_steps[index])
