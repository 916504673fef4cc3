"""Watches the run's main loss in full steps: how it is made, what its targets are like, what a constant guess loses.

All of it is read from autograd's graph when a backward pass starts, while everything in it is alive. Kept beyond the
step are names, numbers and sums over the targets, never a graph, an output or a target.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gradiometer.measuring.graph_operations import loose_weights, nodes_behind, softmaxes_of
from gradiometer.measuring.loss_graph import (
    MOST_COPIES,
    ORDERED_VIEWS,
    Criterion,
    Node,
    below_views,
    find_criterion,
    is_operation,
    live_edges,
    number_of,
    operation_of,
    path_of,
    read_saved,
)
from gradiometer.measuring.saved_hooks import TELLS_OF_HOOKS, hook_notes, is_hidden
from gradiometer.measuring.statistics import Number
from gradiometer.measuring.targets import PROBABILITIES, Meeting, TargetBook, TargetFigures

MEAN_REDUCTION, SUM_REDUCTION = 1, 2
"""How torch numbers the reductions of its criteria."""

HIDDEN_NOTE = "hooks may be set on what the loss has saved: what only that shows is not measured"

FindOutput = Callable[[Node], Tensor | None]
"""From an autograd node to the root's output that it made, None where that is gone or was written over."""


@dataclass(frozen=True, slots=True)
class Met:
    """A criterion of a pass, read.

    Attributes:
        meeting: Outputs and targets.
        target_kind: `classes`, `numbers`, `probabilities`, or None.
        output_shape: Shape of the outputs before any broadcast.
        target_shape: Shape of the targets likewise.
        needs_output: The targets can't be had without the root's output.
    """

    meeting: Meeting
    target_kind: str | None
    output_shape: tuple[int, ...] | None
    target_shape: tuple[int, ...] | None
    needs_output: bool = False


class LossWatch:
    """Reads the main loss of full steps: that of the first `backward` call site of the run.

    Attributes:
        needs_output: The root's output has to be kept until the backward: the loss is written by hand, and autograd
            saves only its difference from the targets.
        is_hidden: What a loss has saved was not read, for a hook of the script's might have run.
    """

    def __init__(self) -> None:
        self.needs_output = False
        self.is_hidden = False
        self._fact: dict[str, Any] | None = None
        self._is_told = False
        self._site: str | None = None
        self._book = TargetBook()
        self._unknown: set[str] = set()
        self._passes: list[TargetFigures] = []

    def start(self) -> None:
        """Begin a full step."""
        self._passes = []
        if not TELLS_OF_HOOKS:
            hook_notes.start(self)

    def abandon(self) -> None:
        """Give the step under way up: torch gets its functions back."""
        hook_notes.stop(self)

    def before_backward(
        self, site: str, loss: Tensor, is_weight: Callable[[Any], bool], find_output: FindOutput
    ) -> None:
        """A backward pass starts from a loss.

        Args:
            site: Its call site.
            loss: The loss, before a scaler multiplied it.
            is_weight: Whether a tensor is a parameter of the run.
            find_output: Finds the root's outputs.
        """
        node = loss.grad_fn
        self._site = self._site or site
        if node is None or site != self._site or node.name() in self._unknown:
            return
        criterion = find_criterion(node) if loss.numel() == 1 else None
        met = None if criterion is None else meet(criterion, find_output)
        self.is_hidden = self.is_hidden or (criterion is not None and is_hidden(criterion.node))
        if self._fact is None and not self._is_told:
            edges = () if criterion is None else criterion.edges
            nodes = path_of(node, edges, is_weight)
            behind = nodes_behind(nodes[-1])
            self._fact = describe(site, nodes, criterion, met) | {
                "network_operations": sorted({operation_of(one) for one in behind}),
                "loose_weights": loose_weights(behind, is_weight),
            }
        if met is None:
            self._unknown.add(node.name())
            return
        self.needs_output = self.needs_output or met.needs_output
        self._passes.append(self._book.read(met.meeting))

    def take_fact(self) -> dict[str, Any] | None:
        """The fact `loss_path`, once: None where no pass was seen yet, or it was taken."""
        fact, self._fact = self._fact, None
        self._is_told = self._is_told or fact is not None
        return fact

    def end(self) -> TargetFigures:
        """The figures of the step's passes together."""
        self.abandon()
        passes, self._passes = self._passes, []
        if len(passes) <= 1:
            return passes[0] if passes else TargetFigures()
        return TargetFigures(
            mean=averaged([figures.mean for figures in passes]),
            rms=averaged([figures.rms for figures in passes], is_square=True),
            greatest=greatest_of([figures.greatest for figures in passes]),
            constant_loss=averaged([figures.constant_loss for figures in passes]),
            accuracy=averaged([figures.accuracy for figures in passes]),
        )


def averaged(numbers: Sequence[Number | None], *, is_square: bool = False) -> Tensor | None:
    """Mean of numbers, or the root of the mean of their squares; None where one is not known."""
    known = [torch.as_tensor(number) for number in numbers if number is not None]
    if len(known) < len(numbers):
        return None
    together = torch.stack(known)
    return together.square().mean().sqrt() if is_square else together.mean()


def greatest_of(numbers: Sequence[Number | None]) -> Tensor | None:
    """The greatest of numbers; None where one is not known."""
    known = [torch.as_tensor(number) for number in numbers if number is not None]
    return torch.stack(known).max() if len(known) == len(numbers) else None


def describe(site: str, nodes: list[Node], criterion: Criterion | None, met: Met | None) -> dict[str, Any]:
    """The fact `loss_path`."""
    return {
        "site": site,
        "operations": [operation_of(node) for node in nodes],
        "softmaxes": softmaxes_of(nodes),
        "output_shape": list(met.output_shape) if met and met.output_shape is not None else None,
        "target_shape": list(met.target_shape) if met and met.target_shape is not None else None,
        "target_kind": met.target_kind if met else None,
        "reduction": None if criterion is None else reduction_of(criterion),
        "loss": met.meeting.kind if met else None,
    }


def reduction_of(criterion: Criterion) -> str:
    """How a loss was reduced: by the criterion itself, or by a mean or sum above it."""
    own = read_saved(criterion.node, "reduction")
    if own == MEAN_REDUCTION or criterion.is_averaged:
        return "mean"
    # Torch's own cross-entropy over probabilities is a sum divided by the number of examples.
    is_share = criterion.factor is not None and 0.0 < abs(criterion.factor) < 1.0
    if criterion.kind in PROBABILITIES and is_share:
        return "mean"
    return "sum" if own == SUM_REDUCTION or criterion.is_summed else "none"


def meet(criterion: Criterion, find_output: FindOutput) -> Met:
    """Read what a criterion has saved."""
    if criterion.kind == "nll":
        return meet_classes(criterion)
    if criterion.node.name() == "MulBackward0" and criterion.kind in PROBABILITIES:
        return meet_probabilities(criterion)
    if hasattr(criterion.node, "_raw_saved_target"):
        return meet_numbers(criterion)
    return meet_difference(criterion, find_output)


def signed(number: int | None) -> int | None:
    """A whole number that torch handed out without its sign."""
    return number - (1 << 64) if number is not None and number >= 1 << 63 else number


def meet_classes(criterion: Criterion) -> Met:
    """Read a negative log-likelihood: a cross-entropy where its outputs are those of a logarithmic softmax."""
    node = criterion.node
    outputs, targets = read_saved(node, "self"), read_saved(node, "target")
    is_softmax = any(is_operation(below_views(behind), "LogSoftmax") for _, behind in live_edges(node))
    meeting = Meeting(
        kind="cross_entropy" if is_softmax else "nll",
        targets=targets,
        outputs=outputs,
        class_axis=1 if outputs is not None and outputs.dim() > 1 else 0,
        ignored=signed(read_saved(node, "ignore_index")),
        weights=read_saved(node, "weight"),
        smoothing=criterion.smoothing,
        factor=criterion.factor,
        is_mean=read_saved(node, "reduction") == MEAN_REDUCTION,
    )
    return Met(meeting, "classes", shape_of(outputs), shape_of(targets))


def meet_probabilities(criterion: Criterion) -> Met:
    """Read a product of logarithms and probabilities: a cross-entropy, or a divergence less the targets' own."""
    node = criterion.node
    number, behind = live_edges(node)[0]
    targets = read_saved(node, "other" if number == 0 else "self")
    axis = signed(number_of_axis(read_saved(below_views(behind), "dim")))
    meeting = Meeting(
        kind=criterion.kind,
        targets=targets,
        class_axis=1 if axis is None else axis,
        factor=criterion.factor,
        element_count=1 if targets is None or axis is None else targets.numel() // max(targets.shape[axis], 1),
    )
    return Met(meeting, "probabilities", shape_of(targets), shape_of(targets))


def number_of_axis(axis: Any) -> int | None:
    """An axis as a node has saved it, None where it has not."""
    return axis if isinstance(axis, int) else None


def meet_numbers(criterion: Criterion) -> Met:
    """Read a criterion of torch's own between outputs and targets of one shape; a broadcast is undone."""
    node = criterion.node
    outputs, saved = read_saved(node, "self"), read_saved(node, "target")
    targets = None if saved is None else without_broadcast(saved)
    is_binary = criterion.kind.startswith("binary")
    weights = read_saved(node, "pos_weight")
    is_known = read_saved(node, "weight") is None and (weights is None or belong_to_columns(weights, targets))
    meeting = Meeting(
        kind=criterion.kind,
        targets=targets,
        outputs=outputs,
        weights=weights,
        factor=criterion.factor if is_known else None,
        is_mean=read_saved(node, "reduction") == MEAN_REDUCTION,
        element_count=1 if saved is None else saved.numel(),
    )
    shape = shape_before_broadcast(node) or shape_of(outputs)
    return Met(meeting, "probabilities" if is_binary else "numbers", shape, shape_of(targets))


def belong_to_columns(weights: Tensor, targets: Tensor | None) -> bool:
    """Whether weights are one for all, or one for each value that a constant guess of such targets is made of."""
    if weights.numel() == 1 or targets is None:
        return True
    return weights.dim() == 1 and 2 <= targets.dim() <= 3 and len(weights) == targets.shape[-1]


def meet_difference(criterion: Criterion, find_output: FindOutput) -> Met:
    """Read an error written by hand: its difference is saved, the targets follow where the root's output is there."""
    difference = read_saved(criterion.node, "self")
    subtraction = live_edges(criterion.node)[0][1]
    number, behind = live_edges(subtraction)[0]
    shape = made_shape(subtraction, number)
    outputs = find_through_views(behind, find_output)
    targets = None
    if difference is not None and outputs is not None and shape is not None and outputs.numel() == product(shape):
        outputs = outputs.reshape(shape)
        if number_of(read_saved(subtraction, "alpha")) == 1.0:
            targets = without_axes(outputs - difference if number == 0 else outputs + difference, shape)
    if shape is not None and targets is None and difference is not None:
        target_shape = shape_of(without_axes(difference, shape))
    else:
        target_shape = shape_of(targets)
    meeting = Meeting(
        kind=criterion.kind,
        targets=targets,
        factor=criterion.factor,
        element_count=1 if difference is None else difference.numel(),
    )
    return Met(meeting, "numbers", shape, target_shape, needs_output=difference is not None)


def find_through_views(node: Node, find_output: FindOutput) -> Tensor | None:
    """Find the root's output at a node or behind it, where nothing in between changes the order of its elements."""
    for _ in range(MOST_COPIES):
        output, edges = find_output(node), live_edges(node)
        if output is not None or len(edges) != 1 or node.name() not in ORDERED_VIEWS:
            return output
        node = edges[0][1]
    return find_output(node)


def product(sizes: tuple[int, ...]) -> int:
    """Elements of a shape."""
    count = 1
    for size in sizes:
        count *= size
    return count


def made_shape(node: Node, number: int) -> tuple[int, ...] | None:
    """Shape of what came in at an edge of a node; None where this torch does not tell."""
    behind, output_number = node.next_functions[number]
    metadata = getattr(behind, "_input_metadata", None)
    return None if metadata is None else tuple(metadata[output_number].shape)


def shape_before_broadcast(node: Node) -> tuple[int, ...] | None:
    """Shape of a criterion's outputs before they were expanded to the targets' shape; None where they were not."""
    for _, behind in live_edges(node):
        if is_operation(behind, "Expand"):
            sizes = read_saved(behind, "self_sym_sizes")
            return None if sizes is None else tuple(sizes)
    return None


def without_broadcast(tensor: Tensor) -> Tensor:
    """A tensor without the axes along which its elements are one and the same in memory."""
    repeated = [axis for axis in range(tensor.dim()) if tensor.stride(axis) == 0 and tensor.shape[axis] > 1]
    for axis in repeated:
        tensor = tensor.narrow(axis, 0, 1)
    while repeated and tensor.dim() > 0 and tensor.shape[0] == 1:
        tensor = tensor[0]
    return tensor


def without_axes(values: Tensor, output_shape: tuple[int, ...]) -> Tensor:
    """What of a difference's shape is the targets': where it is not the outputs', they were repeated along their axes.

    Args:
        values: The difference, or the targets computed from it.
        output_shape: Shape of the outputs.

    Returns:
        A view; the same where both have one shape.
    """
    if tuple(values.shape) == output_shape:
        return values
    padded = (1,) * (values.dim() - len(output_shape)) + output_shape
    for axis, size in enumerate(padded):
        if size > 1:
            values = values.narrow(axis, 0, 1)
    while values.dim() > 0 and values.shape[0] == 1:
        values = values[0]
    return values


def shape_of(tensor: Tensor | None) -> tuple[int, ...] | None:
    """Shape of a tensor, None for none."""
    return None if tensor is None else tuple(tensor.shape)
