"""From a process's snapshot to its figures, and from all processes' figures to the team's snapshot."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from gradiometer.measuring.calls import Call
from gradiometer.measuring.parameters import Measured, Watched
from gradiometer.measuring.ranks import named
from gradiometer.measuring.ranks_figures import (
    InputFigures,
    LayerFigures,
    RankFigures,
    ShardFigures,
    UnitFigures,
    join_accuracies,
    join_count,
    join_inputs,
    join_layers,
    join_losses,
    join_mean_square,
    join_share,
    join_units,
    join_updates,
    joined_norm,
)
from gradiometer.measuring.ranks_shards import is_sharded, local_of, share_of
from gradiometer.measuring.snapshot import Numbers, StepMaterial, ratio_db
from gradiometer.measuring.unit_windows import SATURATED_SHARE, UnitWindow
from gradiometer.schema import LayerStats, ParameterStats, Snapshot

MOST_UNITS = 1 << 16
"""Units whose counts a process sends in one step; in a network with more the leader judges its own examples alone."""

MEAN_SQUARES = ("gradient_rms", "clipped_gradient_rms", "weight_rms")
"""Statistics of a parameter that are root mean squares over the whole of it."""

SHARES = ("gradient_zero_share",)
"""Statistics of a parameter that are shares of its elements."""

COUNTS = ("gradient_nonfinite_count", "weight_nonfinite_count")
"""Statistics of a parameter that are counts."""


def figures_of(snapshot: Snapshot, material: StepMaterial, *, has_loss: bool) -> RankFigures:
    """What this process has to tell of a full step.

    Args:
        snapshot: Its own snapshot of the step.
        material: What the snapshot was made from.
        has_loss: It ran a backward pass from a loss.
    """
    elements = element_counts(material.calls)
    batch_size = 0 if material.inputs is None else material.inputs.batch_size
    return RankFigures(
        layers={stats.layer: layer_figures(stats, elements.get(stats.layer, 0)) for stats in snapshot.layers},
        units=unit_counts(material.windows),
        shards=shard_figures(snapshot.parameters, material.watched, material.measured),
        reference=snapshot.output_gradient_norm,
        loss=snapshot.loss,
        has_loss=has_loss,
        inputs=None
        if material.inputs is None
        else size_figures(snapshot.input_mean, snapshot.input_rms, snapshot.input_greatest, batch_size),
        targets=size_figures(snapshot.target_mean, snapshot.target_rms, snapshot.target_greatest, batch_size),
        accuracy=snapshot.batch_accuracy,
    )


def size_figures(mean: float | None, rms: float | None, greatest: float | None, batch_size: int) -> InputFigures | None:
    """Figures of inputs or targets; None where they were not measured."""
    if mean is None or rms is None:
        return None
    return InputFigures(mean, rms, greatest or 0.0, batch_size)


def element_counts(calls: Iterable[Call]) -> dict[str, int]:
    """Elements of the outputs of each layer's calls that were measured."""
    found: dict[str, int] = {}
    for call in calls:
        if call.output_norm is not None:
            found[call.layer] = found.get(call.layer, 0) + call.element_count
    return found


def layer_figures(stats: LayerStats, elements: int) -> LayerFigures:
    """A layer's statistics as figures."""
    return LayerFigures(
        elements=elements,
        output_rms=stats.output_rms,
        output_gradient_norm=stats.output_gradient_norm,
        input_gradient_norm=stats.input_gradient_norm,
        output_nonfinite_count=stats.output_nonfinite_count,
        gradient_nonfinite_count=stats.gradient_nonfinite_count,
    )


def unit_counts(windows: Mapping[str, UnitWindow]) -> dict[str, UnitFigures]:
    """What the windows have counted; empty where the network has too many units to tell of."""
    found: dict[str, UnitFigures] = {}
    total = 0
    for name, window in windows.items():
        buckets = [bucket for bucket in (window.past, window.present) if bucket.batch_count]
        flat = [bucket.flat_counts for bucket in buckets if bucket.flat_counts is not None]
        alive = [bucket.is_alive for bucket in buckets if bucket.is_alive is not None]
        pieces, has_two_steep_pieces = window.piece_counts()
        total += len((flat or alive or [()])[0])
        if total > MOST_UNITS:
            return {}
        found[name] = UnitFigures(
            examples=sum(bucket.example_count for bucket in buckets),
            flat_counts=tuple(sum(flat[1:], start=flat[0]).tolist()) if flat else None,
            is_alive=tuple(map(int, (sum(alive[1:], start=alive[0]) > 0).tolist())) if alive else None,
            piece_counts=None if pieces is None else tuple(pieces.tolist()),
            has_two_steep_pieces=has_two_steep_pieces,
        )
    return found


def shard_figures(
    parameters: Iterable[ParameterStats], watched: Mapping[int, Watched], measured: Mapping[int, Measured]
) -> dict[str, ShardFigures]:
    """What this process holds of the sharded parameters; empty where none is sharded."""
    sharded = {known.name: (known, measured[key]) for key, known in watched.items() if is_sharded(known.tensor)}
    norms = [found.sampled_norm for _, found in sharded.values()]
    numbers = Numbers(norms)
    before = {name: numbers(norm) for name, norm in zip(sharded, norms, strict=True)}
    return {
        stats.parameter: one_shard(stats, sharded[stats.parameter][0], before[stats.parameter])
        for stats in parameters
        if stats.parameter in sharded
    }


def one_shard(stats: ParameterStats, watched: Watched, sampled_norm: float | None) -> ShardFigures:
    """One sharded parameter's statistics, taken on this process's part, as figures."""
    elements = local_of(watched.tensor).numel()
    sampled = elements if watched.sample is None else watched.sample.numel()
    divisor = watched.tensor.numel() if watched.sample is None else max(sampled, 1)
    return ShardFigures(
        weight=share_of(watched.tensor),
        elements=elements,
        sampled=sampled,
        sampled_square=finite_square(sampled_norm),
        update_square=None if stats.update_rms is None else stats.update_rms**2 * divisor,
        mean_squares={name: finite_square(getattr(stats, name)) for name in MEAN_SQUARES},
        shares={name: getattr(stats, name) for name in SHARES},
        greatest=stats.gradient_greatest,
        counts={name: getattr(stats, name) for name in COUNTS},
    )


def finite_square(number: float | None) -> float | None:
    """The square of a number; None where it was not measured or is not finite."""
    return number * number if number is not None and math.isfinite(number) else None


def combine(snapshot: Snapshot, figures: Mapping[int, RankFigures], team_size: int) -> Snapshot:
    """Make the leader's snapshot the team's: as one process would have measured it on the whole batch.

    What is not put together here (what dear measurements say, the best constant guess) stays what the leader saw of its
    own part.

    Args:
        snapshot: The leader's own.
        figures: Everybody's, by rank, the leader's included.
        team_size: Processes of the team.
    """
    everybody = [figures[rank] for rank in sorted(figures)]
    reference = joined_norm(part.reference for part in everybody)
    reference = None if reference is None else reference / team_size
    whole = join_inputs([part.inputs for part in everybody])
    targets = join_inputs([part.targets for part in everybody])
    return replace(
        snapshot,
        layers=tuple(combine_layer(stats, everybody, reference, team_size) for stats in snapshot.layers),
        parameters=tuple(combine_parameter(stats, everybody) for stats in snapshot.parameters),
        output_gradient_norm=reference,
        loss=join_losses(everybody),
        input_mean=whole.mean if whole else None,
        input_rms=whole.rms if whole else None,
        input_greatest=whole.greatest if whole else None,
        target_mean=targets.mean if targets else None,
        target_rms=targets.rms if targets else None,
        target_greatest=targets.greatest if targets else None,
        batch_accuracy=join_accuracies(everybody),
    )


def combine_layer(
    stats: LayerStats, everybody: list[RankFigures], reference: float | None, team_size: int
) -> LayerStats:
    """One layer of the team's snapshot."""
    joined = join_layers([part.layers[stats.layer] for part in everybody if stats.layer in part.layers], team_size)
    units = [part.units[stats.layer] for part in everybody if stats.layer in part.units]
    if units:
        shares = join_units(units, SATURATED_SHARE)
        stats = replace(
            stats,
            saturated_share=shares.saturated,
            dead_share=shares.dead,
            linear_share=shares.linear,
            window_examples=shares.examples,
        )
    return replace(
        stats,
        output_rms=joined.output_rms,
        output_gradient_norm=joined.output_gradient_norm,
        input_gradient_norm=joined.input_gradient_norm,
        level_db=ratio_db(joined.output_gradient_norm, reference),
        gain_db=ratio_db(joined.input_gradient_norm, joined.output_gradient_norm),
        output_nonfinite_count=joined.output_nonfinite_count,
        gradient_nonfinite_count=joined.gradient_nonfinite_count,
    )


def combine_parameter(stats: ParameterStats, everybody: list[RankFigures]) -> ParameterStats:
    """One parameter of the team's snapshot; one that is not sharded is the same everywhere, and stays as it is."""
    parts = [part.shards[stats.parameter] for part in everybody if stats.parameter in part.shards]
    if not parts:
        return stats
    ratio, rms = join_updates(parts)
    greatest = [part.greatest for part in parts if part.greatest is not None]
    joined: dict[str, Any] = {
        **{name: join_mean_square(parts, name) for name in MEAN_SQUARES},
        **{name: join_share(parts, name) for name in SHARES},
        **{name: join_count(parts, name) for name in COUNTS},
    }
    return replace(stats, **joined, update_ratio=ratio, update_rms=rms, gradient_greatest=max(greatest, default=None))


def unshared_layers(figures: Mapping[int, RankFigures], leader: int) -> set[str]:
    """Layers that other processes ran and the leader did not: they are not in the team's snapshot."""
    return {name for part in figures.values() for name in part.layers} - figures[leader].layers.keys()


def where_nonfinite(figures: RankFigures) -> str | None:
    """Where a process met NaN or infinity in a step, in words; None where all was finite."""
    outputs = [name for name, part in figures.layers.items() if part.output_nonfinite_count]
    if outputs:
        return f"first in the output of {outputs[0]}"
    if figures.has_loss and figures.loss is None:
        return "in the loss"
    gradients = [name for name, part in figures.layers.items() if part.gradient_nonfinite_count]
    if gradients:
        return f"first in the gradient at {gradients[-1]}"
    shards = [name for name, part in figures.shards.items() if any(part.counts.values())]
    return f"in its part of {shards[0]}" if shards else None


def disagreement(figures: Mapping[int, RankFigures]) -> str | None:
    """Name the processes that met NaN or infinity where others did not; None where they agree.

    Example:
        >>> disagreement({0: RankFigures(loss=0.3, has_loss=True), 1: RankFigures(has_loss=True)})
        'NaN or infinity on rank 1 only, in the loss'
    """
    found = {rank: where for rank, part in sorted(figures.items()) if (where := where_nonfinite(part)) is not None}
    if not found or len(found) == len(figures):
        return early_losses(figures)
    places = set(found.values())
    if len(places) == 1:
        return f"NaN or infinity on {named(found)} only, {places.pop()}"
    return "NaN or infinity on some ranks only: " + "; ".join(f"rank {rank} {where}" for rank, where in found.items())


def early_losses(figures: Mapping[int, RankFigures]) -> str | None:
    """Name the processes whose loss was not finite in a step in which, or after which, another's still was.

    Between full steps a loss that is not finite on one process is everybody's a step later: then all agree, and only
    the steps at which it began tell where.

    Example:
        >>> early_losses({0: RankFigures(first_bad_loss=8, last_good_loss=7), 1: RankFigures(first_bad_loss=7)})
        'the loss was not finite on rank 1 first, at step 7'
    """
    first = {rank: part.first_bad_loss for rank, part in sorted(figures.items()) if part.first_bad_loss is not None}
    if not first:
        return None
    step = min(first.values())
    ranks = [rank for rank, bad in first.items() if bad == step]
    was_finite = any(
        part.last_good_loss is not None and part.last_good_loss >= step
        for rank, part in figures.items()
        if rank not in ranks
    )
    if not was_finite:
        return None
    return f"the loss was not finite on {named(ranks)} first, at step {step}"
