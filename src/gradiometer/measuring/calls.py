"""What happened in one full step: every call of a layer, its output, and the gradients that came back to it."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gradiometer.measuring.guarding import Guard
from gradiometer.measuring.statistics import Number, split_norm

MOST_CALLS = 100_000
"""Calls recorded in a step; a script that makes more before its first backward is measured on these."""

MOST_NODES = 10_000
"""Autograd nodes of one call that are searched for its input: an LSTM over 1 000 steps has about as many."""


LEAF = 1 << 63
"""Nodes that end the graph at a parameter are numbered from here on; nothing lies behind them."""


@dataclass(slots=True)
class Gradients:
    """Gradients that one backward pass brought to one call.

    Attributes:
        output_norm: Norm at the call's output.
        output_nonfinite: Elements there that are not finite.
        input_norm: Norm of the call's own contribution at its input.
    """

    output_norm: Number | None = None
    output_nonfinite: Number | None = None
    input_norm: Number | None = None


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
    output_norm: Number | None = None
    output_nonfinite: Number | None = None
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
            elif edge[0] is not None and call.first_sequence <= edge[0]._sequence_nr() < LEAF and edge[0] not in seen:
                seen.add(edge[0])
                waiting.append(edge[0])
        if len(seen) > MOST_NODES:
            return []
    return found


class GradientWatch:
    """Sets hooks on autograd nodes so that calls learn what gradients came back to them.

    Args:
        guard: Times the hooks and keeps their faults out of the training.
        current_pass: Number of the backward pass under way, None outside of one.

    Attributes:
        on_gradient: Told of every gradient at a call's output, with the number of the backward pass.
    """

    def __init__(self, guard: Guard, current_pass: Callable[[], int | None]) -> None:
        self.guard = guard
        self.current_pass = current_pass
        self.on_gradient: Callable[[Call, int, Tensor], None] | None = None
        self._last: tuple[weakref.ref[Tensor], int, tuple[Number, Number]] | None = None

    def measure(self, gradient: Tensor) -> tuple[Number, Number]:
        """Norm and non-finite elements of a gradient.

        What one layer hands on is most often the very tensor that the next layer is given: it is measured once. It is
        known by its object, which lives no longer for that, and by torch's count of what was written to it.
        """
        # Read once: the backward passes of several devices have a thread each.
        last = self._last
        if last is not None and last[0]() is gradient and last[1] == gradient._version:
            return last[2]
        found = split_norm(gradient)
        self._last = (weakref.ref(gradient), gradient._version, found)
        return found

    def watch_output(self, call: Call, output: Tensor) -> None:
        """Measure the loss gradient at a call's output when it comes."""
        place = node_of(output)
        if place is not None:
            place[0].register_prehook(OutputHook(self, call, place[1], place == call.input_node))

    def watch_input(self, call: Call) -> None:
        """Measure a call's own contribution to the gradient at its input.

        It is read where the call's operations hand it on, so that the network is given exactly the tensors that it is
        given without gradiometer. A call that reads its input more than once contributes the sum.
        """
        edges = edges_into(call)
        parts: dict[int, list[Tensor]] | None = {} if len(edges) > 1 else None
        for node, number in edges:
            node.register_hook(InputHook(self, call, number, len(edges), parts))

    def has_output(self, call: Call, backward_pass: int, gradient: Tensor, *, hands_on_its_input: bool) -> None:
        """A gradient came to a call's output."""
        found = call.gradients_of(backward_pass)
        found.output_norm, found.output_nonfinite = self.measure(gradient)
        if hands_on_its_input:
            found.input_norm = found.output_norm
        if self.on_gradient is not None:
            with torch.no_grad():
                self.on_gradient(call, backward_pass, gradient)


# Hooks are objects and not closures: a closure and its cells are ten objects for Python's collector to go through.
@dataclass(slots=True, eq=False)
class OutputHook:
    """A pre-hook on the autograd node of a call's output."""

    watch: GradientWatch
    call: Call
    number: int
    hands_on_its_input: bool

    def __call__(self, gradients: tuple[Tensor | None, ...]) -> None:
        """Measure the gradient that the node is about to hand on."""
        watch, gradient = self.watch, gradients[self.number]
        if gradient is None or watch.guard.is_broken:
            return
        with watch.guard, torch._C.DisableTorchFunction():
            backward_pass = watch.current_pass()
            if backward_pass is None:
                return
            watch.has_output(self.call, backward_pass, gradient, hands_on_its_input=self.hands_on_its_input)


@dataclass(slots=True, eq=False)
class InputHook:
    """A hook on an autograd node of a call that reads the call's input.

    Attributes:
        watch: What it belongs to.
        call: The call.
        number: Which of the gradients that the node hands on is the input's.
        edge_count: Nodes of the call that read its input.
        parts: By backward pass what the others have handed on so far, where there are several.
    """

    watch: GradientWatch
    call: Call
    number: int
    edge_count: int
    parts: dict[int, list[Tensor]] | None

    def __call__(self, input_gradients: tuple[Tensor | None, ...], output_gradients: tuple[Tensor | None, ...]) -> None:
        """Measure the gradient that the node has handed on."""
        watch, gradient = self.watch, input_gradients[self.number]
        if gradient is None or watch.guard.is_broken:
            return
        with watch.guard, torch._C.DisableTorchFunction():
            backward_pass = watch.current_pass()
            if backward_pass is None:
                return
            if self.parts is not None:
                arrived = self.parts.setdefault(backward_pass, [])
                arrived.append(gradient.detach())
                if len(arrived) < self.edge_count:
                    return
                gradient = sum_of(self.parts.pop(backward_pass))
            self.call.gradients_of(backward_pass).input_norm = watch.measure(gradient)[0]


def sum_of(tensors: list[Tensor]) -> Tensor:
    """Sum of tensors of one shape; none of them is changed."""
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total
