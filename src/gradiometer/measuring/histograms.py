"""Fixed log2 histogram of a tensor's absolute values: one bin for each power of two, the same for every tensor.

A large tensor is read at a fixed sample of places, so that the cost does not grow with it. The sample comes from a
generator of its own; the training's random state is never touched, and the device is never waited for.
"""

from collections.abc import Sequence
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

SAMPLE_SIZE = 4096
"""Elements read of a tensor that has more. A share of 1 % is then known to 0.16 %, one of 50 % to 0.8 %."""

MOST_TOGETHER = 32
"""Samples of about one size that are counted together."""

LEAST_WIDTH = 64
"""Samples smaller than this are counted as if they had so many elements."""

SAMPLE_SEED = 20_261

ONE_BYTE = frozenset(
    dtype
    for name in ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")
    if (dtype := getattr(torch, name, None)) is not None
)
"""Formats of one byte, which torch can neither index nor take apart."""


ZERO_SLOT, NONFINITE_SLOT, SUBNORMAL_SLOT = 0, BIN_COUNT + 1, BIN_COUNT + 2
"""Where zeros and values that are not finite are counted, before and behind the bins, and, of float64 alone, values
other than zero below its smallest normal number: of the others the bins tell."""

SLOT_COUNT = BIN_COUNT + 3


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


@dataclass(frozen=True, slots=True)
class Counted:
    """What is known of a histogram without its counts.

    Attributes:
        format: The tensor's own format.
        sample_size: Elements that were read.
        element_count: Elements that the tensor has.
        padding: Zeros that were counted beside them.
    """

    format: torch.dtype
    sample_size: int
    element_count: int
    padding: int

    def read(self, row: NDArray[np.int64]) -> Histogram:
        """Make a histogram of its counts, on the host."""
        bins = row[ZERO_SLOT + 1 : NONFINITE_SLOT]
        if self.format == torch.float64:
            subnormal_count = int(row[SUBNORMAL_SLOT])
        else:
            smallest_normal = int(np.log2(torch.finfo(self.format).tiny))
            subnormal_count = int(bins[: smallest_normal - LOWEST_EXPONENT].sum())
        return Histogram(
            counts=bins,
            zero_count=int(row[ZERO_SLOT]) - self.padding,
            nonfinite_count=int(row[NONFINITE_SLOT]),
            subnormal_count=subnormal_count,
            sample_size=self.sample_size,
            element_count=self.element_count,
        )


@dataclass(slots=True)
class Shelf:
    """Samples of about one size that wait to be counted together.

    Attributes:
        values: sample element, float32 or float64.
        slots: The same, sample by sample.
        count: Samples that it holds.
    """

    values: Tensor
    slots: Sequence[Tensor]
    count: int = 0


class OctaveCounter:
    """Sorts the absolute values of many samples into one bin for each power of two, many of them in one pass.

    Attributes:
        found: Counts, a row of `SLOT_COUNT` whole numbers for each sample; once `finish` was called, all of them.
        order: Numbers of the samples that these rows belong to.
    """

    def __init__(self) -> None:
        self.found: list[Tensor] = []
        self.order: list[int] = []
        self._number = 0
        self._shelves: dict[tuple[int, torch.dtype, torch.device], tuple[Shelf, list[int]]] = {}

    def add(self, sample: Tensor, element_count: int) -> Counted:
        """Count a sample; samples are numbered as they come.

        Args:
            sample: Any floating-point or complex format, float8 included, at most `SAMPLE_SIZE` elements, flat; not
                needed any more once this returns.
            element_count: Elements of the tensor that it is from.
        """
        own_format, size = sample.dtype, sample.numel()
        if sample.is_complex():
            sample = sample.abs()
            own_format = sample.dtype
        wide = torch.float64 if sample.dtype == torch.float64 else torch.float32
        width = max(LEAST_WIDTH, 1 << (size - 1).bit_length())
        key = (width, wide, sample.device)
        if key not in self._shelves:
            values = torch.empty((MOST_TOGETHER, width), dtype=wide, device=sample.device)
            self._shelves[key] = Shelf(values, values.unbind(0)), []
        shelf, numbers = self._shelves[key]
        slot = shelf.slots[shelf.count]
        if size < width:
            slot[size:].zero_()
            slot = slot[:size]
        slot.copy_(sample)
        shelf.count += 1
        numbers.append(self._number)
        self._number += 1
        if shelf.count == MOST_TOGETHER:
            self._count(shelf, numbers)
        return Counted(own_format, size, element_count, width - size)

    def _count(self, shelf: Shelf, numbers: list[int]) -> None:
        if shelf.count:
            self.found.append(count_slots(shelf.values[: shelf.count]))
            self.order += numbers
            shelf.count = 0
            numbers.clear()

    def finish(self) -> None:
        """Count what waits still."""
        for shelf, numbers in self._shelves.values():
            self._count(shelf, numbers)
        self._shelves = {}


def count_slots(values: Tensor) -> Tensor:
    """Count values by the power of two below them; the device is not waited for.

    Args:
        values: sample element, float32, or float64 on a device that has it.

    Returns:
        sample slot, int64: zeros, the bins, values that are not finite, and of float64 the subnormal ones.
    """
    slots = float_slots(values) if values.dtype == torch.float32 else double_slots(values)
    counts = torch.zeros((len(values), SLOT_COUNT), dtype=torch.int64, device=values.device)
    # Adding ones at places needs no answer from the device; torch.bincount would wait for the greatest place.
    counts.scatter_add_(1, slots.long(), torch.ones_like(slots, dtype=torch.int64))
    if values.dtype == torch.float64:
        magnitudes = values.abs()
        counts[:, SUBNORMAL_SLOT] = ((magnitudes < torch.finfo(torch.float64).tiny) & (magnitudes != 0.0)).sum(1)
    return counts


def float_slots(values: Tensor) -> Tensor:
    """Slot of each float32 value, read from its bits: the exponent's of normal numbers, 2^-126 and above.

    The bits of a smaller one are a whole number of 2^-149; turned into a float32 itself, it tells its power of two.
    """
    bits = values.view(torch.int32) & 0x7FFF_FFFF
    small = (bits.float().view(torch.int32) >> 23) - 125
    return torch.where(bits < 1 << 23, small, (bits >> 23) + 24).clamp_(min=ZERO_SLOT)


def double_slots(values: Tensor) -> Tensor:
    """Slot of each float64 value."""
    magnitudes = values.abs()
    # frexp writes a number as m * 2^e with 0.5 <= m < 1, so that its power of two is e - 1.
    exponents = torch.frexp(magnitudes).exponent - 1
    slots = exponents.clamp(LOWEST_EXPONENT, HIGHEST_EXPONENT) - (LOWEST_EXPONENT - 1)
    slots = torch.where(torch.isfinite(magnitudes), slots, NONFINITE_SLOT)
    return torch.where(magnitudes == 0.0, ZERO_SLOT, slots)


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

    One set of 32 KiB serves all tensors, where places of its own for each would outgrow a network's small layers.
    """
    generator = np.random.Generator(np.random.Philox(SAMPLE_SEED))
    return torch.from_numpy(np.sort(generator.random(sample_size))).to(device, non_blocking=True)
