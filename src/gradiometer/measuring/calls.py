"""What happened in one full step: every call of a layer, its output, and the gradients that came back to it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from gradiometer.measuring.statistics import split_norm

MOST_CALLS = 100_000
"""Calls recorded in a step; a script that makes more before its first backward is measured on these."""

MOST_NODES = 10_000
"""Autograd nodes of one call that are searched for its input: an LSTM over 1 000 steps has about as many."""


@dataclass(slots=True)
class Gradients:
    """Gradients that one backward pass brought to one call.

    Attributes:
        output_norm: Norm at the call's output.
        output_nonfinite: Elements there that are not finite.
        input_norm: Norm of the call's own contribution at its input.
    """

    output_norm: Tensor | None = None
    output_nonfinite: Tensor | None = None
    input_norm: Tensor | None = None


@dataclass(slots=True, eq=False)
class Call:
    """One call of a layer or block.

    Attributes:
        layer: Name of the layer.
        is_block: It is a container: only its place in the graph is of interest.
        root_call: Number of the root's call within the step that it belongs to.
        block: The innermost container's call around it.
        output_norm: Norm of its output.
        output_nonfinite: Elements of its output that are not finite.
        element_count: Elements of its output.
        node: Autograd node and output number of its output; dropped after the backward.
        input_node: The same of its first tensor argument.
        first_sequence: Autograd's count of nodes when the call began: its own nodes have this number or a higher one.
        gradients: What came back, by number of the backward pass.
    """

    layer: str
    is_block: bool
    root_call: int
    block: "Call | None"
    output_norm: Tensor | None = None
    output_nonfinite: Tensor | None = None
    element_count: int = 0
    node: tuple[Any, int] | None = None
    input_node: tuple[Any, int] | None = None
    first_sequence: int = 0
    gradients: dict[int, Gradients] = field(default_factory=dict)

    def gradients_of(self, backward_pass: int) -> Gradients:
        """The record of one backward pass, made where there is none."""
        return self.gradients.setdefault(backward_pass, Gradients())


def node_of(tensor: Tensor) -> tuple[Any, int] | None:
    """Autograd node of a tensor and which of its outputs the tensor is; None for a tensor without history."""
    return None if tensor.grad_fn is None else (tensor.grad_fn, tensor.output_nr)


def first_tensor(value: Any) -> Tensor | None:
    """The first tensor that asks for a gradient in a module's output, however it is wrapped."""
    if isinstance(value, Tensor):
        return value if value.requires_grad else None
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, (tuple, list)):
        for part in value:
            found = first_tensor(part)
            if found is not None:
                return found
    fields = getattr(value, "__dataclass_fields__", None)
    return first_tensor([getattr(value, name) for name in fields]) if fields else None


def edges_into(call: Call) -> list[tuple[Any, int]]:
    """Find where a call's own operations read its input: the edges of autograd's graph from within the call to it.

    Returns:
        (node, number of the gradient that it hands to the input); empty where the input has no history, the output
        does not depend on it, or the call is too large to be searched.
    """
    if call.node is None or call.input_node is None or call.node == call.input_node:
        return []
    found: list[tuple[Any, int]] = []
    seen: set[Any] = {call.node[0]}
    waiting = [call.node[0]]
    while waiting:
        node = waiting.pop()
        for number, edge in enumerate(node.next_functions):
            if edge == call.input_node:
                found.append((node, number))
            elif edge[0] is not None and edge[0] not in seen and edge[0]._sequence_nr() >= call.first_sequence:
                seen.add(edge[0])
                waiting.append(edge[0])
        if len(seen) > MOST_NODES:
            return []
    return found


class GradientWatch:
    """Sets hooks on autograd nodes so that calls learn what gradients came back to them.

    Args:
        guarded: Turns a function into one that may run inside a training: timed, and silent where it fails.
        current_pass: Number of the backward pass under way, None outside of one.
    """

    def __init__(
        self, guarded: Callable[[Callable[..., None]], Callable[..., None]], current_pass: Callable[[], int | None]
    ) -> None:
        self.guarded = guarded
        self.current_pass = current_pass

    def watch_output(self, call: Call, output: Tensor) -> None:
        """Measure the loss gradient at a call's output when it comes."""
        place = node_of(output)
        if place is None:
            return
        node, number = place
        hands_on_its_input = place == call.input_node

        def measure(gradients: tuple[Tensor | None, ...]) -> None:
            backward_pass, gradient = self.current_pass(), gradients[number]
            if backward_pass is None or gradient is None:
                return
            found = call.gradients_of(backward_pass)
            found.output_norm, found.output_nonfinite = split_norm(gradient)
            if hands_on_its_input:
                found.input_norm = found.output_norm

        node.register_prehook(self.guarded(measure))

    def watch_input(self, call: Call) -> None:
        """Measure a call's own contribution to the gradient at its input.

        It is read where the call's operations hand it on, so that the network is given exactly the tensors that it is
        given without gradiometer. A call that reads its input more than once contributes the sum.
        """
        edges = edges_into(call)
        parts: dict[int, list[Tensor]] = {}

        def reader(number: int) -> Callable[..., None]:
            def measure(
                input_gradients: tuple[Tensor | None, ...], output_gradients: tuple[Tensor | None, ...]
            ) -> None:
                backward_pass, gradient = self.current_pass(), input_gradients[number]
                if backward_pass is None or gradient is None:
                    return
                arrived = parts.setdefault(backward_pass, [])
                arrived.append(gradient)
                if len(arrived) == len(edges):
                    call.gradients_of(backward_pass).input_norm = split_norm(sum_of(parts.pop(backward_pass)))[0]

            return measure

        for node, number in edges:
            node.register_hook(self.guarded(reader(number)))


def sum_of(tensors: list[Tensor]) -> Tensor:
    """Sum of tensors of one shape; none of them is changed."""
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total
