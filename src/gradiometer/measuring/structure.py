"""From the calls of a step to the trunk by names, and what of the network was not seen."""

from collections.abc import Iterable, Sequence
from typing import Any

from gradiometer.measuring.calls import Call
from gradiometer.measuring.hidden_calls import HiddenLayers
from gradiometer.measuring.layers import ModuleRecord
from gradiometer.measuring.trunk import TrunkEntry, longest_trunk, open_chains
from gradiometer.schema import Coverage, Layer, Snapshot


def signature_of(calls: Sequence[Call]) -> int:
    """A number that is equal for steps whose calls are the same."""
    return hash(tuple((call.layer, call.root_call) for call in calls))


def innermost_outputs(calls: Iterable[Call], loss_node: Any) -> dict[Any, Call]:
    """For each autograd node the innermost call whose output it is, leaves before blocks."""
    found: dict[Any, Call] = {}
    for call in calls:
        is_passed_through = call.node is not None and call.node == call.input_node
        if call.node is None or call.node[0] is loss_node or is_passed_through:
            continue
        known = found.get(call.node[0])
        if known is None or known.is_block or not call.is_block:
            found[call.node[0]] = call
    return found


def plan_trunk(calls: Sequence[Call], loss_node: Any) -> tuple[TrunkEntry, ...]:
    """Find the trunk of a step.

    Args:
        calls: The step's calls, their nodes still held.
        loss_node: Autograd node of the loss.

    Returns:
        Its entries from the network's output to the first layer; empty where the network has no trunk that all of
        the step's calls share (then levels are known, but no budget).
    """
    outputs = innermost_outputs(calls, loss_node)
    nodes = longest_trunk(loss_node, outputs)
    root_calls = {call.root_call for call in calls}
    if len(nodes) > 1 or len(root_calls) == 1:
        return entries_of([outputs[node] for node in nodes])
    # A root called several times side by side: each of its calls has a trunk, the same one by names.
    plans = set()
    for number in root_calls:
        own = [call for call in calls if call.root_call == number]
        tops = [call.node[0] for call in own if call.block is None and call.node is not None]
        if tops:
            own_outputs = innermost_outputs(own, None)
            plans.add(entries_of([own_outputs[node] for node in longest_trunk(tops[0], own_outputs)]))
    return plans.pop() if len(plans) == 1 else ()


def entries_of(path: Sequence[Call]) -> tuple[TrunkEntry, ...]:
    """Name the trunk's entries and what lies between two of them.

    Returns:
        The entries; empty where a layer comes twice (a cell called once per time step: its calls are one layer), and
        where the loss does not depend on the network.
    """
    if not path or len({call.layer for call in path}) < len(path):
        return ()
    entries: list[TrunkEntry] = []
    for call, deeper in zip(path, [*path[1:], None], strict=True):
        # Of a call whose input is not known, what lies between is counted in.
        is_chained = deeper is not None and (call.input_node is None or call.input_node == deeper.node)
        entries.append(TrunkEntry(call.layer, is_chained=is_chained))
        if deeper is not None and not is_chained:
            entries.append(TrunkEntry(join_name(call, deeper), is_join=True, is_chained=True))
    names = [entry.layer for entry in entries]
    return tuple(
        entry for entry, name in zip(entries, names, strict=True) if not entry.is_join or names.count(name) == 1
    )


def join_name(call: Call, deeper: Call) -> str:
    """Name what lies between two layers on the trunk: the block that begins and ends there, if there is one."""
    block = call if call.is_block else call.block
    while block is not None:
        if block.input_node is not None and block.input_node == deeper.node and block is not call:
            return block.layer
        block = block.block
    return f"before {call.layer}"


def trunk_with_joins(trunk: Sequence[TrunkEntry], snapshot: Snapshot) -> tuple[TrunkEntry, ...]:
    """The trunk with the joins that only the gradients of a step have shown (see `open_chains`)."""
    measured = {stats.layer for stats in snapshot.layers if stats.trunk_position is not None}
    return open_chains(trunk, lambda above, below: f"before {above}" in measured)


def join_layer(entry: TrunkEntry) -> Layer:
    """The layer that stands for operations between two others."""
    return Layer(name=entry.layer, kind="operations", role="block", position=0)


def describe_coverage(
    modules: Iterable[ModuleRecord],
    layers: dict[str, Layer],
    without_gradient: set[str],
    hidden: HiddenLayers,
    notes: Sequence[str],
    *,
    is_closed: bool = False,
) -> Coverage:
    """Say which layers were seen and why others were not.

    Args:
        modules: All modules of the roots.
        layers: Layers met, by name.
        without_gradient: Layers that were called but to whose output no gradient ever came.
        hidden: What is known of layers that were not met.
        notes: What else limits the measurements.
        is_closed: The network is compiled and was not opened.

    Returns:
        The coverage; a module that never ran is unseen, one without gradient is seen as far as it goes.
    """
    leaves = [record for record in modules if record.is_leaf]
    names = {record.name for record in leaves} | {name for name, layer in layers.items() if layer.role == "function"}
    missing = [record.name for record in leaves if record.name not in layers]
    unseen = [(name, "compiled" if is_closed else hidden.reason(name)) for name in missing]
    unseen += [(name, hidden.reason_without_gradient(name)) for name in sorted(without_gradient & names)]
    return Coverage(len(names) - len(unseen), len(names), tuple(unseen), tuple(notes))
