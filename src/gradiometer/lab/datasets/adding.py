"""The adding problem: a sum of two numbers that stand far apart in a long sequence of others.

Each time step holds a number drawn evenly from 0 to 1 and a mark, 1 at one place of the first half, at one of the
second, and 0 elsewhere. What is wanted at the end is the sum of the two marked numbers. Who always answers 1 has a mean
squared error of 1/6, the variance of a sum of two such numbers.

Source:
    S. Hochreiter and J. Schmidhuber, "Long Short-Term Memory", Neural Computation 1997, experiment 4, in the form of
    Q. Le, N. Jaitly, G. Hinton, "A Simple Way to Initialize Recurrent Networks of Rectified Linear Units", 2015, who
    print .1767 for the constant answer, where 1/6 is .1667. Made by chance, so it has no licence.
"""

import numpy as np
from numpy.typing import NDArray

from gradiometer.errors import SettingsError

CONSTANT_GUESS_LOSS = 1.0 / 6.0
"""Mean squared error of the best constant answer, which is 1."""


def draw_adding(
    count: int, lag: int, generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw sequences and their sums.

    Args:
        count: How many.
        lag: Time steps of a sequence; at least 2.
        generator: Where chance comes from.

    Returns:
        Sequences [example time 2] with the number first and the mark second, and sums [example 1].

    Raises:
        SettingsError: There is no room for two marks.
    """
    if lag < 2:
        raise SettingsError(f"The adding problem needs two time steps at least, not {lag}.")
    numbers = generator.random((count, lag), dtype=np.float32)
    marks = np.zeros_like(numbers)
    examples = np.arange(count)
    marks[examples, generator.integers(0, lag // 2, count)] = 1.0
    marks[examples, generator.integers(lag // 2, lag, count)] = 1.0
    return np.stack([numbers, marks], axis=2), (numbers * marks).sum(axis=1, keepdims=True)
