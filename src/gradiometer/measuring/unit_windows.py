"""Saturated, dead and linear units, judged per unit over a window of full measurements.

A unit is saturated when its activation's derivative is below 5 % of the greatest it can be on 95 % of examples, and
dead when a rectifier's output was zero on every example (its slope is zero there too). It is linear when a piecewise
linear activation worked on one and the same piece, not a flat one, on every example. All are judged on the
pre-activation and output of the examples at hand, thinned to a bounded number.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradiometer.activations import Activation
from gradiometer.measuring.statistics import Number, thin_examples

WINDOW_BATCHES = 8
"""Full measurements in a window; chosen by us: eight batches of 32 tell a dead unit from one that fires once in 100."""

SATURATED_SHARE = 0.95
"""Share of examples on which a saturated unit is flat."""

TWO_PIECES = frozenset({"relu", "leaky_relu", "prelu"})
"""Activations of two straight pieces that meet at zero."""

ONE_STEEP_PIECE = frozenset({"relu6", "hardtanh", "hardsigmoid", "threshold"})
"""Activations of straight pieces of which all but one are flat."""


Figures: TypeAlias = Any
"""Of each unit a count or a mark: an array on the CPU, a tensor elsewhere."""


@dataclass(slots=True)
class Bucket:
    """Counts over some batches.

    Attributes:
        flat_sums: Examples on which each unit was flat, where that was counted.
        answer_sums: Examples on which each unit of a rectifier answered.
        positive_sums: Examples on which each unit was above zero, where that was counted.
        is_flat_without_answer: Each unit is flat wherever it does not answer, and only that was counted.
        example_count: Examples (times positions) seen.
        batch_count: Batches seen.
    """

    flat_sums: Figures | None = None
    answer_sums: Figures | None = None
    positive_sums: Figures | None = None
    is_flat_without_answer: bool = False
    example_count: int = 0
    batch_count: int = 0

    @property
    def flat_counts(self) -> Figures | None:
        """Examples on which each unit was flat; None where it was not judged."""
        if self.is_flat_without_answer and self.answer_sums is not None:
            return self.example_count - self.answer_sums
        return self.flat_sums

    @property
    def is_alive(self) -> Figures | None:
        """Whether each unit ever answered; None where it was not judged."""
        return None if self.answer_sums is None else self.answer_sums > 0


@dataclass(slots=True)
class UnitWindow:
    """The window of one layer: a full bucket and one being filled, so that 8 to 16 batches are always judged."""

    past: Bucket = field(default_factory=Bucket)
    present: Bucket = field(default_factory=Bucket)
    activation: Activation | None = None

    def add(self, activation: Activation, pre_activation: Tensor | None, output: Tensor | None, unit_dim: int) -> None:
        """Count one batch.

        Args:
            activation: The function, with its parameters.
            pre_activation: Its input; None where it was written over. Then only dead units are judged.
            output: Its output; None where it is not there yet: then what it will be is told from its input. An empty
                batch counts for nothing.
            unit_dim: Axis of units.
        """
        seen = output if output is not None else pre_activation
        if seen is None or seen.numel() == 0:
            return
        seen = thin_examples(seen.detach(), unit_dim)
        other_dims = tuple(dim for dim in range(seen.dim()) if dim != unit_dim)
        self.activation = activation
        bucket = self._bucket_for(seen.shape[unit_dim])
        bucket.batch_count += 1
        bucket.example_count += seen.numel() // max(seen.shape[unit_dim], 1)
        if activation.is_rectifier:
            bucket.answer_sums = added(
                bucket.answer_sums, count_where(seen, ABOVE_ZERO if output is None else NOT_ZERO, other_dims)
            )
        if pre_activation is not None:
            if activation.name == "relu":
                bucket.is_flat_without_answer = True
            else:
                pre = seen if output is None else thin_examples(pre_activation.detach(), unit_dim)
                bucket.flat_sums = added(bucket.flat_sums, count_flat(activation, pre, other_dims))
                if activation.name in TWO_PIECES and activation.flat_below is None:
                    bucket.positive_sums = added(bucket.positive_sums, count_where(pre, ABOVE_ZERO, other_dims))

    def _bucket_for(self, unit_count: int) -> Bucket:
        """The bucket to count a batch in; both start anew where the number of units is another."""
        if self.present.batch_count >= WINDOW_BATCHES:
            self.past, self.present = self.present, Bucket()
        if self.present.example_count and unit_total(self.present) != unit_count:
            self.past, self.present = Bucket(), Bucket()
        return self.present

    def marks(self) -> tuple[Tensor | None, Tensor | None, int]:
        """Whether each unit is saturated, whether it is dead, and the examples that they were judged on."""
        saturated, dead, examples = self._judge()
        return (
            None if saturated is None else torch.as_tensor(saturated),
            None if dead is None else torch.as_tensor(dead),
            examples,
        )

    def _judge(self) -> tuple[Figures | None, Figures | None, int]:
        """The marks; arrays on the CPU."""
        buckets = self._buckets
        examples = sum(bucket.example_count for bucket in buckets)
        flat = [counts for bucket in buckets if (counts := bucket.flat_counts) is not None]
        answers = [bucket.answer_sums for bucket in buckets if bucket.answer_sums is not None]
        saturated = sum(flat[1:], start=flat[0]) >= SATURATED_SHARE * examples if flat else None
        dead = sum(answers[1:], start=answers[0]) == 0 if answers else None
        return saturated, dead, examples

    @property
    def _buckets(self) -> list[Bucket]:
        """Those that hold anything."""
        return [bucket for bucket in (self.past, self.present) if bucket.batch_count]

    def shares(self) -> tuple[Number | None, Number | None, int]:
        """Share of saturated units, share of dead units, and the examples that they were judged on."""
        saturated, dead, examples = self._judge()
        return share_of(saturated), share_of(dead), examples

    def linear_share(self) -> Number | None:
        """Share of the units that are linear; None for an activation that is not piecewise linear, or unknown to be."""
        return share_of(self.linear_marks())

    def linear_marks(self) -> Figures | None:
        """Whether each unit worked on one steep piece all along; None where that is not judged."""
        counts, has_two_steep_pieces = self.piece_counts()
        if counts is None:
            return None
        is_above = counts == sum(bucket.example_count for bucket in self._buckets)
        return is_above | (counts == 0) if has_two_steep_pieces else is_above

    def piece_counts(self) -> tuple[Figures | None, bool]:
        """Examples on which each unit worked on one steep piece, and whether the other piece is steep, too.

        The counts are None for an activation that is not piecewise linear, or unknown to be.
        """
        name = "" if self.activation is None else self.activation.name
        buckets = self._buckets
        if name in ONE_STEEP_PIECE:
            flat = summed([bucket.flat_counts for bucket in buckets])
            return None if flat is None else sum(bucket.example_count for bucket in buckets) - flat, False
        if name not in TWO_PIECES or self.activation is None:
            return None, False
        if self.activation.is_rectifier:
            return summed([bucket.answer_sums for bucket in buckets]), False
        is_lower_flat = self.activation.flat_below is not None
        return summed([bucket.flat_counts if is_lower_flat else bucket.positive_sums for bucket in buckets]), True


def summed(counts: Sequence[Figures | None]) -> Figures | None:
    """Sum of the counts of some buckets; None where one of them was not counted."""
    known = [part for part in counts if part is not None]
    return sum(known[1:], start=known[0]) if known and len(known) == len(counts) else None


def share_of(mask: Figures | None) -> Number | None:
    """Share of a mask that holds; a plain number on the CPU."""
    if mask is None:
        return None
    return mask.float().mean() if isinstance(mask, Tensor) else int(np.count_nonzero(mask)) / mask.size


def added(total: Figures | None, counts: Figures | None) -> Figures | None:
    """Counts so far and those of another batch; the former are written over."""
    if total is None or counts is None:
        return counts
    total += counts
    return total


def unit_total(bucket: Bucket) -> int:
    """Units that a bucket counts, 0 where it has counted none."""
    counted = bucket.answer_sums if bucket.answer_sums is not None else bucket.flat_sums
    return 0 if counted is None else len(counted)


Comparison: TypeAlias = Callable[[Any, float], Any]

NOT_ZERO: tuple[Comparison, float] = (operator.ne, 0.0)
ABOVE_ZERO: tuple[Comparison, float] = (operator.gt, 0.0)

LANES = 8
"""Columns that are counted in one 64-bit number."""


def count_flat(activation: Activation, pre_activation: Tensor, other_dims: tuple[int, ...]) -> Figures | None:
    """Count for each unit the examples on which the activation's slope is below 5 % of the greatest it can be.

    Args:
        activation: The function.
        pre_activation: Its input.
        other_dims: All axes but that of units.

    Returns:
        Counts [unit], float32; None for a function that is nowhere flat.
    """
    counts = None
    for bound, comparison in ((activation.flat_below, operator.lt), (activation.flat_above, operator.gt)):
        if bound is not None:
            found = count_where(pre_activation, (comparison, bound), other_dims)
            counts = found if counts is None else counts + found
    return counts


def count_where(values: Tensor, condition: tuple[Comparison, float], other_dims: tuple[int, ...]) -> Figures:
    """Count for each unit the values that compare so with a bound.

    On the CPU NumPy compares and counts, ten times as fast as torch does.

    Args:
        values: Values of all units.
        condition: The comparison and what to compare with.
        other_dims: All axes but that of units.

    Returns:
        Counts [unit], float32, on the values' device; an array on the CPU.
    """
    comparison, bound = condition
    if values.device.type == "cpu" and values.dtype in (torch.float32, torch.float64) and not values.is_neg():
        array = values.numpy()
        holds = comparison(array, array.dtype.type(bound))
        if other_dims == tuple(range(holds.ndim - 1)) and holds.shape[-1] % LANES == 0:
            return count_in_lanes(holds.reshape(-1, holds.shape[-1]))
        # The narrowest sums are the fastest; one of them has as many terms as there are examples.
        narrowest = np.uint16 if holds.size < 1 << 16 else np.int64
        counts = np.add.reduce(holds.view(np.uint8), axis=other_dims, dtype=narrowest)
        return counts.reshape(-1).astype(np.float32)
    found: Tensor = comparison(values, bound).to(torch.float32)
    found = (found.sum(dim=other_dims) if other_dims else found).reshape(-1)
    return found.numpy() if found.is_cpu else found


def count_in_lanes(holds: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Count for each column the rows that hold, eight columns in one number: a tenth of the time of a plain sum.

    Args:
        holds: [row, column], contiguous, the number of columns a multiple of eight.

    Returns:
        Counts [column].

    Example:
        >>> count_in_lanes(np.ones((300, 8), dtype=np.bool_)).tolist()
        [300.0, 300.0, 300.0, 300.0, 300.0, 300.0, 300.0, 300.0]
    """
    # A lane is a byte, and holds the sum of no more than 255 rows.
    starts = range(0, len(holds), 255)
    lanes = np.ascontiguousarray(holds).view(np.uint64)
    sums = np.add.reduceat(lanes, starts, axis=0) if len(starts) > 1 else np.add.reduce(lanes, axis=0)[None]
    counts: NDArray[np.float32] = np.add.reduce(sums.view(np.uint8), axis=0, dtype=np.float32)
    return counts
