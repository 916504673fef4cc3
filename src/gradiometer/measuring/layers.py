"""Which modules are layers, what is known of each, and how they are called."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils.parametrize import is_parametrized

from gradiometer.activations import MODULE_ACTIVATIONS, activation_of
from gradiometer.measuring.ranks_shards import plain_class
from gradiometer.schema import Layer

OPAQUE_CONTAINERS = (nn.MultiheadAttention, torch.jit.ScriptModule)
"""Modules that are measured as one operation although they have children: these are not called, or run in TorchScript,
where no hook is."""

HOLDERS = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
"""Modules that hold others and are never called."""

SLOPE_PARAMETERS = {
    "leaky_relu": ("negative_slope",),
    "prelu": ("weight",),
    "elu": ("alpha",),
    "celu": ("alpha",),
    "softplus": ("beta",),
    "hardtanh": ("min_val", "max_val"),
    "threshold": ("threshold", "value"),
    "softshrink": ("lambd",),
    "hardshrink": ("lambd",),
}
"""Attributes of a module that shape its activation, by name of the activation."""


@dataclass(frozen=True, slots=True)
class ModuleRecord:
    """A module of a root.

    Attributes:
        name: Path in the model; for a root without a prefix its class.
        path: The same, empty for such a root: what the names of its parameters begin with.
        module: The module.
        is_leaf: It is measured as one operation.
        is_opaque: Functional calls inside it are its own business.
        activation: Name of its activation, where it is one.
    """

    name: str
    path: str
    module: nn.Module
    is_leaf: bool
    is_opaque: bool
    activation: str | None


def is_torch_module(module: nn.Module) -> bool:
    """Whether torch itself defines the module's class, or has compiled it to TorchScript."""
    return plain_class(module).__module__.startswith(("torch.nn.", "torch.jit."))


def is_one_operation(module: nn.Module) -> bool:
    """Whether a module with children is one operation: attention, TorchScript, a layer whose weight is computed.

    The children of `nn.utils.parametrizations.weight_norm(nn.Linear(...))` compute its weight; the layer is a Linear.
    """
    if isinstance(module, OPAQUE_CONTAINERS):
        return True
    return is_parametrized(module) and {name for name, _ in module.named_children()} == {"parametrizations"}


def kind_of(module: nn.Module) -> str:
    """Name of a module's class: that which it had before its weight was parametrised, or it became TorchScript."""
    if isinstance(module, torch.jit.ScriptModule):
        return str(getattr(module, "original_name", plain_class(module).__name__))
    kind = plain_class(module)
    return (kind.__base__ or kind).__name__ if is_parametrized(module) else kind.__name__


def records_of(root: nn.Module, prefix: str) -> Iterator[ModuleRecord]:
    """List the modules of a root, each once, parents before children.

    Args:
        root: The root.
        prefix: Put before every path; empty where the run has one root.

    Yields:
        One record for each module. A shared module has the name of its first place.
    """
    inside_opaque: set[int] = set()
    for path, module in root.named_modules():
        if id(module) in inside_opaque:
            continue
        full_path = plain_path(".".join(part for part in (prefix, path) if part))
        is_opaque_container = is_torch_module(module) and is_one_operation(module)
        if is_opaque_container:
            inside_opaque.update(id(child) for child in module.modules() if child is not module)
        has_children = next(module.children(), None) is not None
        is_leaf = is_opaque_container or not (has_children or isinstance(module, HOLDERS))
        yield ModuleRecord(
            name=full_path or plain_class(root).__name__,
            path=full_path,
            module=module,
            is_leaf=is_leaf,
            is_opaque=is_leaf and is_torch_module(module),
            activation=activation_name(module) if is_leaf else None,
        )


def plain_path(path: str) -> str:
    """A path in a model without what `torch.compile` adds to it.

    Example:
        >>> plain_path("_orig_mod.body.0"), plain_path("_orig_mod")
        ('body.0', '')
    """
    return ".".join(part for part in path.split(".") if part != "_orig_mod")


def activation_name(module: nn.Module) -> str | None:
    """Name of the activation that a module computes, None where it is none that is known."""
    for kind in type(module).__mro__:
        if kind is nn.Module:
            return None
        if kind.__module__.startswith("torch.nn.") and kind.__name__ in MODULE_ACTIVATIONS:
            return MODULE_ACTIVATIONS[kind.__name__]
    return None


def slope_parameters(module: nn.Module, activation: str) -> dict[str, float]:
    """The parameters that shape this module's activation, for `activation_of`."""
    found: dict[str, float] = {}
    for name in SLOPE_PARAMETERS.get(activation, ()):
        value = getattr(module, name, None)
        if isinstance(value, Tensor):
            found["negative_slope"] = float(value.detach().abs().max())
        elif value is not None:
            found[name] = float(value)
    return found


def weighted_fans(layer: nn.Linear | _ConvNd) -> tuple[float, float]:
    """Inputs that one unit of a linear or convolutional layer sums over, and outputs that one of its inputs reaches.

    On average over positions, borders left aside: in a transposed convolution with a stride of 2 along two axes a unit
    sums over a quarter of the inputs that the kernel spans. That the stride of an ordinary one lets an input reach
    fewer outputs is left aside too, as in torch and in the papers: it does not change the forward signal.

    Returns:
        (fan_in, fan_out).

    Example:
        >>> weighted_fans(nn.Conv2d(4, 6, 3, groups=2)), weighted_fans(nn.ConvTranspose2d(4, 6, 4, stride=2, groups=2))
        ((18.0, 27.0), (8.0, 48.0))
    """
    if isinstance(layer, nn.Linear):
        return float(layer.in_features), float(layer.out_features)
    positions = math.prod(layer.kernel_size)
    fan_in = float(layer.in_channels // layer.groups * positions)
    fan_out = float(layer.out_channels // layer.groups * positions)
    return (fan_in / math.prod(layer.stride) if layer.transposed else fan_in, fan_out)


def fans_of(module: nn.Module) -> tuple[int | None, int | None]:
    """The fans of any module, rounded; its weight is not asked for where it might have to be computed.

    Returns:
        (fan_in, fan_out); (None, None) for a module without a weight of two or more dimensions.
    """
    if isinstance(module, (nn.Linear, _ConvNd)):
        fan_in, fan_out = weighted_fans(module)
        return max(round(fan_in), 1), max(round(fan_out), 1)
    if isinstance(module, (torch.jit.ScriptModule, nn.Embedding, nn.EmbeddingBag)):
        return None, None
    weight = module._parameters.get("weight")
    if weight is None or weight.dim() < 2:
        return None, None
    positions = weight[0, 0].numel()
    return int(weight.shape[1] * positions), int(weight.shape[0] * positions)


def describe_module(record: ModuleRecord, position: int, call_site: str | None, unit_count: int | None) -> Layer:
    """What is known of a module, as a `Layer`."""
    fan_in, fan_out = fans_of(record.module) if record.is_leaf else (None, None)
    greatest_slope = None
    if record.activation is not None:
        parameters = slope_parameters(record.module, record.activation)
        greatest_slope = activation_of(record.activation, **parameters).greatest_slope
    return Layer(
        name=record.name,
        kind=kind_of(record.module),
        role="leaf" if record.is_leaf else "block",
        position=position,
        call_site=call_site,
        activation=record.activation,
        greatest_slope=greatest_slope,
        unit_count=unit_count,
        fan_in=fan_in,
        fan_out=fan_out,
        parameters=parameter_names(record),
        dropped_share=module_dropped_share(record.module),
    )


def module_dropped_share(module: nn.Module) -> float | None:
    """Probability with which a module drops values as it stands; None for one that is no dropout, or evaluates."""
    if not isinstance(module, _DropoutNd) or not module.training:
        return None
    return float(module.p)


def parameter_names(record: ModuleRecord) -> tuple[str, ...]:
    """Names of the parameters that a module itself holds; those of its children for a leaf that hides them."""
    names = (name for name, _ in record.module.named_parameters(recurse=record.is_leaf))
    return tuple(f"{record.path}.{name}" if record.path else name for name in names)


def unit_axis(tensor: Tensor, producer: str) -> int:
    """Axis of units of a layer's output: channels of a convolution, else the last.

    Args:
        tensor: The output, batch first.
        producer: Kind of the layer that made the units (`Conv1d` for an activation behind a convolution).

    Returns:
        The axis, non-negative.
    """
    if tensor.dim() >= 4 or (tensor.dim() == 3 and producer in {"Conv1d", "BatchNorm1d", "ConvTranspose1d"}):
        return 1
    return max(tensor.dim() - 1, 0)
