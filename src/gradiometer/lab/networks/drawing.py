"""Draw a torch network's weights from a seed, and leave torch's own random state as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within it torch draws from this seed on the CPU; behind it as if nothing had been drawn.

    Args:
        seed: The seed.

    Example:
        >>> with seeded(3):
        ...     first = torch.nn.Linear(2, 2).weight
        >>> with seeded(3):
        ...     second = torch.nn.Linear(2, 2).weight
        >>> torch.equal(first, second)
        True
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
