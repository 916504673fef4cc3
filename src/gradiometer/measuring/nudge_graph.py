"""Who acts on whom between a weight and the loss: layer by layer, and in a small network unit by unit.

The forward pass is one whose graph is cut behind every layer (`layer_readings`), so that each derivative here is what
one layer does to the next. Along the graph derivatives multiply; over all ways they add up to the weight's gradient.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from gradiometer.measuring.layer_readings import Forward
from gradiometer.schema.run import FloatArray

MOST_EDGES = 1 << 22
"""Derivatives of one unit by another that are computed, at most, to list a weight's paths: 32 MiB."""

MOST_ROWS = 4096
"""Units between a weight and the loss up to which paths are listed: each takes a backward pass through its layer."""


@dataclass(slots=True)
class LayerGraph:
    """Which readings lie between a weight and the loss.

    Attributes:
        users: Readings whose own operations use the weight.
        readings: Those and all that they act on, as far as these act on the loss; ascending.
        below: By reading, which of `readings` its operations use.
        ends: Readings that the loss function uses.
        is_direct: Whether the loss function uses the weight itself.
        edge_count: Derivatives that the paths would take; more than `MOST_EDGES` where units are too many.
    """

    users: list[int] = field(default_factory=list)
    readings: list[int] = field(default_factory=list)
    below: dict[int, list[int]] = field(default_factory=dict)
    ends: list[int] = field(default_factory=list)
    is_direct: bool = False
    edge_count: int = 0


@dataclass(slots=True)
class UnitGraph:
    """Derivatives along every edge between the units of a batch, by reading; a unit is an element of an output.

    Attributes:
        names: Name of each reading in use.
        shapes: Shape of its output.
        order: Readings, ascending.
        edges: By reading and one below it: units above times units below.
        of_loss: Derivative of the loss by each unit, as far as the loss function itself uses it.
        of_weight: Derivative of each unit by the weight, as far as its layer itself uses it.
        direct: Derivative of the loss by the weight, as far as the loss function itself uses it.
    """

    names: dict[int, str]
    shapes: dict[int, tuple[int, ...]]
    order: list[int]
    edges: dict[tuple[int, int], FloatArray]
    of_loss: dict[int, FloatArray]
    of_weight: dict[int, FloatArray]
    direct: float


def leaves_behind(tensor: Tensor) -> set[int]:
    """Ids of the leaves that a tensor's own graph ends at."""
    found: set[int] = set()
    start = tensor.grad_fn
    seen, waiting = {start}, [start]
    while waiting:
        node = waiting.pop()
        if node is None:
            continue
        variable = getattr(node, "variable", None)
        if variable is not None:
            found.add(id(variable))
        for successor, _ in node.next_functions:
            if successor is not None and successor not in seen:
                seen.add(successor)
                waiting.append(successor)
    return found


def layer_graph(cut: Forward, weight: nn.Parameter) -> LayerGraph:
    """Find the readings between a weight and the loss."""
    behind = [leaves_behind(reading.output) for reading in cut.readings]
    of_loss = leaves_behind(cut.loss)
    numbers = {id(reading.leaf): rank for rank, reading in enumerate(cut.readings)}
    users = [rank for rank, found in enumerate(behind) if id(weight) in found]
    reached = set(users)
    for rank, found in enumerate(behind):
        if any(numbers.get(leaf) in reached for leaf in found):
            reached.add(rank)
    ends = [rank for rank in range(len(behind)) if id(cut.readings[rank].leaf) in of_loss and rank in reached]
    wanted, waiting = set(ends), list(ends)
    below: dict[int, list[int]] = {}
    while waiting:
        rank = waiting.pop()
        below[rank] = sorted(numbers[leaf] for leaf in behind[rank] if numbers.get(leaf) in reached)
        waiting += [one for one in below[rank] if one not in wanted]
        wanted.update(below[rank])
    graph = LayerGraph([one for one in users if one in wanted], sorted(wanted), below, ends, id(weight) in of_loss)
    graph.edge_count = count_edges(cut, graph, weight)
    return graph


def count_edges(cut: Forward, graph: LayerGraph, weight: Tensor) -> int:
    """Derivatives that the paths would take; over the limit where there are too many rows of them."""
    sizes = {rank: cut.readings[rank].output.numel() for rank in graph.readings}
    if sum(sizes.values()) > MOST_ROWS:
        return MOST_EDGES + 1
    between = sum(sizes[rank] * sizes[one] for rank, below in graph.below.items() for one in below)
    return between + sum(sizes[rank] for rank in graph.users) * max(weight.numel() // 64, 1)


def unit_graph(cut: Forward, layers: LayerGraph, weight: nn.Parameter, index: tuple[int, ...]) -> UnitGraph:
    """Compute the derivative along every edge, one backward pass through one layer for each unit."""
    order = layers.readings
    leaves = {rank: cut.readings[rank].leaf for rank in order}
    edges: dict[tuple[int, int], FloatArray] = {}
    of_weight: dict[int, FloatArray] = {}
    for rank in order:
        flat, below = cut.readings[rank].output.flatten(), layers.below[rank]
        targets = [leaf for one in below if (leaf := leaves[one]) is not None]
        uses = [weight] if rank in layers.users else []
        tables = [np.zeros((len(flat), one.numel())) for one in targets]
        column = np.zeros(len(flat))
        for row in range(len(flat) if targets or uses else 0):
            found = torch.autograd.grad(flat[row], [*targets, *uses], retain_graph=True, allow_unused=True)
            for table, part in zip(tables, found[: len(targets)], strict=True):
                table[row] = 0.0 if part is None else part.flatten().cpu().double().numpy()
            if uses and found[-1] is not None:
                column[row] = float(found[-1][index])
        edges.update({(rank, one): table for one, table in zip(below, tables, strict=True)})
        of_weight[rank] = column
    of_loss, direct = of_the_loss(cut, layers, weight, index)
    return UnitGraph(
        names={rank: cut.readings[rank].layer for rank in order},
        shapes={rank: tuple(cut.readings[rank].output.shape) for rank in order},
        order=order,
        edges=edges,
        of_loss=of_loss,
        of_weight=of_weight,
        direct=direct,
    )


def of_the_loss(
    cut: Forward, layers: LayerGraph, weight: nn.Parameter, index: tuple[int, ...]
) -> tuple[dict[int, FloatArray], float]:
    """What the loss function itself makes of the outputs that it is given, and of the weight."""
    ends = {rank: leaf for rank in layers.ends if (leaf := cut.readings[rank].leaf) is not None}
    targets = [*ends.values(), *([weight] if layers.is_direct else [])]
    if not targets:
        return {}, 0.0
    found = torch.autograd.grad(cut.loss, targets, retain_graph=True, allow_unused=True)
    parts = dict(zip(ends, found, strict=False))
    known = {rank: part.flatten().cpu().double().numpy() for rank, part in parts.items() if part is not None}
    last = found[-1] if layers.is_direct else None
    return known, 0.0 if last is None else float(last[index])
