"""What the dear measurements say, which take turns on full steps: one of them at most in each.

Similarity and effective rank are numbers of a layer and stand in `LayerStats`. The others have a shape of their own:
`ExampleStats` (norm of every example's gradient), `TimeFade` (a gradient's way back through time), `OctaveHistogram`
(magnitudes by powers of two), `UnitMarks` (which units are saturated or dead). `Turn` says whose turn it was, what it
cost and what it left out.
"""

import math
from dataclasses import dataclass

import numpy as np

OUTLIER_DEVIATIONS = 6.0
"""Robust standard deviations of the logarithm above the median from which on an example is an outlier; chosen by us:
of a batch drawn from one log-normal distribution fewer than one in 10^8 lies there."""

LEAST_OUTLIER_RATIO = 3.0
"""An outlier's norm over the median at least: where all examples are nearly alike, deviations say nothing."""

DEVIATIONS_PER_MEDIAN = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a dear measurement.

    Attributes:
        measurement: Its name in `gradiometer.measuring.dear.DEAR_MEASUREMENTS`.
        seconds: Time that it took in this step, beside the core of the full measurement.
        not_measured: What it left out, each with the reason.
    """

    measurement: str
    seconds: float | None = None
    not_measured: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ExampleStats:
    """Gradient norm of each example of a step's batches.

    The norm of an example is that of its part of the step's gradient, times the examples of the step: the gradient
    that the step would have had if all examples were like this one. Where the loss is a mean over examples, that is
    the gradient of the example's own loss.

    Attributes:
        norms: One per example that was measured, in true units (before a gradient scaler); None where not finite.
        positions: Rank of each in the step, counted over its batches in their order.
        data_indices: Index of each in the data set, None where the loader does not reveal it.
        example_count: Examples of the step; where there are too many, evenly spaced ones were measured.
        measured_share: Share of the trainable elements that the norms are over.
        gradient_squared: Squared norm of the true gradient over the same elements, estimated without bias; negative
            where noise hides it.
        trace: Trace of the covariance of the examples' gradients, likewise.
        nonfinite_count: Examples whose norm is not finite.
        cosines: Of each measured example's gradient with that of the others measured of its batch, over the same
            elements as the norms; None for one where that is not to be told (alone in its batch, or zero), and in all
            where it was not measured.
    """

    norms: tuple[float | None, ...]
    positions: tuple[int, ...]
    data_indices: tuple[int | None, ...] | None = None
    example_count: int = 0
    measured_share: float | None = None
    gradient_squared: float | None = None
    trace: float | None = None
    nonfinite_count: int = 0
    cosines: tuple[float | None, ...] | None = None

    def outliers(
        self, *, deviations: float = OUTLIER_DEVIATIONS, least_ratio: float = LEAST_OUTLIER_RATIO
    ) -> tuple[int, ...]:
        """Examples that pull at the weights far harder than the rest, hardest first.

        Args:
            deviations: Robust standard deviations of the norms' logarithm above their median.
            least_ratio: Norm over the median at least.

        Returns:
            Places in `norms`; those that are not finite come first. Fewer than eight examples have no outliers but
            those.

        Example:
            >>> ExampleStats((1.0, 1.1, 0.9, 1.0, 50.0, 1.2, 1.0, 0.8), tuple(range(8))).outliers()
            (4,)
        """
        lost = tuple(place for place, norm in enumerate(self.norms) if norm is None)
        known = [(place, norm) for place, norm in enumerate(self.norms) if norm is not None and norm > 0.0]
        if len(known) < 8:
            return lost
        logarithms = np.log([norm for _, norm in known])
        middle = float(np.median(logarithms))
        spread = DEVIATIONS_PER_MEDIAN * float(np.median(np.abs(logarithms - middle)))
        bound = middle + max(deviations * spread, math.log(least_ratio))
        found = [(value, place) for value, (place, _) in zip(logarithms, known, strict=True) if value > bound]
        return lost + tuple(place for _, place in sorted(found, reverse=True))


@dataclass(frozen=True, slots=True)
class TimeFade:
    """A loss gradient's way back through the time steps of one recurrent layer and direction.

    Attributes:
        layer: Name of the recurrent layer, or of a cell called in a loop.
        inner_layer: Rank of the inner layer, 0 nearest the input; 0 for a cell.
        is_reverse: It runs from the last time step to the first: its last step is time 0.
        state: `hidden`, or `cell` for an LSTM's cell state.
        step_count: Time steps.
        stride: Every so many time steps have a norm here: 1 unless the sequence is very long.
        norms: Norm of the loss gradient at the state of each time step; None where it is not finite.
        gains: By steps back from each sequence's last one: norm relative to the last step's; None where unknown.
        half_life_steps: Steps back in which the gradient halves; negative where it grows, infinite where it keeps its
            size, None for fewer than two steps.
        nonfinite_count: Time steps whose norm is not finite, those without a norm here included.
        example_count: Sequences that were replayed; None for a cell, whose gradients are measured directly.
    """

    layer: str
    inner_layer: int = 0
    is_reverse: bool = False
    state: str = "hidden"
    step_count: int = 0
    stride: int = 1
    norms: tuple[float | None, ...] = ()
    gains: tuple[float | None, ...] = ()
    half_life_steps: float | None = None
    nonfinite_count: int = 0
    example_count: int | None = None


@dataclass(frozen=True, slots=True)
class OctaveHistogram:
    """Absolute values of one parameter's gradient, weights or update, one bin for each power of two.

    Attributes:
        parameter: Name of the parameter.
        quantity: `gradient` (as the backward left it, in true units), `weight` (before the step) or `update` (the
            change that the step made).
        first_exponent: The first bin holds absolute values from 2^first_exponent up to, not including, twice that.
        counts: Elements read, by bin; empty where all are zero or not finite.
        zero_count: Elements read that are exactly zero.
        nonfinite_count: Elements read that are NaN or infinite.
        subnormal_count: Elements read, other than zero, below the smallest normal number of the tensor's format.
        sample_size: Elements read.
        element_count: Elements that there are.
    """

    parameter: str
    quantity: str
    first_exponent: int = 0
    counts: tuple[int, ...] = ()
    zero_count: int = 0
    nonfinite_count: int = 0
    subnormal_count: int = 0
    sample_size: int = 0
    element_count: int = 0

    @property
    def subnormal_share(self) -> float | None:
        """Share below the smallest normal number, zeros apart; None where nothing was read."""
        return self.subnormal_count / self.sample_size if self.sample_size else None

    def standard_error(self, share: float) -> float:
        """Standard error of a share of the elements read, as one of all elements; 0 where all were read.

        Example:
            >>> OctaveHistogram("w", "weight", sample_size=10_000, element_count=20_000).standard_error(0.5)
            0.005
        """
        if self.sample_size == self.element_count or not self.sample_size:
            return 0.0
        return math.sqrt(share * (1.0 - share) / self.sample_size)


@dataclass(frozen=True, slots=True)
class UnitMarks:
    """Which units of a layer are saturated or dead over its window.

    Attributes:
        layer: Name of the layer.
        unit_count: Units that it has.
        window_examples: Examples (times positions) that they were judged on.
        saturated_count: Units that are saturated, None where that was not judged.
        dead_count: Units that are dead, None where that was not judged.
        saturated: Their ranks, ascending; the first `MOST_MARKS` where there are more.
        dead: Likewise.
    """

    layer: str
    unit_count: int = 0
    window_examples: int = 0
    saturated_count: int | None = None
    dead_count: int | None = None
    saturated: tuple[int, ...] = ()
    dead: tuple[int, ...] = ()


MOST_MARKS = 1024
"""Units of a layer that are listed at most, by kind."""
