"""All of one full step as one `Snapshot`: sums on a device become numbers, one transfer for each number format."""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from gradiometer.measuring.calls import Call
from gradiometer.measuring.inputs import InputStats
from gradiometer.measuring.parameters import Measured, Watched
from gradiometer.measuring.ranks_shards import local_of
from gradiometer.measuring.statistics import Number
from gradiometer.measuring.targets import TargetFigures
from gradiometer.measuring.trunk import TrunkEntry, open_chains
from gradiometer.measuring.unit_windows import UnitWindow
from gradiometer.schema import LayerStats, ParameterStats, Snapshot
from gradiometer.units import decibels

LEAST_CHANGE_DB = 0.05
"""Change of a gradient between two chained layers that is told. bfloat16 rounds by up to 0.03 dB, and a layer that
reads its input several times has the parts added in another order."""


@dataclass(frozen=True, slots=True)
class StepMaterial:
    """What a full step left behind.

    Attributes:
        step: Its index.
        calls: Its calls.
        passes: Numbers of the backward passes from the loss that levels are relative to.
        trunk: The trunk's entries, from the output down.
        windows: Unit windows by layer.
        watched: Parameters by id.
        measured: What was seen of them.
        inputs: The first root's input.
        loss: Mean loss, already a number.
        targets: Its targets.
        stale_norm: Norm of the gradients that were there before the first backward; None where there was none.
    """

    step: int
    calls: Sequence[Call]
    passes: frozenset[int]
    trunk: tuple[TrunkEntry, ...]
    windows: Mapping[str, UnitWindow]
    watched: Mapping[int, Watched]
    measured: Mapping[int, Measured]
    inputs: InputStats | None
    loss: float | None
    targets: TargetFigures = TargetFigures()
    stale_norm: Number | None = None


@dataclass(slots=True)
class LayerSums:
    """Norms over all calls of one layer together (their squares add; `hypot` keeps tiny ones from underflowing)."""

    output: float = 0.0
    elements: int = 0
    output_gradient: float | None = None
    input_gradient: float | None = None
    output_nonfinite: int = 0
    gradient_nonfinite: int = 0


class Numbers:
    """Fetches many 0-dimensional tensors from their devices at once.

    Args:
        tensors: All that will be asked for; what is None, or on the host already, is passed over.
        values: What they hold, in their order and without the None, where that is on the host already.
    """

    def __init__(self, tensors: Iterable[Number | None], values: Sequence[float] | None = None) -> None:
        # Ids stay unique only while their tensors live.
        self._kept = [tensor for tensor in tensors if isinstance(tensor, Tensor)]
        known = fetch(self._kept) if values is None else values
        self._values = dict(zip(map(id, self._kept), known, strict=True))

    def __call__(self, number: Number | None) -> float | None:
        """The number that a tensor holds; one that is on the host already is itself, and None is None."""
        return self._values[id(number)] if isinstance(number, Tensor) else number


def fetch(tensors: Sequence[Tensor]) -> list[float]:
    """Fetch 0-dimensional tensors, those of one device and format in one transfer; waits for it."""
    places: dict[tuple[torch.device, torch.dtype], list[int]] = {}
    for place, tensor in enumerate(tensors):
        places.setdefault((tensor.device, tensor.dtype), []).append(place)
    found = [0.0] * len(tensors)
    for group in places.values():
        for place, value in zip(group, torch.stack([tensors[place] for place in group]).tolist(), strict=True):
            found[place] = float(value)
    return found


Shares: TypeAlias = Mapping[str, tuple[Number | None, Number | None, int, Number | None]]
"""By layer the shares of saturated and dead units, the examples that they were judged on, the share of linear units."""


NOT_JUDGED = (None, None, None, None)
"""Stands for the shares of a layer that has no window."""


def judge_units(material: StepMaterial) -> Shares:
    """Judge the units of all windows as they are now: the next step changes them."""
    return {name: (*window.shares(), window.linear_share()) for name, window in material.windows.items()}


def tensors_of(material: StepMaterial, shares: Shares) -> list[Tensor]:
    """All numbers of a full step that are tensors still."""
    inputs = material.inputs
    tensors = [
        *call_tensors(material.calls),
        *(tensor for saturated, dead, _, linear in shares.values() for tensor in (saturated, dead, linear)),
        *parameter_tensors(material.measured.values()),
        *((inputs.mean, inputs.rms, inputs.greatest, inputs.spread) if inputs else ()),
        *material.targets.numbers,
        material.stale_norm,
    ]
    return [tensor for tensor in tensors if isinstance(tensor, Tensor)]


def build_snapshot(material: StepMaterial, shares: Shares, numbers: Numbers) -> Snapshot:
    """Turn what a full step left behind into a `Snapshot`.

    Levels are relative to the gradient at the first entry of the trunk; without a trunk, to that at the output of the
    last call that a gradient came to.

    Args:
        material: What it left behind.
        shares: Its units as they were judged when it ended.
        numbers: The numbers of `tensors_of`.
    """
    inputs, targets = material.inputs, material.targets
    sums = sum_calls(material, numbers)
    fill_chains(material.trunk, sums)
    reference = find_reference(material, sums)
    trunk = open_chains(material.trunk, functools.partial(is_changed_between, sums))
    joins = join_sums(trunk, sums)
    positions = {entry.layer: rank for rank, entry in enumerate(trunk)}
    layers = []
    for name, layer_sums in [*sums.items(), *joins.items()]:
        saturated, dead, examples, linear = shares.get(name, NOT_JUDGED)
        units = (numbers(saturated), numbers(dead), examples, numbers(linear))
        layers.append(layer_stats(name, layer_sums, reference, positions.get(name), units))
    return Snapshot(
        step=material.step,
        layers=tuple(layers),
        parameters=tuple(
            parameter_stats(material.watched[key], measured, numbers) for key, measured in material.measured.items()
        ),
        output_gradient_norm=reference,
        loss=material.loss,
        input_mean=numbers(inputs.mean) if inputs else None,
        input_rms=numbers(inputs.rms) if inputs else None,
        input_greatest=numbers(inputs.greatest) if inputs else None,
        input_spread_db=ratio_db(finite(numbers(inputs.spread)), 1.0) if inputs else None,
        stale_gradient_norm=finite(numbers(material.stale_norm)),
        target_mean=finite(numbers(targets.mean)),
        target_rms=finite(numbers(targets.rms)),
        target_greatest=finite(numbers(targets.greatest)),
        constant_loss=finite(numbers(targets.constant_loss)),
        batch_accuracy=finite(numbers(targets.accuracy)),
    )


def call_tensors(calls: Iterable[Call]) -> Iterable[Number | None]:
    """All numbers that calls hold."""
    for call in calls:
        yield call.output_norm
        yield call.output_nonfinite
        for gradients in call.gradients.values():
            yield from (gradients.output_norm, gradients.output_nonfinite, gradients.input_norm)


def parameter_tensors(found: Iterable[Measured]) -> Iterable[Number | None]:
    """All numbers that parameters' measurements hold."""
    for measured in found:
        yield from (measured.gradient_norm, measured.gradient_nonfinite, measured.clipped_norm)
        yield from (measured.weight_norm, measured.weight_nonfinite, measured.sampled_norm)
        yield from (measured.update_norm, measured.gradient_zeros, measured.gradient_greatest, measured.twin_share)


def sum_calls(material: StepMaterial, numbers: Numbers) -> dict[str, LayerSums]:
    """Join the norms of each layer's calls; gradients over the passes that levels are relative to.

    A layer that only another loss reaches is joined over that one's passes.
    """
    sums: dict[str, LayerSums] = {}
    on_trunk = {entry.layer for entry in material.trunk if not entry.is_join}
    for call in material.calls:
        passes = material.passes & call.gradients.keys() or call.gradients.keys()
        if call.is_block and call.layer not in on_trunk:
            continue
        found = sums.setdefault(call.layer, LayerSums())
        if (norm := numbers(call.output_norm)) is not None:
            found.output = math.hypot(found.output, norm)
            found.elements += call.element_count
            found.output_nonfinite += int(numbers(call.output_nonfinite) or 0)
        for number in passes:
            gradients = call.gradients[number]
            found.gradient_nonfinite += int(numbers(gradients.output_nonfinite) or 0)
            found.output_gradient = join_norms(found.output_gradient, numbers(gradients.output_norm))
            found.input_gradient = join_norms(found.input_gradient, numbers(gradients.input_norm))
    return sums


def join_norms(total: float | None, norm: float | None) -> float | None:
    """Norm of two parts together, of which the first may not be there yet."""
    return total if norm is None else math.hypot(total or 0.0, norm)


def fill_chains(trunk: Sequence[TrunkEntry], sums: dict[str, LayerSums]) -> None:
    """Give layers without a contribution of their own the gradient at the next layer's output.

    That is exact where the next layer's output is the only input; where something lies between, it is counted in.
    """
    layers = [entry for entry in trunk if not entry.is_join and entry.layer in sums]
    for entry, deeper in zip(layers, layers[1:], strict=False):
        if sums[entry.layer].input_gradient is None:
            sums[entry.layer].input_gradient = sums[deeper.layer].output_gradient


def is_changed_between(sums: Mapping[str, LayerSums], above: str, below: str) -> bool:
    """Whether the gradient at one layer's input is not that at the next one's output, though nothing lies between."""
    if above not in sums or below not in sums:
        return False
    gain_db = ratio_db(finite(sums[below].output_gradient), finite(sums[above].input_gradient))
    return gain_db is not None and abs(gain_db) > LEAST_CHANGE_DB


def join_sums(trunk: Sequence[TrunkEntry], sums: dict[str, LayerSums]) -> dict[str, LayerSums]:
    """What lies between two layers: its output is the one's input, its input the other's output."""
    joins: dict[str, LayerSums] = {}
    for above, entry, below in zip(trunk, trunk[1:], trunk[2:], strict=False):
        if entry.is_join and above.layer in sums and below.layer in sums:
            joins[entry.layer] = LayerSums(
                output_gradient=sums[above.layer].input_gradient, input_gradient=sums[below.layer].output_gradient
            )
    return joins


def find_reference(material: StepMaterial, sums: Mapping[str, LayerSums]) -> float | None:
    """Norm of the loss gradient at the network's output, None where no gradient came."""
    names = [entry.layer for entry in material.trunk[:1]] or [call.layer for call in reversed(material.calls)]
    for name in names:
        if name in sums and sums[name].output_gradient is not None:
            return finite(sums[name].output_gradient)
    return None


def finite(norm: float | None) -> float | None:
    """A norm; None where it was not measured or is not finite."""
    return norm if norm is not None and math.isfinite(norm) else None


def ratio_db(numerator: float | None, denominator: float | None) -> float | None:
    """Ratio of two norms in dB; None where it has no meaning."""
    if numerator is None or denominator is None or denominator == 0.0:
        return None
    return decibels(numerator / denominator)


def layer_stats(
    name: str,
    sums: LayerSums,
    reference: float | None,
    trunk_position: int | None,
    units: tuple[float | None, float | None, int | None, float | None],
) -> LayerStats:
    """One layer's sums, and what was judged of its units, as `LayerStats`."""
    saturated_share, dead_share, window_examples, linear_share = units
    output_gradient, input_gradient = finite(sums.output_gradient), finite(sums.input_gradient)
    output = finite(sums.output)
    return LayerStats(
        layer=name,
        trunk_position=trunk_position,
        output_rms=output / math.sqrt(sums.elements) if output is not None and sums.elements else None,
        output_gradient_norm=output_gradient,
        input_gradient_norm=input_gradient,
        level_db=ratio_db(output_gradient, reference),
        gain_db=ratio_db(input_gradient, output_gradient),
        saturated_share=saturated_share,
        dead_share=dead_share,
        window_examples=window_examples,
        output_nonfinite_count=sums.output_nonfinite,
        gradient_nonfinite_count=sums.gradient_nonfinite,
        linear_share=linear_share,
    )


def parameter_stats(watched: Watched, measured: Measured, numbers: Numbers) -> ParameterStats:
    """One parameter's measurements as `ParameterStats`."""
    size = math.sqrt(max(watched.tensor.numel(), 1))
    sample_size = size if watched.sample is None else math.sqrt(max(watched.sample.numel(), 1))
    update, before = numbers(measured.update_norm), numbers(measured.sampled_norm)
    return ParameterStats(
        parameter=watched.name,
        gradient_rms=scaled(numbers(measured.gradient_norm), size),
        clipped_gradient_rms=scaled(numbers(measured.clipped_norm), size),
        weight_rms=scaled(numbers(measured.weight_norm), size),
        update_ratio=update / before if update is not None and before and math.isfinite(update / before) else None,
        update_rms=scaled(update, sample_size),
        learning_rate=measured.learning_rate,
        weight_decay=measured.weight_decay,
        twin_share=numbers(measured.twin_share),
        gradient_zero_share=zero_share(numbers(measured.gradient_zeros), watched.tensor),
        gradient_greatest=numbers(measured.gradient_greatest),
        gradient_nonfinite_count=int(numbers(measured.gradient_nonfinite) or 0),
        weight_nonfinite_count=int(numbers(measured.weight_nonfinite) or 0),
    )


def zero_share(zero_count: float | None, tensor: Tensor) -> float | None:
    """Share of a gradient that is exactly zero, of a sharded one in the part at hand; of an empty one all of it."""
    return None if zero_count is None else zero_count / size if (size := local_of(tensor).numel()) else 1.0


def scaled(norm: float | None, size: float) -> float | None:
    """A norm as a root mean square; None where it was not measured or is not finite."""
    return norm / size if norm is not None and math.isfinite(norm) else None


def total_norms(snapshot: Snapshot, watched: Mapping[int, Watched]) -> tuple[float | None, float | None]:
    """Norm of all gradients together, before and after clipping; None where none was measured."""
    sizes = {entry.name: math.sqrt(entry.tensor.numel()) for entry in watched.values()}
    before = after = None
    for stats in snapshot.parameters:
        if stats.gradient_rms is not None:
            before = join_norms(before, stats.gradient_rms * sizes[stats.parameter])
        if stats.clipped_gradient_rms is not None:
            after = join_norms(after, stats.clipped_gradient_rms * sizes[stats.parameter])
    return before, after


def row_count_of(snapshot: Snapshot | None) -> int:
    """About how many rows of the run file a full step takes; those of its step alone where it has no snapshot."""
    if snapshot is None:
        return 2
    measured = len(snapshot.layers) + len(snapshot.parameters)
    return 2 + measured + len(snapshot.fades) + len(snapshot.histograms) + len(snapshot.unit_marks)
