"""Exclusive or: the smallest problem that no network without a hidden layer can solve.

Source:
    M. Minsky and S. Papert, "Perceptrons", 1969; D. Rumelhart, G. Hinton, R. Williams 1986, who solved it by
    backpropagation. Four points, so it has no licence.
"""

import numpy as np
from numpy.typing import NDArray

CORNERS = ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0))
"""The four inputs."""


def load_xor() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The four inputs [example 2], and 1 where just one of them is 1 [example 1]."""
    inputs = np.array(CORNERS, np.float32)
    return inputs, (inputs.sum(axis=1, keepdims=True) == 1.0).astype(np.float32)


def draw_xor(
    count: int, generator: np.random.Generator, *, spread: float = 0.15
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw points around the four corners.

    Args:
        count: How many; each corner has an equal chance.
        generator: Where chance comes from.
        spread: Standard deviation around a corner; at the default about one point in 1,100 lies nearer to another.

    Returns:
        Points [example 2], and 1 where just one side of their corner is 1 [example 1].
    """
    inputs, targets = load_xor()
    corners = generator.integers(0, len(CORNERS), count)
    scattered = inputs[corners] + spread * generator.standard_normal((count, 2), dtype=np.float32)
    return scattered, targets[corners]
