"""Where the residual branches of a network end, read from autograd's graph of one run on the first batch.

An addition closes a residual branch where both its sides come from the same place and one of them, the skip, has
passed fewer layers on its way, usually none.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from gradiometer.curing.cure import Patient
from gradiometer.curing.entrance import root_of, run_apart
from gradiometer.curing.trials.passage import tensors_in
from gradiometer.errors import CureRefusedError

INPUT = 1
"""The bit that stands for the input, or for what an embedding makes of it, in a set of layers."""


@dataclass(slots=True)
class Trace:
    """What a run has shown.

    Attributes:
        bits: The bit of each layer, by place.
        marks: The bit of the layer, or input, whose result a node of the graph made.
        calls: How often each layer was called, by bit.
        nodes: Where the graph of the output begins.
    """

    bits: dict[str, int]
    marks: dict[Node, int] = field(default_factory=dict)
    calls: Counter[int] = field(default_factory=Counter)
    nodes: list[Node] = field(default_factory=list)


def branch_ends(patient: Patient, layers: Mapping[str, nn.Module]) -> set[str]:
    """Find the last layer of every residual branch.

    Args:
        patient: The patient.
        layers: Layers with weights, by place.

    Returns:
        Places of those layers that alone lead to the addition which closes a branch, with no norm between: what
        they are scaled by, the branch is scaled by. Empty where the first batch is not known, or the model can't be
        run on it.
    """
    try:
        trace = trace_of(patient, layers)
    except CureRefusedError:
        return set()
    sets = layer_sets(trace)
    ends = {trace.marks[end] for node in sets for end in [end_of_branch(node, sets, trace)] if end is not None}
    return {place for place, bit in trace.bits.items() if bit in ends}


def trace_of(patient: Patient, layers: Mapping[str, nn.Module]) -> Trace:
    """Run the root on its first batch, with the graph of autograd.

    Raises:
        CureRefusedError: The batch is not known, or the model can't be run on it.
    """
    _, root = root_of(patient)
    trace = Trace({place: INPUT << (index + 1) for index, place in enumerate(layers)})

    def entry(value: Any) -> Any:
        if not isinstance(value, Tensor) or not value.is_floating_point():
            return value
        with torch.enable_grad():
            copied = value.detach().clone().requires_grad_().clone()  # not a leaf: the model may write into it
        assert copied.grad_fn is not None
        trace.marks[copied.grad_fn] = INPUT
        return copied

    def note(bit: int, output: Any) -> None:
        made = next(tensors_in(output), None)
        trace.calls[bit] += bit != INPUT
        if made is not None and made.grad_fn is not None:
            trace.marks[made.grad_fn] = bit

    noted = [(layer, trace.bits[place]) for place, layer in layers.items()]
    noted += [(module, INPUT) for module in root.modules() if isinstance(module, (nn.Embedding, nn.EmbeddingBag))]
    handles = [layer.register_forward_hook(lambda _, args, output, bit=bit: note(bit, output)) for layer, bit in noted]
    try:
        with torch.enable_grad():
            output = run_apart(patient, root, seed=0, inputs=tuple(entry(value) for value in patient.inputs))
    finally:
        for handle in handles:
            handle.remove()
    trace.nodes = [tensor.grad_fn for tensor in tensors_in(output) if tensor.grad_fn is not None]
    return trace


def layer_sets(trace: Trace) -> dict[Node, int]:
    """For every node of the graph the layers, and the input, that its result comes from, as a set of bits."""
    sets: dict[Node, int] = {}
    stack = list(trace.nodes)
    while stack:
        node = stack[-1]
        missing = [child for child in children_of(node) if child not in sets]
        if missing and node not in sets:
            stack += missing
            continue
        stack.pop()
        if node not in sets:
            found = trace.marks.get(node, 0)
            for child in children_of(node):
                found |= sets[child]
            sets[node] = found
    return sets


def children_of(node: Node) -> Iterator[Node]:
    """The nodes that a node's inputs come from."""
    for child, _ in node.next_functions:
        if child is not None:
            yield child


def end_of_branch(node: Node, sets: Mapping[Node, int], trace: Trace) -> Node | None:
    """The node of the layer that a residual branch closed here ends with; None where none is, or not with one layer."""
    sides = list(children_of(node))
    if node.name() != "AddBackward0" or len(sides) != 2:
        return None
    skip, branch = sorted(sides, key=lambda side: sets[side].bit_count())
    passed, added = sets[skip] & ~sets[branch], sets[branch] & ~sets[skip]
    repeated = any(count > 1 for bit, count in trace.calls.items() if bit & (passed | added))
    if not sets[skip] & sets[branch] or passed.bit_count() >= added.bit_count() or repeated:
        return None
    ends, seen, stack = set(), {branch}, [branch]
    while stack:
        here = stack.pop()
        if trace.marks.get(here, 0) & added:
            ends.add(here)
            continue
        if "Norm" in here.name():
            return None
        fresh = [child for child in children_of(here) if child not in seen and sets[child] & added]
        seen.update(fresh)
        stack += fresh
    return ends.pop() if len(ends) == 1 else None
