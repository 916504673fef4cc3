"""The format that sums are taken in: float64, or what a device without it has (Apple's, some of Intel's)."""

from functools import lru_cache

import torch

COMPLETE = frozenset({"cpu", "cuda", "meta"})
"""Kinds of devices that have every format; the others are asked."""


@lru_cache
def exact_format(device: torch.device) -> torch.dtype:
    """The widest real format of a device; where it has to be tried out, that is done once.

    Example:
        >>> exact_format(torch.device("cpu"))
        torch.float64
    """
    if device.type in COMPLETE:
        return torch.float64
    try:
        torch.empty((), dtype=torch.float64, device=device)
    except (TypeError, RuntimeError):  # Metal's way to say it, and SYCL's
        return torch.float32
    return torch.float64
