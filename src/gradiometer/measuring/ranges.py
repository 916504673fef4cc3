"""The range of a tensor's elements, and how many of them are NaN or infinite."""

import math

import torch
from torch import Tensor

from gradiometer.schema import TensorRange


def range_of(tensor: Tensor, name: str = "") -> TensorRange | None:
    """Measure a tensor's range; waits for its device.

    Args:
        tensor: Any tensor.
        name: What to call it.

    Returns:
        Its range; None for what holds no floating-point numbers of its own (integers, sparse and meta tensors).
        An empty tensor has neither a smallest nor a greatest element.

    Example:
        >>> range_of(torch.tensor([1.0, float("inf"), -2.0]))
        TensorRange(name='', shape=(3,), dtype='float32', low=-2.0, high=1.0, nan_count=0, infinity_count=1)
    """
    if not is_measurable(tensor):
        return None
    with torch.no_grad(), torch._C.DisableTorchFunction():
        values = plain_values(tensor)
        shape, dtype = tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")
        if values.numel() == 0:
            return TensorRange(name, shape, dtype)
        low, high = (bound.item() for bound in torch.aminmax(values))
        if math.isfinite(low) and math.isfinite(high):
            return TensorRange(name, shape, dtype, low, high)
        nan_count, infinity_count = int(values.isnan().sum()), int(values.isinf().sum())
        finite = values[values.isfinite()]
        bounds = [bound.item() for bound in torch.aminmax(finite)] if finite.numel() else [None, None]
        return TensorRange(name, shape, dtype, bounds[0], bounds[1], nan_count, infinity_count)


def is_measurable(tensor: Tensor) -> bool:
    """Whether a tensor has floating-point or complex elements that can be read."""
    has_elements = tensor.layout == torch.strided and tensor.device.type != "meta" and not tensor.is_quantized
    return has_elements and (tensor.is_floating_point() or tensor.is_complex())


def plain_values(tensor: Tensor) -> Tensor:
    """A tensor's elements as real numbers in a format that has comparisons."""
    values = tensor.detach()
    if values.is_complex():
        values = torch.view_as_real(values.resolve_conj())
    return values.float() if values.element_size() == 1 else values
