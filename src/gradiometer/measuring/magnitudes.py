"""Magnitudes of every parameter's gradient, weights and update: a log2 histogram each, from a fixed-size sample.

Says how much of a gradient lies below the smallest normal number of its format, where digits are lost: the share that a
norm, which its greatest elements make, can't show.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from gradiometer.measuring.collecting import Collector, Findings, FloatArray, LeftOut, StepSetting
from gradiometer.measuring.histograms import (
    BIN_COUNT,
    LOWEST_EXPONENT,
    SLOT_COUNT,
    Counted,
    Histogram,
    OctaveCounter,
    sample_elements,
)
from gradiometer.measuring.parameters import Watched, members
from gradiometer.measuring.ranks_shards import is_sharded, local_of
from gradiometer.measuring.update_samples import Sample, take_sample
from gradiometer.schema import OctaveHistogram, Snapshot


class MagnitudeCollector:
    """Counts the magnitudes of all parameters in one step, at the places that their update ratios are read from."""

    def __init__(self, setting: StepSetting) -> None:
        self.setting = setting
        self.counter = OctaveCounter()
        self.counted: list[tuple[int, str, Counted]] = []
        self.sampled_weights: dict[int, Sample] = {}
        self.scale: Tensor | None = None

    def count(self, watched: Watched, quantity: str, sample: Sample, element_count: int) -> None:
        """Count one sample of a parameter."""
        elements = sample if isinstance(sample, Tensor) else torch.from_numpy(sample)
        self.counted.append((id(watched.tensor), quantity, self.counter.add(elements.reshape(-1), element_count)))

    def after_backward(self, gradients: Mapping[int, Tensor]) -> None:
        """Count gradients as this backward left them; of several the last one counts."""
        self.scale = self.setting.scale()
        for key, gradient in gradients.items():
            watched = self.setting.parameters.watched[key]
            if gradient.is_sparse:
                values = gradient.coalesce().values()
                self.count(watched, "gradient", sample_elements(values), values.numel())
            else:
                self.count(watched, "gradient", take_sample(gradient, watched.sample), local_of(gradient).numel())

    def before_update(self, optimizer: Optimizer | None) -> None:
        """Count weights: those that the core has just copied to see the update by."""
        for watched in self.watched_by(optimizer):
            key = id(watched.tensor)
            found = self.setting.parameters.found.get(key)
            sample = found.sampled_weights if found is not None else None
            self.sampled_weights[key] = (
                take_sample(watched.tensor.detach(), watched.sample) if sample is None else sample
            )
            self.count(watched, "weight", self.sampled_weights[key], local_of(watched.tensor).numel())

    def after_update(self, optimizer: Optimizer | None) -> None:
        """Count updates."""
        for watched in self.watched_by(optimizer):
            before = self.sampled_weights.pop(id(watched.tensor), None)
            if before is not None:
                with np.errstate(all="ignore"):
                    moved = take_sample(watched.tensor.detach(), watched.sample) - before
                self.count(watched, "update", moved, local_of(watched.tensor).numel())

    def watched_by(self, optimizer: Optimizer | None) -> Iterable[Watched]:
        """The parameters that an optimizer holds, all for updates by hand; those of whole numbers are left out."""
        watched = self.setting.parameters.watched
        held = [tensor for _, tensor in members(optimizer)] if optimizer is not None else []
        known = watched.values() if optimizer is None else [watched[id(one)] for one in held if id(one) in watched]
        return [one for one in known if one.tensor.is_floating_point() or one.tensor.is_complex()]

    def end(self) -> Findings:
        """Count what waits still; the counts become nouns on the host."""
        self.counter.finish()
        self.sampled_weights.clear()
        watched = self.setting.parameters.watched
        # Later ones of a parameter's quantity replace earlier ones.
        last = {(key, quantity): number for number, (key, quantity, _) in enumerate(self.counted)}
        chosen = sorted(last.values())
        counted = [(watched[key].name, quantity, one) for key, quantity, one in self.counted]
        order, scales = self.counter.order, [] if self.scale is None else [self.scale]
        sharded = sorted({watched[key].name for key, _, _ in self.counted if is_sharded(watched[key].tensor)})
        left_out = tuple((name, "sharded: the part on this process was read") for name in sharded)

        def read(snapshot: Snapshot, arrays: Sequence[FloatArray]) -> tuple[Snapshot, LeftOut]:
            shift = round(math.log2(float(arrays[0][0]))) if scales else 0
            tables = arrays[len(scales) :]
            rows = np.concatenate(tables).astype(np.int64).reshape(-1, SLOT_COUNT) if tables else np.zeros((0, 0))
            places = {number: place for place, number in enumerate(order)}
            histograms = []
            for number in chosen:
                name, quantity, one = counted[number]
                found = one.read(rows[places[number]])
                histograms.append(noun_of(name, quantity, found, shift=shift if quantity == "gradient" else 0))
            return with_histograms(snapshot, histograms), left_out

        return Findings([*scales, *self.counter.found], read)


def with_histograms(snapshot: Snapshot, histograms: Sequence[OctaveHistogram]) -> Snapshot:
    """A snapshot with histograms, and with the share of subnormal elements of each gradient."""
    shares = {one.parameter: one.subnormal_share for one in histograms if one.quantity == "gradient"}
    parameters = tuple(
        replace(stats, gradient_subnormal_share=shares[stats.parameter]) if stats.parameter in shares else stats
        for stats in snapshot.parameters
    )
    return replace(snapshot, histograms=tuple(histograms), parameters=parameters)


def noun_of(parameter: str, quantity: str, found: Histogram, *, shift: int = 0) -> OctaveHistogram:
    """A histogram as a noun, its empty ends left out.

    Args:
        parameter: Name of the parameter.
        quantity: What was counted.
        found: The histogram.
        shift: Octaves that its values lie too high, by a gradient scaler whose scale is a power of two.
    """
    assert len(found.counts) == BIN_COUNT
    filled = np.flatnonzero(found.counts)
    first, last = (int(filled[0]), int(filled[-1])) if len(filled) else (0, -1)
    return OctaveHistogram(
        parameter=parameter,
        quantity=quantity,
        first_exponent=LOWEST_EXPONENT + first - shift,
        counts=tuple(found.counts[first : last + 1].tolist()),
        zero_count=found.zero_count,
        nonfinite_count=found.nonfinite_count,
        subnormal_count=found.subnormal_count,
        sample_size=found.sample_size,
        element_count=found.element_count,
    )


def start_magnitudes(setting: StepSetting) -> Collector:
    """Collect a step's magnitudes."""
    found = MagnitudeCollector(setting)
    return Collector(
        after_backward=found.after_backward,
        before_update=found.before_update,
        after_update=found.after_update,
        end=found.end,
    )
