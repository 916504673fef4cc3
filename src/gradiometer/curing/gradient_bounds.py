"""Hooks that bound gradients before an optimizer's step, each with the code that makes the same hook.

Gradients of embeddings may be sparse: their stored rows are bounded. An optimizer with a fused kernel is handed
gradients that still carry a scaler's factor, which stands in `grad_scale` during its step: bounds are multiplied by it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd
from torch.optim import Optimizer

from gradiometer.curing.cure import Patient
from gradiometer.curing.survey import output_weight

LEAST_UNIT_NORM = 1e-3
"""Norm that a unit's weights count as having at least, so that one that starts at zero can move: the paper's value."""


class Bound(Protocol):
    """A hook that runs before an optimizer's step."""

    def __call__(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Bound the gradients of all that this optimizer holds."""

    @property
    def words(self) -> str:
        """What it does, in words."""

    @property
    def code(self) -> str:
        """Code that makes and registers the same hook, with the free names `model` and `optimizer`."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What of a network and its optimizer a bound has to go by.

    Attributes:
        is_sparse: Gradients of an embedding are sparse.
        is_fused: The optimizer's kernel may be handed gradients that a scaler has not divided yet.
        output_place: Place of the output layer; None where it is not known.
        output_parameters: Identities of that layer's parameters.
        transposed_names: Names of weights whose units lie along their second dimension.
        transposed: Identities of these weights.
    """

    is_sparse: bool
    is_fused: bool
    output_place: str | None
    output_parameters: frozenset[int]
    transposed_names: tuple[str, ...]
    transposed: frozenset[int]


def traits_of(patient: Patient) -> Traits:
    """Look at a network and its optimizer."""
    model = patient.model
    groups = patient.optimizer.param_groups if patient.optimizer is not None else []
    weight = output_weight(patient)
    place = next((place for place, owned in owners(model) if owned.get("weight") is weight is not None), None)
    outputs = frozenset() if place is None else frozenset(id(p) for p in model.get_submodule(place).parameters())
    transposed = {
        f"{place}.weight" if place else "weight": id(module.weight)
        for place, module in model.named_modules()
        if isinstance(module, _ConvTransposeNd)
    }
    return Traits(
        is_sparse=any(getattr(module, "sparse", False) is True for module in model.modules()),
        is_fused=any(bool(group.get("fused")) for group in groups),
        output_place=place,
        output_parameters=outputs,
        transposed_names=tuple(transposed),
        transposed=frozenset(transposed.values()),
    )


def owners(model: nn.Module) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every module's place with the parameters of its own."""
    for place, module in model.named_modules():
        yield place, module._parameters


def parameters_of(optimizer: Optimizer) -> list[Tensor]:
    """All that an optimizer holds."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def stored_gradients(parameters: list[Tensor]) -> list[Tensor]:
    """The numbers of every gradient; of a sparse one those of its rows, each row once."""
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return [gradient._values() if gradient.is_sparse else gradient for gradient in gradients]


def scaled(bound: float, optimizer: Optimizer) -> float:
    """A bound in the units that the gradients have in this step."""
    scale = getattr(optimizer, "grad_scale", None)
    return bound if scale is None else bound * float(scale)


PARAMETERS_CODE = '    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]\n'

STORED_CODE = (
    "    for parameter in parameters:\n"
    "        if parameter.grad is not None and parameter.grad.is_sparse:\n"
    "            parameter.grad = parameter.grad.coalesce()\n"
    "    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]\n"
    "    gradients = [gradient._values() if gradient.is_sparse else gradient for gradient in gradients]\n"
)


def bound_code(bound: float, traits: Traits) -> str:
    """The line that sets `bound`, by a scaler's factor where one may be there."""
    if not traits.is_fused:
        return f"    bound = {bound!r}\n"
    return (
        '    scale = getattr(optimizer, "grad_scale", None)\n'
        f"    bound = {bound!r} if scale is None else {bound!r} * float(scale)\n"
    )


def hook_code(body: str, before: str = "") -> str:
    """A hook of this body, registered."""
    return (
        f"import torch\n\n{before}\ndef clip_gradients(optimizer, args, kwargs):\n{PARAMETERS_CODE}{body}\n\n"
        "optimizer.register_step_pre_hook(clip_gradients)\n"
    )


@dataclass(frozen=True, slots=True)
class NormBound:
    """Bounds the norm of all gradients together.

    Attributes:
        norm: The bound.
        traits: What the network is like.
    """

    norm: float
    traits: Traits

    def __call__(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Scale all down together where they exceed the bound."""
        parameters = parameters_of(optimizer)
        if not (self.traits.is_sparse or self.traits.is_fused):
            torch.nn.utils.clip_grad_norm_(parameters, self.norm)
            return
        gradients = stored_gradients(parameters)
        norm = torch.nn.utils.get_total_norm(gradients)
        share = torch.clamp(scaled(self.norm, optimizer) / (norm + 1e-6), max=1.0)
        for gradient in gradients:
            gradient.mul_(share.to(gradient.device))

    @property
    def words(self) -> str:
        """What it does."""
        return f"gradients are clipped to a total norm of {self.norm:g} before every step"

    @property
    def code(self) -> str:
        """A call of torch's own function where that does."""
        if not (self.traits.is_sparse or self.traits.is_fused):
            return hook_code(f"    torch.nn.utils.clip_grad_norm_(parameters, {self.norm!r})\n")
        return hook_code(
            f"{STORED_CODE}{bound_code(self.norm, self.traits)}"
            "    norm = torch.nn.utils.get_total_norm(gradients)\n"
            "    share = torch.clamp(bound / (norm + 1e-6), max=1.0)\n"
            "    for gradient in gradients:\n"
            "        gradient.mul_(share.to(gradient.device))\n"
        )


@dataclass(frozen=True, slots=True)
class ValueBound:
    """Bounds every single number.

    Attributes:
        value: The bound of its magnitude.
        traits: What the network is like.
    """

    value: float
    traits: Traits

    def __call__(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Keep every number between the bounds."""
        bound = scaled(self.value, optimizer)
        for gradient in stored_gradients(parameters_of(optimizer)):
            gradient.clamp_(-bound, bound)

    @property
    def words(self) -> str:
        """What it does."""
        return f"every number of a gradient is kept within ±{self.value:g} before every step"

    @property
    def code(self) -> str:
        """A call of torch's own function where that does."""
        if not (self.traits.is_sparse or self.traits.is_fused):
            return hook_code(f"    torch.nn.utils.clip_grad_value_(parameters, {self.value!r})\n")
        return hook_code(
            f"{STORED_CODE}{bound_code(self.value, self.traits)}"
            "    for gradient in gradients:\n"
            "        gradient.clamp_(-bound, bound)\n"
        )


@dataclass(frozen=True, slots=True)
class UnitBound:
    """Bounds each unit's gradient by a share of the norm of its weights.

    Attributes:
        share: That share.
        traits: What the network is like.
    """

    share: float
    traits: Traits

    def __call__(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Scale down the units whose gradient exceeds the bound; the output layer's stay."""
        bound = scaled(self.share, optimizer)
        with torch.no_grad():
            for parameter in parameters_of(optimizer):
                if parameter.grad is None or id(parameter) in self.traits.output_parameters:
                    continue
                if parameter.grad.is_sparse:
                    parameter.grad = parameter.grad.coalesce()
                    weight, gradient = parameter[parameter.grad._indices()[0]], parameter.grad._values()
                else:
                    weight, gradient = parameter, parameter.grad
                unit = 1 if id(parameter) in self.traits.transposed else 0
                others = [axis for axis in range(weight.dim()) if axis != unit or weight.dim() < 2]
                greatest = bound * torch.linalg.vector_norm(weight, dim=others, keepdim=True).clamp(min=LEAST_UNIT_NORM)
                norm = torch.linalg.vector_norm(gradient, dim=others, keepdim=True).clamp(min=1e-6)
                gradient.mul_(torch.clamp(greatest / norm, max=1.0))

    @property
    def words(self) -> str:
        """What it does."""
        left_out = f"; {self.traits.output_place} is left out" if self.traits.output_place else ""
        return f"each unit's gradient is clipped to {self.share:g} of its weights' norm before every step{left_out}"

    @property
    def code(self) -> str:
        """The hook in plain torch."""
        place, names = self.traits.output_place, self.traits.transposed_names
        outputs = "set()" if place is None else f"{{id(p) for p in model.get_submodule({place!r}).parameters()}}"
        before = f"output_parameters = {outputs}\n"
        if names:
            before += f"transposed = {{id(model.get_parameter(name)) for name in {list(names)!r}}}\n"
        unit = "1 if id(parameter) in transposed else 0" if names else "0"
        return hook_code(f"{bound_code(self.share, self.traits)}{unit_code(unit)}", f"{before}\n")


def unit_code(unit: str) -> str:
    """The loop over parameters; `unit` is the code of the dimension along which units lie."""
    return (
        "    for parameter in parameters:\n"
        "        if parameter.grad is None or id(parameter) in output_parameters:\n"
        "            continue\n"
        "        with torch.no_grad():\n"
        "            if parameter.grad.is_sparse:\n"
        "                parameter.grad = parameter.grad.coalesce()\n"
        "                weight, gradient = parameter[parameter.grad._indices()[0]], parameter.grad._values()\n"
        "            else:\n"
        "                weight, gradient = parameter, parameter.grad\n"
        f"            unit = {unit}\n"
        "            others = [axis for axis in range(weight.dim()) if axis != unit or weight.dim() < 2]\n"
        "            norm = torch.linalg.vector_norm(weight, dim=others, keepdim=True)\n"
        f"            greatest = bound * norm.clamp(min={LEAST_UNIT_NORM!r})\n"
        "            size = torch.linalg.vector_norm(gradient, dim=others, keepdim=True).clamp(min=1e-6)\n"
        "            gradient.mul_(torch.clamp(greatest / size, max=1.0))\n"
    )
