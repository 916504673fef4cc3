"""One weight's gradient as products: over all ways through units, or along the layers that every way crosses."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gradiometer.measuring.layer_readings import Forward
from gradiometer.measuring.nudge_graph import LayerGraph, UnitGraph
from gradiometer.schema.explained import GradientPath, PathTerm, WeightPath
from gradiometer.schema.run import FloatArray

LOSS = -1
"""Stands for the loss where a reading's rank is asked for."""


@dataclass(slots=True)
class Ways:
    """The ways from the units of one reading to the loss.

    Attributes:
        total: Sum over all ways, for each unit: the loss' derivative by it.
        count: How many there are that are not zero; whole numbers of any size.
        best: units ways, the largest products, largest first; zero where there are no more.
        next_reading: Likewise, the reading that each goes through next, `LOSS` at the end.
        next_unit: The unit there.
        next_way: Which of that unit's ways it goes on as.
    """

    total: FloatArray
    count: list[int]
    best: FloatArray
    next_reading: np.ndarray
    next_unit: np.ndarray
    next_way: np.ndarray


def by_paths(graph: UnitGraph, parameter: str, index: tuple[int, ...], gradient: float, most: int) -> WeightPath:
    """Sum over all ways from a weight to the loss, and list the largest.

    Args:
        graph: Derivatives between units.
        parameter: Name of the weight's parameter.
        index: Its place there.
        gradient: Autograd's number.
        most: Ways to list.
    """
    ways: dict[int, Ways] = {}
    for rank in reversed(graph.order):
        ways[rank] = ways_of(graph, rank, ways, most)
    total, count = graph.direct, int(graph.direct != 0.0)
    starts: list[tuple[float, int, int, int]] = []
    for rank, column in graph.of_weight.items():
        total += float(column @ ways[rank].total)
        for unit in np.flatnonzero(column).tolist():
            count += ways[rank].count[unit]
            products = column[unit] * ways[rank].best[unit]
            starts += [(float(value), rank, unit, way) for way, value in enumerate(products) if value != 0.0]
    if graph.direct != 0.0:
        starts.append((graph.direct, LOSS, 0, 0))
    starts = sorted(starts, key=lambda start: -abs(start[0]))[:most]
    place = f"{parameter}[{', '.join(map(str, index))}]"
    paths = tuple(written_path(graph, ways, start, place) for start in starts)
    return WeightPath(parameter, index, gradient, "paths", count, paths, total)


def ways_of(graph: UnitGraph, rank: int, ways: dict[int, Ways], most: int) -> Ways:
    """The ways from one reading's units, from those of the readings above it."""
    size = int(np.prod(graph.shapes[rank], dtype=np.int64))
    of_loss = graph.of_loss.get(rank, np.zeros(size))
    above = [(upper, table) for (upper, lower), table in graph.edges.items() if lower == rank]
    total = of_loss.copy()
    for upper, table in above:
        total += table.T @ ways[upper].total
    found = Ways(total, [0] * size, np.zeros((size, most)), *(np.full((size, most), LOSS) for _ in range(3)))
    for unit in range(size):
        candidates = [(np.array([of_loss[unit]]), np.array([[LOSS, 0, 0]]))] if of_loss[unit] != 0.0 else []
        found.count[unit] = len(candidates)
        for upper, table in above:
            rows = np.flatnonzero(table[:, unit])
            found.count[unit] += sum(ways[upper].count[row] for row in rows.tolist())
            products = table[rows, unit, None] * ways[upper].best[rows]
            taken, way = np.nonzero(products)
            places = np.stack([np.full(len(taken), upper), rows[taken], way], axis=1)
            candidates.append((products[taken, way], places))
        if candidates:
            keep_best(found, unit, candidates, most)
    return found


def keep_best(found: Ways, unit: int, candidates: list[tuple[FloatArray, np.ndarray]], most: int) -> None:
    """Keep a unit's largest ways."""
    values = np.concatenate([one for one, _ in candidates])
    places = np.concatenate([place for _, place in candidates])
    chosen = np.argsort(-np.abs(values), kind="stable")[:most]
    count = len(chosen)
    found.best[unit, :count] = values[chosen]
    found.next_reading[unit, :count], found.next_unit[unit, :count], found.next_way[unit, :count] = places[chosen].T


def written_path(
    graph: UnitGraph, ways: dict[int, Ways], start: tuple[float, int, int, int], weight: str
) -> GradientPath:
    """One way, term by term, from the weight to the loss."""
    _, rank, unit, way = start
    if rank == LOSS:
        return GradientPath((PathTerm(f"loss by {weight}", graph.direct),), graph.direct)
    terms = [PathTerm(f"{unit_name(graph, rank, unit)} by {weight}", float(graph.of_weight[rank][unit]))]
    while rank != LOSS:
        here, known = unit_name(graph, rank, unit), ways[rank]
        upper, row, onward = (int(part[unit, way]) for part in (known.next_reading, known.next_unit, known.next_way))
        if upper == LOSS:
            terms.append(PathTerm(f"loss by {here}", float(graph.of_loss[rank][unit])))
        else:
            value = float(graph.edges[upper, rank][row, unit])
            terms.append(PathTerm(f"{unit_name(graph, upper, row)} by {here}", value))
        rank, unit, way = upper, row, onward
    product = 1.0
    for term in terms:
        product *= term.value
    return GradientPath(tuple(terms), product)


def unit_name(graph: UnitGraph, rank: int, unit: int) -> str:
    """A unit's name: its layer, and its place in the output, the example first."""
    place = (
        ", ".join(str(int(axis)) for axis in np.unravel_index(unit, graph.shapes[rank])) if graph.shapes[rank] else ""
    )
    return f"{graph.names[rank]}[{place}]"


def by_layers(
    cut: Forward,
    layers: LayerGraph,
    errors: list[Tensor | None],
    weight: nn.Parameter,
    asked: tuple[str, tuple[int, ...], float],
) -> WeightPath:
    """One product along the layers that every way from the weight to the loss crosses.

    The factors are the norm of the error at the last of them, the gain from each to the one before it, and what a
    unit of error at the first of them is for the weight: its own part of the layer's vector-Jacobian product.

    Args:
        cut: The forward pass with its graph cut between layers.
        layers: Readings between the weight and the loss.
        errors: Gradient of the loss by every reading's output.
        weight: The weight's parameter.
        asked: Name of the parameter, place in it, and autograd's number.
    """
    parameter, index, gradient = asked
    place = f"{parameter}[{', '.join(map(str, index))}]"
    trunk = common_readings(layers)
    norms = [norm_of(errors[rank]) for rank in trunk]
    names = [cut.readings[rank].layer for rank in trunk]
    if not trunk or 0.0 in norms:
        path = GradientPath((PathTerm(f"loss by {place}", gradient),), gradient)
        return WeightPath(parameter, index, gradient, "layers", 1, (path,), gradient)
    share = gradient / norms[0]
    if layers.users == [trunk[0]] and not layers.is_direct:
        reading, error = cut.readings[trunk[0]], errors[trunk[0]]
        assert error is not None
        (found,) = torch.autograd.grad(reading.output, [weight], error / norms[0], retain_graph=True)
        share = float(found[index])
    terms = [PathTerm(f"{names[0]} by {place}, along its error", share)]
    for (name, above), norm, higher in zip(zip(names, names[1:], strict=False), norms, norms[1:], strict=False):
        terms.append(PathTerm(f"gain of the error from {above} to {name}", norm / higher))
    terms.append(PathTerm(f"norm of the error at {names[-1]}", norms[-1]))
    product = float(np.prod([term.value for term in terms]))
    path = GradientPath(tuple(terms), product)
    return WeightPath(parameter, index, gradient, "layers", 1, (path,), product)


def norm_of(error: Tensor | None) -> float:
    """Norm of an error; 0 where none came."""
    return 0.0 if error is None else float(torch.linalg.vector_norm(error.double()))


def common_readings(layers: LayerGraph) -> list[int]:
    """Readings that every way from the weight to the loss crosses, from the weight on."""
    if layers.is_direct:
        return []
    arriving = {rank: int(rank in layers.users) for rank in layers.readings}
    for rank in layers.readings:
        arriving[rank] += sum(arriving[one] for one in layers.below[rank])
    leaving = {rank: int(rank in layers.ends) for rank in layers.readings}
    for rank in reversed(layers.readings):
        for one in layers.below[rank]:
            leaving[one] += leaving[rank]
    whole = sum(arriving[rank] for rank in layers.ends)
    return [rank for rank in layers.readings if arriving[rank] * leaving[rank] == whole]
