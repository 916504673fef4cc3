"""How gradients run inside a block, read from the norms that were measured there.

A tensor that one layer alone reads has the same gradient at the output of the layer that made it and at the input of
the one that reads it: equal norms tell who feeds whom. A tensor that several read has the sum of what they hand back;
of tensors of many elements the squares of the norms nearly add. What a block's input gets beyond what its layers hand
back came past them all: the skip.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

SAME = 1e-4
"""Norms that differ by less, as a share, are those of one tensor; single precision adds up to 1e-5."""

MOST_DOUBT_DB = 1.0
"""By how much the sum of several gradients' squares may miss the square of what they are taken to make."""

MOST_SKIP_DOUBT_DB = 3.0
"""The same for what came past all layers; skip and branch see the same examples, so that they agree or pull apart."""

LEAST_SKIP = 0.02
"""Share of the squared gradient at a block's input that has to have come past its layers for there to be a skip."""

TOP = -1
"""Stands for the block's own output."""


@dataclass(frozen=True, slots=True)
class Norms:
    """What was measured of a layer inside a block.

    Attributes:
        output: Norm of the gradient at its output, greater than 0.
        input: Norm of what it hands on.
        reads_several: It has more inputs than the one whose gradient was measured, as attention has.
    """

    output: float
    input: float
    reads_several: bool = False


@dataclass(frozen=True, slots=True)
class Edge:
    """One way by which a gradient comes to a point of a block.

    Attributes:
        source: Index of the layer that it comes from; `TOP` for the block's output.
        is_through: It comes through that layer; otherwise it is the gradient at that layer's output, which a sum
            handed on to another of its terms as well.
        gain_db: Gain on this way, to one of several inputs of that layer, or the part of the block's output that goes
            this way; None where it is the layer's measured gain.
    """

    source: int
    is_through: bool = True
    gain_db: float | None = None

    @property
    def is_own_gain(self) -> bool:
        """Whether `gain_db` is a layer's, and not merely a part of what is handed on."""
        return self.gain_db is not None and self.source != TOP


@dataclass(slots=True)
class Wiring:
    """All ways inside a block.

    Attributes:
        edges: For each layer the ways by which the gradient at its output comes.
        bottom: The ways by which the gradient at the block's input comes.
    """

    edges: list[tuple[Edge, ...]] = field(default_factory=list)
    bottom: tuple[Edge, ...] = ()


def find_wiring(layers: Sequence[Norms], top: float, bottom: float) -> Wiring:
    """Find who feeds whom in a block.

    Args:
        layers: Its layers in the order of execution.
        top: Norm of the gradient at the block's output, greater than 0.
        bottom: Norm of the gradient at its input.

    Returns:
        The ways; those that norms do not tell lead from the block's output straight on.
    """
    edges: list[tuple[Edge, ...]] = [()] * len(layers)
    read_alone = {reader for layer in range(len(layers)) if (reader := reader_of(layers, layer)) is not None}
    free = [reader for reader in range(len(layers)) if reader not in read_alone]
    for layer in range(len(layers) - 1, -1, -1):
        edges[layer] = edges_into(layers, layer, top, edges, free)
        free = [reader for reader in free if all(edge != Edge(reader) for edge in edges[layer])]
    ending = [Edge(reader) for reader in free]
    rest = bottom**2 - sum(layers[reader].input ** 2 for reader in free)
    if rest > LEAST_SKIP * bottom**2 or not ending:
        ending.append(skip_edge(layers, edges, top, math.sqrt(max(rest, 0.0))))
    return Wiring(edges, tuple(ending))


def is_same(norm: float, other: float) -> bool:
    """Whether two norms are those of one tensor."""
    return abs(norm - other) <= SAME * max(norm, other)


def reader_of(layers: Sequence[Norms], layer: int) -> int | None:
    """The next layer that hands on just the gradient at a layer's output; None where there is none."""
    later = range(layer + 1, len(layers))
    return next((reader for reader in later if is_same(layers[reader].input, layers[layer].output)), None)


def edges_into(
    layers: Sequence[Norms], layer: int, top: float, edges: Sequence[tuple[Edge, ...]], free: Sequence[int]
) -> tuple[Edge, ...]:
    """The ways by which the gradient at a layer's output comes."""
    norm = layers[layer].output
    reader = reader_of(layers, layer)
    if reader is not None:
        return (Edge(reader),)
    if is_same(norm, top):
        return (Edge(TOP),)
    beside = next((twin for twin in range(layer + 1, len(layers)) if is_same(layers[twin].output, norm)), None)
    if beside is not None:
        return edges[beside]
    together = readers_together(layers, layer, top, free)
    if together:
        return together
    several = (reader for reader in range(layer + 1, len(layers)) if layers[reader].reads_several)
    source = next(several, TOP)
    above = top if source == TOP else layers[source].output
    return (Edge(source, gain_db=20.0 * math.log10(norm / above)),)


def readers_together(layers: Sequence[Norms], layer: int, top: float, free: Sequence[int]) -> tuple[Edge, ...]:
    """Those next readers, with or without the block's output, whose gradients together make that at a layer's output.

    Returns:
        The ways from them; none where nothing comes near.
    """
    following = [reader for reader in free if reader > layer]
    best: tuple[float, tuple[Edge, ...]] = (MOST_DOUBT_DB, ())
    square = 0.0
    for count in range(len(following) + 1):
        square += layers[following[count - 1]].input ** 2 if count else 0.0
        for extra, ways in ((0.0, ()), (top**2, (Edge(TOP),))):
            if square + extra > 0.0:
                doubt = abs(10.0 * math.log10((square + extra) / layers[layer].output ** 2))
                if doubt < best[0]:
                    best = (doubt, (*(Edge(reader) for reader in following[:count]), *ways))
    return best[1]


def skip_edge(layers: Sequence[Norms], edges: Sequence[tuple[Edge, ...]], top: float, norm: float) -> Edge:
    """Where what came past the layers branched off: at the block's output, or at a sum inside."""
    if norm == 0.0:
        return Edge(TOP, gain_db=-math.inf)
    doubts = [(abs(20.0 * math.log10(norm / layer.output)), index) for index, layer in enumerate(layers)]
    sums = [(abs(20.0 * math.log10(norm / top)), TOP), *(one for one in doubts if len(edges[one[1]]) > 1)]
    for known, most_db in ((sums, MOST_SKIP_DOUBT_DB), (doubts, MOST_DOUBT_DB)):
        doubt_db, source = min(known, default=(math.inf, TOP))
        if doubt_db <= most_db:
            return Edge(source, is_through=False)
    return Edge(TOP, gain_db=20.0 * math.log10(norm / top))
