"""A step's examples as a noun, from the numbers that have left the device."""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch

from gradiometer.measuring.collecting import FloatArray
from gradiometer.noise_scale import noise_terms_of_two_batches
from gradiometer.schema import ExampleStats, Snapshot


def with_norms(draft: ExampleStats, norms: FloatArray) -> ExampleStats:
    """The same with the examples' norms."""
    known = tuple(float(f"{norm:.8g}") if math.isfinite(norm) else None for norm in norms.tolist())
    return replace(draft, norms=known, nonfinite_count=known.count(None))


def reason_against_noise(*, is_alone: bool) -> str | None:
    """Why the noise scale can't be told, None where it can."""
    if not is_alone:
        return "gradients were there before the step: it is not the gradient of these examples alone"
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return "several processes share the step"
    return None


def batch_square(snapshot: Snapshot, sizes: Mapping[str, int]) -> float | None:
    """Squared norm of the step's gradient over some parameters, None where one is not known.

    Args:
        snapshot: The step's snapshot.
        sizes: Elements of each of them, by name.
    """
    found = [stats for stats in snapshot.parameters if stats.parameter in sizes]
    if len(found) < len(sizes) or any(stats.gradient_rms is None for stats in found):
        return None
    return sum(stats.gradient_rms**2 * sizes[stats.parameter] for stats in found if stats.gradient_rms is not None)


def with_noise(stats: ExampleStats, batch_square: float | None) -> ExampleStats:
    """The same with both terms of the gradient noise scale, where they are known."""
    known = [norm for norm in stats.norms if norm is not None]
    if batch_square is None or len(known) < len(stats.norms) or stats.example_count < 2:
        return stats
    small = sum(norm * norm for norm in known) / len(known)
    terms = noise_terms_of_two_batches(1.0, small, float(stats.example_count), batch_square)
    if not math.isfinite(terms.trace) or not math.isfinite(terms.gradient_squared):
        return stats
    return replace(stats, gradient_squared=terms.gradient_squared, trace=terms.trace)
