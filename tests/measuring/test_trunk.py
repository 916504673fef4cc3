"""The trunk is what every path crosses, by an oracle that lists the paths."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from gradiometer.measuring.trunk import TrunkEntry, cut_nodes, longest_trunk, open_chains, order_nodes


@dataclass(eq=False)
class MadeNode:
    """Stands for an autograd node: a graph is made of them without tensors."""

    number: int
    next_functions: list[tuple["MadeNode", int]] = field(default_factory=list)


def made_graph(edges: list[tuple[int, int]], size: int) -> list[MadeNode]:
    nodes = [MadeNode(number) for number in range(size)]
    for start, end in edges:
        nodes[start].next_functions.append((nodes[end], 0))
    return nodes


def all_paths(node: MadeNode, sink: MadeNode) -> list[frozenset[int]]:
    if node is sink:
        return [frozenset({node.number})]
    return [path | {node.number} for successor, _ in node.next_functions for path in all_paths(successor, sink)]


@st.composite
def graphs(draw: st.DrawFn) -> list[MadeNode]:
    size = draw(st.integers(2, 8))
    pairs = [(start, end) for start in range(size) for end in range(start + 1, size)]
    return made_graph(draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=14)), size)


@given(graphs())
def test_cuts_are_the_nodes_on_every_path(nodes: list[MadeNode]) -> None:
    ordered = order_nodes(nodes[0])
    sink = ordered[-1]
    expected = frozenset.intersection(*all_paths(nodes[0], sink))
    assert {node.number for node in cut_nodes(ordered, sink)} == expected


@given(graphs())
def test_order_puts_every_node_before_its_successors(nodes: list[MadeNode]) -> None:
    rank = {node: index for index, node in enumerate(order_nodes(nodes[0]))}
    for node in rank:
        assert all(rank[successor] > rank[node] for successor, _ in node.next_functions)


def test_follows_a_skip_connection_as_one_piece() -> None:
    # loss 0 -> sum 1 -> branch 2 -> 3 and skip 1 -> 3 -> input 4
    nodes = made_graph([(0, 1), (1, 2), (2, 3), (1, 3), (3, 4)], 5)
    assert [node.number for node in longest_trunk(nodes[0], nodes[1:])] == [1, 3, 4]


def test_takes_the_longer_of_two_inputs() -> None:
    # 0 -> 1 -> 2 (a late input) and 1 -> 3 -> 4 -> 5
    nodes = made_graph([(0, 1), (1, 2), (1, 3), (3, 4), (4, 5)], 6)
    assert [node.number for node in longest_trunk(nodes[0], nodes[1:])] == [1, 3, 4, 5]


def test_is_empty_where_no_layer_is_reached() -> None:
    assert longest_trunk(MadeNode(0), []) == []


def test_gives_a_gradient_that_a_hook_changes_a_place_between_two_layers() -> None:
    trunk = (
        TrunkEntry("head", is_chained=True),
        TrunkEntry("body", is_chained=False),
        TrunkEntry("before body", is_join=True, is_chained=True),
        TrunkEntry("first"),
    )
    assert open_chains(trunk, lambda above, below: False) == trunk
    opened = open_chains(trunk, lambda above, below: True)
    assert [entry.layer for entry in opened] == ["head", "before head", "body", "before body", "first"]
    assert [entry.is_join for entry in opened] == [False, True, False, True, False]
