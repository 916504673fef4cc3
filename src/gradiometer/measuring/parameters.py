"""Parameters in one full step: gradients before and after clipping, weights, and the update that was really made."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from gradiometer.measuring.reductions import by_device, reduce_tensors, square_tensors
from gradiometer.measuring.reductions_defined import GREATEST, NONFINITE_COUNT, SQUARE_SUM, ZERO_COUNT
from gradiometer.measuring.statistics import Number
from gradiometer.measuring.twins import twin_share
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
    weight_decay: float | None = None
    twin_share: Number | None = None


@dataclass(slots=True)
class ParameterWatch:
    """Measures all parameters of a run in one full step.

    Attributes:
        watched: The parameters, by id.
        found: What this step saw of them, by id; emptied at the start of every full step.
        has_shapeless: Some belong to lazy modules that have not been called; `add` takes them once they have a shape.
        renamed: Those whose name has changed since `take_renamed`, in order: the old name and the new.
        looks_for_twins: The next update is looked at for units with equal weights.
        elsewhere: Ids of parameters that a thread beside the training trains: their gradients are never looked at, for
            autograd's engine exchanges them there without Python's lock.
        stale_norms: Norm of each gradient that was there before the step's first backward, by id of its parameter; None
            before that.
    """

    watched: dict[int, Watched] = field(default_factory=dict)
    found: dict[int, Measured] = field(default_factory=dict)
    has_shapeless: bool = False
    renamed: list[tuple[str, str]] = field(default_factory=list)
    stale_norms: dict[int, Number] | None = None
    looks_for_twins: bool = False
    elsewhere: set[int] = field(default_factory=set)

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
        self.stale_norms = None

    def measure_stale(self) -> None:
        """Measure what gradients there are before the step's first backward; they are left from earlier steps."""
        gradients = self.gradients()
        norms = reduce_to_norms(list(gradients.values()))
        self.stale_norms = {key: norm for key, (norm, _) in zip(gradients, norms, strict=True)}

    @property
    def stale_norm(self) -> Number | None:
        """Norm of what was left over, of parameters that an optimizer moves where one does: others pile up unused."""
        if self.stale_norms is None:
            return None
        held = {key for key, found in self.found.items() if found.learning_rate is not None}
        norms = [norm for key, norm in self.stale_norms.items() if not held or key in held]
        return joint_norm(norms) if norms else 0.0

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

    def measure_used(self, optimizer: Optimizer) -> None:
        """Measure the gradients that an optimizer is about to use: again where they were changed since backward."""
        held = {id(tensor) for _, tensor in members(optimizer)}
        gradients = {key: gradient for key, gradient in self.gradients().items() if key in held}
        self._reduce_gradients(
            {key: gradient for key, gradient in gradients.items() if self.found[key].gradient_norm is None}
        )
        clipped = {
            key: gradient
            for key, gradient in gradients.items()
            if version_of(gradient) != self.found[key].gradient_version
        }
        for key, (norm, _) in zip(clipped, reduce_to_norms(list(clipped.values())), strict=True):
            self.found[key].clipped_norm = norm

    def before_update(self, optimizer: Optimizer) -> bool:
        """Measure the weights that an optimizer is about to move, and note how; False where that is done already."""
        groups = {id(tensor): group for group, tensor in members(optimizer)}
        held = [self.watched[key] for key in groups if key in self.watched]
        known = [watched for watched in held if self.found[id(watched.tensor)].sampled_weights is None]
        for watched in known:
            found, group = self.found[id(watched.tensor)], groups[id(watched.tensor)]
            found.learning_rate, found.weight_decay = plain_rate(group.get("lr")), plain_rate(group.get("weight_decay"))
        self._measure_weights(known)
        if self.looks_for_twins:
            self.measure_twins(known)
            self._measure_left_out()
        return bool(known)

    def measure_twins(self, known: Iterable[Watched] | None = None) -> None:
        """Look for units with equal weights, in these parameters or in all."""
        for watched in self.watched.values() if known is None else known:
            self.found[id(watched.tensor)].twin_share = twin_share(watched.tensor)

    def _measure_left_out(self) -> None:
        """Measure the weights that no optimizer has moved in this step: their size tells whether they were drawn."""
        rest = [
            watched
            for key, watched in self.watched.items()
            if self.found[key].weight_norm is None and watched.tensor.is_floating_point()
        ]
        for watched, (norm, _) in zip(rest, reduce_to_norms([one.tensor for one in rest]), strict=True):
            self.found[id(watched.tensor)].weight_norm = norm

    def measure_weights(self) -> None:
        """Measure all parameters of a script that updates them by hand; the update comes before the next backward."""
        self._measure_weights(list(self.watched.values()))

    def _measure_weights(self, known: Sequence[Watched]) -> None:
        known = [watched for watched in known if watched.tensor.is_floating_point() or watched.tensor.is_complex()]
        norms = reduce_to_norms([watched.tensor for watched in known])
        with np.errstate(all="ignore"):
            for watched, (norm, nonfinite) in zip(known, norms, strict=True):
                found = self.found[id(watched.tensor)]
                found.weight_norm, found.weight_nonfinite = norm, nonfinite
                found.sampled_weights = take_sample(watched.tensor, watched.sample)
                found.sampled_norm = found.weight_norm if watched.sample is None else norm_of(found.sampled_weights)

    def after_update(self, tensors: Iterable[Tensor]) -> None:
        """Measure how far an update moved these parameters."""
        # What is not finite comes out so; NumPy need not warn of it.
        with np.errstate(all="ignore"):
            for tensor in tensors:
                watched, found = self.watched.get(id(tensor)), self.found.get(id(tensor))
                if watched is not None and found is not None and found.sampled_weights is not None:
                    found.update_norm = norm_of_difference(take_sample(tensor, watched.sample), found.sampled_weights)
                    found.sampled_weights = None

    def describe(self, optimizers: Sequence[Optimizer], layers: Iterable[Layer]) -> list[Parameter]:
        """All parameters as nouns, each with the layer that owns it and whether an optimizer holds it."""
        kinds = {id(tensor): type(optimizer).__name__ for optimizer in optimizers for _, tensor in members(optimizer)}
        owners = {name: layer.name for layer in layers for name in layer.parameters}
        return [
            Parameter(
                name=watched.name,
                layer=owners.get(watched.name),
                shape=tuple(watched.tensor.shape),
                dtype=str(watched.tensor.dtype).removeprefix("torch."),
                is_trainable=watched.tensor.requires_grad,
                is_optimized=key in kinds,
                optimizer=kinds.get(key),
            )
            for key, watched in self.watched.items()
        ]

    def gradients(self, handed_back: Sequence[tuple[Tensor, Tensor]] = ()) -> dict[int, Tensor]:
        """Gradients by id of their parameter: those that were handed to the script, or those at the parameters."""
        given = {id(tensor): gradient for tensor, gradient in handed_back}
        found = {}
        for key, watched in list(self.watched.items()):
            if key in self.elsewhere:
                continue
            gradient = given.get(key) if given else watched.tensor.grad
            if gradient is not None and key in self.found:
                found[key] = gradient.detach() if gradient.requires_grad else gradient
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

    def columns(device: torch.device, parts: Sequence[Tensor]) -> Sequence[Tensor]:
        table = reduce_tensors(parts)
        norms, greatest = norms_of(table[:, SQUARE_SUM], table[:, NONFINITE_COUNT]), table[:, GREATEST]
        if scale is not None:
            norms, greatest = norms / scale.to(device), greatest / scale.to(device)
        return norms, greatest, table[:, ZERO_COUNT], table[:, NONFINITE_COUNT]

    return gather_rows(tensors, columns)


def reduce_to_norms(tensors: Sequence[Tensor]) -> list[tuple[Number, Number]]:
    """The first and the last number of `reduce_to_rows` alone, which cost a third of all four on the CPU."""

    def columns(device: torch.device, parts: Sequence[Tensor]) -> Sequence[Tensor]:
        square_sums, nonfinite = square_tensors(parts).unbind(1)
        return norms_of(square_sums, nonfinite), nonfinite

    return gather_rows(tensors, columns)


def norms_of(square_sums: Tensor, nonfinite: Tensor) -> Tensor:
    """Norms of tensors from the sums of their squares; NaN where an element is not finite."""
    return square_sums.sqrt().masked_fill(nonfinite > 0, math.nan)


def gather_rows(
    tensors: Sequence[Tensor], columns: Callable[[torch.device, Sequence[Tensor]], Sequence[Tensor]]
) -> list[Any]:
    """Measure tensors, all of a device at once and of a sharded one the part at hand.

    Args:
        tensors: The tensors.
        columns: Measures those of one device; gives columns with an entry for each.

    Returns:
        A row for each tensor; those of the CPU's are plain numbers.
    """
    parts = [local_of(tensor) for tensor in tensors]
    rows: list[Any] = [None] * len(parts)
    for device, places in by_device(parts).items():
        found = columns(device, [parts[place] for place in places])
        numbers = (column.tolist() if device.type == "cpu" else column.unbind() for column in found)
        for place, *row in zip(places, *numbers, strict=True):
            rows[place] = tuple(row)
    return rows


def joint_norm(norms: Sequence[Number]) -> Number:
    """Norm of several tensors together, from the norm of each."""
    on_device = [norm for norm in norms if isinstance(norm, Tensor)]
    on_host = math.hypot(*(norm for norm in norms if not isinstance(norm, Tensor)))
    if not on_device:
        return on_host
    first = on_device[0]
    together: Tensor = torch.stack([first.new_full((), on_host), *(norm.to(first) for norm in on_device)]).norm()
    return together


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
