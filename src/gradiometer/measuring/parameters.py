"""Parameters in one full step: gradients before and after clipping, weights, and the update that was really made."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from gradiometer.measuring.layers import plain_path
from gradiometer.measuring.statistics import count_nonfinite, measure_norm
from gradiometer.schema import Layer, Parameter

SAMPLE_SIZE = 4096
"""Elements that an update ratio is read from. A copy of all weights would cost more memory than is allowed; with
4 096 of them the ratio's relative standard error is about 1.1 % where updates are spread evenly."""

SAMPLE_SEED = 20_260


@dataclass(frozen=True, slots=True)
class Watched:
    """A parameter that is measured.

    Attributes:
        name: Path in the model.
        tensor: The parameter itself.
        sample: Indices of the elements that its update is read from; None for all of a small one.
    """

    name: str
    tensor: Tensor
    sample: Tensor | None


@dataclass(slots=True)
class Measured:
    """What one full step saw of one parameter; every number 0-dimensional on the parameter's device."""

    gradient_norm: Tensor | None = None
    gradient_nonfinite: Tensor | None = None
    gradient_version: tuple[int, int] = (0, 0)
    clipped_norm: Tensor | None = None
    weight_norm: Tensor | None = None
    weight_nonfinite: Tensor | None = None
    sampled_weights: Tensor | None = None
    sampled_norm: Tensor | None = None
    update_norm: Tensor | None = None
    zero_share: Tensor | None = None
    learning_rate: float | None = None


@dataclass(slots=True)
class ParameterWatch:
    """Measures all parameters of a run in one full step.

    Attributes:
        watched: The parameters, by id.
        found: What this step saw of them, by id; emptied at the start of every full step.
        has_shapeless: Some belong to lazy modules that have not been called; `add` takes them once they have a shape.
    """

    watched: dict[int, Watched] = field(default_factory=dict)
    found: dict[int, Measured] = field(default_factory=dict)
    has_shapeless: bool = False

    def add(self, names: Iterable[tuple[str, Tensor]]) -> None:
        """Watch further parameters; one known from its optimizer alone takes the name that its root gives it."""
        self.has_shapeless = False
        for name, tensor in names:
            if is_lazy(tensor):
                self.has_shapeless = True
                continue
            known = self.watched.get(id(tensor))
            if known is not None and known.name != name:
                self.watched[id(tensor)] = replace(known, name=name)
            elif known is None:
                self.watched[id(tensor)] = Watched(name, tensor, draw_sample(tensor, len(self.watched)))
                self.found[id(tensor)] = Measured()

    def start(self) -> None:
        """Forget the step before."""
        self.found = {key: Measured() for key in self.watched}

    def measure_gradients(self, scale: Tensor | None = None) -> None:
        """Measure gradients as the last backward left them, before the script clips them.

        Args:
            scale: What the loss was multiplied by, 0-dimensional; None where it was not.
        """
        for key, watched, gradient in self._gradients():
            found = self.found[key]
            found.gradient_norm = measure_norm(gradient)
            found.gradient_nonfinite = nonfinite_where(found.gradient_norm, gradient)
            found.gradient_version = version_of(gradient)
            if scale is not None:
                found.gradient_norm = found.gradient_norm / scale.to(found.gradient_norm.device)
            found.clipped_norm = found.gradient_norm
            sampled = gradient if watched.sample is None else torch.take(gradient, watched.sample)
            found.zero_share = 1.0 - torch.count_nonzero(sampled) / max(sampled.numel(), 1)

    def before_update(self, optimizer: Optimizer) -> None:
        """Measure what an optimizer is about to use: gradients again where they were changed, and weights."""
        rates = {id(tensor): float(group["lr"]) for group, tensor in members(optimizer) if "lr" in group}
        held = {id(tensor) for _, tensor in members(optimizer)}
        for key, _, gradient in self._gradients():
            found = self.found[key]
            if key in held and found.gradient_norm is None:
                found.gradient_norm = measure_norm(gradient)
                found.gradient_nonfinite = nonfinite_where(found.gradient_norm, gradient)
                found.clipped_norm = found.gradient_norm
            elif key in held and version_of(gradient) != found.gradient_version:
                found.clipped_norm = measure_norm(gradient)
        for key in held & self.watched.keys():
            self.found[key].learning_rate = rates.get(key)
            self._measure_weights(self.watched[key])

    def measure_weights(self) -> None:
        """Measure all parameters of a script that updates them by hand; the update comes before the next backward."""
        for watched in self.watched.values():
            self._measure_weights(watched)

    def _measure_weights(self, watched: Watched) -> None:
        found = self.found[id(watched.tensor)]
        weights = watched.tensor.detach()
        found.weight_norm = measure_norm(weights)
        found.weight_nonfinite = nonfinite_where(found.weight_norm, weights)
        found.sampled_weights = take_sample(watched)
        found.sampled_norm = found.weight_norm if watched.sample is None else measure_norm(found.sampled_weights)

    def after_update(self, tensors: Iterable[Tensor]) -> None:
        """Measure how far an update moved these parameters."""
        for tensor in tensors:
            watched, found = self.watched.get(id(tensor)), self.found.get(id(tensor))
            if watched is not None and found is not None and found.sampled_weights is not None:
                found.update_norm = measure_norm(take_sample(watched) - found.sampled_weights)
                found.sampled_weights = None

    def describe(self, optimizers: Sequence[Optimizer], layers: Iterable[Layer]) -> list[Parameter]:
        """All parameters as nouns, each with the layer that owns it and whether an optimizer holds it."""
        optimized = {id(tensor) for optimizer in optimizers for _, tensor in members(optimizer)}
        owners = {name: layer.name for layer in layers for name in layer.parameters}
        return [
            Parameter(
                name=watched.name,
                layer=owners.get(watched.name),
                shape=tuple(watched.tensor.shape),
                dtype=str(watched.tensor.dtype).removeprefix("torch."),
                is_trainable=watched.tensor.requires_grad,
                is_optimized=key in optimized,
            )
            for key, watched in self.watched.items()
        ]

    def _gradients(self) -> list[tuple[int, Watched, Tensor]]:
        found = []
        for key, watched in self.watched.items():
            gradient = watched.tensor.grad
            if gradient is not None and key in self.found:
                gradient = gradient.detach()
                found.append((key, watched, gradient.coalesce().values() if gradient.is_sparse else gradient))
        return found


def draw_sample(tensor: Tensor, number: int) -> Tensor | None:
    """Draw the elements that a parameter's update is read from, without touching the training's random state.

    Returns:
        Sorted indices into the flattened tensor, on its device; None for one small enough to be read whole.
    """
    if tensor.numel() <= SAMPLE_SIZE:
        return None
    generator = np.random.Generator(np.random.Philox(SAMPLE_SEED + number))
    indices = np.sort(generator.integers(0, tensor.numel(), SAMPLE_SIZE))
    return torch.from_numpy(indices).to(tensor.device)


def take_sample(watched: Watched) -> Tensor:
    """Copy a parameter's sampled elements."""
    weights = watched.tensor.detach()
    return weights.clone() if watched.sample is None else torch.take(weights, watched.sample)


def version_of(tensor: Tensor) -> tuple[int, int]:
    """Changes whenever a tensor is written to in place or exchanged."""
    return tensor.data_ptr(), tensor._version


def nonfinite_where(norm: Tensor, tensor: Tensor) -> Tensor | None:
    """Count elements that are not finite, on the CPU only where the norm says that there are any."""
    if norm.device.type == "cpu" and math.isfinite(norm.item()):
        return None
    return count_nonfinite(tensor)


def members(optimizer: Optimizer) -> list[tuple[dict[str, Any], Tensor]]:
    """Every parameter of an optimizer with its group."""
    return [(group, tensor) for group in optimizer.param_groups for tensor in group["params"]]


def names_of(roots: Mapping[str, torch.nn.Module], optimizers: Sequence[Optimizer]) -> list[tuple[str, Tensor]]:
    """Name the parameters of all roots, and those that only an optimizer holds.

    Args:
        roots: Root modules by the prefix of their names.
        optimizers: The run's optimizers.

    Returns:
        (path, tensor), each tensor once.
    """
    named: dict[int, tuple[str, Tensor]] = {}
    for prefix, root in roots.items():
        for path, tensor in root.named_parameters():
            named.setdefault(id(tensor), (plain_path(f"{prefix}.{path}" if prefix else path), tensor))
    for number, optimizer in enumerate(optimizers):
        for index, (_, held) in enumerate(members(optimizer)):
            named.setdefault(id(held), (f"optimizer{number or ''}[{index}]", held))
    return list(named.values())
