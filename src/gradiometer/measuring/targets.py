"""What a loss' targets are like: mean, size, the loss of the best constant guess, and how many outputs are right.

A best guess knows how often each class, or what value, came so far, and nothing of the input. Its loss has a closed
form: the entropy of the class frequencies for a cross-entropy, the variance for a squared error.

Source: Cover and Thomas, Elements of Information Theory, 2nd edition 2006, 2.6.3: no guess has a smaller expected
logarithmic loss than the frequencies themselves, and that loss is their entropy.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from gradiometer.measuring.exact_format import exact_format
from gradiometer.measuring.statistics import Number

MOST_ELEMENTS = 1 << 15
"""Elements of the targets that are read in a pass; of more, every k-th row is."""

MOST_COLUMNS = 1 << 10
"""Columns that are read of wide targets, every k-th: each has a guess of its own, so few of them say what all lose on
average, and of few rows a guess would know too much."""

MOST_MEDIANS = 1 << 6
"""Columns that medians are taken of, likewise."""

Values: TypeAlias = Any
"""An array of float64 for what is on the CPU, where NumPy is the quicker by far; a tensor for what is on a device."""

MOST_OUTPUTS = 1 << 20
"""Elements of the outputs that the greatest ones are looked for in."""

MOST_KEPT = 1 << 13
"""Values that a median is taken of; beyond it every second row is let go."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """Outputs and targets as a criterion met them in one pass; belongs to the training, read and let go.

    Attributes:
        kind: Kind of the loss, as in the fact `loss_path`.
        targets: The targets as the script has them, before any broadcast; None where they can't be had.
        outputs: What is compared with them, of classes their scores or logarithms; None where that is not saved.
        class_axis: Axis of classes of the outputs and of targets that are probabilities.
        ignored: Class that counts for nothing.
        weights: Weight of each class; of a binary loss of the positive side; None for equal ones.
        smoothing: Share of label smoothing.
        factor: The loss over the sum of the elements' losses, or over their mean; None where it is not known.
        is_mean: The criterion itself averages.
        element_count: Elements that it sums or averages over.
    """

    kind: str
    targets: Tensor | None = None
    outputs: Tensor | None = None
    class_axis: int = 1
    ignored: int | None = None
    weights: Tensor | None = None
    smoothing: float = 0.0
    factor: float | None = 1.0
    is_mean: bool = False
    element_count: int = 1


@dataclass(frozen=True, slots=True)
class TargetFigures:
    """What one pass, or all passes of a step, say of the targets; see `Snapshot`."""

    mean: Number | None = None
    rms: Number | None = None
    greatest: Number | None = None
    constant_loss: Number | None = None
    accuracy: Number | None = None

    @property
    def numbers(self) -> tuple[Number | None, ...]:
        """All of them."""
        return self.mean, self.rms, self.greatest, self.constant_loss, self.accuracy


@dataclass(slots=True)
class Totals:
    """Sums over all targets so far.

    Attributes:
        row_count: Targets, classes weighted.
        sums: Sum of each column; of classes how often each came.
        squares: Sum of the squares of each column, or of t log t of probabilities.
        values: Some of the values, by column.
    """

    row_count: Values = 0.0
    sums: Values = None
    squares: Values = None
    values: list[Values] = field(default_factory=list)

    def add(self, row_count: Values, sums: Values, squares: Values) -> None:
        """Add a pass; a number of columns or a device other than before starts anew."""
        if self.sums is None or self.sums.shape != sums.shape or place_of(self.sums) != place_of(sums):
            self.row_count, self.sums, self.squares, self.values = row_count, sums, squares, []
            return
        self.row_count = self.row_count + row_count
        self.sums = self.sums + sums
        self.squares = self.squares + squares


class TargetBook:
    """Reads the targets of one call site's passes, and keeps the sums over all of them."""

    def __init__(self) -> None:
        self._totals = Totals()

    def read(self, meeting: Meeting) -> TargetFigures:
        """Read one pass; all figures are None where its targets are not known. No device is waited for."""
        if meeting.targets is None or meeting.targets.numel() == 0 or meeting.targets.is_complex():
            return TargetFigures()
        with np.errstate(all="ignore"):
            if meeting.kind in {"nll", "cross_entropy"} and not meeting.targets.is_floating_point():
                return self._read_classes(meeting, meeting.targets)
            return self._read_numbers(meeting, meeting.targets)

    def _read_classes(self, meeting: Meeting, targets: Tensor) -> TargetFigures:
        if meeting.outputs is None:
            return TargetFigures()
        counts = count_classes(targets, meeting.outputs.shape[meeting.class_axis], meeting.ignored)
        classes = rank_of(counts)
        seen_count = counts.sum()
        weighted = counts if meeting.weights is None else widened(meeting.weights) * counts
        self._totals.add(seen_count, counts, counts)
        weights = 1.0 if meeting.weights is None else widened(meeting.weights)
        guess = smoothed_entropy(self._totals.sums, weights, meeting.smoothing)
        return TargetFigures(
            mean=plain((classes * counts).sum() / seen_count),
            rms=plain(((classes * classes * counts).sum() / seen_count) ** 0.5),
            greatest=plain((classes * (counts > 0)).max()),
            constant_loss=reduced(guess, meeting, weighted.sum()),
            accuracy=plain(share_of_right_classes(meeting.outputs, targets, meeting)),
        )

    def _read_numbers(self, meeting: Meeting, targets: Tensor) -> TargetFigures:
        rows = in_rows(targets, meeting)
        if meeting.kind not in PROBABILITIES:
            rows = thinned_columns(rows, MOST_COLUMNS)
        rows = widened(rows[:: max(1, rows.numel() // MOST_ELEMENTS)])
        squares = rows * rows
        figures = TargetFigures(
            mean=plain(rows.mean()),
            rms=plain(squares.mean() ** 0.5),
            greatest=plain(abs(rows).max()),
            accuracy=plain(share_of_right_sides(meeting, targets)),
        )
        if meeting.factor is None or meeting.kind not in GUESSES:
            return figures
        if meeting.kind in PROBABILITIES:
            squares = rows * logarithm(rows)
        self._totals.add(float(len(rows)), rows.sum(0), squares.sum(0))
        if meeting.kind == "absolute_error":
            keep(self._totals.values, thinned_columns(rows, MOST_MEDIANS))
        guess = GUESSES[meeting.kind](self._totals, meeting)
        return replace(figures, constant_loss=reduced(guess, meeting, meeting.element_count))


PROBABILITIES = frozenset({"cross_entropy", "kl_divergence"})
"""Losses whose targets, where they are no classes, are one probability for each class."""

LEAST_SHARE = 1e-37
"""Stands for zero under a logarithm, where it is multiplied by zero."""


def place_of(values: Values) -> torch.device | None:
    """The device of a tensor; None for an array, which NumPy before 2.0 gives none."""
    return values.device if isinstance(values, Tensor) else None


def plain(value: Values) -> Number | None:
    """A number of NumPy's as a plain one; a tensor, and None, as they are."""
    return value if value is None or isinstance(value, Tensor) else float(value)


def reduced(guess: Values, meeting: Meeting, count: Values) -> Number | None:
    """A guess' mean loss, reduced as the loss itself: summed over a pass's elements, or their mean, times a factor."""
    if meeting.factor is None:
        return None
    return plain(guess * abs(meeting.factor) if meeting.is_mean else guess * count * abs(meeting.factor))


def widened(values: Tensor) -> Values:
    """Values in the widest format that their device has; an array of those on the CPU."""
    if values.is_cpu:
        return values.double().numpy()
    return values.to(exact_format(values.device))


def logarithm(values: Values) -> Values:
    """Natural logarithm of values that are not negative; of zero a large negative number."""
    values = values.clip(LEAST_SHARE)
    return values.log() if isinstance(values, Tensor) else np.log(values)


def rank_of(values: Values) -> Values:
    """0, 1, 2 ... for each element."""
    if isinstance(values, Tensor):
        return torch.arange(len(values), dtype=values.dtype, device=values.device)
    return np.arange(len(values), dtype=np.float64)


def count_classes(targets: Tensor, class_count: int, ignored: int | None) -> Values:
    """Count how often each class is a target; nothing is waited for.

    Args:
        targets: Classes, of any shape.
        class_count: How many there are.
        ignored: A class, in range or not, that is left out.

    Returns:
        Counts [class].

    Example:
        >>> count_classes(torch.tensor([1, 1, -100, 2]), 3, -100).tolist()
        [0.0, 2.0, 1.0]
    """
    flat = targets.flatten()
    if flat.is_cpu:
        seen = flat.numpy()
        kept = seen if ignored is None else seen[seen != ignored]
        return np.bincount(kept, minlength=class_count)[:class_count].astype(np.float64)
    return count_on_device(flat, class_count, ignored)


def count_on_device(classes: Tensor, class_count: int, ignored: int | None) -> Tensor:
    """The same of a row of classes on any device; nothing is waited for."""
    is_counted = torch.ones_like(classes) if ignored is None else classes != ignored
    counts = torch.zeros(class_count, dtype=exact_format(classes.device), device=classes.device)
    return counts.index_add_(0, classes.long().clamp(0, class_count - 1), is_counted.to(counts.dtype))


def entropy_sum(amounts: Values) -> Values:
    """Sum of amounts times minus the logarithm of their shares: what the best guess loses on so many targets.

    Example:
        >>> round(float(entropy_sum(np.array([2.0, 2.0, 0.0]))), 4)
        2.7726
    """
    return -(amounts * logarithm(amounts / amounts.sum())).sum()


def smoothed_entropy(counts: Values, weights: Values, smoothing: float) -> Values:
    """Mean cross-entropy of the best constant guess, as torch averages it: over the weights of the targets.

    Args:
        counts: How often each class came.
        weights: Weight of each class, or of all.
        smoothing: Share of label smoothing.
    """
    weighted = weights * counts
    amounts = weighted
    if smoothing:
        amounts = (1.0 - smoothing) * weighted + smoothing / len(counts) * weights * counts.sum()
    return entropy_sum(amounts) / weighted.sum()


def variance(totals: Totals, meeting: Meeting) -> Values:
    """Mean over columns of the variance of their values: the squared error of guessing the means."""
    means = totals.sums / totals.row_count
    return (totals.squares / totals.row_count - means * means).clip(0.0).mean()


def binary_entropy(totals: Totals, meeting: Meeting) -> Values:
    """Mean over columns of the binary cross-entropy of guessing the share of positive targets."""
    positive = totals.sums
    if meeting.weights is not None:
        positive = positive * widened(thinned_columns(meeting.weights.reshape(1, -1), MOST_COLUMNS)[0])
    negative = totals.row_count - totals.sums
    both = positive + negative
    losses = positive * logarithm(positive / both) + negative * logarithm(negative / both)
    return -losses.mean() / totals.row_count


def probability_entropy(totals: Totals, meeting: Meeting) -> Values:
    """Cross-entropy, for each row, of guessing the mean of the target's probabilities."""
    return entropy_sum(totals.sums) / totals.row_count


def probability_divergence(totals: Totals, meeting: Meeting) -> Values:
    """Kullback-Leibler divergence, for each row, of guessing the mean of the target's probabilities."""
    return (entropy_sum(totals.sums) + totals.squares.sum()) / totals.row_count


def median_distance(totals: Totals, meeting: Meeting) -> Values:
    """Mean over columns of the distance from their median."""
    values = joined(totals.values)
    values = values.sort(dim=0).values if isinstance(values, Tensor) else np.sort(values, axis=0)
    middle = 0.5 * (values[(len(values) - 1) // 2] + values[len(values) // 2])
    return abs(values - middle).mean()


GUESSES: Mapping[str, Callable[[Totals, Meeting], Values]] = {
    "squared_error": variance,
    "absolute_error": median_distance,
    "binary_cross_entropy": binary_entropy,
    "binary_cross_entropy_with_logits": binary_entropy,
    "cross_entropy": probability_entropy,
    "kl_divergence": probability_divergence,
}
"""By kind of a loss whose targets are no classes: mean loss of the best constant guess, for one element or row."""


def joined(parts: list[Values]) -> Values:
    """Rows of all parts, one behind the other."""
    return torch.cat(parts) if isinstance(parts[0], Tensor) else np.concatenate(parts)


def keep(kept: list[Values], rows: Values) -> None:
    """Keep a copy of some rows, and of those kept so far every second one where they have become too many."""
    kept.append(rows[:: max(1, len(rows) * rows.shape[1] // (MOST_KEPT // 8))] + 0.0)
    while sum(len(part) for part in kept) * rows.shape[1] > MOST_KEPT and sum(len(part) for part in kept) > 1:
        kept[:] = [joined(kept)[::2] + 0.0]


def in_rows(targets: Tensor, meeting: Meeting) -> Tensor:
    """Targets as [row column]: a column for each value that one constant guess is made of.

    Columns are the classes of probabilities, the channels of images, else the last axis; a single axis is one column.
    """
    if meeting.kind in PROBABILITIES:
        return targets.movedim(meeting.class_axis, -1).reshape(-1, targets.shape[meeting.class_axis])
    if targets.dim() <= 1:
        return targets.reshape(-1, 1)
    if targets.dim() >= 4:
        targets = targets.movedim(1, -1)
    return targets.reshape(-1, targets.shape[-1])


def thinned_columns(rows: Values, most: int) -> Values:
    """Every k-th column of [row column], at most so many; all where there are no more.

    Example:
        >>> thinned_columns(np.zeros((2, 7)), 3).shape
        (2, 3)
    """
    return rows[:, :: -(-rows.shape[1] // most)]


def thinned_pair(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs and targets of every k-th example, where the outputs are very many."""
    step = max(1, outputs.numel() // MOST_OUTPUTS)
    return (outputs[::step], targets[::step]) if outputs.dim() > 0 and targets.dim() > 0 else (outputs, targets)


def share_of_right_classes(outputs: Values, targets: Values, meeting: Meeting) -> Values:
    """Share of the targets whose class has the greatest output; NaN where none counts."""
    outputs, targets = thinned_pair(outputs, targets)
    found, expected, axis = outputs, targets, meeting.class_axis
    if outputs.is_cpu and outputs.dtype in (torch.float32, torch.float64):
        found, expected = outputs.numpy(), targets.numpy()
    is_right = found.argmax(axis) == expected
    if meeting.ignored is None:
        return is_right.sum() / max(targets.numel(), 1)
    is_counted = expected != meeting.ignored
    return (is_right & is_counted).sum() / is_counted.sum()


def share_of_right_sides(meeting: Meeting, targets: Tensor) -> Values:
    """Share of a binary loss' outputs on their target's side; None for other losses."""
    bound = {"binary_cross_entropy": 0.5, "binary_cross_entropy_with_logits": 0.0}.get(meeting.kind)
    if bound is None or meeting.outputs is None:
        return None
    outputs, targets = thinned_pair(meeting.outputs, targets)
    return widened((outputs > bound) == (targets > 0.5)).mean()
