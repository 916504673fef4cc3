"""What a network is made of, by the names of autograd's nodes: operations behind its last weights, and softmaxes."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor
from torch.nn import Parameter

from gradiometer.measuring.loss_graph import Node, is_operation, live_edges, read_saved

MOST_NODES = 20_000
"""Nodes that are looked at; where a graph has more nothing is told of it, for what was not seen may differ."""

MOST_LOOSE = 64
"""Loose weights that are told of."""


def nodes_behind(start: Node) -> list[Node]:
    """All nodes from one back to the network's inputs and weights; none for a graph that is too large.

    Args:
        start: Autograd's node of the last operation that uses a weight.
    """
    seen: dict[Node, None] = {start: None}
    waiting: deque[Node] = deque([start])
    while waiting:
        for _, behind in live_edges(waiting.popleft()):
            if behind not in seen:
                if len(seen) >= MOST_NODES:
                    return []
                seen[behind] = None
                waiting.append(behind)
    return list(seen)


def loose_weights(nodes: Iterable[Node], is_weight: Callable[[Any], bool]) -> list[dict[str, Any]]:
    """Tell of parameters that a network uses and that neither its modules nor an optimizer hold.

    Args:
        nodes: Autograd's nodes of the network.
        is_weight: Whether a tensor is a parameter of the run.

    Returns:
        For each its shape, and its root mean square where it is on the host: no device is waited for.
    """
    found = []
    for node in nodes:
        variable = getattr(node, "variable", None)
        if not isinstance(variable, Parameter) or is_weight(variable) or not variable.numel():
            continue
        size = float(variable.detach().float().square().mean().sqrt()) if is_readable(variable) else None
        found.append({"shape": list(variable.shape), "rms": size})
    return found[:MOST_LOOSE]


def is_readable(tensor: Tensor) -> bool:
    """Whether a tensor's elements are on the host and there: sharded training frees the storage of whole weights."""
    if not tensor.is_cpu:
        return False
    last = tensor.storage_offset() + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.untyped_storage().nbytes() >= (last + 1) * tensor.element_size()


def softmaxes_of(nodes: Iterable[Node]) -> list[list[int]]:
    """Tell along what the softmaxes and logarithmic softmaxes among some nodes run.

    Returns:
        For each its axis, counted from the front, that axis' size, and its number of axes; what was not saved, or has
        no axis, is left out.
    """
    found: list[list[int]] = []
    for node in nodes:
        if not (is_operation(node, "Softmax") or is_operation(node, "LogSoftmax")):
            continue
        result, axis = read_saved(node, "result"), read_saved(node, "dim")
        if result is None or not isinstance(axis, int) or result.dim() == 0:
            continue
        place = (axis - (1 << 64) if axis >= 1 << 63 else axis) % result.dim()
        found.append([place, int(result.shape[place]), result.dim()])
    return found
