"""Every statistic in plain torch: the definition, on any device."""

import math
from typing import TypeAlias

import torch
from torch import Tensor

# Below this norm the squares of float32 elements may have lost digits to underflow; above its inverse, to overflow.
SAFE_NORM = 1e-12

Number: TypeAlias = Tensor | float
"""A number on the host, or one of 0 dimensions that is on a device still."""


def measure_norm(tensor: Tensor) -> Tensor:
    """Measure the Frobenius norm of a tensor.

    Args:
        tensor: Any real or complex floating-point tensor; half formats are summed in float32.

    Returns:
        The norm, 0-dimensional, on the tensor's device, float32 or float64; 0 for an empty tensor; nan or inf where
        an element is. On the CPU a norm so small or so large that float32 squares lose digits is taken again in
        float64, so that it is exact over the whole range of float32.

    Example:
        >>> float(measure_norm(torch.tensor([3.0, 4.0])))
        5.0
        >>> float(measure_norm(torch.tensor([3e-30, 4e-30], dtype=torch.float32)))  # doctest: +ELLIPSIS
        5.0000...e-30
    """
    tensor = tensor.detach()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    is_half = tensor.dtype in (torch.float16, torch.bfloat16)
    norm: Tensor = torch.linalg.vector_norm(tensor, dtype=torch.float32 if is_half else None)
    if norm.device.type == "cpu" and norm.dtype == torch.float32:
        value = norm.item()
        if tensor.numel() > 0 and not SAFE_NORM < value < 1.0 / SAFE_NORM:
            norm = torch.linalg.vector_norm(tensor, dtype=torch.float64)
    return norm


def count_nonfinite(tensor: Tensor) -> Tensor:
    """Count the elements that are NaN or infinite.

    Returns:
        The count, 0-dimensional, int64, on the tensor's device.

    Example:
        >>> int(count_nonfinite(torch.tensor([1.0, float("nan"), float("inf")])))
        2
    """
    return (~torch.isfinite(tensor.detach())).sum()


def split_norm(tensor: Tensor) -> tuple[Number, Number]:
    """Measure a tensor's norm and how many of its elements are not finite.

    Returns:
        The norm (nan or inf where an element is) and the count; on the CPU both as plain numbers, else 0-dimensional
        on the tensor's device. On the CPU the elements are counted only where the norm says that there is something
        to count, for the count costs a pass over the memory.
    """
    if tensor.device.type != "cpu":
        return measure_norm(tensor), count_nonfinite(tensor)
    if tensor.dtype == torch.float32:
        value: float = torch.linalg.vector_norm(tensor.detach() if tensor.requires_grad else tensor).item()
        if SAFE_NORM < value < 1.0 / SAFE_NORM:
            return value, 0
    value = measure_norm(tensor).item()
    return value, 0 if math.isfinite(value) else int(count_nonfinite(tensor))


def thin_examples(tensor: Tensor, unit_dim: int, *, most_elements: int = 1 << 16) -> Tensor:
    """Take every k-th example, and where that is not enough every k-th position, so that few elements are left.

    Args:
        tensor: Values of all units on a batch, `unit_dim` being the axis of units.
        unit_dim: Axis of units, never thinned.
        most_elements: Elements to keep, about.

    Returns:
        A view of the tensor; no random number is drawn.
    """
    for dim in range(tensor.dim()):
        excess = tensor.numel() // most_elements
        if excess < 2:
            break
        if dim != unit_dim and tensor.shape[dim] > 1:
            # Keep at least eight examples: a share over fewer says little.
            step = min(excess, max(1, tensor.shape[dim] // 8))
            tensor = tensor[(slice(None),) * dim + (slice(None, None, step),)]
    return tensor
