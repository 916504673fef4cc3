"""The copying problem: ten symbols are to be said again after a long delay.

A sequence begins with ten symbols out of eight (0 to 7), goes on with delay - 1 blanks (8), a mark that says "now" (9),
and ten more blanks. What is wanted is a blank at every time step but the last ten, and there the ten symbols in their
order. Who remembers nothing, says blanks, and guesses at the end, has a cross-entropy of 10 ln 8 / (delay + 20) nats a
time step.

Source:
    M. Arjovsky, A. Shah, Y. Bengio, "Unitary Evolution Recurrent Neural Networks", ICML 2016, section 5.1, after
    S. Hochreiter and J. Schmidhuber 1997. Made by chance, so it has no licence.
"""

import math

import numpy as np
from numpy.typing import NDArray

from gradiometer.errors import SettingsError

LENGTH = 10
"""Symbols to remember."""

SYMBOLS = 8
"""Different symbols among them."""

BLANK, NOW = 8, 9
"""The symbol that means nothing, and the one that asks for the answer."""

ALPHABET = 10
"""All symbols."""


def draw_copying(count: int, delay: int, generator: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw sequences and what is wanted at each of their time steps.

    Args:
        count: How many.
        delay: Time steps from a symbol's place to the mark's; at least 1.
        generator: Where chance comes from.

    Returns:
        Symbols and wanted symbols, both [example time], with delay + 20 time steps.

    Raises:
        SettingsError: The delay has no room for the mark.
    """
    if delay < 1:
        raise SettingsError(f"The copying problem needs a delay of one time step at least, not {delay}.")
    said = generator.integers(0, SYMBOLS, (count, LENGTH))
    symbols = np.full((count, delay + 2 * LENGTH), BLANK, np.int64)
    targets = symbols.copy()
    symbols[:, :LENGTH] = said
    symbols[:, delay + LENGTH - 1] = NOW
    targets[:, -LENGTH:] = said
    return symbols, targets


def memoryless_loss(delay: int) -> float:
    """Least cross-entropy without any memory, nats a time step.

    Example:
        >>> round(memoryless_loss(1000), 4)
        0.0204
    """
    return LENGTH * math.log(SYMBOLS) / (delay + 2 * LENGTH)
