"""What happened in one full step: every call of a layer, its output, and the gradients that came back to it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gradiometer.measuring.layers import PASS_THROUGH, ModuleRecord
from gradiometer.measuring.statistics import split_norm

MOST_CALLS = 100_000
"""Calls recorded in a step; a script that makes more before its first backward is measured on these."""


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
    alias: Tensor | None = None
    source: Tensor | None = None
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


def may_alias(record: ModuleRecord | None, args: tuple[Any, ...]) -> bool:
    """Whether a leaf may be handed an alias of its input, so that its own contribution can be told from others'."""
    if len(args) < 1 or type(args[0]) not in (Tensor, torch.nn.Parameter) or not args[0].requires_grad:
        return False
    if any(isinstance(other, Tensor) for other in args[1:]):
        return False
    if record is None:
        return True
    return not isinstance(record.module, PASS_THROUGH) and not getattr(record.module, "inplace", False)


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

        def measure(gradients: tuple[Tensor | None, ...]) -> None:
            backward_pass, gradient = self.current_pass(), gradients[number]
            if backward_pass is None or gradient is None:
                return
            found = call.gradients_of(backward_pass)
            found.output_norm, found.output_nonfinite = split_norm(gradient)

        node.register_prehook(self.guarded(measure))

    def watch_input(self, call: Call, alias: Tensor) -> None:
        """Measure a call's own contribution to the gradient at its input, through the alias that it was handed."""

        def measure(gradients: tuple[Tensor | None, ...]) -> None:
            backward_pass, gradient = self.current_pass(), gradients[0]
            if backward_pass is not None and gradient is not None:
                call.gradients_of(backward_pass).input_norm = split_norm(gradient)[0]

        alias.grad_fn.register_prehook(self.guarded(measure))  # type: ignore[union-attr]

    def watch_in_place(self, call: Call, output: Tensor) -> None:
        """The same for an activation that writes over its input: its node hands the contribution on."""

        def measure(input_gradients: tuple[Tensor | None, ...], output_gradients: tuple[Tensor | None, ...]) -> None:
            backward_pass = self.current_pass()
            if backward_pass is not None and input_gradients and input_gradients[0] is not None:
                call.gradients_of(backward_pass).input_norm = split_norm(input_gradients[0])[0]

        if output.grad_fn is not None:
            output.grad_fn.register_hook(self.guarded(measure))
