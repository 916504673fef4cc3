"""Shapley's value: what each of several players adds to a whole that they make together."""

from math import factorial

import numpy as np

from gradiometer.schema import FloatArray


def shapley_shares(worths: FloatArray) -> FloatArray:
    """Share of each player: the mean, over all orders in which players can come, of what its coming adds.

    Args:
        worths: Worth of each coalition [2^players]; bit k of the index says whether player k is in it. Finite.

    Returns:
        One share per player; together the worth of all players less that of none.

    Source:
        Shapley, "A value for n-person games", 1953.

    Example:
        >>> shapley_shares(np.array([0.0, 1.0, 2.0, 5.0])).tolist()
        [2.0, 3.0]
    """
    count = len(worths).bit_length() - 1
    coalitions = np.arange(len(worths))
    sizes = coalitions_sizes(coalitions, count)
    weights = np.array([factorial(size) * factorial(count - size - 1) for size in range(count)], dtype=np.float64)
    weights /= factorial(count)
    shares = np.zeros(count)
    for player in range(count):
        without = coalitions[(coalitions >> player) & 1 == 0]
        shares[player] = np.dot(weights[sizes[without]], worths[without | (1 << player)] - worths[without])
    return shares


def coalitions_sizes(coalitions: np.ndarray, count: int) -> np.ndarray:
    """Number of players in each coalition.

    Example:
        >>> coalitions_sizes(np.arange(4), 2).tolist()
        [0, 1, 1, 2]
    """
    return np.asarray(((coalitions[:, None] >> np.arange(count)) & 1).sum(axis=1))
