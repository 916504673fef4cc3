"""Fixed log2 histogram of a tensor's absolute values: one bin for each power of two, the same for every tensor.

A large tensor is read at a fixed sample of places, so that the cost does not grow with it. The sample comes from a
generator of its own; the training's random state is never touched, and the device is never waited for.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LOWEST_EXPONENT = -150
"""Lower edge of the first bin as a power of two: float32's smallest number above zero is 2^-149. Smaller values, which
only float64 has, fall into the first bin."""

HIGHEST_EXPONENT = 127
"""Lower edge of the last bin: float32 ends below 2^128. Greater values, which only float64 has, fall into the last."""

BIN_COUNT = HIGHEST_EXPONENT - LOWEST_EXPONENT + 1
"""Bins: bin k holds absolute values from 2^(LOWEST_EXPONENT + k) up to, not including, twice that."""

SAMPLE_SIZE = 16_384
"""Elements read of a tensor that has more. A share of 1 % is then known to 0.08 %, one of 50 % to 0.4 %."""

SAMPLE_SEED = 20_261

ONE_BYTE = frozenset(
    dtype
    for name in ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")
    if (dtype := getattr(torch, name, None)) is not None
)
"""Formats of one byte, which torch can neither index nor take apart."""


@dataclass(frozen=True, slots=True)
class HistogramCounts:
    """A histogram on its device, not yet read.

    Attributes:
        counts: int64: the bins, then zeros, values that are not finite, values other than zero below the smallest
            normal number of the tensor's own format.
        sample_size: Elements that were read.
        element_count: Elements that the tensor has.
    """

    counts: Tensor
    sample_size: int
    element_count: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """A histogram of absolute values.

    Attributes:
        counts: Elements read, by bin; `bin_edges` says which.
        zero_count: Elements read that are exactly zero.
        nonfinite_count: Elements read that are NaN or infinite.
        subnormal_count: Elements read, other than zero, below the smallest normal number of the tensor's own format:
            there digits are lost, and flushing devices make them zero.
        sample_size: Elements read.
        element_count: Elements that the tensor has.
    """

    counts: NDArray[np.int64]
    zero_count: int
    nonfinite_count: int
    subnormal_count: int
    sample_size: int
    element_count: int

    @property
    def subnormal_share(self) -> float:
        """Share below the smallest normal number, zeros apart; nan for an empty tensor."""
        return self.subnormal_count / self.sample_size if self.sample_size else float("nan")

    def standard_error(self, share: float) -> float:
        """Standard error of a share of the elements read, as one of all elements; 0 where all were read.

        Of a kind that none of n sampled elements belongs to, there are with 95 % confidence fewer than 3/n.
        """
        if self.sample_size == self.element_count:
            return 0.0
        return float(np.sqrt(share * (1.0 - share) / self.sample_size))


def count_octaves(tensor: Tensor) -> HistogramCounts:
    """Sort a tensor's absolute values into one bin for each power of two.

    Args:
        tensor: Any floating-point or complex tensor, float8 included, on any device that has float64. Of more than
            `SAMPLE_SIZE` elements so many are read, drawn with replacement at places that are the same for every
            tensor of its size.

    Returns:
        Counts on the tensor's device, for `read_histogram`; all 0 for an empty tensor.
    """
    values = sample_elements(tensor.detach())
    smallest_normal = torch.finfo(tensor.dtype).tiny
    if values.is_complex():
        values = values.abs()
    if values.dtype not in (torch.float32, torch.float64):
        values = values.to(torch.float32)
    magnitudes = values.abs()
    is_zero, is_finite = magnitudes == 0.0, torch.isfinite(magnitudes)
    # frexp writes a number as m * 2^e with 0.5 <= m < 1, so that its power of two is e - 1.
    exponents = torch.frexp(magnitudes).exponent - 1
    places = exponents.clamp(LOWEST_EXPONENT, HIGHEST_EXPONENT) - LOWEST_EXPONENT
    places = torch.where(is_zero, BIN_COUNT, torch.where(is_finite, places, BIN_COUNT + 1)).long()
    counts = torch.zeros(BIN_COUNT + 3, dtype=torch.int64, device=tensor.device)
    # Adding ones at places needs no answer from the device; torch.bincount would wait for the greatest place.
    counts.scatter_add_(0, places, torch.ones_like(places))
    counts[BIN_COUNT + 2] = ((magnitudes < smallest_normal) & ~is_zero).sum()
    return HistogramCounts(counts, values.numel(), tensor.numel())


def read_histogram(found: HistogramCounts, counts: NDArray[np.int64] | None = None) -> Histogram:
    """Bring a histogram to the host.

    Args:
        found: Its counts on the device.
        counts: The same on the host, where they came with others in one transfer; None to fetch them.
    """
    numbers = found.counts.cpu().numpy() if counts is None else counts
    return Histogram(
        counts=numbers[:BIN_COUNT],
        zero_count=int(numbers[BIN_COUNT]),
        nonfinite_count=int(numbers[BIN_COUNT + 1]),
        subnormal_count=int(numbers[BIN_COUNT + 2]),
        sample_size=found.sample_size,
        element_count=found.element_count,
    )


def bin_edges() -> NDArray[np.float64]:
    """Lower edges of all bins and the upper edge of the last."""
    return np.ldexp(1.0, np.arange(LOWEST_EXPONENT, HIGHEST_EXPONENT + 2))


def sample_elements(tensor: Tensor, sample_size: int = SAMPLE_SIZE) -> Tensor:
    """All elements of a small tensor, a fixed sample of so many of a large one; flat."""
    if tensor.numel() <= sample_size:
        return tensor.reshape(-1)
    places = (sample_fractions(tensor.device, sample_size) * tensor.numel()).long()
    if tensor.dtype in ONE_BYTE:
        return torch.take(tensor.view(torch.uint8), places).view(tensor.dtype)
    return torch.take(tensor, places)


@lru_cache(maxsize=16)
def sample_fractions(device: torch.device, sample_size: int = SAMPLE_SIZE) -> Tensor:
    """Where in a tensor its sample lies: sorted fractions of its length, one set for all tensors of a device.

    One set of 128 KiB serves all tensors, where places of its own for each would outgrow a network's small layers.
    """
    generator = np.random.Generator(np.random.Philox(SAMPLE_SEED))
    return torch.from_numpy(np.sort(generator.random(sample_size))).to(device, non_blocking=True)
