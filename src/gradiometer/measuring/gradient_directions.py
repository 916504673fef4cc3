"""Directions of the size of a model's parameters, and examples' inner products with them, from the factors of a use."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from gradiometer.measuring.exact_format import exact_format
from gradiometer.measuring.gradient_factors import Factors
from gradiometer.measuring.per_example import PER_EXAMPLE, LayerUse, take_examples

CHUNK_EXAMPLES = 256
"""Examples that are worked on at once."""


@dataclass(slots=True)
class Directions:
    """Sums of gradients, one for each class.

    Attributes:
        dtype: Format to sum in.
        sums: By class and name of the parameter.
    """

    dtype: torch.dtype = torch.float64
    sums: dict[int | None, dict[str, Tensor]] = field(default_factory=dict)

    def classes(self) -> list[int | None]:
        """The classes in the order of every table."""
        return sorted(self.sums, key=lambda label: (label is None, label or 0))

    def products(self) -> list[list[float]]:
        """Inner products of every two directions."""
        order = [self.sums[label] for label in self.classes()]
        return [[sum(float((one[name] * other[name]).sum()) for name in one) for other in order] for one in order]


def add_gradients(
    directions: Directions,
    label: int | None,
    uses: Sequence[LayerUse],
    measured: Mapping[str, nn.Parameter],
    weights: Tensor,
) -> None:
    """Add a batch's gradients to one direction, each example's times its weight.

    Args:
        directions: What is added to.
        label: The direction's class.
        uses: The batch's uses of layers.
        measured: Parameters that are measured, by name.
        weights: One for each example.
    """
    sums = directions.sums.setdefault(
        label, {name: torch.zeros_like(value, dtype=directions.dtype) for name, value in measured.items()}
    )
    for name, rows, share in shares_of(uses, measured):
        weight, total = weights[rows].to(directions.dtype), sums[name]
        if isinstance(share, Tensor):
            total += (weight @ share.to(weight)).view_as(total)
            continue
        gradient = share.gradient.to(weight) * weight.view(-1, 1, 1, 1)
        if share.tokens is not None:
            total.index_add_(0, share.tokens.flatten(), gradient.flatten(0, 2))
        elif share.activation is not None:
            batch_and_time = (gradient, share.activation.to(weight))
            left, right = (part.transpose(0, 1).flatten(1, 2) for part in batch_and_time)
            total += (left.transpose(1, 2) @ right).reshape(total.shape)


def inner_products(directions: Directions, uses: Sequence[LayerUse], measured: Mapping[str, nn.Parameter]) -> Tensor:
    """Inner product of each example's gradient with every direction: examples times classes, in their order."""
    first = uses[0]
    count = first.output_gradient.shape[first.batch_axis]
    order = [directions.sums[label] for label in directions.classes()]
    device = first.output_gradient.device
    found = torch.zeros(count, len(order), dtype=exact_format(device), device=device)
    for name, rows, share in shares_of(uses, measured):
        for column, sums in enumerate(order):
            found[rows, column] += product_with(share, sums[name])
    return found


def product_with(share: Factors | Tensor, direction: Tensor) -> Tensor:
    """Inner product of each example's share with one direction, never forming the gradient."""
    if isinstance(share, Tensor):
        return share.to(direction) @ direction.flatten()
    gradient = share.gradient.to(direction)
    if share.tokens is not None:
        return (direction[share.tokens] * gradient.squeeze(1)).sum((1, 2))
    assert share.activation is not None
    groups, outputs = gradient.shape[1], gradient.shape[3]
    return ((gradient @ direction.reshape(groups, outputs, -1)) * share.activation.to(direction)).sum((1, 2, 3))


def shares_of(
    uses: Sequence[LayerUse], measured: Mapping[str, nn.Parameter]
) -> Iterator[tuple[str, slice, Factors | Tensor]]:
    """What every use adds to every measured parameter, some examples at a time: name, examples, share."""
    names = {id(value): name for name, value in measured.items()}
    for use in uses:
        count = use.output_gradient.shape[use.batch_axis]
        for start in range(0, count, CHUNK_EXAMPLES):
            taken = min(CHUNK_EXAMPLES, count - start)
            source, gradient = take_examples(use, start, taken)
            for own, share in PER_EXAMPLE[type(use.module)](use.module, source, gradient):
                name = names.get(id(use.module._parameters[own]))
                if name is not None:
                    yield name, slice(start, start + taken), share
