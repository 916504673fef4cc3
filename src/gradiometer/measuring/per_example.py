"""Gradient norm of every example of a batch; no gradient of an example is ever stored.

A layer's weight gradient is a sum over positions of (gradient at the output) times (input). From these two, the squared
norm of each example follows in one of two ways: by the inner products of its positions among each other ("ghost"), or
by forming the gradient of a few examples at a time in a bounded piece of memory. The cheaper one is chosen. Several
uses of one weight (a shared layer, an embedding tied to the output layer) are positions of one sum: their norms do not
add, so they are taken together.

Gradients and inputs are first divided by each example's greatest value, so that the norm of a vanished gradient
(1e-30) does not underflow when it is squared.

Source:
    Goodfellow, "Efficient per-example gradient computations", 2015 (no positions); Li, Tramer, Liang, Hashimoto,
    "Large language models can be strong differentially private learners", ICLR 2022, section 4 (positions: ghost).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradiometer.measuring.convolution_positions import unfold_positions

MOST_ELEMENTS = 1 << 22
"""Elements that a temporary tensor may hold, about: 16 MiB in float32."""


@dataclass(frozen=True, slots=True, eq=False)
class LayerUse:
    """One use of a layer in a step.

    Attributes:
        module: The layer.
        input: What it was called with; token numbers for an embedding.
        output_gradient: Loss gradient at its output, of the output's shape.
        batch_axis: Axis of examples of both; 1 where a sequence comes first.
    """

    module: nn.Module
    input: Tensor
    output_gradient: Tensor
    batch_axis: int = 0


@dataclass(frozen=True, slots=True)
class PerExample:
    """Squared gradient norms of the examples of a batch.

    Attributes:
        squared_norms: For each parameter one value per example (float64), in the batch's order.
        not_measured: For each other parameter that was met, why.
    """

    squared_norms: dict[nn.Parameter, Tensor] = field(default_factory=dict)
    not_measured: dict[nn.Parameter, str] = field(default_factory=dict)

    def total(self) -> Tensor | None:
        """Squared norm over all measured parameters together, per example; None where none was measured."""
        found = list(self.squared_norms.values())
        return torch.stack([norms.to(found[0].device) for norms in found]).sum(0) if found else None


@dataclass(frozen=True, slots=True)
class Factors:
    """Two factors of a weight's gradient: summed over positions, gradient times activation.

    Attributes:
        gradient: batch group time outputs; of an embedding batch 1 time features.
        activation: batch group time inputs; None for an embedding, whose inputs are one-hot.
        tokens: batch time, of an embedding; -1 where the position counts for nothing.
    """

    gradient: Tensor
    activation: Tensor | None = None
    tokens: Tensor | None = None


Share = tuple[str, "Factors | Tensor"]
"""What one use adds to the gradient of one parameter: factors of it, or (for a vector) all of it, batch first."""


def of_linear(module: nn.Module, source: Tensor, gradient: Tensor) -> Iterator[Share]:
    """Shares of a `Linear`, with any number of position axes between batch and features."""
    positions = gradient.reshape(len(gradient), -1, gradient.shape[-1])
    if is_wanted(module, "weight"):
        yield "weight", Factors(positions.unsqueeze(1), source.reshape(len(source), 1, -1, source.shape[-1]))
    if is_wanted(module, "bias"):
        yield "bias", positions.sum(1)


def of_convolution(module: nn.Module, source: Tensor, gradient: Tensor) -> Iterator[Share]:
    """Shares of a `Conv1d`, `Conv2d` or `Conv3d`: a linear layer on patches, group by group."""
    assert isinstance(module, nn.modules.conv._ConvNd)
    if is_wanted(module, "weight"):
        for patches, piece in unfold_positions(module, source, gradient, most_elements=MOST_ELEMENTS):
            yield "weight", Factors(piece, patches)
    if is_wanted(module, "bias"):
        yield "bias", gradient.flatten(2).sum(2)


def of_embedding(module: nn.Module, source: Tensor, gradient: Tensor) -> Iterator[Share]:
    """Shares of an `Embedding`: a linear layer on one-hot inputs; `padding_idx` takes no gradient."""
    assert isinstance(module, nn.Embedding)
    tokens = source.reshape(len(source), -1)
    if module.padding_idx is not None:
        tokens = tokens.masked_fill(tokens == module.padding_idx, -1)
    yield "weight", Factors(gradient.reshape(len(gradient), 1, -1, gradient.shape[-1]), tokens=tokens)


def of_layer_normalisation(module: nn.Module, source: Tensor, gradient: Tensor) -> Iterator[Share]:
    """Shares of a `LayerNorm` or `RMSNorm`: the normalised input weighs the gradient."""
    assert isinstance(module, (nn.LayerNorm, nn.RMSNorm))
    shape = (len(gradient), -1, *module.normalized_shape)
    if is_wanted(module, "weight"):
        if isinstance(module, nn.LayerNorm):
            normalised = F.layer_norm(source, module.normalized_shape, eps=module.eps)
        else:
            normalised = F.rms_norm(source, list(module.normalized_shape), eps=module.eps)
        yield "weight", (normalised * gradient).reshape(shape).sum(1)
    if is_wanted(module, "bias"):
        yield "bias", gradient.reshape(shape).sum(1)


def of_group_normalisation(module: nn.Module, source: Tensor, gradient: Tensor) -> Iterator[Share]:
    """Shares of a `GroupNorm`."""
    assert isinstance(module, nn.GroupNorm)
    if is_wanted(module, "weight"):
        normalised = F.group_norm(source, module.num_groups, eps=module.eps)
        yield "weight", per_channel(normalised * gradient)
    if is_wanted(module, "bias"):
        yield "bias", per_channel(gradient)


def of_batch_normalisation(module: nn.Module, source: Tensor, gradient: Tensor) -> Iterator[Share]:
    """Shares of a batch normalisation that uses its running statistics."""
    assert isinstance(module, nn.modules.batchnorm._BatchNorm)
    assert module.running_mean is not None
    assert module.running_var is not None
    if is_wanted(module, "weight"):
        mean, variance = (value.to(source.dtype) for value in (module.running_mean, module.running_var))
        yield "weight", per_channel(F.batch_norm(source, mean, variance, eps=module.eps) * gradient)
    if is_wanted(module, "bias"):
        yield "bias", per_channel(gradient)


def of_prelu(module: nn.Module, source: Tensor, gradient: Tensor) -> Iterator[Share]:
    """Shares of a `PReLU`, one slope or one for each channel."""
    assert isinstance(module, nn.PReLU)
    if is_wanted(module, "weight"):
        passed = source.clamp(max=0.0) * gradient
        yield "weight", passed.reshape(len(passed), -1).sum(1, keepdim=True) if module.num_parameters == 1 else (
            per_channel(passed)
        )


PER_EXAMPLE: dict[type[nn.Module], Callable[[nn.Module, Tensor, Tensor], Iterator[Share]]] = {
    nn.Linear: of_linear,
    nn.modules.linear.NonDynamicallyQuantizableLinear: of_linear,
    nn.Conv1d: of_convolution,
    nn.Conv2d: of_convolution,
    nn.Conv3d: of_convolution,
    nn.Embedding: of_embedding,
    nn.LayerNorm: of_layer_normalisation,
    nn.RMSNorm: of_layer_normalisation,
    nn.GroupNorm: of_group_normalisation,
    nn.BatchNorm1d: of_batch_normalisation,
    nn.BatchNorm2d: of_batch_normalisation,
    nn.BatchNorm3d: of_batch_normalisation,
    nn.PReLU: of_prelu,
}
"""For each kind of layer the function that says, of a few examples, what one use adds to its parameters' gradients."""


def squared_gradient_norms(uses: Sequence[LayerUse], *, loss_divisor: float = 1.0) -> PerExample:
    """Measure the squared gradient norm of every example, for every parameter of the layers used.

    Examples must not have met on the way: where `mixes_examples` holds for any module between these layers and the
    loss, what is returned is the share of each example's activations, not the gradient of its own loss.

    Args:
        uses: Every use of these layers in the step. A parameter used anywhere else (functionally, in another layer
            that is left out here) is measured wrongly, for its norms do not add.
        loss_divisor: What the sum of the examples' losses was divided by: 1 for a sum, the batch size for a mean
            (`reduction="mean"`, where each example counts once), batch size times accumulation steps or
            divided by a gradient scaler's scale where those apply. Squared norms are multiplied by its square.

    Returns:
        Per parameter, the squared norms; 0 for an example whose gradient is zero, nan or inf where a value is. A
        parameter that asks for no gradient is left out. A batch of no examples gives empty norms.
    """
    owners: dict[nn.Parameter, list[tuple[str, LayerUse]]] = {}
    for use in uses:
        for name, parameter in use.module.named_parameters(recurse=False):
            if parameter.requires_grad:
                owners.setdefault(parameter, []).append((name, use))
    found = PerExample()
    for group in connected_uses(owners):
        parameters = [parameter for parameter, used in owners.items() if used[0][1] in group]
        reason = next((why for use in group if (why := reason_against(use))), None)
        if reason is None and len({use.output_gradient.shape[use.batch_axis] for use in group}) > 1:
            reason = "its uses have batches of different size"
        if reason is not None:
            found.not_measured.update(dict.fromkeys(parameters, reason))
        else:
            found.squared_norms.update(measure_group(parameters, group, loss_divisor))
    return found


def mixes_examples(module: nn.Module) -> bool:
    """Whether a module makes an example's output depend on the others of its batch.

    Batch normalisation does while it trains (or keeps no running statistics): then no layer before it has a gradient
    that belongs to one example.
    """
    if not isinstance(module, nn.modules.batchnorm._NormBase) or isinstance(module, nn.modules.instancenorm._InstanceNorm):
        return False
    return module.training or module.running_mean is None


def reason_against(use: LayerUse) -> str | None:
    """Why a layer's examples can't be told apart, None where they can."""
    module, source = use.module, use.input
    if type(module) not in PER_EXAMPLE:
        return f"no rule for a {type(module).__name__}"
    if mixes_examples(module):
        return "batch normalisation in training mode: examples are not separable"
    if nn.utils.parametrize.is_parametrized(module):
        return "its weight is computed from other parameters"
    if isinstance(module, nn.Embedding) and module.scale_grad_by_freq:
        return "scale_grad_by_freq makes an example's gradient depend on the others"
    axes = len(module.kernel_size) + 2 if isinstance(module, nn.modules.conv._ConvNd) else 1
    least = 2 if isinstance(module, (nn.Linear, nn.PReLU)) else axes
    if source.dim() < max(least, use.batch_axis + 1):
        return "its input has no batch axis"
    return None


def connected_uses(owners: dict[nn.Parameter, list[tuple[str, LayerUse]]]) -> list[list[LayerUse]]:
    """Group uses that share a parameter, in order of first use."""
    groups: list[list[LayerUse]] = []
    for used in owners.values():
        members = [use for _, use in used]
        touching = [group for group in groups if any(use in group for use in members)]
        merged = [use for group in touching for use in group]
        merged += [use for use in members if use not in merged]
        groups = [group for group in groups if group not in touching] + [merged]
    return groups


def measure_group(
    parameters: Sequence[nn.Parameter], uses: Sequence[LayerUse], loss_divisor: float
) -> dict[nn.Parameter, Tensor]:
    """Measure parameters whose uses belong together, a few examples at a time."""
    first = uses[0]
    count = first.output_gradient.shape[first.batch_axis]
    step = max(1, MOST_ELEMENTS // max(sum(elements_per_example(use) for use in uses), 1))
    pieces: dict[nn.Parameter, list[Tensor]] = {parameter: [] for parameter in parameters}
    with torch.no_grad(), torch.autocast(first.output_gradient.device.type, enabled=False):
        for start in range(0, count, step):
            for parameter, norms in measure_examples(uses, start, min(step, count - start)).items():
                pieces[parameter].append(norms * loss_divisor**2)
    empty = first.output_gradient.new_zeros(0, dtype=torch.float64)
    return {parameter: torch.cat(found) if found else empty for parameter, found in pieces.items()}


def elements_per_example(use: LayerUse) -> int:
    """Elements that measuring one example of a use takes, at most: its copies, and what is formed of it."""
    count = max(use.output_gradient.shape[use.batch_axis], 1)
    weight = use.module._parameters.get("weight")
    own = (use.input.numel() + use.output_gradient.numel()) // count
    if weight is None or weight.dim() < 2:
        return own
    positions = positions_per_example(use)
    patches = positions * weight[0].numel() * getattr(use.module, "groups", 1) if weight.dim() > 2 else 0
    return own + patches + min(weight.numel(), 3 * positions**2)


def positions_per_example(use: LayerUse) -> int:
    """Positions (time steps, pixels, tokens) at which one example uses a weight."""
    count = max(use.output_gradient.shape[use.batch_axis], 1)
    features = use.output_gradient.shape[1 if isinstance(use.module, nn.modules.conv._ConvNd) else -1]
    return use.output_gradient.numel() // max(count * features, 1)


def measure_examples(uses: Sequence[LayerUse], start: int, count: int) -> dict[nn.Parameter, Tensor]:
    """Measure some examples of all parameters of some uses."""
    taken = [take_examples(use, start, count) for use in uses]
    gradient_scale = greatest_of([gradient for _, gradient in taken])
    input_scale = greatest_of([source for source, _ in taken])
    vectors: dict[nn.Parameter, Tensor] = {}
    matrices: dict[nn.Parameter, list[Factors]] = {}
    for use, (source, gradient) in zip(uses, taken, strict=True):
        if isinstance(use.module, (nn.Linear, nn.modules.conv._ConvNd)):
            source = divide(source, input_scale)
        for name, share in PER_EXAMPLE[type(use.module)](use.module, source, divide(gradient, gradient_scale)):
            parameter = use.module._parameters[name]
            assert parameter is not None
            if isinstance(share, Tensor):
                vectors[parameter] = vectors[parameter] + share if parameter in vectors else share
            else:
                matrices.setdefault(parameter, []).append(share)
    norms = {parameter: square_sum(value) * gradient_scale**2 for parameter, value in vectors.items()}
    for parameter, factors in matrices.items():
        scale = gradient_scale * (input_scale if any(part.tokens is None for part in factors) else 1.0)
        norms[parameter] = norm_of_factors(parameter, factors, input_scale) * scale**2
    return norms
