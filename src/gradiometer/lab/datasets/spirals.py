"""Two spirals that wind around each other three times: easy to see, hard to learn for a small network.

Source:
    K. Lang and M. Witbrock, "Learning to Tell Two Spirals Apart", Connectionist Models Summer School 1988: point i of
    97 lies at angle iπ/16 and radius 6.5 (104 - i)/104, and the other spiral is its mirror image through the centre.
    Made by a formula, so it has no licence.
"""

import math

import numpy as np
from numpy.typing import NDArray

POINTS = 97
"""Points of each spiral, as published."""

POINTS_IN_HALF_A_TURN = 16
RADIUS = 6.5
FULL_RADIUS_POINTS = 104
"""The radius would be 0 at this point, which is beyond the last."""


def load_spirals() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The 194 published points [example 2], spiral by turns, and which spiral each is on, 1 or 0 [example 1]."""
    return _points(np.repeat(np.arange(POINTS, dtype=np.float64), 2), np.tile([1.0, 0.0], POINTS))


def draw_spirals(
    count: int, generator: np.random.Generator, *, spread: float = 0.0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw points anywhere along the two spirals.

    Args:
        count: How many; both spirals have an equal chance.
        generator: Where chance comes from.
        spread: Standard deviation around the spiral; neighbouring arms lie 1 apart.

    Returns:
        Points [example 2], and which spiral each is on, 1 or 0 [example 1].
    """
    places = generator.uniform(0.0, POINTS - 1.0, count)
    points, targets = _points(places, generator.integers(0, 2, count).astype(np.float64))
    return points + np.float32(spread) * generator.standard_normal((count, 2), dtype=np.float32), targets


def _points(
    places: NDArray[np.float64], is_first: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Points at the given places along the given spirals."""
    angles = places * math.pi / POINTS_IN_HALF_A_TURN
    signed = (2.0 * is_first - 1.0) * RADIUS * (FULL_RADIUS_POINTS - places) / FULL_RADIUS_POINTS
    points = np.stack([signed * np.sin(angles), signed * np.cos(angles)], axis=1)
    return points.astype(np.float32), is_first[:, None].astype(np.float32)
