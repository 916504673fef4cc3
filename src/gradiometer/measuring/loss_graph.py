"""How a loss was made: from its autograd node back to the criterion, to the layer before it, and to the targets.

Nothing is kept of a graph but names and numbers of edges. What a node saved is read only where no hook of the script's
would run for it: unpacking what a checkpoint saved would compute its part once more.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from gradiometer.measuring.saved_hooks import may_run_hook

Node = Any
"""A `torch.autograd.graph.Node`."""

MOST_SEARCHED = 256
"""Nodes that are searched for criteria; a loss has a handful of operations above its criterion."""

MOST_OPERATIONS = 64
"""Operations of a path that are told."""

MOST_COPIES = 4
"""Operations between a weight and the layer that uses it: transposed, converted, expanded."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """A place in a graph at which outputs meet targets.

    Attributes:
        node: Autograd's node of it.
        kind: `nll`, `squared_error`, ...; see `find_kind`.
        edges: Numbers of the edges that lead to it from the loss.
        factor: The loss over the sum of the criterion's elements, or over its own mean; None where that is not known.
        is_averaged: A mean was taken above it.
        is_summed: A sum was taken above it.
        smoothing: Share of label smoothing.
        is_divergence: The entropy of the targets is taken off above it.
    """

    node: Node
    kind: str
    edges: tuple[int, ...] = ()
    factor: float | None = 1.0
    is_averaged: bool = False
    is_summed: bool = False
    smoothing: float = 0.0
    is_divergence: bool = False


def operation_of(node: Node) -> str:
    """Name of the operation that a node differentiates.

    Example:
        >>> class Node:
        ...     def name(self) -> str:
        ...         return "torch::autograd::NllLossBackward0"
        >>> operation_of(Node())
        'NllLoss'
    """
    name: str = node.name().rpartition("::")[2]
    return name.rpartition("Backward")[0] or name


def read_saved(node: Node, name: str) -> Any:
    """What a node saved under a name; None where it saved nothing, or where to read it would do something.

    Args:
        node: The node.
        name: As in derivatives.yaml (`target`).
    """
    raw = getattr(node, "_raw_saved_" + name, None)
    if raw is not None and may_run_hook(node, raw):
        return None
    try:
        value = getattr(node, "_saved_" + name, None)
    except RuntimeError:
        # It was written over since, as the script's own pass is about to find out.
        return None
    return value.detach() if isinstance(value, Tensor) else value


def number_of(value: Any) -> float | None:
    """A plain number, or a tensor that holds one on the host; None for anything else."""
    if isinstance(value, Tensor):
        return float(value) if value.numel() == 1 and value.is_cpu and not value.is_complex() else None
    return float(value) if isinstance(value, (int, float)) else None


def whole_size(node: Node) -> float | None:
    """Elements that a mean or sum over everything was taken of."""
    sizes = read_saved(node, "self_sym_sizes")
    return None if sizes is None else float(math.prod(sizes))


def averaged_size(node: Node) -> float | None:
    """Elements that each mean over some axes was taken of."""
    sizes, dims = read_saved(node, "self_sym_sizes"), read_saved(node, "dim")
    if sizes is None or dims is None:
        return None
    # Axes come as unsigned numbers in some versions of torch.
    wrapped = [dim - (1 << 64) if dim >= 1 << 63 else dim for dim in dims]
    return float(math.prod(sizes[dim] for dim in wrapped) if wrapped else math.prod(sizes))


def inverse(number: float | None) -> float | None:
    """One over a number, None where there is none."""
    return 1.0 / number if number else None


ORDERED_VIEWS = frozenset(
    {
        *("ViewBackward0", "UnsafeViewBackward0", "ReshapeAliasBackward0", "AliasBackward0", "CloneBackward0"),
        *("SqueezeBackward0", "SqueezeBackward1", "SqueezeBackward2", "UnsqueezeBackward0", "ToCopyBackward0"),
    }
)
"""Operations that leave all elements, in their order."""

LINEAR: Mapping[str, Callable[[Node], float | None]] = {
    "MeanBackward0": lambda node: inverse(whole_size(node)),
    "MeanBackward1": lambda node: inverse(averaged_size(node)),
    "SumBackward0": lambda node: 1.0,
    "SumBackward1": lambda node: 1.0,
    "NegBackward0": lambda node: -1.0,
    "MulBackward0": lambda node: number_of(read_saved(node, "other")),
    "MulBackward1": lambda node: number_of(read_saved(node, "other")),
    "DivBackward0": lambda node: inverse(number_of(read_saved(node, "other"))),
    "DivBackward1": lambda node: inverse(number_of(read_saved(node, "other"))),
    **dict.fromkeys(
        (*ORDERED_VIEWS, "PermuteBackward0", "TransposeBackward0", "TBackward0", "ExpandBackward0"),
        lambda node: 1.0,
    ),
}
"""Operations between a criterion and the loss that multiply by a number, which the function tells."""

CRITERIA: Mapping[str, str] = {
    "NllLossBackward0": "nll",
    "NllLoss2DBackward0": "nll",
    "MseLossBackward0": "squared_error",
    "BinaryCrossEntropyBackward0": "binary_cross_entropy",
    "BinaryCrossEntropyWithLogitsBackward0": "binary_cross_entropy_with_logits",
    "SmoothL1LossBackward0": "smooth_absolute_error",
    "HuberLossBackward0": "smooth_absolute_error",
}
"""Autograd's nodes that are criteria by themselves."""


def live_edges(node: Node) -> list[tuple[int, Node]]:
    """Numbers of the edges behind which something is differentiated, and where they lead."""
    return [(number, edge[0]) for number, edge in enumerate(node.next_functions) if edge[0] is not None]


def is_operation(node: Node, operation: str) -> bool:
    """Whether a node differentiates this operation."""
    return operation_of(node) == operation


def below_views(node: Node) -> Node:
    """The first node at or behind this one that is no mere change of shape."""
    for _ in range(MOST_COPIES):
        edges = live_edges(node)
        if len(edges) != 1 or LINEAR.get(node.name()) is not LINEAR["ViewBackward0"]:
            return node
        node = edges[0][1]
    return node


def find_kind(node: Node) -> str | None:
    """What kind of criterion a node is, None where it is none.

    A cross-entropy over probabilities is a product with the logarithms of a softmax; errors written by hand are a
    square or an absolute value of a difference of which one side is not differentiated.
    """
    name: str = node.name()
    if name in CRITERIA:
        return CRITERIA[name]
    if name not in {"PowBackward0", "AbsBackward0", "MulBackward0"}:
        return None
    edges = live_edges(node)
    if not edges:
        return None
    behind = edges[0][1]
    if name == "MulBackward0" and len(edges) == 1 and is_operation(below_views(behind), "LogSoftmax"):
        return "cross_entropy" if number_of(read_saved(node, "other")) is None else None
    if not is_operation(behind, "Sub") or len(live_edges(behind)) != 1:
        return None
    if name == "AbsBackward0":
        return "absolute_error"
    is_square = len(edges) == 2 and edges[1][1] is behind
    if name == "PowBackward0":
        is_square = number_of(read_saved(node, "exponent")) == 2.0
    return "squared_error" if is_square else None


def find_criterion(loss: Node) -> Criterion | None:
    """Find the one criterion that a loss is made of.

    Args:
        loss: Autograd's node of the loss.

    Returns:
        The criterion; None where there is none that is known, or several. Its factor is None where something else is
        added to it, or what lies between is not linear.
    """
    if loss.name() in CRITERIA:
        return Criterion(loss, CRITERIA[loss.name()])
    found: list[Criterion] = []
    waiting: deque[Criterion] = deque([Criterion(loss, "")])
    seen: set[Node] = {loss}
    while waiting and len(seen) < MOST_SEARCHED:
        place = waiting.popleft()
        kind = find_kind(place.node)
        if kind is not None:
            found.append(settled(place, kind))
            if len(found) > 1:
                return None
            continue
        for step in steps_from(place):
            if step.node not in seen:
                seen.add(step.node)
                waiting.append(step)
    return found[0] if found else None


def settled(place: Criterion, kind: str) -> Criterion:
    """A place in the search as the criterion that it is."""
    return replace(place, kind="kl_divergence" if place.is_divergence else kind)


def steps_from(place: Criterion) -> list[Criterion]:
    """Where the search goes on from a place."""
    node = place.node
    smoothed = smoothed_terms(node)
    if smoothed is not None:
        number, criterion, smoothing = smoothed
        return [replace(place, node=criterion, edges=(*place.edges, number, 0), smoothing=smoothing)]
    edges_on = live_edges(node)
    factor = None
    # Over the first edge alone: what divides, or is taken off, comes in at the second.
    if place.factor is not None and len(edges_on) == 1 and edges_on[0][0] == 0 and node.name() in LINEAR:
        own = LINEAR[node.name()](node)
        factor = None if own is None else own * place.factor
    has_entropy = is_divergence(node)
    if has_entropy:
        factor = None if place.factor is None else -place.factor
    operation = operation_of(node)
    return [
        replace(
            place,
            node=behind,
            edges=(*place.edges, number),
            factor=factor,
            is_averaged=place.is_averaged or operation == "Mean",
            is_summed=place.is_summed or operation == "Sum",
            is_divergence=place.is_divergence or has_entropy,
        )
        for number, behind in edges_on
    ]


def smoothed_terms(node: Node) -> tuple[int, Node, float] | None:
    """The criterion under torch's label smoothing: number of the edge to its term, its node, the share smoothed.

    Torch adds (1 - share) of the criterion to share / classes of the sum of all logarithms; both factors are plain
    numbers of its own code, which a script's products with a number are not.
    """
    edges = live_edges(node)
    if not is_operation(node, "Add") or len(edges) != 2 or any(term.name() != "MulBackward1" for _, term in edges):
        return None
    for number, term in edges:
        behind = live_edges(term)
        share = number_of(read_saved(term, "other"))
        if len(behind) == 1 and CRITERIA.get(behind[0][1].name()) == "nll" and share is not None:
            return number, behind[0][1], 1.0 - share
    return None


def is_divergence(node: Node) -> bool:
    """Whether a node is the difference between a target's entropy and its cross-entropy: the Kullback-Leibler one."""
    if node.name() != "SubBackward0" or node.next_functions[0][0] is not None:
        return False
    edges = live_edges(node)
    return len(edges) == 1 and find_kind(edges[0][1]) == "cross_entropy"


def path_of(loss: Node, edges: tuple[int, ...], is_weight: Callable[[Any], bool]) -> list[Node]:
    """Follow the operations from a loss back to the first one that uses a weight.

    Args:
        loss: Autograd's node of the loss.
        edges: Numbers of the edges that lead to its criterion; behind that, or without one, the first are taken.
        is_weight: Whether a tensor is a parameter of the run.

    Returns:
        Their nodes, the loss' own first.
    """
    node, nodes = loss, [loss]
    for rank in range(MOST_OPERATIONS):
        if uses_weight(node, is_weight):
            break
        onward = [behind for _, behind in live_edges(node) if not is_leaf(behind)]
        if not onward:
            break
        node = node.next_functions[edges[rank]][0] if rank < len(edges) else onward[0]
        nodes.append(node)
    return nodes


def uses_weight(node: Node, is_weight: Callable[[Any], bool]) -> bool:
    """Whether an operation reads a weight, as it is, transposed or converted."""
    for _, behind in live_edges(node):
        copy = below_views(behind)
        if is_leaf(copy) and is_weight(copy.variable):
            return True
    return False


def is_leaf(node: Node) -> bool:
    """Whether a gradient ends here, at a tensor that nothing made."""
    return is_operation(node, "AccumulateGrad")
