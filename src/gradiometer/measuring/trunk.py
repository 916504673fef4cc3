"""The trunk: the tensors that every gradient path from the loss must cross.

Autograd's graph is walked from the loss back to the layer that the gradient reaches last. A node that all paths
between the two cross is found by counting open edges in topological order: where the only open edges are those into
the node at hand, no path goes around it.

Source: Tarjan, "Depth-first search and linear graph algorithms", SIAM J. Comput. 1972 (articulation points); in a
directed acyclic graph with one source and one sink the count below is the same and simpler.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

Node = Any
"""A `torch.autograd.graph.Node`; only `next_functions` is asked of it."""

MOST_SINKS = 8
"""Ends of the network that are tried; a network has one, or a few where inputs meet."""


@dataclass(frozen=True, slots=True)
class TrunkEntry:
    """One place on the trunk.

    Attributes:
        layer: Name of the layer whose output it is; for a join the name of the block whose paths meet there.
        is_join: What lies between two layers and is no layer itself: the paths of a residual block, or operations
            like `+` and `view`. Its level is that at the input of the entry before it.
        is_chained: The next entry's output is this one's only input.
    """

    layer: str
    is_join: bool = False
    is_chained: bool = False


def open_chains(trunk: Sequence[TrunkEntry], is_changed: Callable[[str, str], bool]) -> tuple[TrunkEntry, ...]:
    """Put a join between two chained layers where a hook of the script's own changes the gradient on its way.

    Args:
        trunk: The trunk, from the output down.
        is_changed: Whether the gradient at one layer's input is another at the output of the next.

    Returns:
        The trunk with these joins; the same where there is no such hook.
    """
    entries: list[TrunkEntry] = []
    for rank, entry in enumerate(trunk):
        deeper = trunk[rank + 1] if rank + 1 < len(trunk) else None
        entries.append(entry)
        is_pair = deeper is not None and entry.is_chained and not (entry.is_join or deeper.is_join)
        if is_pair and deeper is not None and is_changed(entry.layer, deeper.layer):
            entries[-1] = replace(entry, is_chained=False)
            entries.append(TrunkEntry(f"before {entry.layer}", is_join=True, is_chained=True))
    return tuple(entries)


def order_nodes(source: Node) -> list[Node]:
    """List all nodes that a node's gradient reaches, each before those that it hands gradients to."""
    finished: list[Node] = []
    state: dict[Node, bool] = {source: False}
    stack: list[tuple[Node, Any]] = [(source, iter(source.next_functions))]
    while stack:
        node, successors = stack[-1]
        for successor, _ in successors:
            if successor is not None and successor not in state:
                state[successor] = False
                stack.append((successor, iter(successor.next_functions)))
                break
        else:
            stack.pop()
            finished.append(node)
    finished.reverse()
    return finished


def cut_nodes(ordered: Sequence[Node], sink: Node) -> list[Node]:
    """Find the nodes that every path to the sink crosses.

    Args:
        ordered: All nodes in topological order, the source first.
        sink: Where the paths end; one of them.

    Returns:
        Those nodes from the source to the sink, both included.
    """
    reaching = nodes_reaching(ordered, sink)
    arriving: dict[Node, int] = {}
    for node in ordered:
        if node in reaching and node is not sink:
            for successor in successors_in(node, reaching):
                arriving[successor] = arriving.get(successor, 0) + 1
    cuts: list[Node] = []
    open_edges = 0
    for node in ordered:
        if node in reaching:
            open_edges -= arriving.get(node, 0)
            if open_edges == 0:
                cuts.append(node)
            if node is sink:
                break
            open_edges += len(successors_in(node, reaching))
    return cuts


def nodes_reaching(ordered: Sequence[Node], sink: Node) -> set[Node]:
    """The nodes whose gradient reaches the sink, the sink among them."""
    reaching: set[Node] = {sink}
    for node in reversed(ordered):
        if successors_in(node, reaching):
            reaching.add(node)
    return reaching


def successors_in(node: Node, wanted: set[Node]) -> list[Node]:
    """Those wanted nodes that a node hands gradients to, once for each edge."""
    return [successor for successor, _ in node.next_functions if successor in wanted]


def find_sinks(ordered: Sequence[Node], is_output: Callable[[Node], bool]) -> list[Node]:
    """Find the layer outputs behind which no further layer's output lies, the farthest from the source first."""
    leads_to_output: set[Node] = set()
    sinks: list[Node] = []
    for node in reversed(ordered):
        beyond = any(successor in leads_to_output for successor, _ in node.next_functions)
        if is_output(node) and not beyond:
            sinks.append(node)
        if beyond or is_output(node):
            leads_to_output.add(node)
    return sinks


def longest_trunk(source: Node, outputs: Iterable[Node]) -> list[Node]:
    """Find the trunk below a node as autograd nodes.

    Where several inputs meet, the end with the longest trunk is taken.

    Args:
        source: Node of the loss, or of a root's output.
        outputs: Nodes whose tensors are outputs of layers.

    Returns:
        The cut nodes that are outputs of layers, from the source down; empty where no layer is reached.
    """
    ordered = order_nodes(source)
    known = set(outputs)
    sinks = find_sinks(ordered, known.__contains__)[:MOST_SINKS]
    trunks = ([node for node in cut_nodes(ordered, sink) if node in known] for sink in sinks)
    return max(trunks, key=len, default=[])
