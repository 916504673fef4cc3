"""From tables of norms and inner products to `Agreement`."""

import math
from dataclasses import dataclass, field

import numpy as np

from gradiometer.schema.explained import Agreement, ClassPull, ExamplePull


@dataclass(slots=True)
class ExampleTable:
    """Numbers of every example and every class; a class's direction is the sum of its examples' unit gradients.

    Attributes:
        norms: Norm of each example's gradient.
        labels: Its class.
        classes: The classes.
        between: Inner products of every two classes' directions.
        whole_square: Squared norm of the sum of all examples' gradients.
        with_classes: By example its inner product with every class's direction.
        with_whole: By example its inner product with the sum of all gradients.
    """

    norms: list[float]
    labels: list[int | None]
    classes: list[int | None]
    between: list[list[float]]
    whole_square: float
    with_classes: list[list[float]] = field(default_factory=list)
    with_whole: list[float] = field(default_factory=list)


def agreement_of(table: ExampleTable, share: float, left_out: tuple[tuple[str, str], ...]) -> Agreement:
    """Rank the examples and describe the classes.

    Args:
        table: The numbers.
        share: Share of the trainable elements that they are over.
        left_out: Parameters that were left out, each with the reason.
    """
    columns = {label: column for column, label in enumerate(table.classes)}
    examples = [pull_of(table, rank, columns[label]) for rank, label in enumerate(table.labels)]
    ranked = sorted(examples, key=lambda one: (-disagreement_key(one), one.index))
    classes = tuple(class_pull(table, examples, label, column) for label, column in columns.items())
    return Agreement(tuple(ranked), classes, share, left_out)


def disagreement_key(pull: ExamplePull) -> float:
    """What examples are ranked by; one whose gradient is not finite comes first."""
    return pull.disagreement if math.isfinite(pull.disagreement) else math.inf


def pull_of(table: ExampleTable, rank: int, column: int) -> ExamplePull:
    """One example against the others of its class."""
    norm, square = table.norms[rank], table.between[column][column]
    along = table.with_classes[rank][column] / norm if norm > 0.0 else 0.0
    own = 1.0 if norm > 0.0 else 0.0
    others = math.sqrt(max(square - 2.0 * own * along + own, 0.0))
    # Below this the others' sum is what rounding leaves of an example taken from itself.
    is_alone = others <= 1e-6 * math.sqrt(square)
    cosine = 0.0 if is_alone else min(max((along - own) / others, -1.0), 1.0) if math.isfinite(others) else math.nan
    return ExamplePull(rank, table.labels[rank], norm, cosine, norm * (1.0 - cosine))


def class_pull(table: ExampleTable, examples: list[ExamplePull], label: int | None, column: int) -> ClassPull:
    """One class: how its examples agree with each other, with all, and with the other classes."""
    own = [one for one in examples if one.label == label]
    whole = [
        table.with_whole[one.index] / (one.norm * math.sqrt(table.whole_square))
        for one in own
        if one.norm > 0.0 and table.whole_square > 0.0
    ]
    sizes = [math.sqrt(max(table.between[place][place], 0.0)) for place in range(len(table.classes))]
    cosines = tuple(
        table.between[column][other] / (sizes[column] * sizes[other]) if sizes[column] * sizes[other] > 0.0 else None
        for other in range(len(table.classes))
    )
    return ClassPull(
        label=label,
        example_count=len(own),
        own_cosine=float(np.mean([one.class_cosine for one in own])) if len(own) > 1 else None,
        whole_cosine=float(np.mean(whole)) if whole else None,
        cosines=cosines,
    )
