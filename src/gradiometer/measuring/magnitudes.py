"""Magnitudes of every parameter's gradient, weights and update: a log2 histogram each, from a fixed-size sample.

Says how much of a gradient lies below the smallest normal number of its format, where digits are lost: the share that a
norm, which its greatest elements make, can't show.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from gradiometer.measuring.collecting import Collector, LeftOut, StepSetting, fetch_numbers
from gradiometer.measuring.histograms import (
    BIN_COUNT,
    LOWEST_EXPONENT,
    Histogram,
    HistogramCounts,
    count_octaves,
    read_histogram,
    sample_elements,
)
from gradiometer.measuring.parameters import Watched, members
from gradiometer.schema import OctaveHistogram, Snapshot

UPDATE_SAMPLE_SIZE = 4096
"""Elements that an update's histogram is read from: so many weights are copied before the step."""


@dataclass(slots=True)
class ParameterCounts:
    """What was counted of one parameter.

    Attributes:
        watched: The parameter.
        counts: By quantity.
        sampled_weights: Some weights before the step, until its update is counted.
    """

    watched: Watched
    counts: dict[str, HistogramCounts]
    sampled_weights: Tensor | None = None


class MagnitudeCollector:
    """Counts the magnitudes of all parameters in one step."""

    def __init__(self, setting: StepSetting) -> None:
        self.setting = setting
        self.found: dict[int, ParameterCounts] = {}
        self.scale: Tensor | None = None

    def counts_of(self, watched: Watched) -> ParameterCounts:
        """The record of a parameter, made where there is none."""
        return self.found.setdefault(id(watched.tensor), ParameterCounts(watched, {}))

    def after_backward(self, gradients: Mapping[int, Tensor]) -> None:
        """Count gradients as the last backward gave them."""
        self.scale = self.setting.scale()
        for key, gradient in gradients.items():
            elements = gradient.coalesce().values() if gradient.is_sparse else gradient
            self.counts_of(self.setting.parameters.watched[key]).counts["gradient"] = count_octaves(
                local_part(elements)
            )

    def before_update(self, optimizer: Optimizer | None) -> None:
        """Count weights, and keep some of them to see the update."""
        for watched in self.watched_by(optimizer):
            found = self.counts_of(watched)
            weights = local_part(watched.tensor.detach())
            found.counts["weight"] = count_octaves(weights)
            found.sampled_weights = sample_elements(weights, UPDATE_SAMPLE_SIZE).clone()

    def after_update(self, optimizer: Optimizer | None) -> None:
        """Count updates."""
        for watched in self.watched_by(optimizer):
            found = self.found.get(id(watched.tensor))
            if found is not None and found.sampled_weights is not None:
                weights = local_part(watched.tensor.detach())
                moved = sample_elements(weights, UPDATE_SAMPLE_SIZE) - found.sampled_weights
                found.counts["update"] = replace(count_octaves(moved), element_count=weights.numel())
                found.sampled_weights = None

    def watched_by(self, optimizer: Optimizer | None) -> Iterable[Watched]:
        """The parameters that an optimizer holds; all for updates by hand."""
        watched = self.setting.parameters.watched
        if optimizer is None:
            return list(watched.values())
        return [watched[id(tensor)] for _, tensor in members(optimizer) if id(tensor) in watched]

    def finish(self, snapshot: Snapshot) -> tuple[Snapshot, LeftOut]:
        """Turn all counts into nouns, brought over together."""
        places = [(one, quantity) for one in self.found.values() for quantity in one.counts]
        rows = fetch_counts([one.counts[quantity].counts for one, quantity in places])
        shift = 0 if self.scale is None else round(math.log2(fetch_numbers([self.scale])[0]))
        histograms = tuple(
            noun_of(
                one.watched.name,
                quantity,
                read_histogram(one.counts[quantity], row),
                shift=shift if quantity == "gradient" else 0,
            )
            for (one, quantity), row in zip(places, rows, strict=True)
        )
        shares = {one.parameter: one.subnormal_share for one in histograms if one.quantity == "gradient"}
        parameters = tuple(
            replace(stats, gradient_subnormal_share=shares.get(stats.parameter)) for stats in snapshot.parameters
        )
        sharded = sorted(
            one.watched.name for one in self.found.values() if hasattr(one.watched.tensor, "_local_tensor")
        )
        left_out = tuple((name, "sharded: the part on this process was read") for name in sharded)
        return replace(snapshot, histograms=histograms, parameters=parameters), left_out


def local_part(tensor: Tensor) -> Tensor:
    """A sharded tensor's part on this process, any other tensor itself."""
    return getattr(tensor, "_local_tensor", tensor)


def fetch_counts(counts: list[Tensor]) -> list[np.ndarray]:
    """Bring counts to the host, one transfer for each device."""
    rows: list[np.ndarray] = [np.zeros(0, dtype=np.int64)] * len(counts)
    for device in {one.device for one in counts}:
        places = [place for place, one in enumerate(counts) if one.device == device]
        for place, row in zip(places, torch.stack([counts[place] for place in places]).cpu().numpy(), strict=True):
            rows[place] = row
    return rows


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
        finish=found.finish,
    )
