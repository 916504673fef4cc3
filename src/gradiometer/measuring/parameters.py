"""Parameters in one full step: gradients before and after clipping, weights, and the update that was really made."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from gradiometer.measuring.layers import plain_path
from gradiometer.measuring.ranks_shards import is_sharded, local_indices, local_of
from gradiometer.measuring.reductions import by_device, reduce_tensors
from gradiometer.measuring.reductions_defined import GREATEST, NONFINITE_COUNT, SQUARE_SUM, ZERO_COUNT
from gradiometer.measuring.statistics import Number
from gradiometer.measuring.update_samples import Sample, norm_of, norm_of_difference, take_sample
from gradiometer.schema import Layer, Parameter

SAMPLE_SIZE = 4096
"""Elements that an update ratio is read from. A copy of all weights would cost more memory than is allowed; with
4 096 of them the ratio's relative standard error is about 1.1 % where updates are spread evenly."""

SAMPLE_SEED = 20_260

sharded_looks = count()
"""Stands for the versions of sharded tensors, which have none."""


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
    """What one full step saw of one parameter; numbers of the CPU's parameters are on the host."""

    gradient_norm: Number | None = None
    gradient_greatest: Number | None = None
    gradient_zeros: Number | None = None
    gradient_nonfinite: Number | None = None
    gradient_version: tuple[int, int] = (0, 0)
    clipped_norm: Number | None = None
    weight_norm: Number | None = None
    weight_nonfinite: Number | None = None
    sampled_weights: Sample | None = None
    sampled_norm: Number | None = None
    update_norm: Number | None = None
    learning_rate: float | None = None


@dataclass(slots=True)
class ParameterWatch:
    """Measures all parameters of a run in one full step.

    Attributes:
        watched: The parameters, by id.
        found: What this step saw of them, by id; emptied at the start of every full step.
        has_shapeless: Some belong to lazy modules that have not been called; `add` takes them once they have a shape.
        renamed: Those whose name has changed since `take_renamed`, in order: the old name and the new.
    """

    watched: dict[int, Watched] = field(default_factory=dict)
    found: dict[int, Measured] = field(default_factory=dict)
    has_shapeless: bool = False
    renamed: list[tuple[str, str]] = field(default_factory=list)

    def add(self, names: Iterable[tuple[str, Tensor]]) -> None:
        """Watch further parameters; one known from its optimizer alone takes the name that its root gives it."""
        self.has_shapeless = False
        for name, tensor in names:
            if is_lazy(tensor):
                self.has_shapeless = True
                continue
            known = self.watched.get(id(tensor))
            if known is not None and known.name != name:
                self.renamed.append((known.name, name))
                self.watched[id(tensor)] = replace(known, name=name)
            elif known is None:
                self.watched[id(tensor)] = Watched(name, tensor, draw_sample(tensor, len(self.watched)))
                self.found[id(tensor)] = Measured()

    def take_renamed(self) -> list[tuple[str, str]]:
        """The changes of names since this was asked last."""
        taken, self.renamed = self.renamed, []
        return taken

    def start(self) -> None:
        """Forget the step before."""
        self.found = {key: Measured() for key in self.watched}

    def measure_gradients(self, scale: Tensor | None = None, gradients: Sequence[tuple[Tensor, Tensor]] = ()) -> None:
        """Measure gradients as the last backward left them, before the script clips them.

        Args:
            scale: What the loss was multiplied by, 0-dimensional; None where it was not.
            gradients: Parameters, each with its gradient; empty where the gradients are at the parameters.
        """
        self._reduce_gradients(self.gradients(gradients), scale)

    def _reduce_gradients(self, gradients: Mapping[int, Tensor], scale: Tensor | None = None) -> None:
        """Measure these gradients, by id of their parameter, all of a device at once."""
        for key, row in zip(gradients, reduce_to_rows(list(gradients.values()), scale), strict=True):
            found = self.found[key]
            found.gradient_norm, found.gradient_greatest, found.gradient_zeros, found.gradient_nonfinite = row
            found.gradient_version = version_of(gradients[key])
            found.clipped_norm = found.gradient_norm

    def before_update(self, optimizer: Optimizer) -> None:
        """Measure what an optimizer is about to use: gradients again where they were changed, and weights."""
        rates = {id(tensor): plain_rate(group["lr"]) for group, tensor in members(optimizer) if "lr" in group}
        held = {id(tensor): None for _, tensor in members(optimizer)}
        gradients = {key: gradient for key, gradient in self.gradients().items() if key in held}
        self._reduce_gradients(
            {key: gradient for key, gradient in gradients.items() if self.found[key].gradient_norm is None}
        )
        clipped = {
            key: gradient
            for key, gradient in gradients.items()
            if version_of(gradient) != self.found[key].gradient_version
        }
        for key, row in zip(clipped, reduce_to_rows(list(clipped.values())), strict=True):
            self.found[key].clipped_norm = row[0]
        known = [self.watched[key] for key in held if key in self.watched]
        for watched in known:
            self.found[id(watched.tensor)].learning_rate = rates.get(id(watched.tensor))
        self._measure_weights(known)

    def measure_weights(self) -> None:
        """Measure all parameters of a script that updates them by hand; the update comes before the next backward."""
        self._measure_weights(list(self.watched.values()))

    def _measure_weights(self, known: Sequence[Watched]) -> None:
        known = [watched for watched in known if watched.tensor.is_floating_point() or watched.tensor.is_complex()]
        for watched, row in zip(known, reduce_to_rows([watched.tensor.detach() for watched in known]), strict=True):
            found = self.found[id(watched.tensor)]
            found.weight_norm, _, _, found.weight_nonfinite = row
            found.sampled_weights = take_sample(watched.tensor, watched.sample)
            found.sampled_norm = found.weight_norm if watched.sample is None else norm_of(found.sampled_weights)

    def after_update(self, tensors: Iterable[Tensor]) -> None:
        """Measure how far an update moved these parameters."""
        for tensor in tensors:
            watched, found = self.watched.get(id(tensor)), self.found.get(id(tensor))
            if watched is not None and found is not None and found.sampled_weights is not None:
                found.update_norm = norm_of_difference(take_sample(tensor, watched.sample), found.sampled_weights)
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

    def gradients(self, handed_back: Sequence[tuple[Tensor, Tensor]] = ()) -> dict[int, Tensor]:
        """Gradients by id of their parameter: those that were handed to the script, or those at the parameters."""
        given = {id(tensor): gradient for tensor, gradient in handed_back}
        found = {}
        for key, watched in self.watched.items():
            gradient = given.get(key) if given else watched.tensor.grad
            if gradient is not None and key in self.found:
                found[key] = gradient.detach()
        return found


Row: TypeAlias = tuple[Number, Number, Number, Number]
"""Norm (NaN where an element is not finite), greatest magnitude, elements that are zero and that are not finite."""


def reduce_to_rows(tensors: Sequence[Tensor], scale: Tensor | None = None) -> list[Row]:
    """Measure tensors, all of a device at once and of a sharded one the part at hand.

    Args:
        tensors: Floating-point or complex tensors.
        scale: What they were multiplied by, 0-dimensional; None where they were not.

    Returns:
        A row for each tensor.
    """
    parts = [local_of(tensor) for tensor in tensors]
    rows: list[Any] = [None] * len(parts)
    for device, places in by_device(parts).items():
        table = reduce_tensors([parts[place] for place in places])
        norms = table[:, SQUARE_SUM].sqrt().masked_fill(table[:, NONFINITE_COUNT] > 0, math.nan)
        greatest = table[:, GREATEST]
        if scale is not None:
            norms, greatest = norms / scale.to(device), greatest / scale.to(device)
        columns = (norms, greatest, table[:, ZERO_COUNT], table[:, NONFINITE_COUNT])
        numbers = (column.tolist() if device.type == "cpu" else column.unbind() for column in columns)
        for place, *row in zip(places, *numbers, strict=True):
            rows[place] = tuple(row)
    return rows


def draw_sample(tensor: Tensor, number: int) -> Tensor | None:
    """Draw the elements that a parameter's update is read from, without touching the training's random state.

    Returns:
        Sorted indices into the flattened tensor, on its device; None for one small enough to be read whole. Of a
        sharded tensor the same elements of the whole are drawn on every process, and those at hand are kept.
    """
    if tensor.numel() <= SAMPLE_SIZE:
        return None
    generator = np.random.Generator(np.random.Philox(SAMPLE_SEED + number))
    indices = np.sort(generator.integers(0, tensor.numel(), SAMPLE_SIZE))
    if is_sharded(tensor):
        indices = local_indices(tensor, indices)
    return torch.from_numpy(indices).to(local_of(tensor).device)


def version_of(tensor: Tensor) -> tuple[int, int]:
    """Changes whenever a tensor is written to in place or exchanged; of a sharded tensor, each time it is asked for.

    What clips the gradients of `fully_shard` writes to their parts, and the count of neither part nor whole tells.
    """
    if is_sharded(tensor):
        return next(sharded_looks), -1
    held = tensor._values() if tensor.layout == torch.sparse_coo else tensor
    return held.data_ptr(), held._version


def plain_rate(rate: Any) -> float | None:
    """A learning rate as a number; None for one on a device that would have to be waited for."""
    if isinstance(rate, Tensor):
        return float(rate) if rate.device.type == "cpu" else None
    return None if rate is None else float(rate)


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
