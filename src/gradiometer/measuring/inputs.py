"""What a root's input is like: its mean, its size, and how unequal its features are."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradiometer.measuring.statistics import Number, measure_norm, thin_examples

MOST_ELEMENTS = 1 << 14
"""Elements that features are compared on."""


@dataclass(frozen=True, slots=True)
class InputStats:
    """A root's first floating-point input.

    Attributes:
        mean: Its mean.
        rms: Its root mean square.
        greatest: Its greatest absolute value.
        batch_size: Length of its first axis.
        spread: Root mean square of its greatest feature over that of the median one, features of zeros left out; None
            where it has no features, NaN where all are zero.
    """

    mean: Tensor
    rms: Tensor
    greatest: Tensor
    batch_size: int
    spread: Number | None = None


def describe_input(args: tuple[Any, ...]) -> InputStats | None:
    """Measure a root's first floating-point argument; None where it has none, or one that is stored as no plain block.

    Args:
        args: The root's positional arguments.
    """
    for value in args:
        if isinstance(value, Tensor) and value.is_floating_point() and value.numel() > 0:
            if value.layout != torch.strided:
                return None
            with torch.no_grad(), torch._C.DisableTorchFunction():
                low, high = torch.aminmax(value.detach())
                return InputStats(
                    mean=value.detach().float().mean(),
                    rms=measure_norm(value) / value.numel() ** 0.5,
                    greatest=torch.maximum(low.abs(), high.abs()),
                    batch_size=int(value.shape[0]) if value.dim() else 1,
                    spread=spread_of(value.detach()),
                )
    return None


def spread_of(values: Tensor) -> Number | None:
    """Compare the features of an input: the greatest one's root mean square over the median one's.

    Args:
        values: Examples by features, by positions and features, or images by channels; of many examples every k-th
            is read.

    Returns:
        The ratio, at least 1; a plain number on the CPU, NaN where every feature is zero. None for other shapes.

    Example:
        >>> spread_of(torch.tensor([[1.0, 2.0, 200.0, 0.0], [1.0, 2.0, 200.0, 0.0]]))
        100.0
    """
    if not 2 <= values.dim() <= 5:
        return None
    axis = values.dim() - 1 if values.dim() <= 3 else 1
    values = thin_examples(values, axis, most_elements=MOST_ELEMENTS)
    if not values.is_cpu:
        others = tuple(dim for dim in range(values.dim()) if dim != axis)
        is_half = values.dtype in (torch.float16, torch.bfloat16)
        return sorted_spread(torch.linalg.vector_norm(values, dim=others, dtype=torch.float32 if is_half else None))
    rows = np.moveaxis(values.numpy() if values.dtype == torch.float32 else values.double().numpy(), axis, -1)
    rows = rows.reshape(-1, rows.shape[-1])
    with np.errstate(all="ignore"):
        norms = np.sqrt(np.einsum("ij,ij->j", rows, rows))
        ordered = np.sort(norms[norms != 0.0])
        middle = ordered[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1]
        return float(ordered[-1] * len(middle) / middle.sum()) if len(ordered) else math.nan


def sorted_spread(norms: Tensor) -> Tensor:
    """The same from the features' norms on a device; nothing is waited for.

    Args:
        norms: Norm of each feature.

    Returns:
        The greatest over the median of those above zero, 0-dimensional; infinite or NaN where all are zero.
    """
    ordered = norms.sort().values
    zero_count = (ordered == 0.0).sum()
    last = len(ordered) - 1 + zero_count
    middle = torch.stack([last // 2, (last + 1) // 2]).clamp(max=len(ordered) - 1)
    return ordered[-1] / ordered.index_select(0, middle).mean()
