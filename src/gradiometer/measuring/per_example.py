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

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from gradiometer.measuring.autocast import without_autocast
from gradiometer.measuring.exact_format import exact_format
from gradiometer.measuring.gradient_factors import MOST_ELEMENTS, Factors, WeightSum, square_sums, unfold_positions


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


@dataclass(slots=True, eq=False)
class SharingUses:
    """Uses that share parameters, directly or through each other.

    Attributes:
        uses: In the order given.
        parameters: All that ask for a gradient, as keys, in order of first use.
    """

    uses: list[LayerUse] = field(default_factory=list)
    parameters: dict[nn.Parameter, None] = field(default_factory=dict)


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


Share = tuple[str, Factors | Tensor]
"""What one use adds to the gradient of one parameter: factors of it, or (for a vector) all of it, batch first."""

Rule = Callable[[nn.Module, Tensor, Tensor], Iterator[Share]]
"""From a layer, its input and the gradient at its output, batch first, to its shares."""


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
        for factors in unfold_positions(module, source, gradient):
            yield "weight", factors
    if is_wanted(module, "bias"):
        yield "bias", gradient.flatten(2).sum(2)


def of_embedding(module: nn.Module, source: Tensor, gradient: Tensor) -> Iterator[Share]:
    """Shares of an `Embedding`: a linear layer on one-hot inputs; `padding_idx` takes no gradient."""
    assert isinstance(module, nn.Embedding)
    tokens = source.reshape(len(source), -1)
    gradient = gradient.reshape(len(gradient), 1, -1, gradient.shape[-1])
    if module.padding_idx is not None:
        gradient = gradient.masked_fill((tokens == module.padding_idx)[:, None, :, None], 0.0)
    yield "weight", Factors(gradient, tokens=tokens)


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
        is_single = module.num_parameters == 1
        yield "weight", passed.reshape(len(passed), -1).sum(1, keepdim=True) if is_single else per_channel(passed)


PER_EXAMPLE: dict[type[nn.Module], Rule] = {
    nn.Linear: of_linear,
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
    found = PerExample()
    for group in connected(uses):
        reason = reason_against_group(group)
        if reason is not None:
            found.not_measured.update(dict.fromkeys(group.parameters, reason))
        else:
            found.squared_norms.update(measure_group(group, loss_divisor))
    return found


def mixes_examples(module: nn.Module) -> bool:
    """Whether a module makes an example's output depend on the others of its batch.

    Batch normalisation does while it trains (or keeps no running statistics): then no layer before it has a gradient
    that belongs to one example.
    """
    if not isinstance(module, nn.modules.batchnorm._NormBase) or isinstance(
        module, nn.modules.instancenorm._InstanceNorm
    ):
        return False
    return module.training or module.running_mean is None


def reason_against(use: LayerUse) -> str | None:
    """Why a layer's examples can't be told apart, None where they can."""
    module, source = use.module, use.input
    if is_parametrized(module) or (type(module) in PER_EXAMPLE and set(module._parameters) - {"weight", "bias"}):
        return "its weight is computed from other parameters"
    if type(module) not in PER_EXAMPLE:
        return f"no rule for a {type(module).__name__}"
    if mixes_examples(module):
        return "batch normalisation in training mode: examples are not separable"
    if isinstance(module, nn.Embedding) and module.scale_grad_by_freq:
        return "scale_grad_by_freq makes an example's gradient depend on the others"
    axes = len(module.kernel_size) + 2 if isinstance(module, nn.modules.conv._ConvNd) else 1
    least = 2 if isinstance(module, (nn.Linear, nn.PReLU)) else axes
    if source.dim() < max(least, use.batch_axis + 1):
        return "its input has no batch axis"
    return None


def reason_against_group(group: SharingUses) -> str | None:
    """Why uses that share parameters can't be measured, None where they can."""
    reason = next((why for use in group.uses if (why := reason_against(use))), None)
    if reason is None and len({batch_size(use) for use in group.uses}) > 1:
        return "its uses have batches of different size"
    return reason


def connected(uses: Sequence[LayerUse]) -> list[SharingUses]:
    """Group uses that share a parameter, in order of first use; those without a parameter are left out."""
    home: dict[nn.Parameter, SharingUses] = {}
    for use in uses:
        own = [value for value in use.module.parameters(recurse=False) if value.requires_grad]
        groups = list({id(home[value]): home[value] for value in own if value in home}.values())
        group = groups[0] if groups else SharingUses()
        for other in groups[1:]:
            group.uses += other.uses
            group.parameters.update(other.parameters)
        group.uses.append(use)
        group.parameters.update(dict.fromkeys(own))
        home.update(dict.fromkeys(group.parameters if len(groups) > 1 else own, group))
    return list({id(group): group for group in home.values()}.values())


def measure_group(group: SharingUses, loss_divisor: float) -> dict[nn.Parameter, Tensor]:
    """Measure parameters whose uses belong together, a few examples at a time."""
    count, device = batch_size(group.uses[0]), group.uses[0].output_gradient.device
    step = max(1, MOST_ELEMENTS // max(sum(elements_per_example(use) for use in group.uses), 1))
    if count == 0:
        return {parameter: torch.zeros(0, dtype=exact_format(device), device=device) for parameter in group.parameters}
    if is_single_vector(group):
        return measure_single_vectors(group.uses[0], loss_divisor)
    pieces: dict[nn.Parameter, list[Tensor]] = {}
    with torch.no_grad(), without_autocast(device):
        for start in range(0, count, step):
            for parameter, norms in measure_examples(group, start, min(step, count - start)).items():
                pieces.setdefault(parameter, []).append(norms * loss_divisor**2)
    return {parameter: torch.cat(found) for parameter, found in pieces.items()}


def is_single_vector(group: SharingUses) -> bool:
    """Whether a `Linear` is used once, on one vector of each example, in a format whose squares float64 holds."""
    use = group.uses[0]
    is_vector = use.input.dim() == use.output_gradient.dim() == 2
    is_narrow = torch.float64 not in (use.input.dtype, use.output_gradient.dtype)
    return len(group.uses) == 1 and type(use.module) is nn.Linear and is_vector and is_narrow


def measure_single_vectors(use: LayerUse, loss_divisor: float) -> dict[nn.Parameter, Tensor]:
    """Measure a `Linear` whose gradients of one example are a product of two vectors: their norms multiply."""
    with torch.no_grad():
        values = (use.input.detach(), use.output_gradient)
        exact = exact_format(use.output_gradient.device)
        source, gradient = (torch.linalg.vector_norm(one, dim=1, dtype=exact).square_() for one in values)
        gradient *= loss_divisor**2
        found = {"weight": source.mul_(gradient), "bias": gradient}
    parameters = use.module._parameters
    return {own: found[name] for name in found if (own := parameters[name]) is not None and own.requires_grad}


def measure_examples(group: SharingUses, start: int, count: int) -> dict[nn.Parameter, Tensor]:
    """Measure some examples of all parameters of some uses."""
    taken = [take_examples(use, start, count) for use in group.uses]
    gradient_scale = greatest_values([gradient for _, gradient in taken])
    input_scale = greatest_values(
        [source for use, (source, _) in zip(group.uses, taken, strict=True) if is_matrix(use)]
    )
    vectors: dict[nn.Parameter, Tensor] = {}
    weights = weight_sums(group.uses)
    for use, (source, gradient) in zip(group.uses, taken, strict=True):
        if is_matrix(use) and source.is_floating_point():
            source = divide(source, input_scale)
        for name, share in PER_EXAMPLE[type(use.module)](use.module, source, divide(gradient, gradient_scale)):
            parameter = use.module._parameters[name]
            assert parameter is not None
            if isinstance(share, Tensor):
                vectors[parameter] = vectors[parameter] + share if parameter in vectors else share
            else:
                is_hot = share.tokens is not None
                weights[parameter].add(replace(share, token_value=1.0 / input_scale) if is_hot else share)
    norms = {parameter: square_sums(value) * gradient_scale**2 for parameter, value in vectors.items()}
    for parameter, weight in weights.items():
        norms[parameter] = weight.square_sums() * (gradient_scale * input_scale) ** 2
    return norms


def weight_sums(uses: Sequence[LayerUse]) -> dict[nn.Parameter, WeightSum]:
    """An empty sum for every weight matrix that is asked for, which knows at how many positions it is used."""
    sums: dict[nn.Parameter, WeightSum] = {}
    for use in uses:
        weight = use.module._parameters.get("weight")
        if is_matrix(use) and weight is not None and weight.requires_grad:
            known = sums.setdefault(weight, WeightSum(weight, getattr(use.module, "groups", 1), positions=0))
            known.positions += positions_per_example(use)
    return sums


def is_matrix(use: LayerUse) -> bool:
    """Whether the layer's weight is a matrix of outputs and inputs."""
    return isinstance(use.module, (nn.Linear, nn.modules.conv._ConvNd, nn.Embedding))


def is_wanted(module: nn.Module, name: str) -> bool:
    """Whether a layer has this parameter, and it asks for a gradient."""
    parameter = module._parameters.get(name)
    return parameter is not None and parameter.requires_grad


def per_channel(values: Tensor) -> Tensor:
    """Sum over all axes but batch and channels."""
    return values.reshape(*values.shape[:2], -1).sum(2)


def batch_size(use: LayerUse) -> int:
    """Examples of a use."""
    return use.output_gradient.shape[use.batch_axis]


def positions_per_example(use: LayerUse) -> int:
    """Positions (time steps, pixels, tokens) at which one example uses a weight."""
    features = use.output_gradient.shape[1 if isinstance(use.module, nn.modules.conv._ConvNd) else -1]
    return use.output_gradient.numel() // max(batch_size(use) * features, 1)


def elements_per_example(use: LayerUse) -> int:
    """Elements that measuring one example of a use takes, at most: its copies, and what is formed of it."""
    own = (use.input.numel() + use.output_gradient.numel()) // max(batch_size(use), 1)
    weight = use.module._parameters.get("weight")
    if weight is None or not is_matrix(use):
        return own
    positions = positions_per_example(use)
    patches = positions * weight[0].numel() * getattr(use.module, "groups", 1) if weight.dim() > 2 else 0
    return own + patches + min(weight.numel(), 3 * positions**2)


def take_examples(use: LayerUse, start: int, count: int) -> tuple[Tensor, Tensor]:
    """Some examples of a use, batch first: input and output gradient, half formats in float32."""
    source, gradient = (
        value.detach().movedim(use.batch_axis, 0)[start : start + count] for value in (use.input, use.output_gradient)
    )
    dtype = torch.promote_types(gradient.dtype, torch.float32)
    if source.is_floating_point():
        dtype = torch.promote_types(dtype, source.dtype)
        source = source.to(dtype)
    return source, gradient.to(dtype)


def greatest_values(tensors: Sequence[Tensor]) -> Tensor:
    """Greatest absolute value of each example over several tensors; 1 where all are zero, and for token numbers."""
    found = []
    for tensor in tensors:
        if not tensor.is_floating_point() or tensor.numel() == 0:
            found.append(torch.ones(len(tensor), dtype=exact_format(tensor.device), device=tensor.device))
        else:
            # amax of the last axis is vectorised; aminmax of one axis is not, by a factor of 20.
            flat = tensor.reshape(len(tensor), -1)
            found.append(torch.maximum(flat.amax(1), -flat.amin(1)).to(exact_format(tensor.device)))
    if not found:
        return torch.ones((), dtype=torch.float64)
    greatest = torch.stack(found).amax(0)
    return torch.where(greatest == 0.0, 1.0, greatest)


def divide(values: Tensor, scale: Tensor) -> Tensor:
    """Divide each example by its own number."""
    return values / scale.to(values.dtype).view(-1, *[1] * (values.dim() - 1))
