"""The table of reductions on the CPU: every tensor in blocks that stay in the processor's cache, small ones together.

What is dear on the CPU is avoided. A greatest magnitude is read from the numbers' bits, which order as integers do:
two integer maxima, one of them without sign, cost half of `torch.aminmax`, and NaN and infinity come out above every
finite number, so that they are counted only where there are any. Zeros are counted by NumPy, whose comparison is
several times as fast as `torch.count_nonzero`. Sums of squares are taken in float32 over short rows, which also stays
right where `torch._foreach_norm` does not (over 10^8 normal numbers that is 1 % too small), and again in float64 where
float32 may have lost digits.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from struct import pack, unpack
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradiometer.measuring.reductions_defined import (
    COLUMN_COUNT,
    GREATEST,
    SQUARE_SUM,
    ZERO_COUNT,
    Table,
    flat_values,
    reduce_plainly,
)

BLOCK_SIZE = 1 << 17
"""Elements reduced at a time: half a mebibyte of float32, which stays in an L2 cache from one reduction to the next."""

ROW_SIZE = 1 << 13
"""Elements whose squares are summed in float32. OpenBLAS starts threads of its own for more than 10 000."""

SMALL_SIZE = 1 << 12
"""Tensors up to this size are reduced together: their calls cost more than copying their elements."""

LEAST_TOGETHER = 3
"""Of fewer small tensors than these each is reduced alone: together they take as long as three."""

LEAST_SAFE_SUM = 1e-22
"""In a float32 sum of squares above it, squares that underflowed (below 1.2e-38) can't show in the seventh digit."""

Row: TypeAlias = tuple[float, float, int, int]
EMPTY_ROW: Row = (0.0, 0.0, 0, 0)
Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Format:
    """A number format that NumPy reduces.

    Attributes:
        plain: The format.
        signed: Integers of its width.
        unsigned: The same without sign.
        magnitude: The bits that are not the sign.
        infinity: The bits of infinity; those of NaN are above.
        codes: How `struct` calls the unsigned integers and the format.
        zero: Zero, in the form that NumPy compares with fastest.
    """

    plain: type[np.floating[Any]]
    signed: type[np.signedinteger[Any]]
    unsigned: type[np.unsignedinteger[Any]]
    magnitude: int
    infinity: int
    codes: tuple[str, str]
    zero: Array


FORMATS = {
    torch.float32: Format(np.float32, np.int32, np.uint32, 2**31 - 1, 0xFF << 23, ("I", "f"), np.zeros((), np.float32)),
    torch.float64: Format(
        np.float64, np.int64, np.uint64, 2**63 - 1, 0x7FF << 52, ("Q", "d"), np.zeros((), np.float64)
    ),
}
"""Formats reduced as they are; every other goes by way of float32."""


def reduce_in_blocks(tensors: Sequence[Tensor]) -> Table:
    """Reduce tensors of the CPU to the table of `reductions_defined`.

    Args:
        tensors: Floating-point or complex tensors, any layout.

    Returns:
        The table; float64.

    Example:
        >>> reduce_in_blocks([torch.tensor([3.0, 0.0, -4.0]), torch.zeros(0)]).tolist()
        [[25.0, 4.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    """
    # Sums that leave float32 are looked at and taken again; NumPy need not warn of them.
    with np.errstate(all="ignore"):
        return torch.from_numpy(reduce_arrays(tensors))


def reduce_arrays(tensors: Sequence[Tensor]) -> NDArray[np.float64]:
    """The table as an array."""
    rows: list[Row] = [EMPTY_ROW] * len(tensors)
    small: dict[torch.dtype, tuple[list[int], list[Array]]] = {}
    is_zero = np.empty(BLOCK_SIZE, np.bool_)
    for place, tensor in enumerate(tensors):
        form = FORMATS.get(tensor.dtype)
        if form is None or tensor.layout is not torch.strided or tensor.is_neg():
            rows[place] = reduce_converted(tensor, is_zero)
            continue
        values = tensor.detach().numpy().ravel("K")
        if values.size > SMALL_SIZE:
            rows[place] = reduce_array(values, form, is_zero)
        elif values.size:
            places, arrays = small.setdefault(tensor.dtype, ([], []))
            places.append(place)
            arrays.append(values)
    table = np.array(rows, dtype=np.float64).reshape(-1, COLUMN_COUNT)
    for dtype, (places, arrays) in small.items():
        if len(places) >= LEAST_TOGETHER:
            table[places] = reduce_together(arrays, FORMATS[dtype])
        else:
            table[places] = [reduce_array(values, FORMATS[dtype], is_zero) for values in arrays]
    return table


def reduce_converted(tensor: Tensor, is_zero: NDArray[np.bool_]) -> Row:
    """One row of the table for a tensor that NumPy can't read as it is: half formats, complex and sparse tensors."""
    flat = flat_values(tensor)
    absent_count = tensor.numel() - flat.numel()
    if flat.is_complex():
        square_sum, greatest, zeros, nonfinite = reduce_plainly([flat])[0].tolist()
        return square_sum, greatest, zeros + absent_count, nonfinite
    form = FORMATS.get(flat.dtype, FORMATS[torch.float32])
    scratch = torch.empty(BLOCK_SIZE, dtype=torch.float32 if flat.dtype not in FORMATS else flat.dtype)
    blocks = (scratch[: block.numel()].copy_(block).numpy() for block in torch.split(flat, BLOCK_SIZE) if block.numel())
    return join_rows([(0.0, 0.0, absent_count, 0), *(reduce_array(block, form, is_zero) for block in blocks)])


def reduce_array(values: Array, form: Format, is_zero: NDArray[np.bool_]) -> Row:
    """One row of the table for one array, flat and not empty; `is_zero` is memory of a block's size to work in."""
    size = values.size
    if size <= BLOCK_SIZE:
        square_sum, greatest, zeros = reduce_block(values, form, is_zero[:size])
    else:
        square_sum, greatest, zeros = 0.0, 0, 0
        for start in range(0, size, BLOCK_SIZE):
            block = values[start : start + BLOCK_SIZE]
            sums = reduce_block(block, form, is_zero[: block.size])
            square_sum, greatest, zeros = square_sum + sums[0], max(greatest, sums[1]), zeros + sums[2]
    if greatest and not (LEAST_SAFE_SUM < square_sum < math.inf and greatest < form.infinity):
        return reduce_exactly(values)
    return square_sum, unpack(form.codes[1], pack(form.codes[0], greatest))[0], zeros, 0


def reduce_block(values: Array, form: Format, is_zero: NDArray[np.bool_]) -> tuple[float, int, int]:
    """Sum of squares, bits of the greatest magnitude and zeros of a block."""
    whole = values.size - values.size % ROW_SIZE
    # The fastest reader comes first: it brings the block into the cache, which the slower ones then find there.
    square_sum = sum(dot_rows(values[:whole].reshape(-1, ROW_SIZE)).tolist())
    if whole < values.size:
        rest = values[whole:]
        square_sum += float(rest.dot(rest))
    greatest = max(
        int(np.maximum.reduce(values.view(form.signed))) & form.magnitude,
        int(np.maximum.reduce(values.view(form.unsigned))) & form.magnitude,
    )
    np.equal(values, form.zero, is_zero)
    return square_sum, greatest, int(np.count_nonzero(is_zero))


def dot_rows_by_matmul(rows: Array) -> Array:
    """Dot product of every row with itself, for NumPy before 2.0."""
    products: Array = np.matmul(rows[:, None, :], rows[:, :, None])
    return products[:, 0, 0]


dot_rows: Callable[[Array], Array] = (
    (lambda rows: np.vecdot(rows, rows)) if hasattr(np, "vecdot") else dot_rows_by_matmul
)
"""Dot product of every row with itself; both ways leave it to BLAS."""


def reduce_exactly(values: Array) -> Row:
    """One row of the table for an array that may hold what is not finite or what float32 can't square."""
    rows = []
    for start in range(0, values.size, BLOCK_SIZE):
        block = values[start : start + BLOCK_SIZE]
        finite = block[np.isfinite(block)].astype(np.float64)
        square_sum = float(np.square(finite).sum())
        greatest = float(np.abs(finite).max(initial=0.0))
        rows.append((square_sum, greatest, int(np.count_nonzero(finite == 0.0)), block.size - finite.size))
    return join_rows(rows)


def join_rows(rows: Sequence[Row]) -> Row:
    """One row for the parts of a tensor."""
    square_sums, greatest, zeros, nonfinite = zip(*rows, strict=True)
    return sum(square_sums), max(greatest), sum(zeros), sum(nonfinite)


def reduce_together(arrays: Sequence[Array], form: Format) -> NDArray[np.float64]:
    """Rows of the table for small arrays of one format, flat and none of them empty."""
    values = np.concatenate(arrays)
    ends = np.cumsum([array.size for array in arrays])
    starts = np.concatenate([[0], ends[:-1]])
    greatest = np.maximum(
        np.maximum.reduceat(values.view(form.signed), starts).view(form.unsigned) & form.unsigned(form.magnitude),
        np.maximum.reduceat(values.view(form.unsigned), starts) & form.unsigned(form.magnitude),
    )
    found = np.zeros((len(arrays), COLUMN_COUNT))
    square_sums = np.add.reduceat(values * values, starts)
    found[:, SQUARE_SUM] = square_sums
    found[:, GREATEST] = greatest.view(form.plain)
    is_zero = values == form.zero
    if is_zero.any():
        found[:, ZERO_COUNT] = np.add.reduceat(is_zero.view(np.int8), starts, dtype=np.int64)
    is_safe = (square_sums > LEAST_SAFE_SUM) & (square_sums < math.inf) & (greatest < form.infinity)
    for place in np.flatnonzero(~(is_safe | (greatest == 0))):
        found[place] = reduce_exactly(values[starts[place] : ends[place]])
    return found
