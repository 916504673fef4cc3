"""The table of reductions on the CPU: every tensor in blocks that stay in the processor's cache, small ones together.

What is dear on the CPU is avoided. A greatest magnitude is read from the numbers' bits, which order as integers do:
two integer maxima, one of them without sign, cost half of `torch.aminmax`, and NaN and infinity come out above every
finite number, so that they are counted only where there are any. Zeros are counted by NumPy, whose comparison is
several times as fast as `torch.count_nonzero`. Sums of squares are taken in float32 over short rows, which also stays
right where `torch._foreach_norm` does not (over 10^8 normal numbers that is 1 % too small), and again in float64 where
float32 may have lost digits. Memory to work in is kept: what is new in every call the system has to clear first, which
takes as long as the reductions of a small network.
"""

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from struct import pack, unpack
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch._utils import _flatten_dense_tensors

from gradiometer.measuring.reductions_defined import (
    COLUMN_COUNT,
    GREATEST,
    SQUARE_COLUMNS,
    SQUARE_SUM,
    ZERO_COUNT,
    SquareTable,
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

MANY_FLAGS = 1 << 15
"""Flags from which on a second pass over them, where any is set, costs less than is saved where none is."""

MOST_TOGETHER = 1 << 15
"""Elements that are reduced together at a time."""

LEAST_SAFE_SUM = 1e-22
"""In a float32 sum of squares above it, squares that underflowed (below 1.2e-38) can't show in the seventh digit."""

Row: TypeAlias = tuple[float, float, int, int]
EMPTY_ROW: Row = (0.0, 0.0, 0, 0)
Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
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


@dataclass(frozen=True, slots=True)
class Group:
    """Small tensors of a sequence that are reduced together.

    Attributes:
        members: Where they stand in it.
        starts: Where each begins among all their elements.
        ends: Where each ends.
    """

    members: slice
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


ReduceArray: TypeAlias = Callable[[Array, Format], Row]
ReduceGroup: TypeAlias = Callable[[Sequence[Tensor], Group, Format], NDArray[np.float64]]


class Scratch(threading.local):
    """Memory to work in, each thread's own, kept from call to call.

    Attributes:
        is_zero: A flag for each element of a block.
        worked: By format what is worked out of the elements of small tensors.
    """

    def __init__(self) -> None:
        self.is_zero = np.empty(BLOCK_SIZE, np.bool_)
        self.worked = {form: np.empty(MOST_TOGETHER, form.plain) for form in FORMATS.values()}


scratch = Scratch()


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
        return torch.from_numpy(reduce_arrays(tensors, reduce_array, reduce_together))


def square_in_blocks(tensors: Sequence[Tensor]) -> SquareTable:
    """Sum the squares of tensors of the CPU and count what is not finite: one pass where all is finite.

    Args:
        tensors: Floating-point or complex tensors, any layout.

    Returns:
        The table; float64.

    Example:
        >>> square_in_blocks([torch.tensor([3.0, 0.0, -4.0]), torch.tensor([math.inf])]).tolist()
        [[25.0, 0.0], [0.0, 1.0]]
    """
    with np.errstate(all="ignore"):
        return torch.from_numpy(reduce_arrays(tensors, square_array, square_together)[:, SQUARE_COLUMNS])


def reduce_arrays(tensors: Sequence[Tensor], alone: ReduceArray, together: ReduceGroup) -> NDArray[np.float64]:
    """The table as an array; each large tensor is reduced alone, small ones together."""
    rows: list[Row] = [EMPTY_ROW] * len(tensors)
    small: dict[Format, dict[int, Tensor]] = {form: {} for form in FORMATS.values()}
    for place, tensor in enumerate(tensors):
        form = FORMATS.get(tensor.dtype)
        if form is None or tensor.layout is not torch.strided:
            rows[place] = reduce_converted(tensor, alone)
        elif (size := tensor.numel()) <= SMALL_SIZE:
            if size:
                small[form][place] = tensor
        elif tensor.is_neg():
            rows[place] = reduce_converted(tensor, alone)
        else:
            rows[place] = alone(tensor.detach().numpy().ravel("K"), form)
    table = np.fromiter(chain.from_iterable(rows), np.float64, COLUMN_COUNT * len(rows)).reshape(-1, COLUMN_COUNT)
    for form, found in small.items():
        members = list(found.values())
        for group in plan_groups(tuple([tensor.numel() for tensor in members])):
            table[list(found)[group.members]] = together(members[group.members], group, form)
    return table


def reduce_converted(tensor: Tensor, alone: ReduceArray) -> Row:
    """One row of the table for a tensor that NumPy can't read as it is: half formats, complex and sparse tensors."""
    flat = flat_values(tensor)
    absent_count = tensor.numel() - flat.numel()
    if flat.is_complex():
        square_sum, greatest, zeros, nonfinite = reduce_plainly([flat])[0].tolist()
        return square_sum, greatest, zeros + absent_count, nonfinite
    form = FORMATS.get(flat.dtype, FORMATS[torch.float32])
    converted = torch.empty(BLOCK_SIZE, dtype=torch.float32 if flat.dtype not in FORMATS else flat.dtype)
    blocks = (
        converted[: block.numel()].copy_(block).numpy() for block in torch.split(flat, BLOCK_SIZE) if block.numel()
    )
    return join_rows([(0.0, 0.0, absent_count, 0), *(alone(block, form) for block in blocks)])


def reduce_array(values: Array, form: Format) -> Row:
    """One row of the table for one array, flat and not empty."""
    size, is_zero = values.size, scratch.is_zero
    if size <= BLOCK_SIZE:
        square_sum, greatest, zeros = reduce_block(values, form, is_zero[:size])
    else:
        square_sum, greatest, zeros = 0.0, 0, 0
        for start in range(0, size, BLOCK_SIZE):
            block = values[start : start + BLOCK_SIZE]
            sums = reduce_block(block, form, is_zero[: block.size])
            square_sum, greatest, zeros = square_sum + sums[0], max(greatest, sums[1]), zeros + sums[2]
    if greatest and not LEAST_SAFE_SUM < square_sum < math.inf:
        return reduce_exactly(values)
    return square_sum, unpack(form.codes[1], pack(form.codes[0], greatest))[0], zeros, 0


def reduce_block(values: Array, form: Format, is_zero: NDArray[np.bool_]) -> tuple[float, int, int]:
    """Sum of squares, bits of the greatest magnitude and zeros of a block."""
    # The fastest reader comes first: it brings the block into the cache, which the slower ones then find there.
    square_sum = square_block(values)
    greatest = max(
        int(np.maximum.reduce(values.view(form.signed))) & form.magnitude,
        int(np.maximum.reduce(values.view(form.unsigned))) & form.magnitude,
    )
    np.equal(values, form.zero, is_zero)
    return square_sum, greatest, count_flags(is_zero)


def square_array(values: Array, form: Format) -> Row:
    """Sum of squares and non-finite elements of one array, flat and not empty; the row's other numbers mean nothing."""
    if values.size <= BLOCK_SIZE:
        square_sum = square_block(values)
    else:
        square_sum = sum(
            square_block(values[start : start + BLOCK_SIZE]) for start in range(0, values.size, BLOCK_SIZE)
        )
    if LEAST_SAFE_SUM < square_sum < math.inf or not (square_sum or values.any()):
        return square_sum, 0.0, 0, 0
    return reduce_exactly(values)


def square_block(values: Array) -> float:
    """Sum of squares of a block, in its own format over rows."""
    row_size, rest_size = row_sizes(values.size)
    if not rest_size:
        return float(sum(dot_rows(values.reshape(-1, row_size)).tolist()))
    rest = values[-rest_size:]
    return float(sum(dot_rows(values[:-rest_size].reshape(-1, row_size)).tolist()) + rest.dot(rest))


def count_flags(flags: NDArray[np.bool_]) -> int:
    """Count the flags that are set; of many it is asked first whether there is any, which takes half as long."""
    if flags.size >= MANY_FLAGS and flags.size % 8 == 0 and not np.maximum.reduce(flags.view(np.uint64)):
        return 0
    return int(np.count_nonzero(flags))


@lru_cache(maxsize=1024)
def row_sizes(size: int) -> tuple[int, int]:
    """Cut a block into rows of equal size, with nothing left over where that can be.

    Returns:
        Elements of a row, and those that are left over, fewer than a row.

    Example:
        >>> row_sizes(131_072), row_sizes(9_216), row_sizes(10_007)
        ((8192, 0), (4608, 0), (5003, 1))
    """
    fewest = -(-size // ROW_SIZE)
    for count in range(fewest, 2 * fewest + 1):
        if size % count == 0:
            return size // count, 0
    return size // fewest, size % fewest


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


@lru_cache(maxsize=64)
def plan_groups(sizes: tuple[int, ...]) -> tuple[Group, ...]:
    """Part small tensors into groups of bounded size; remembered, for the sizes of a model's gradients stay the same.

    Args:
        sizes: Their elements, none 0.
    """
    groups, first, total = [], 0, 0
    for place, size in enumerate((*sizes, MOST_TOGETHER)):
        total += size
        if total > MOST_TOGETHER and place > first:
            ends = np.cumsum(sizes[first:place], dtype=np.int64)
            groups.append(Group(slice(first, place), ends - np.array(sizes[first:place]), ends))
            first, total = place, size
    return tuple(groups)


def reduce_together(tensors: Sequence[Tensor], group: Group, form: Format) -> NDArray[np.float64]:
    """Rows of the table for the small tensors of a group, of one format and none of them empty."""
    values = _flatten_dense_tensors(tensors).detach().numpy()  # type: ignore[no-untyped-call]
    worked = scratch.worked[form][: values.size]
    found = np.zeros((len(tensors), COLUMN_COUNT))
    found[:, SQUARE_SUM] = square_sums = np.add.reduceat(np.multiply(values, values, worked), group.starts)
    found[:, GREATEST] = np.maximum.reduceat(np.absolute(values, worked), group.starts)
    is_zero = np.equal(values, form.zero, scratch.is_zero[: values.size])
    if np.count_nonzero(is_zero):
        found[:, ZERO_COUNT] = np.add.reduceat(is_zero.view(np.int8), group.starts, dtype=np.int64)
    correct(found, square_sums, values, group)
    return found


def square_together(tensors: Sequence[Tensor], group: Group, form: Format) -> NDArray[np.float64]:
    """Sum of squares and non-finite elements of a group, as `reduce_together` gives them; nothing else of its rows."""
    values = _flatten_dense_tensors(tensors).detach().numpy()  # type: ignore[no-untyped-call]
    found = np.zeros((len(tensors), COLUMN_COUNT))
    worked = scratch.worked[form][: values.size]
    found[:, SQUARE_SUM] = square_sums = np.add.reduceat(np.multiply(values, values, worked), group.starts)
    correct(found, square_sums, values, group)
    return found


def correct(found: NDArray[np.float64], square_sums: Array, values: Array, group: Group) -> None:
    """Take rows again whose squares float32 can't hold, or whose elements are not all finite."""
    is_safe = (square_sums > LEAST_SAFE_SUM) & (square_sums < math.inf)
    if not is_safe.all():
        for place in np.flatnonzero(~is_safe):
            part = values[group.starts[place] : group.ends[place]]
            if part.any():
                found[place] = reduce_exactly(part)
