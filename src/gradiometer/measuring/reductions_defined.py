"""Four numbers of a tensor by their definition, in plain torch: what every faster reduction has to agree with."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from gradiometer.measuring.exact_format import exact_format

SQUARE_SUM, GREATEST, ZERO_COUNT, NONFINITE_COUNT = range(4)
"""Columns of a table."""

COLUMN_COUNT = 4

PIECE_SIZE = 1 << 20
"""Elements that are taken into float64 at a time."""

Table: TypeAlias = Float[Tensor, "tensor 4"]
"""One row for each tensor, float64 (float32 on a device that has none), on the tensors' device:

- the sum of the squares of its finite elements (of |z|² where it is complex), right to seven digits over the whole
  range of float32; in float64 the squares of elements above 1e154 are inf, of those below 1e-154 they lose digits;
- the greatest magnitude of its finite elements, 0 where there is none;
- how many elements are exactly zero, of either sign; what a sparse tensor leaves out is zero;
- how many elements are NaN or infinite (of a complex element: either part).

Counts are exact up to 2^53. An empty tensor has a row of zeros.
"""

SQUARE_COLUMNS = slice(SQUARE_SUM, None, NONFINITE_COUNT)
"""The columns of a table that a norm takes: the first and the last."""

SquareTable: TypeAlias = Float[Tensor, "tensor 2"]
"""These columns of a `Table` alone."""

Reduction: TypeAlias = Callable[[Sequence[Tensor]], Table]


def reduce_plainly(tensors: Sequence[Tensor]) -> Table:
    """Reduce tensors one by one in plain torch: the definition of the table, on any device.

    Args:
        tensors: Floating-point or complex tensors of one device; any layout.

    Returns:
        The table; see `Table`.

    Example:
        >>> reduce_plainly([torch.tensor([3.0, 0.0, -4.0, float("inf")])]).tolist()
        [[25.0, 4.0, 1.0, 1.0]]
    """
    if not tensors:
        return torch.zeros((0, COLUMN_COUNT), dtype=torch.float64)
    with torch.no_grad():
        return torch.stack([reduce_one(tensor.detach()) for tensor in tensors])


def reduce_one(tensor: Tensor) -> Float[Tensor, "4"]:
    """One row of the table."""
    exact = exact_format(tensor.device)
    values = flat_values(tensor)
    pieces = [reduce_piece(piece, exact) for piece in torch.split(values, PIECE_SIZE) if piece.numel()]
    row = torch.zeros(COLUMN_COUNT, dtype=exact, device=tensor.device)
    if pieces:
        parts = torch.stack(pieces)
        row += parts.sum(0)
        row[GREATEST] = parts[:, GREATEST].amax()
    row[ZERO_COUNT] += tensor.numel() - values.numel()
    return row


def reduce_piece(values: Tensor, exact: torch.dtype) -> Float[Tensor, "4"]:
    """One row of the table for a piece of a tensor that is not empty."""
    if values.is_complex():
        is_finite, is_zero = torch.isfinite(values), values == 0
        magnitudes = (values.to(torch.complex128) if exact == torch.float64 else values).abs()
    else:
        magnitudes = values.to(exact).abs()
        is_finite, is_zero = torch.isfinite(magnitudes), magnitudes == 0
    magnitudes = magnitudes.masked_fill(~is_finite, 0.0).to(exact)
    counts = torch.stack([is_zero.sum(), (~is_finite).sum()]).to(exact)
    return torch.cat([magnitudes.square().sum()[None], magnitudes.amax()[None], counts])


def flat_values(tensor: Tensor) -> Tensor:
    """All elements that a tensor holds, in a row and in the order of its memory.

    Returns:
        One-dimensional and without gradient; a view wherever the elements lie densely (any order of axes), a copy of
        strided and expanded tensors; of a sparse tensor the elements that it keeps.
    """
    tensor = tensor.detach()
    if tensor.layout != torch.strided:
        # What is kept twice counts as its sum.
        tensor = tensor.coalesce().values() if tensor.layout == torch.sparse_coo else tensor.values()
    if tensor.is_contiguous():
        flat = tensor.view(-1)
    else:
        order = sorted(range(tensor.dim()), key=tensor.stride, reverse=True)
        flat = tensor.permute(order).reshape(-1).contiguous()
    if flat.is_conj() or flat.is_neg():
        flat = flat.resolve_conj().resolve_neg()
    return flat
