"""Whether each example of a batch pulls with the others: inner products with their sum, from the factors of a layer.

The batch's gradient of one weight is formed in passing, of the weight's size, in the scale of the batch's greatest
value, so that a vanished gradient does not underflow. An example's own part is taken out of it on the host: with
<g, G> and the squares of g and G the cosine of g and G - g follows.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from gradiometer.measuring.autocast import without_autocast
from gradiometer.measuring.collecting import FloatArray
from gradiometer.measuring.exact_format import exact_format
from gradiometer.measuring.gradient_directions import Directions, add_gradients, inner_products
from gradiometer.measuring.per_example import LayerUse, take_examples

LEAST_REST = 1e-5
"""What is left of the batch's gradient without an example, squared, relative to the squares that it is the difference
of: below this it is float32's rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class BatchProducts:
    """One parameter's inner products.

    Attributes:
        with_batch: Of each example's gradient with the sum of all.
        batch_square: Squared norm of that sum.
    """

    with_batch: Tensor
    batch_square: Tensor


def products_with_batch(uses: Sequence[LayerUse], parameters: Sequence[nn.Parameter]) -> dict[int, BatchProducts]:
    """Inner products of each example's gradient with the batch's, by id of the parameter.

    Args:
        uses: Every use of these parameters in the batch.
        parameters: Parameters whose examples can be told apart.
    """
    if not parameters:
        return {}
    with torch.no_grad(), without_autocast(uses[0].output_gradient.device):
        tops = [scale_of(use.output_gradient) for use in uses]
        scale = torch.stack(tops).amax()
        scaled = [replace(use, output_gradient=wide(use.output_gradient) / scale.to(dtype_of(use))) for use in uses]
        if len(uses) == 1 and has_few_positions(uses[0]):
            found = products_of_pairs(scaled[0], parameters)
        else:
            found = {id(parameter): products_of_sum(scaled, parameter) for parameter in parameters}
        return {
            key: BatchProducts(one.with_batch.to(scale) * scale**2, one.batch_square.to(scale) * scale**2)
            for key, one in found.items()
        }


def products_of_sum(uses: Sequence[LayerUse], parameter: nn.Parameter) -> BatchProducts:
    """One parameter's products, by the batch's gradient."""
    total, own, count = Directions(dtype_of(uses[0])), {"": parameter}, len_of(uses[0])
    add_gradients(total, None, uses, own, torch.ones(count, device=uses[0].output_gradient.device))
    sums = total.sums[None][""]
    square = torch.linalg.vector_norm(sums, dtype=exact_format(sums.device)).square()
    return BatchProducts(inner_products(total, uses, own)[:, 0], square)


def products_of_pairs(use: LayerUse, parameters: Sequence[nn.Parameter]) -> dict[int, BatchProducts]:
    """The products of a `Linear`, by those of every two positions' gradients and inputs."""
    source, gradient = take_examples(use, 0, len_of(use))
    positions = math.prod(gradient.shape[1:-1])
    summed = gradient.reshape(len(gradient), positions, gradient.shape[-1]).sum(1)
    activation_scale = scale_of(source)
    flat = source.reshape(-1, source.shape[-1]) / activation_scale.to(source.dtype)
    errors = gradient.reshape(-1, gradient.shape[-1])
    pairs = ((errors @ errors.T) * (flat @ flat.T)).sum(1, dtype=exact_format(flat.device))
    with_batch = pairs.reshape(len(source), positions).sum(1) * activation_scale**2
    of_bias = (summed @ summed.sum(0)).to(with_batch.dtype)
    found = {"weight": with_batch, "bias": of_bias}
    held = {id(value): name for name, value in use.module._parameters.items()}
    return {
        id(parameter): BatchProducts(found[held[id(parameter)]], found[held[id(parameter)]].sum())
        for parameter in parameters
    }


def has_few_positions(use: LayerUse) -> bool:
    """Whether pairs of positions cost less than forming the gradient of a `Linear`."""
    if type(use.module) is not nn.Linear:
        return False
    outputs, inputs = use.module.weight.shape
    positions = use.output_gradient.numel() // max(outputs, 1)
    return positions * (inputs + outputs) < 4 * inputs * outputs


def scale_of(values: Tensor) -> Tensor:
    """Greatest absolute value, in the widest format; 1 where all are zero or there is none."""
    if values.numel() == 0:
        return torch.ones((), dtype=exact_format(values.device), device=values.device)
    greatest = values.abs().amax().to(exact_format(values.device))
    return torch.where(greatest > 0.0, greatest, 1.0)


def wide(values: Tensor) -> Tensor:
    """Half formats in float32."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def dtype_of(use: LayerUse) -> torch.dtype:
    """Format that a use is summed in."""
    return torch.promote_types(use.output_gradient.dtype, torch.float32)


def len_of(use: LayerUse) -> int:
    """Examples of a use."""
    return use.output_gradient.shape[use.batch_axis]


@dataclass(slots=True)
class CosineSums:
    """What one batch's cosines are read from: sums over its parameters, by device.

    Attributes:
        tensors: Inner products and squares, on their devices.
    """

    tensors: list[Tensor] = field(default_factory=list)

    @classmethod
    def of(cls, products: Sequence[BatchProducts]) -> "CosineSums":
        """The sums over several parameters."""
        found = cls()
        for device in dict.fromkeys(one.with_batch.device for one in products):
            here = [one for one in products if one.with_batch.device == device]
            found.tensors.append(torch.stack([one.with_batch for one in here]).sum(0))
            found.tensors.append(torch.stack([one.batch_square for one in here]).sum().reshape(1))
        return found

    def read(self, host: Iterator[FloatArray], squares: FloatArray) -> list[float | None]:
        """The cosine of each example's gradient with that of the others.

        Args:
            host: The tensors' numbers on the host, in their order.
            squares: Squared norm of each example's gradient.
        """
        arrays = [next(host) for _ in self.tensors]
        with_batch, batch = np.sum(arrays[::2], axis=0), float(np.sum(arrays[1::2]))
        rest = batch - 2.0 * with_batch + squares
        is_known = (squares > 0.0) & (rest > LEAST_REST * (batch + squares)) & np.isfinite(rest)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            cosines = (with_batch - squares) / (np.sqrt(squares) * np.sqrt(rest))
        clipped = np.clip(cosines, -1.0, 1.0)
        return [round(float(value), 4) if known else None for value, known in zip(clipped, is_known, strict=True)]
