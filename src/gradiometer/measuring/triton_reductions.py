"""The table of reductions on a GPU: all tensors of a step in one launch, one pass over their memory, nobody waits.

The kernel is told where tensors lie by a table of addresses, so that it needs no copy and no launch for each. Every
program reduces one block of one tensor to four numbers; a second, small launch joins the blocks of each tensor.

Squares are summed in float32 and scaled by a power of two, which is exact: without it they would leave the range of
float32 from 1e19 on and below 1e-19. Sums of blocks are joined in float64.

Needs Triton, which torch's builds for CUDA bring along; with `TRITON_INTERPRET=1` set before it is imported it runs on
the CPU, slowly.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from gradiometer.measuring.reductions_defined import COLUMN_COUNT, ZERO_COUNT, Table, flat_values, reduce_plainly

BLOCK_SIZE = 8192
"""Elements of one program: 32 for each of 256 threads, read in pieces of 16 bytes."""

WARP_COUNT = 8

JOINED_AT_ONCE = 128
"""Blocks of a tensor that are joined at a time."""

FORMATS = {
    torch.float16: tl.float16,
    torch.bfloat16: tl.int16,
    torch.float32: tl.float32,
    torch.float64: tl.float64,
}
"""What the kernel reads of each format; every other goes by the definition, tensor by tensor. A bfloat16 is the upper
half of a float32 and read as its bits, which keeps its smallest numbers on every device."""


@triton.jit
def read_values(
    places: tl.tensor,
    left: tl.tensor,
    offsets: tl.tensor,
    element: tl.constexpr,
    block_size: tl.constexpr,
) -> tl.tensor:
    """Read a block, zeros where its tensor has ended, as float32 or float64.

    Args:
        places: Where its elements lie.
        left: Elements that the tensor has from its start on.
        offsets: Numbers of the elements within the block.
        element: What they are read as, one of `FORMATS`.
        block_size: Elements of a block.
    """
    # Most blocks are full, and without a mask their loads can be wide.
    if left >= block_size:  # noqa: SIM108 - a kernel's branch
        values = tl.load(places)
    else:
        values = tl.load(places, mask=offsets < left, other=0)
    if element == tl.int16:
        values = (values.to(tl.int32) << 16).to(tl.float32, bitcast=True)
    elif element == tl.float16:
        values = values.to(tl.float32)
    return values


@triton.jit
def sum_squares(magnitudes: tl.tensor, greatest: tl.tensor, element: tl.constexpr) -> tl.tensor:
    """Sum the squares of a block's finite magnitudes, whose greatest is known; float64."""
    if element == tl.float64:
        square_sum = tl.sum(magnitudes * magnitudes, axis=0)
    else:
        # The exponent of the greatest magnitude, kept where both it and its inverse are normal numbers.
        exponent = tl.minimum(tl.maximum(greatest.to(tl.int32, bitcast=True) >> 23, 1), 253)
        scaled = magnitudes * ((254 - exponent) << 23).to(tl.float32, bitcast=True)
        unit = (exponent << 23).to(tl.float32, bitcast=True).to(tl.float64)
        square_sum = tl.sum(scaled * scaled, axis=0).to(tl.float64) * unit * unit
    return square_sum


@triton.jit
def store_row(
    row: tl.tensor, square_sum: tl.tensor, greatest: tl.tensor, zeros: tl.tensor, nonfinite: tl.tensor
) -> None:
    """Write a row of four numbers as float64."""
    tl.store(row, square_sum.to(tl.float64))
    tl.store(row + 1, greatest.to(tl.float64))
    tl.store(row + 2, zeros.to(tl.float64))
    tl.store(row + 3, nonfinite.to(tl.float64))


@triton.jit
def reduce_blocks(
    addresses: tl.tensor,
    sizes: tl.tensor,
    tensor_of: tl.tensor,
    block_of: tl.tensor,
    partials: tl.tensor,
    element: tl.constexpr,
    is_aligned: tl.constexpr,
    block_size: tl.constexpr,
) -> None:
    """Reduce one block of one tensor to a row of `partials`.

    Args:
        addresses: Where each tensor's elements lie; int64.
        sizes: How many elements each has; int64.
        tensor_of: For each program its tensor.
        block_of: For each program the number of its block within the tensor.
        partials: Rows of four float64, one for each program.
        element: What the tensors are read as, one of `FORMATS`.
        is_aligned: All addresses are multiples of 16 bytes, so that wide loads may be used.
        block_size: Elements of a block.
    """
    program = tl.program_id(0)
    tensor = tl.load(tensor_of + program)
    start = tl.load(block_of + program).to(tl.int64) * block_size
    left = tl.load(sizes + tensor) - start
    first = tl.load(addresses + tensor).to(tl.pointer_type(element))
    if is_aligned:
        first = tl.multiple_of(first, 16)
    offsets = tl.arange(0, block_size)
    values = read_values(first + start + offsets, left, offsets, element, block_size)
    magnitudes = tl.abs(values)
    is_finite = magnitudes < float("inf")
    magnitudes = tl.where(is_finite, magnitudes, 0.0)
    greatest = tl.max(magnitudes, axis=0)
    zeros = tl.sum((values == 0.0).to(tl.int32), axis=0) - tl.maximum(block_size - left, 0)
    nonfinite = block_size - tl.sum(is_finite.to(tl.int32), axis=0)
    square_sum = sum_squares(magnitudes, greatest, element)
    store_row(partials + program.to(tl.int64) * 4, square_sum, greatest, zeros, nonfinite)


@triton.jit
def join_blocks(
    partials: tl.tensor,
    first_block_of: tl.tensor,
    table: tl.tensor,
    rows_at_once: tl.constexpr,
) -> None:
    """Join the blocks of one tensor to its row of the table.

    Args:
        partials: Rows of four float64, a tensor's blocks one after another.
        first_block_of: For each tensor its first row in `partials`, and one entry more for the end.
        table: Rows of four float64, one for each tensor; zeros where a tensor has no block.
        rows_at_once: Rows read at a time.
    """
    tensor = tl.program_id(0)
    begin = tl.load(first_block_of + tensor)
    end = tl.load(first_block_of + tensor + 1)
    lanes = tl.arange(0, rows_at_once)
    square_sums = tl.zeros([rows_at_once], dtype=tl.float64)
    greatest = tl.zeros([rows_at_once], dtype=tl.float64)
    zeros = tl.zeros([rows_at_once], dtype=tl.float64)
    nonfinite = tl.zeros([rows_at_once], dtype=tl.float64)
    for start in range(begin, end, rows_at_once):
        places = start + lanes
        is_there = places < end
        rows = partials + places.to(tl.int64) * 4
        square_sums += tl.load(rows, mask=is_there, other=0.0)
        greatest = tl.maximum(greatest, tl.load(rows + 1, mask=is_there, other=0.0))
        zeros += tl.load(rows + 2, mask=is_there, other=0.0)
        nonfinite += tl.load(rows + 3, mask=is_there, other=0.0)
    square_sum, most = tl.sum(square_sums, axis=0), tl.max(greatest, axis=0)
    store_row(table + tensor * 4, square_sum, most, tl.sum(zeros, axis=0), tl.sum(nonfinite, axis=0))


@dataclass(frozen=True, slots=True)
class Plan:
    """How tensors of certain sizes are cut into blocks; everything on their device.

    Attributes:
        sizes: Elements of each tensor, int64.
        tensor_of: Tensor of each block, int32.
        block_of: Number of each block within its tensor, int32.
        first_block_of: First block of each tensor, and the end; int32.
        block_count: Blocks of all tensors.
    """

    sizes: Tensor
    tensor_of: Tensor
    block_of: Tensor
    first_block_of: Tensor
    block_count: int


@lru_cache(maxsize=16)
def plan_blocks(sizes: tuple[int, ...], device: torch.device) -> Plan:
    """Cut tensors into blocks; remembered, for the sizes of a model's gradients stay the same."""
    numbers = torch.tensor(sizes, dtype=torch.int64)
    counts = (numbers + BLOCK_SIZE - 1) // BLOCK_SIZE
    ends = counts.cumsum(0)
    tensor_of = torch.repeat_interleave(torch.arange(len(sizes)), counts)
    block_of = torch.arange(len(tensor_of)) - (ends - counts)[tensor_of]
    first_block_of = torch.cat([torch.zeros(1, dtype=torch.int64), ends])
    return Plan(
        sizes=send(numbers, device),
        tensor_of=send(tensor_of.int(), device),
        block_of=send(block_of.int(), device),
        first_block_of=send(first_block_of.int(), device),
        block_count=len(tensor_of),
    )


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Bring a tensor from the host to a device without waiting for it."""
    if device.type != "cuda":
        return tensor.to(device)
    # Pinned memory is given back only when copies out of it are done; torch's allocator sees to that.
    return tensor.pin_memory().to(device, non_blocking=True)


def reduce_with_triton(tensors: Sequence[Tensor]) -> Table:
    """Reduce tensors of one GPU to the table of `reductions_defined`.

    One launch reads all tensors of a number format, most often all there are, and a second joins their blocks.
    Nothing is waited for; only sparse tensors whose elements are kept more than once make the device's answer needed.

    Args:
        tensors: Floating-point or complex tensors of one device, any layout; complex ones and float8 are reduced one
            by one. On the CPU only under Triton's interpreter.

    Returns:
        The table; float64, on the tensors' device.
    """
    device = tensors[0].device if tensors else torch.device("cpu")
    flats = [flat_values(tensor) for tensor in tensors]
    absent = [tensor.numel() - flat.numel() for tensor, flat in zip(tensors, flats, strict=True)]
    by_format: dict[torch.dtype, list[int]] = {}
    for place, flat in enumerate(flats):
        by_format.setdefault(flat.dtype, []).append(place)
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        if len(by_format) == 1 and not any(absent):
            return reduce_format(flats)
        table = torch.zeros((len(tensors), COLUMN_COUNT), dtype=torch.float64, device=device)
        for places in by_format.values():
            rows = reduce_format([flats[place] for place in places])
            table.index_copy_(0, send(torch.tensor(places), device), rows)
        if any(absent):
            table[:, ZERO_COUNT] += send(torch.tensor(absent, dtype=torch.float64), device)
    return table


def reduce_format(flats: Sequence[Tensor]) -> Table:
    """Reduce flat tensors of one number format and device."""
    if flats[0].dtype not in FORMATS:
        return reduce_plainly(flats)
    device = flats[0].device
    plan = plan_blocks(tuple(flat.numel() for flat in flats), device)
    table = torch.empty((len(flats), COLUMN_COUNT), dtype=torch.float64, device=device)
    partials = torch.empty((plan.block_count, COLUMN_COUNT), dtype=torch.float64, device=device)
    addresses = [flat.data_ptr() for flat in flats]
    if plan.block_count:
        reduce_blocks[(plan.block_count,)](
            send(torch.tensor(addresses, dtype=torch.int64), device),
            plan.sizes,
            plan.tensor_of,
            plan.block_of,
            partials,
            element=FORMATS[flats[0].dtype],
            is_aligned=all(address % 16 == 0 for address in addresses),
            block_size=BLOCK_SIZE,
            num_warps=WARP_COUNT,
            enable_fp_fusion=True,
        )
    join_blocks[(len(flats),)](partials, plan.first_block_of, table, rows_at_once=JOINED_AT_ONCE, enable_fp_fusion=True)
    return table
