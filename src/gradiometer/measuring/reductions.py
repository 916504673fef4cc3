"""Four numbers of every tensor of a step in one table, by the fastest way that its device has.

Sum of squares, greatest magnitude, zeros, non-finite elements: `reductions_defined` says what they are, and does the
work on every device that `REDUCTIONS` does not name. Which way is taken is chosen once for a kind of device.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.util import find_spec

import torch
from torch import Tensor

from gradiometer.measuring.exact_format import exact_format
from gradiometer.measuring.reductions_defined import SQUARE_COLUMNS, Reduction, SquareTable, Table, reduce_plainly
from gradiometer.measuring.reductions_in_blocks import reduce_in_blocks, square_in_blocks


def reduce_fused(tensors: Sequence[Tensor]) -> Table:
    """Reduce all tensors of a CUDA device in one launch of a Triton kernel, and a small second one."""
    from gradiometer.measuring.triton_reductions import reduce_with_triton

    return reduce_with_triton(tensors)


REDUCTIONS: dict[str, Reduction] = {"cpu": reduce_in_blocks, "cuda": reduce_fused}
"""By kind of device."""


@lru_cache
def reduction_for(device_type: str) -> Reduction:
    """Choose how tensors of a kind of device are reduced; CUDA without Triton goes by the definition."""
    if device_type == "cuda" and find_spec("triton") is None:
        return reduce_plainly
    return REDUCTIONS.get(device_type, reduce_plainly)


def note_on_device(device: torch.device) -> str:
    """What the coverage says of a device that has no reduction of its own; empty for one that has."""
    if reduction_for(device.type) is not reduce_plainly:
        return ""
    precision = "" if exact_format(device) == torch.float64 else ", without float64"
    return f"{device.type}: measured by plain torch{precision}"


def reduce_tensors(tensors: Sequence[Tensor]) -> Table:
    """Reduce tensors of one device to a table of four numbers each.

    Nothing is waited for on a GPU: the table stays on the device.

    Args:
        tensors: Floating-point or complex tensors of one device; any format and layout, sparse ones included.

    Returns:
        The table, see `reductions_defined.Table`: sum of squares, greatest magnitude, zeros, non-finite elements.

    Example:
        >>> reduce_tensors([torch.tensor([3.0, 0.0, -4.0]), torch.tensor([[0.5]])]).tolist()
        [[25.0, 4.0, 1.0, 0.0], [0.25, 0.5, 0.0, 0.0]]
    """
    return reduction_for(tensors[0].device.type if tensors else "cpu")(tensors)


def square_tensors(tensors: Sequence[Tensor]) -> SquareTable:
    """Reduce tensors of one device to the sum of their squares and their non-finite elements: what norms take.

    On the CPU in a third of the time of `reduce_tensors`; on a GPU in the same, for it reads all only once.

    Example:
        >>> square_tensors([torch.tensor([3.0, 0.0, -4.0])]).tolist()
        [[25.0, 0.0]]
    """
    if tensors and tensors[0].is_cpu:
        return square_in_blocks(tensors)
    return reduce_tensors(tensors)[:, SQUARE_COLUMNS]


def by_device(tensors: Iterable[Tensor]) -> dict[torch.device, list[int]]:
    """Places of tensors in their sequence, by the device that they are on."""
    places: dict[torch.device, list[int]] = {}
    for place, tensor in enumerate(tensors):
        places.setdefault(tensor.device, []).append(place)
    return places
