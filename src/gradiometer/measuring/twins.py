"""Units with the same weights as another: they compute the same, and gradient descent never tells them apart.

Rows are ordered by their product with a fixed vector, in which equal rows stand beside each other, and each is compared
with the next: as dear as reading the weights a few times, where comparing all pairs would take their product.
"""

import torch
from torch import Tensor

from gradiometer.measuring.ranks_shards import is_sharded
from gradiometer.measuring.statistics import Number

MOST_ROWS = 256
"""Rows that are compared, evenly spaced among all."""

MOST_COLUMNS = 1024
"""Elements of a row that are looked at first on the CPU; where rows are equal there, whole ones are compared."""

EQUAL_TO = 1e-5
"""Difference of two rows, as a share of the greater one's norm, up to which they are equal: some hundred times the
rounding of float32, and far below what any random draw leaves."""


def twin_share(weight: Tensor) -> Number | None:
    """Share of a weight's units whose weights equal those of another one.

    Args:
        weight: The weight; its units are the rows, everything along the first axis.

    Returns:
        The share of the rows that were compared, a plain number on the CPU; None for a weight that is not floating,
        has less than two axes or rows, or lies on several processes.

    Example:
        >>> twin_share(torch.tensor([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0], [5.0, 6.0]]))
        0.5
    """
    if weight.dim() < 2 or weight.shape[0] < 2 or weight[0].numel() == 0 or is_sharded(weight):
        return None
    if not weight.is_floating_point() or weight.layout != torch.strided:
        return None
    places = torch.linspace(0, weight.shape[0] - 1, min(weight.shape[0], MOST_ROWS), dtype=torch.float64)
    rows = weight.detach()[places.round().long().to(weight.device, non_blocking=True)].flatten(1)
    step = max(1, rows.shape[1] // MOST_COLUMNS)
    if step > 1 and rows.is_cpu and not bool(mark_twins(rows[:, ::step]).any()):
        return 0.0
    marks = mark_twins(rows)
    return int(marks.sum()) / len(marks) if marks.is_cpu else marks.float().mean()


def mark_twins(rows: Tensor) -> Tensor:
    """Mark the rows that equal another one.

    Args:
        rows: [unit, weight].

    Returns:
        [unit], in no order; nothing is waited for.
    """
    rows = rows.float() if rows.dtype != torch.float64 else rows
    # No two elements of the vector are alike, so that rows with the same elements in another order stand apart.
    direction = torch.arange(1, rows.shape[1] + 1, dtype=rows.dtype, device=rows.device).mul(1.618).sin()
    ordered = rows[(rows * direction).sum(1).argsort()]
    norms = torch.linalg.vector_norm(ordered, dim=1)
    differences = torch.linalg.vector_norm(ordered[1:] - ordered[:-1], dim=1)
    is_next = differences <= EQUAL_TO * torch.maximum(norms[1:], norms[:-1])
    marks = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
    marks[1:] |= is_next
    marks[:-1] |= is_next
    return marks
