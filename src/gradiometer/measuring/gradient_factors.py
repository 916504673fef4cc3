"""Norm of a weight's gradient, example by example, from the two factors that it is a product of.

The gradient of a weight matrix is a sum over positions of (gradient at the output) times (activation at the input).
Where positions are few the squared norm is a sum over pairs of positions, of the inner product of their gradients times
that of their activations; where they are many the gradient of a few examples is formed, summed and squared.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MOST_ELEMENTS = 1 << 22
"""Elements that a temporary tensor may hold, about: 16 MiB in float32."""


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """Two factors of a weight's gradient at some positions of some examples.

    Attributes:
        gradient: batch group time outputs; of an embedding batch 1 time features.
        activation: batch group time inputs; None for an embedding, whose inputs are one-hot.
        tokens: batch time, the place of each one-hot input's one; None for every other layer.
        token_value: batch, what stands there instead of 1.
    """

    gradient: Tensor
    activation: Tensor | None = None
    tokens: Tensor | None = None
    token_value: Tensor | None = None


@dataclass(slots=True, eq=False)
class WeightSum:
    """Sums one weight's gradient over all its uses, for a few examples.

    Attributes:
        weight: The weight; its own values are not used.
        groups: Groups that its outputs and inputs fall into (of a convolution).
        positions: Positions of all its uses in one example.
        parts: What was added, where inner products are taken.
        formed: batch group outputs inputs, the gradient, where it is formed.
    """

    weight: Tensor
    groups: int
    positions: int
    parts: list[Factors] = field(default_factory=list)
    formed: Tensor | None = None

    @property
    def takes_inner_products(self) -> bool:
        """Whether pairs of positions are cheaper than forming the gradient, or it is too large to form."""
        size = self.weight.numel()
        return 2 * self.positions**2 * self.groups < size or size > MOST_ELEMENTS

    def add(self, part: Factors) -> None:
        """Add some positions."""
        if self.takes_inner_products:
            self.parts.append(part)
            return
        if self.formed is None:
            shape = (self.groups, self.weight.shape[0] // self.groups, self.weight[0].numel())
            self.formed = part.gradient.new_zeros((len(part.gradient), *shape))
        if part.activation is not None:
            self.formed += part.gradient.transpose(-1, -2) @ part.activation
        else:
            values = token_gradients(part).squeeze(1)
            assert part.tokens is not None
            self.formed.squeeze(1).scatter_add_(1, part.tokens.unsqueeze(-1).expand_as(values), values)

    def square_sums(self) -> Tensor:
        """Squared norm of each example's gradient."""
        if self.formed is not None:
            return square_sums(self.formed)
        dense = [part for part in self.parts if part.activation is not None]
        hot = [part for part in self.parts if part.activation is None]
        kinds = [joined(kind) for kind in (dense, hot) if kind]
        return torch.stack([inner_product(one, other) for one, other in product(kinds, kinds)]).sum(0)


def joined(parts: list[Factors]) -> Factors:
    """Uses of one kind as one use with more positions."""
    if len(parts) == 1:
        return parts[0]
    gradient = torch.cat([part.gradient for part in parts], dim=2)
    if parts[0].tokens is not None:
        tokens = torch.cat([part.tokens for part in parts if part.tokens is not None], dim=1)
        return Factors(gradient, tokens=tokens, token_value=parts[0].token_value)
    return Factors(gradient, torch.cat([part.activation for part in parts if part.activation is not None], dim=2))


def inner_product(one: Factors, other: Factors) -> Tensor:
    """Inner product of two gradients, example by example, never forming either."""
    if one is other and one.activation is not None and one.gradient.shape[2] == 1:
        lengths = torch.linalg.vector_norm(one.gradient, dim=-1) * torch.linalg.vector_norm(one.activation, dim=-1)
        products: Tensor = lengths.squeeze(-1).square().sum(1)
        return products
    batch, groups, positions, _ = one.gradient.shape
    step = max(1, MOST_ELEMENTS // max(batch * groups * other.gradient.shape[2], 1))
    found = one.gradient.new_zeros(batch)
    for start in range(0, positions, step):
        rows = slice(start, start + step)
        found += position_products(at_positions(one, rows), other)
    return found


def at_positions(part: Factors, rows: slice) -> Factors:
    """The same factors at some positions."""
    return Factors(
        part.gradient[:, :, rows],
        None if part.activation is None else part.activation[:, :, rows],
        None if part.tokens is None else part.tokens[:, rows],
        part.token_value,
    )


def position_products(one: Factors, other: Factors) -> Tensor:
    """Sum over all pairs of positions of the product of both factors' inner products."""
    if one.activation is not None and other.activation is not None:
        left = one.gradient @ other.gradient.transpose(-1, -2)
        right = one.activation @ other.activation.transpose(-1, -2)
        return (left * right).sum((1, 2, 3))
    if one.tokens is not None and other.tokens is not None:
        same = one.tokens.unsqueeze(2) == other.tokens.unsqueeze(1)
        return (token_gradients(one) @ token_gradients(other).transpose(-1, -2)).squeeze(1).mul(same).sum((1, 2))
    dense, hot = (one, other) if one.activation is not None else (other, one)
    assert hot.tokens is not None
    assert dense.activation is not None
    places = hot.tokens.unsqueeze(1).expand(-1, dense.gradient.shape[2], -1)
    left = dense.gradient.squeeze(1).gather(2, places)
    right = (dense.activation @ token_gradients(hot).transpose(-1, -2)).squeeze(1)
    return (left * right).sum((1, 2))


def token_gradients(part: Factors) -> Tensor:
    """Gradients at an embedding's output, times the value of its one-hot inputs."""
    return (
        part.gradient
        if part.token_value is None
        else part.gradient * part.token_value.to(part.gradient.dtype).view(-1, 1, 1, 1)
    )


def square_sums(values: Tensor) -> Tensor:
    """Squared norm of each example, batch first; 0 where there is nothing to sum."""
    norms: Tensor = torch.linalg.vector_norm(values.flatten(1), dim=1)
    return norms.square()


def unfold_positions(module: nn.modules.conv._ConvNd, source: Tensor, gradient: Tensor) -> Iterator[Factors]:
    """Lay a convolution's input out as the patches that its kernel sees, some rows of positions at a time.

    Args:
        module: A convolution in one, two or three dimensions; any stride, padding, dilation and groups.
        source: batch channels and positions, its input.
        gradient: batch channels and positions, the gradient at its output.

    Yields:
        Factors with one group for each of the convolution's, so many positions that they stay below `MOST_ELEMENTS`
        unless one row of them is more.
    """
    patches = pad(module, source)
    spans = zip(module.kernel_size, module.stride, module.dilation, strict=True)
    for axis, (size, stride, dilation) in enumerate(spans, start=2):
        patches = patches.unfold(axis, dilation * (size - 1) + 1, stride)[..., ::dilation]
    axes, groups, batch = len(module.kernel_size), module.groups, len(source)
    # batch channels positions... kernel... -> batch groups channels kernel... positions...: positions stay innermost,
    # so that rows of pixels are copied as they lie.
    patches = patches.reshape(batch, groups, -1, *patches.shape[2:])
    patches = patches.movedim(tuple(range(3, 3 + axes)), tuple(range(-axes, 0)))
    gradient = gradient.reshape(batch, groups, -1, *gradient.shape[2:])
    inputs = module.weight[0].numel()
    per_row = batch * groups * inputs * gradient[0, 0, 0, 0].numel()
    step = max(1, MOST_ELEMENTS // max(per_row, 1))
    for start in range(0, gradient.shape[3], step):
        piece = gradient[:, :, :, start : start + step].flatten(3)
        taken = patches.narrow(-axes, start, min(step, gradient.shape[3] - start))
        taken = taken.reshape(batch, groups, inputs, -1)
        yield Factors(piece.transpose(-1, -2), taken.transpose(-1, -2))


def pad(module: nn.modules.conv._ConvNd, source: Tensor) -> Tensor:
    """Pad a convolution's input as the convolution does."""
    widths = list(module._reversed_padding_repeated_twice)
    if not any(widths):
        return source
    return F.pad(source, widths) if module.padding_mode == "zeros" else F.pad(source, widths, mode=module.padding_mode)
