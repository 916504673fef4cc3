"""Figures of one process in a full step, as text for the leader, and those of all processes put together.

The loss that a team trains on is the mean over its processes of each one's loss, so the gradient of that loss at an
output of one process is the one measured there divided by the number of processes. Squared norms add over processes,
for each has examples of its own. Of a sharded parameter each process has measured its part; what all have alike, the
parameters of `DistributedDataParallel`, the leader alone has to tell.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from gradiometer.schema import FloatArray

Squares = dict[str, float | None]
"""By name of a statistic: mean square over the whole tensor that this process's part contributes; None where the
statistic is not finite or was not measured."""


@dataclass(frozen=True, slots=True)
class LayerFigures:
    """What one process measured of one layer; see `LayerStats`.

    Attributes:
        elements: Elements of its output.
        output_rms: Root mean square of its output.
        output_gradient_norm: Norm of this process's loss gradient at its output.
        input_gradient_norm: Norm of the layer's own contribution at its input.
        output_nonfinite_count: Elements of its output that are not finite.
        gradient_nonfinite_count: Elements of the gradient there that are not finite.
    """

    elements: int
    output_rms: float | None = None
    output_gradient_norm: float | None = None
    input_gradient_norm: float | None = None
    output_nonfinite_count: int = 0
    gradient_nonfinite_count: int = 0


@dataclass(frozen=True, slots=True)
class UnitFigures:
    """What one process counted of a layer's units over its window.

    Attributes:
        examples: Examples (times positions).
        flat_counts: Examples on which each unit was flat, None where that was not judged.
        is_alive: Whether each unit ever answered, as 0 and 1; None where that was not judged.
        piece_counts: Examples on which each unit worked on one steep piece of its activation, likewise.
        has_two_steep_pieces: The activation's other piece is steep, too.
    """

    examples: int
    flat_counts: tuple[float, ...] | None = None
    is_alive: tuple[int, ...] | None = None
    piece_counts: tuple[float, ...] | None = None
    has_two_steep_pieces: bool = False


@dataclass(frozen=True, slots=True)
class ShardFigures:
    """What one process measured of its part of a sharded parameter.

    Attributes:
        weight: What its part counts for in a sum over the processes, see `ranks_shards.share_of`.
        elements: Elements of the part.
        sampled: Elements of it that the update was read from.
        sampled_square: Sum of their squares before the update; None where not measured.
        update_square: Sum of the squares of their changes.
        mean_squares: By name of a statistic: sum of squares over the part, divided by the elements of the whole.
        shares: By name of a statistic: share of the part's elements.
        greatest: Greatest absolute value of its gradient.
        counts: By name of a statistic: elements of the part that are not finite.
    """

    weight: float
    elements: int
    sampled: int
    sampled_square: float | None = None
    update_square: float | None = None
    mean_squares: Squares = field(default_factory=dict)
    shares: dict[str, float | None] = field(default_factory=dict)
    greatest: float | None = None
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InputFigures:
    """What one process measured of its part of the root's input, or of the loss' targets."""

    mean: float
    rms: float
    greatest: float
    batch_size: int


@dataclass(frozen=True, slots=True)
class RankFigures:
    """Everything that one process tells of a full step.

    Attributes:
        layers: By name, in order of execution.
        units: By name of the layer.
        shards: By name of the parameter.
        reference: Norm of its loss gradient at the network's output.
        loss: Its mean loss; None where it is not finite or there was none.
        has_loss: There was one.
        inputs: Its input.
        targets: Its targets.
        accuracy: Share of its examples that are right; None where that is not known.
        first_bad_loss: Step at which its loss first was not finite, None while all were.
        last_good_loss: Step at which its loss last was finite.
    """

    layers: dict[str, LayerFigures] = field(default_factory=dict)
    units: dict[str, UnitFigures] = field(default_factory=dict)
    shards: dict[str, ShardFigures] = field(default_factory=dict)
    reference: float | None = None
    loss: float | None = None
    has_loss: bool = False
    inputs: InputFigures | None = None
    targets: InputFigures | None = None
    accuracy: float | None = None
    first_bad_loss: int | None = None
    last_good_loss: int | None = None

    def encode(self) -> str:
        """The figures as JSON; every number comes back as it was, to the last bit."""
        return json.dumps(values_of(self), default=values_of, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> "RankFigures":
        """The figures that a text is.

        Example:
            >>> figures = RankFigures({"body": LayerFigures(8, 0.1)}, {"act": UnitFigures(4, (1.0, 0.0))}, loss=0.3)
            >>> RankFigures.decode(figures.encode()) == figures
            True
        """
        found = dict(zip((known.name for known in fields(cls)), json.loads(text), strict=True))
        found["layers"] = {name: LayerFigures(*values) for name, values in found["layers"].items()}
        found["units"] = {name: UnitFigures(*map(frozen, values)) for name, values in found["units"].items()}
        found["shards"] = {name: ShardFigures(*values) for name, values in found["shards"].items()}
        for name in ("inputs", "targets"):
            found[name] = InputFigures(*found[name]) if found[name] else None
        return cls(**found)


def values_of(figures: Any) -> list[Any]:
    """The values of a dataclass in the order of its fields; what they hold stays as it is."""
    return [getattr(figures, known.name) for known in fields(figures)]


def frozen(value: Any) -> Any:
    """A value from JSON; a list as the tuple that it was."""
    return tuple(value) if isinstance(value, list) else value


def joined_norm(norms: Iterable[float | None]) -> float | None:
    """Norm of parts together; None where one is not finite, or none was measured.

    Example:
        >>> joined_norm([3.0, 4.0]), joined_norm([3.0, None])
        (5.0, None)
    """
    found = list(norms)
    if not found or any(norm is None for norm in found):
        return None
    return math.hypot(*(norm for norm in found if norm is not None))


def join_layers(parts: list[LayerFigures], team_size: int) -> LayerFigures:
    """One layer's figures over all processes that ran it, as one process would have measured them on the whole batch.

    Args:
        parts: One for each of these processes.
        team_size: Processes of the team: the loss is their mean.
    """
    elements = sum(part.elements for part in parts)
    outputs = joined_norm(
        part.output_rms * math.sqrt(part.elements) if part.output_rms is not None else None
        for part in parts
        if part.elements
    )
    # Where no gradient came at all there is none to add; where it was not finite the whole is not.
    reached = [part for part in parts if part.output_gradient_norm is not None or part.gradient_nonfinite_count]
    output_gradient = joined_norm(part.output_gradient_norm for part in reached)
    input_gradient = joined_norm(part.input_gradient_norm for part in reached)
    return LayerFigures(
        elements=elements,
        output_rms=outputs / math.sqrt(elements) if outputs is not None and elements else None,
        output_gradient_norm=None if output_gradient is None else output_gradient / team_size,
        input_gradient_norm=None if input_gradient is None else input_gradient / team_size,
        output_nonfinite_count=sum(part.output_nonfinite_count for part in parts),
        gradient_nonfinite_count=sum(part.gradient_nonfinite_count for part in parts),
    )


@dataclass(frozen=True, slots=True)
class UnitShares:
    """What the units of a layer are over all processes; None where it was not judged."""

    saturated: float | None
    dead: float | None
    linear: float | None
    examples: int


def join_units(parts: list[UnitFigures], saturated_share: float) -> UnitShares:
    """Shares of saturated, dead and linear units, and the examples judged, over all processes.

    Args:
        parts: One for each process; where they count different numbers of units, only the first is judged.
        saturated_share: Share of examples on which a saturated unit is flat.
    """
    sizes = {len(part.flat_counts or part.is_alive or ()) for part in parts}
    parts = parts if len(sizes) == 1 else parts[:1]
    examples = sum(part.examples for part in parts)
    flat = [part.flat_counts for part in parts if part.flat_counts is not None]
    alive = [part.is_alive for part in parts if part.is_alive is not None]
    saturated = float(np.mean(np.sum(flat, axis=0) >= saturated_share * examples)) if flat else None
    dead = float(np.mean(np.sum(alive, axis=0) == 0)) if alive else None
    return UnitShares(saturated, dead, join_linear(parts, examples), examples)


def join_linear(parts: list[UnitFigures], examples: int) -> float | None:
    """Share of the units that worked on one steep piece on every process' examples; None where one did not judge it."""
    counts = [part.piece_counts for part in parts if part.piece_counts is not None]
    if not counts or len(counts) < len(parts):
        return None
    total = np.sum(counts, axis=0)
    is_linear = (total == examples) | ((total == 0) & parts[0].has_two_steep_pieces)
    return float(np.mean(is_linear))


def join_mean_square(parts: list[ShardFigures], statistic: str) -> float | None:
    """Root of a statistic's mean square over the whole parameter; None where a part of it is not finite."""
    found = [(part.weight, part.mean_squares.get(statistic)) for part in parts]
    if not found or any(square is None for _, square in found):
        return None
    return math.sqrt(sum(weight * square for weight, square in found if square is not None))


def join_share(parts: list[ShardFigures], statistic: str) -> float | None:
    """A share over the elements of all parts; parts without any count for nothing."""
    found = [(part.weight * part.elements, part.shares.get(statistic)) for part in parts if part.elements]
    total = sum(weight for weight, _ in found)
    if not total or any(share is None for _, share in found):
        return None
    return sum(weight * share for weight, share in found if share is not None) / total


def join_count(parts: list[ShardFigures], statistic: str) -> int:
    """A count over all parts."""
    return round(sum(part.weight * part.counts.get(statistic, 0) for part in parts))


def join_updates(parts: list[ShardFigures]) -> tuple[float | None, float | None]:
    """Update ratio and root mean square of the update over the sampled elements of all parts.

    Returns:
        (ratio, rms); each None where it has no meaning.
    """
    sampled = sum(part.weight * part.sampled for part in parts)
    if not sampled or any(part.update_square is None or part.sampled_square is None for part in parts):
        return None, None
    update = sum(part.weight * (part.update_square or 0.0) for part in parts)
    before = sum(part.weight * (part.sampled_square or 0.0) for part in parts)
    ratio = math.sqrt(update / before) if before > 0.0 and math.isfinite(update / before) else None
    return ratio, math.sqrt(update / sampled) if math.isfinite(update) else None


def join_inputs(parts: list[InputFigures | None]) -> InputFigures | None:
    """The whole batch's input from its parts, each weighing as its examples do; None where a part is not known."""
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return None
    weights = weights_by_examples(known)
    return InputFigures(
        mean=float(weights @ [part.mean for part in known]),
        rms=math.sqrt(float(weights @ [part.rms**2 for part in known])),
        greatest=max(part.greatest for part in known),
        batch_size=sum(part.batch_size for part in known),
    )


def join_accuracies(parts: list[RankFigures]) -> float | None:
    """The share of the whole batch that is right; None where a part's is not known."""
    known = [(part.accuracy, part.targets) for part in parts if part.accuracy is not None and part.targets is not None]
    if not known or len(known) < len(parts):
        return None
    return float(weights_by_examples([targets for _, targets in known]) @ [accuracy for accuracy, _ in known])


def weights_by_examples(parts: list[InputFigures]) -> FloatArray:
    """What each part counts for in a mean over the whole batch; all alike where no part knows its examples."""
    sizes: FloatArray = np.array([part.batch_size for part in parts], dtype=float)
    return np.asarray(sizes / sizes.sum()) if sizes.sum() else np.full(len(parts), 1.0 / len(parts))


def join_losses(parts: list[RankFigures]) -> float | None:
    """The loss that the team trains on: the mean of all processes' losses; None where one is not finite."""
    losses = [part.loss for part in parts if part.has_loss]
    if not losses or any(loss is None for loss in losses):
        return None
    return sum(loss for loss in losses if loss is not None) / len(losses)
