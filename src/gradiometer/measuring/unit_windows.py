"""Saturated and dead units, judged per unit over a window of full measurements.

A unit is saturated when its activation's derivative is below 5 % of the greatest it can be on 95 % of examples, and
dead when a rectifier's output was zero on every example (its slope is zero there too). Both are judged on the
pre-activation and output of the examples at hand, thinned to a bounded number.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from gradiometer.activations import Activation
from gradiometer.measuring.statistics import thin_examples

WINDOW_BATCHES = 8
"""Full measurements in a window; chosen by us: eight batches of 32 tell a dead unit from one that fires once in 100."""

SATURATED_SHARE = 0.95
"""Share of examples on which a saturated unit is flat."""


@dataclass(slots=True)
class Bucket:
    """Counts over some batches.

    Attributes:
        flat_counts: Examples on which each unit was flat.
        is_alive: Whether each unit ever answered.
        example_count: Examples (times positions) seen.
        batch_count: Batches seen.
    """

    flat_counts: Tensor | None = None
    is_alive: Tensor | None = None
    example_count: int = 0
    batch_count: int = 0


@dataclass(slots=True)
class UnitWindow:
    """The window of one layer: a full bucket and one being filled, so that 8 to 16 batches are always judged."""

    past: Bucket = field(default_factory=Bucket)
    present: Bucket = field(default_factory=Bucket)

    def add(self, activation: Activation, pre_activation: Tensor | None, output: Tensor, unit_dim: int) -> None:
        """Count one batch.

        Args:
            activation: The function, with its parameters.
            pre_activation: Its input; None where it was written over. Then only dead units are judged.
            output: Its output; an empty batch counts for nothing.
            unit_dim: Axis of units.
        """
        if output.numel() == 0:
            return
        if self.present.batch_count >= WINDOW_BATCHES:
            self.past, self.present = self.present, Bucket()
        output = thin_examples(output.detach(), unit_dim)
        other_dims = [dim for dim in range(output.dim()) if dim != unit_dim]
        bucket = self.present
        if bucket.example_count and unit_total(bucket) != output.shape[unit_dim]:
            self.past, self.present = Bucket(), Bucket()
            bucket = self.present
        bucket.batch_count += 1
        bucket.example_count += output.numel() // max(output.shape[unit_dim], 1)
        if activation.is_rectifier:
            answers = torch.amax(output.abs(), dim=other_dims) != 0 if other_dims else output != 0
            bucket.is_alive = answers if bucket.is_alive is None else bucket.is_alive | answers
        if pre_activation is not None:
            flat = flat_examples(activation, thin_examples(pre_activation.detach(), unit_dim))
            if flat is not None:
                counts = flat.sum(dim=other_dims) if other_dims else flat.float()
                bucket.flat_counts = counts if bucket.flat_counts is None else bucket.flat_counts + counts

    def shares(self) -> tuple[Tensor | None, Tensor | None, int]:
        """Share of saturated units, share of dead units, and the examples that they were judged on."""
        buckets = [bucket for bucket in (self.past, self.present) if bucket.batch_count]
        examples = sum(bucket.example_count for bucket in buckets)
        flat = [bucket.flat_counts for bucket in buckets if bucket.flat_counts is not None]
        alive = [bucket.is_alive for bucket in buckets if bucket.is_alive is not None]
        saturated = dead = None
        if flat:
            saturated = (torch.stack(flat).sum(0) >= SATURATED_SHARE * examples).float().mean()
        if alive:
            dead = (~torch.stack(alive).any(0)).float().mean()
        return saturated, dead, examples


def unit_total(bucket: Bucket) -> int:
    """Units that a bucket counts, 0 where it has counted none."""
    counted = bucket.is_alive if bucket.is_alive is not None else bucket.flat_counts
    return 0 if counted is None else counted.numel()


def flat_examples(activation: Activation, pre_activation: Tensor) -> Tensor | None:
    """Where the activation's slope is below 5 % of the greatest it can be, as 0 and 1.

    Returns:
        A float tensor of the pre-activation's shape; None for a function that is nowhere flat.
    """
    flat: Tensor | None = None
    if activation.flat_below is not None:
        flat = pre_activation < activation.flat_below
    if activation.flat_above is not None:
        above = pre_activation > activation.flat_above
        flat = above if flat is None else flat | above
    return None if flat is None else flat.to(torch.float32)
