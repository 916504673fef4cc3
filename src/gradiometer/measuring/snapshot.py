"""All of one full step as one `Snapshot`: sums on a device become numbers, one transfer for each number format."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gradiometer.measuring.calls import Call
from gradiometer.measuring.observing import InputStats
from gradiometer.measuring.parameters import Measured, Watched
from gradiometer.measuring.trunk import TrunkEntry
from gradiometer.measuring.unit_windows import UnitWindow
from gradiometer.schema import LayerStats, ParameterStats, Snapshot
from gradiometer.units import decibels


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
        tensors: All that will be asked for; None among them is passed over.
    """

    def __init__(self, tensors: Iterable[Tensor | None]) -> None:
        groups: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
        for tensor in tensors:
            if tensor is not None:
                groups.setdefault((tensor.device, tensor.dtype), []).append(tensor)
        self._values: dict[int, float] = {}
        self._kept = groups  # ids stay unique only while their tensors live
        for group in groups.values():
            self._values.update((id(tensor), float(value)) for tensor, value in zip(group, fetch(group), strict=True))

    def __call__(self, tensor: Tensor | None) -> float | None:
        """The number that a tensor holds; None for None."""
        return None if tensor is None else self._values[id(tensor)]


def fetch(group: Sequence[Tensor]) -> list[float]:
    """Fetch 0-dimensional tensors of one device and format in one transfer."""
    return [float(value) for value in torch.stack(list(group)).tolist()]


def build_snapshot(material: StepMaterial) -> Snapshot:
    """Turn what a full step left behind into a `Snapshot`.

    Levels are relative to the gradient at the first entry of the trunk; without a trunk, to that at the output of the
    last call that a gradient came to.
    """
    shares = {name: window.shares() for name, window in material.windows.items()}
    inputs = material.inputs
    numbers = Numbers(
        [
            *call_tensors(material.calls),
            *(tensor for saturated, dead, _ in shares.values() for tensor in (saturated, dead)),
            *parameter_tensors(material.measured.values()),
            *((inputs.mean, inputs.rms, inputs.greatest) if inputs else ()),
        ]
    )
    sums = sum_calls(material, numbers)
    fill_chains(material.trunk, sums)
    reference = find_reference(material, sums)
    joins = join_sums(material.trunk, sums)
    positions = {entry.layer: rank for rank, entry in enumerate(material.trunk)}
    layers = []
    for name, layer_sums in [*sums.items(), *joins.items()]:
        saturated, dead, examples = shares.get(name, (None, None, None))
        layers.append(
            layer_stats(name, layer_sums, reference, positions.get(name), numbers(saturated), numbers(dead), examples)
        )
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
    )


def call_tensors(calls: Iterable[Call]) -> Iterable[Tensor | None]:
    """All tensors that calls hold."""
    for call in calls:
        yield call.output_norm
        yield call.output_nonfinite
        for gradients in call.gradients.values():
            yield from (gradients.output_norm, gradients.output_nonfinite, gradients.input_norm)


def parameter_tensors(found: Iterable[Measured]) -> Iterable[Tensor | None]:
    """All tensors that parameters' measurements hold."""
    for measured in found:
        yield from (measured.gradient_norm, measured.gradient_nonfinite, measured.clipped_norm)
        yield from (measured.weight_norm, measured.weight_nonfinite, measured.sampled_norm)
        yield from (measured.update_norm, measured.zero_share)


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
    saturated_share: float | None,
    dead_share: float | None,
    window_examples: int | None,
) -> LayerStats:
    """One layer's sums as `LayerStats`."""
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
    )


def parameter_stats(watched: Watched, measured: Measured, numbers: Numbers) -> ParameterStats:
    """One parameter's measurements as `ParameterStats`."""
    size = math.sqrt(max(watched.tensor.numel(), 1))
    sample_size = size if watched.sample is None else math.sqrt(watched.sample.numel())
    update, before = numbers(measured.update_norm), numbers(measured.sampled_norm)
    return ParameterStats(
        parameter=watched.name,
        gradient_rms=scaled(numbers(measured.gradient_norm), size),
        clipped_gradient_rms=scaled(numbers(measured.clipped_norm), size),
        weight_rms=scaled(numbers(measured.weight_norm), size),
        update_ratio=update / before if update is not None and before and math.isfinite(update / before) else None,
        update_rms=scaled(update, sample_size),
        learning_rate=measured.learning_rate,
        gradient_zero_share=numbers(measured.zero_share),
        gradient_nonfinite_count=int(numbers(measured.gradient_nonfinite) or 0),
        weight_nonfinite_count=int(numbers(measured.weight_nonfinite) or 0),
    )


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
