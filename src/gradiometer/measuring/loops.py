"""Cells in a loop: modules that are called again and again within one step, each call fed by the one before.

Which calls form such a chain is read from autograd's graph: from the output of a call its operations lead back to the
output of the call before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradiometer.measuring.calls import Call
from gradiometer.measuring.network import LEAST_LOOP_CALLS

MOST_NODES = 2_000
"""Autograd nodes between two calls that are searched for the way from one to the other."""


@dataclass(frozen=True, slots=True, eq=False)
class Loop:
    """One module's calls within one call of its root, each fed by the one before.

    Attributes:
        layer: Name of the module.
        calls: Its calls in order.
    """

    layer: str
    calls: tuple[Call, ...]


def find_loops(calls: Sequence[Call], names: frozenset[str]) -> list[Loop]:
    """Find the cells in a loop among a step's calls, their autograd nodes still held.

    Args:
        calls: The step's calls in order.
        names: Layers and blocks that may be cells: those with parameters.

    Returns:
        The outermost of them: a cell's own parts are called as often as it is and say the same.
    """
    groups: dict[tuple[str, int], list[Call]] = {}
    for call in calls:
        name = base_name(call.layer)
        if name in names and call.node is not None:
            groups.setdefault((name, call.root_call), []).append(call)
    found: list[Loop] = []
    inside: set[int] = set()
    for (name, _), members in groups.items():
        if len(members) >= LEAST_LOOP_CALLS and not is_within(members[0], inside) and is_chain(members):
            found.append(Loop(name, tuple(members)))
            inside.update(id(call) for call in members)
    return found


def base_name(layer: str) -> str:
    """Name of a module without the count of its calls.

    Example:
        >>> base_name("cell#12"), base_name("cell")
        ('cell', 'cell')
    """
    return layer.partition("#")[0]


def is_within(call: Call, containers: set[int]) -> bool:
    """Whether a call happened within one of these, by id."""
    block = call.block
    while block is not None:
        if id(block) in containers:
            return True
        block = block.block
    return False


def is_chain(calls: Sequence[Call]) -> bool:
    """Whether the first few calls feed each other; the others are taken to go on in the same way."""
    pairs = zip(calls[1:LEAST_LOOP_CALLS], calls, strict=False)
    return all(leads_back(later, earlier) for later, earlier in pairs)


def leads_back(later: Call, earlier: Call) -> bool:
    """Whether the output of one call was computed from that of another."""
    if later.node is None or earlier.node is None:
        return False
    goal, source = earlier.node[0], later.node[0]
    oldest = goal._sequence_nr()
    seen: set[Any] = {source}
    waiting = [source]
    while waiting and len(seen) <= MOST_NODES:
        for node, _ in waiting.pop().next_functions:
            if node is goal:
                return True
            if node is not None and node not in seen and node._sequence_nr() > oldest:
                seen.add(node)
                waiting.append(node)
    return False


def measured_places(loops: Sequence[Loop]) -> Mapping[tuple[Any, int], Call]:
    """For the autograd node of each call's output that call: whoever's gradient is seen there, it is the call's."""
    return {call.node: call for loop in loops for call in loop.calls if call.node is not None}
