"""One forward pass of a model, read layer by layer, which leaves no trace in it.

Every output of a layer is handed on as a copy, so that what is written over later can still be asked for its gradient.
Where the graph is *cut*, the copy is a new leaf: autograd then tells only what one layer does to the next, by its own
operations and by those that the script wrote between the two (sums, reshapes, slices).
"""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from gradiometer.measuring.calls import first_tensor
from gradiometer.measuring.functions import FunctionWatch
from gradiometer.measuring.layers import ModuleRecord, fans_of, kind_of, plain_path, records_of, unit_axis


@dataclass(slots=True, eq=False)
class Reading:
    """One call of a layer.

    Attributes:
        layer: Name of the call.
        kind: Class of the module, or name of the function.
        module: The module; None for a functional call.
        source: The first tensor that it was called with; None where that is not known, or was written over.
        output: What it gave, with its history; nobody writes to it.
        handed: What the network was given for it.
        leaf: Where the graph is cut, the leaf behind `handed`.
        unit_axis: Axis of units of the output.
    """

    layer: str
    kind: str
    module: nn.Module | None
    source: Tensor | None
    output: Tensor
    handed: Tensor
    leaf: Tensor | None
    unit_axis: int


@dataclass(frozen=True, slots=True, eq=False)
class Forward:
    """A forward pass that was read.

    Attributes:
        readings: Calls of layers in order of execution.
        inputs: The model's floating inputs, leaves that ask for a gradient.
        output: What the model returned.
        loss: What the loss function returned.
    """

    readings: list[Reading]
    inputs: list[Tensor]
    output: Any
    loss: Tensor


@dataclass(frozen=True, slots=True)
class RandomState:
    """The state of every generator that a forward pass may draw from."""

    torch_state: Tensor
    device_states: list[Tensor]
    python_state: Any
    numpy_state: Any

    @classmethod
    def take(cls) -> "RandomState":
        """The state as it is now."""
        devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
        return cls(torch.get_rng_state(), devices, random.getstate(), np.random.get_state())

    def put(self) -> None:
        """Make it the state."""
        torch.set_rng_state(self.torch_state)
        if self.device_states:
            torch.cuda.set_rng_state_all(self.device_states)
        random.setstate(self.python_state)
        np.random.set_state(self.numpy_state)


@contextmanager
def undisturbed(model: nn.Module, drawn: RandomState | None = None) -> Iterator[None]:
    """Let a model run without leaving a trace: buffers are exchanged for copies, random states are put back.

    Args:
        model: The model.
        drawn: The random state to run from; None for the one that is.
    """
    before = RandomState.take()
    kept = [(module, dict(module._buffers)) for module in model.modules()]
    try:
        for module, buffers in kept:
            for name, value in buffers.items():
                if value is not None:
                    module._buffers[name] = value.detach().clone()
        if drawn is not None:
            drawn.put()
        with torch.inference_mode(mode=False), torch.enable_grad():
            yield
    finally:
        for module, buffers in kept:
            module._buffers.clear()
            module._buffers.update(buffers)
        before.put()


@dataclass(slots=True)
class LayerReader:
    """Reads the calls of a model's layers while it runs.

    Attributes:
        records: The model's modules, by id.
        is_cut: Whether each layer's output is handed on as a new leaf.
        readings: What was read so far.
    """

    records: dict[int, ModuleRecord]
    is_cut: bool
    readings: list[Reading] = field(default_factory=list)
    _stack: list[tuple[ModuleRecord, Tensor | None, int]] = field(default_factory=list)
    _counts: dict[str, int] = field(default_factory=dict)
    _handed: dict[int, tuple[Reading, int]] = field(default_factory=dict)
    _producer: str = ""

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read every call of a layer meanwhile."""
        with ExitStack() as stack:
            before = register_module_forward_pre_hook(self._before)
            stack.callback(before.remove)
            after = register_module_forward_hook(self._after, always_call=False)
            stack.callback(after.remove)
            stack.enter_context(FunctionWatch(self._around))
            yield

    def _before(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        record = self.records.get(id(module))
        if record is not None and not self._is_closed:
            source = next((value for value in args if isinstance(value, Tensor)), None)
            self._stack.append((record, source, source._version if source is not None else 0))

    @property
    def _is_closed(self) -> bool:
        return bool(self._stack) and self._stack[-1][0].is_opaque

    def _after(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if not self._stack or self._stack[-1][0].module is not module:
            return None
        record, source, version = self._stack.pop()
        if not record.is_leaf:
            return None
        handed = self._read(record.name, kind_of(module), module, self._unwritten(source, version), output)
        if fans_of(module) != (None, None):
            self._producer = type(module).__name__
        return handed

    def _around(self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not self._stack or self._is_closed:
            return function(*args, **kwargs)
        owner = self._stack[-1][0]
        source = next((value for value in args if isinstance(value, Tensor)), None)
        version = source._version if source is not None else 0
        output = function(*args, **kwargs)
        with torch._C.DisableTorchFunction():
            layer = f"{owner.path}.{name}" if owner.path else name
            handed = self._read(layer, name, None, self._unwritten(source, version), output)
        return output if handed is None else handed

    def _unwritten(self, source: Tensor | None, version: int) -> Tensor | None:
        """A call's input as it was then: a reading's own output where it was handed on, which nobody writes to."""
        if source is None:
            return None
        known = self._handed.get(id(source))
        if known is not None and known[1] == version:
            return known[0].output if known[0].leaf is None else known[0].leaf
        return source if source._version == version else None

    def _read(self, name: str, kind: str, module: nn.Module | None, source: Tensor | None, output: Any) -> Any:
        """Note a call; returns what the network is given for its output, None where that is the output itself."""
        tensor = first_tensor(output)
        if tensor is None or not tensor.is_floating_point():
            return None
        known = self._handed.get(id(tensor))
        if known is not None and known[1] == tensor._version:
            return None
        count = self._counts[name] = self._counts.get(name, 0) + 1
        leaf = tensor.detach().clone().requires_grad_() if self.is_cut else None
        handed = (tensor if leaf is None else leaf).clone()
        axis = unit_axis(tensor, type(module).__name__ if module is not None else self._producer)
        layer = name if count == 1 else f"{name}#{count}"
        found = Reading(layer, kind, module, source, tensor, handed, leaf, axis)
        self.readings.append(found)
        self._handed[id(handed)] = (found, handed._version)
        return exchanged(output, tensor, handed)


def exchanged(value: Any, old: Tensor, new: Tensor) -> Any:
    """A module's output with one tensor exchanged; None where it is of a kind that can't be made anew."""
    if value is old:
        return new
    if isinstance(value, dict):
        parts = {key: exchanged(part, old, new) for key, part in value.items()}
        return {key: value[key] if part is None else part for key, part in parts.items()}
    if isinstance(value, (tuple, list)):
        made = [exchanged(part, old, new) for part in value]
        whole = [part if change is None else change for part, change in zip(value, made, strict=True)]
        return type(value)(*whole) if hasattr(value, "_fields") else type(value)(whole)
    return None


def run_forward(model: nn.Module, loss_fn: Callable[..., Tensor], inputs: Any, target: Any, *, is_cut: bool) -> Forward:
    """Run a model and its loss once, and read every layer.

    Args:
        model: The model; a compiled one is run as it was written.
        loss_fn: Called with the model's output and the target.
        inputs: A tensor, or a tuple or dictionary of arguments.
        target: Handed to the loss function.
        is_cut: Whether each layer's output becomes a new leaf.
    """
    model = getattr(model, "_orig_mod", model)
    reader = LayerReader({id(record.module): record for record in records_of(model, "")}, is_cut)
    leaves: list[Tensor] = []
    args, kwargs = arguments_of(asking_for_gradients(inputs, leaves))
    with reader.reading():
        output = model(*args, **kwargs)
    return Forward(reader.readings, leaves, output, loss_fn(output, target))


def asking_for_gradients(value: Any, leaves: list[Tensor]) -> Any:
    """The same inputs, floating ones as leaves that ask for a gradient; these are added to `leaves`."""
    if isinstance(value, Tensor):
        if not value.is_floating_point():
            return value
        leaves.append(value.detach().clone().requires_grad_())
        return leaves[-1].clone()
    if isinstance(value, dict):
        return {key: asking_for_gradients(part, leaves) for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        parts = [asking_for_gradients(part, leaves) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


def arguments_of(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments of the model."""
    if isinstance(inputs, dict):
        return (), inputs
    if type(inputs) in (tuple, list):
        return tuple(inputs), {}
    return (inputs,), {}


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters that ask for a gradient, by name."""
    return {plain_path(name): value for name, value in model.named_parameters() if value.requires_grad}
