"""What hooks tell of one full step while it runs: calls of layers, inputs, outputs, gradients."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge

from gradiometer.activations import Activation, activation_of
from gradiometer.measuring.calls import (
    MOST_CALLS,
    Call,
    GradientWatch,
    first_tensor,
    node_of,
)
from gradiometer.measuring.collecting import Batches, Collector
from gradiometer.measuring.functions import FunctionWatch, function_activation, function_dropped_share, is_in_place
from gradiometer.measuring.guarding import Guard, call_site, contained, is_transformed
from gradiometer.measuring.hidden_calls import FusedCall, HiddenCalls, HiddenLayers, forwarding_module
from gradiometer.measuring.inputs import InputStats, describe_input
from gradiometer.measuring.layers import ModuleRecord, describe_module, fans_of, slope_parameters, unit_axis
from gradiometer.measuring.ranks_shards import plain_class
from gradiometer.measuring.root_outputs import RootOutputs
from gradiometer.measuring.statistics import split_norm
from gradiometer.measuring.trunk import TrunkEntry
from gradiometer.measuring.unit_windows import UnitWindow
from gradiometer.schema import Layer


@dataclass(slots=True)
class Memory:
    """What outlives a step.

    Attributes:
        modules: Every module of the roots, by id.
        root_ids: Ids of the roots.
        layers: Every layer met so far, by name, in order of first execution.
        windows: Unit windows by layer.
        functions: Functional activations that were met, by layer.
        hidden: Layers that no ordinary call was seen of.
    """

    modules: dict[int, ModuleRecord]
    root_ids: set[int]
    layers: dict[str, Layer]
    windows: dict[str, UnitWindow]
    functions: dict[str, Activation]
    hidden: HiddenLayers = field(default_factory=HiddenLayers)


class StepObserver:
    """Records one full step; its methods are called by the probe's hooks.

    Args:
        memory: What is known of the network, added to here.
        guard: Times this code and keeps its faults out of the training.
        current_pass: Number of the backward pass under way, None outside of one.
    """

    def __init__(self, memory: Memory, guard: Guard, current_pass: Callable[[], int | None]) -> None:
        self.memory = memory
        self.guard = guard
        self.calls: list[Call] = []
        self.stack: list[tuple[nn.Module, Call]] = []
        self.root_calls = 0
        self.input_stats: InputStats | None = None
        self.outputs = RootOutputs()
        self._counts: dict[str, int] = {}
        self._producer = ""
        self._watched_nodes: set[tuple[Any, int] | None] = set()
        self._function_watch: FunctionWatch | None = None
        self._hidden_calls = HiddenCalls()
        self._fused_call = FusedCall()
        self._resumed_root: int | None = None
        self._gradients = GradientWatch(guard, current_pass)
        self._collector: Collector | None = None
        self._batches: Batches | None = None

    def collect(self, collector: Collector, batches: Batches) -> None:
        """Let a dear measurement see this step too."""
        self._collector, self._batches = collector, batches
        self._gradients.on_gradient = collector.on_gradient

    def guarded(self, function: Callable[..., None]) -> Callable[..., None]:
        """Turn a function into one that may run as a hook on autograd's nodes."""

        def run(*args: Any) -> None:
            if not self.guard.is_broken:
                with self.guard, torch.no_grad(), torch._C.DisableTorchFunction():
                    function(*args)

        return run

    @property
    def is_inside_root(self) -> bool:
        """A root's forward is being executed."""
        return bool(self.stack)

    def before_module(self, module: nn.Module, args: tuple[Any, ...], *, is_resumed: bool = False) -> None:
        """A module is about to run.

        Args:
            module: The module.
            args: Its positional arguments.
            is_resumed: It runs amid a backward pass, and is measured where it ran without gradients before.
        """
        record = self.memory.modules.get(id(module))
        if record is None or len(self.calls) >= MOST_CALLS or not self._may_enter(module, args, is_resumed=is_resumed):
            return
        layer = self._hidden_calls.name_of(module) or self._numbered(record.name)
        call = self._open_call(layer, is_block=not record.is_leaf, args=args)
        self.stack.append((module, call))
        self._leave_mode_where_fused(module, record.name, args)
        if self._collector is not None:
            self._tell_before(call, module, args)
        if record.activation is not None and getattr(module, "inplace", False):
            self._count_units(call, record, args[0] if args else None, None)

    def _may_enter(self, module: nn.Module, args: tuple[Any, ...], *, is_resumed: bool) -> bool:
        """Whether a module's call is to be measured; begins a root's call, or a part of one that is done again."""
        if self.stack:
            return not self.memory.modules[id(self.stack[-1][0])].is_opaque
        if is_resumed:
            self._resumed_root = self._hidden_calls.resume(module)
            if self._resumed_root is not None:
                self._watch_functions()
            return self._resumed_root is not None
        if id(module) in self.memory.root_ids:
            self._start_root(args)
            return True
        return False

    def before_hidden_module(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """A module is about to run without gradients, inside a root."""
        record = self.memory.modules.get(id(module))
        if record is not None:
            self.memory.hidden.without_gradient.add(record.name)
            self._hidden_calls.enter(module, record.name, self.root_calls, self._counts.get(record.name, 0))
            self._leave_mode_where_fused(module, record.name, args)

    def note_transformed(self, module: nn.Module) -> None:
        """A module is about to run under a transform of `torch.func`, where it is not measured."""
        record = self.memory.modules.get(id(module))
        if record is not None:
            self.memory.hidden.transformed.add(record.name)

    def is_resumable(self, module: nn.Module) -> bool:
        """Whether a module's call amid a backward pass is one of the training's own, done again."""
        return self._resumed_root is not None or self._hidden_calls.is_awaited(module)

    def _leave_mode_where_fused(self, module: nn.Module, name: str, args: tuple[Any, ...]) -> None:
        if self._fused_call.leave_mode(module, args, self._function_watch):
            self.memory.hidden.fused.add(name)

    def after_module(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """A module has run, or has failed (then `output` is None)."""
        self._fused_call.end(module)
        if self._hidden_calls.leave(module) or not any(entered is module for entered, _ in self.stack):
            return
        while self.stack[-1][0] is not module:
            self.stack.pop()
        _, call = self.stack.pop()
        record = self.memory.modules[id(module)]
        if call.input_node is None and (source := first_tensor(kwargs)) is not None:
            call.input_node = node_of(source)
        self._close_call(call, output, lambda unit_count, site: describe_module(record, 0, site, unit_count))
        self._tell_after(call, module, args, kwargs, output)
        if record.is_leaf and isinstance(output, Tensor):
            if record.activation is not None and not getattr(module, "inplace", False):
                self._count_units(call, record, args[0] if args else None, output)
            if fans_of(module) != (None, None):
                self._producer = plain_class(module).__name__
        if not self.stack:
            self.outputs.note(output)
            self._end_root()

    def around_function(self, name: str, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a functional call; measured unless an opaque module makes it."""
        call = self._start_function(name, args, kwargs)
        output = function(*args, **kwargs)
        if call is not None and not self.guard.is_broken:
            with self.guard, torch._C.DisableTorchFunction():
                self._finish_function(call, name, function, args, kwargs, output)
        return output

    @contained
    def _start_function(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        owner = self.memory.modules[id(self.stack[-1][0])] if self.stack else None
        if owner is None or owner.is_opaque or not torch.is_grad_enabled() or self.guard.is_broken:
            return None
        if len(self.calls) >= MOST_CALLS or is_transformed():
            return None
        with self.guard, torch._C.DisableTorchFunction():
            path = owner.name if id(owner.module) not in self.memory.root_ids else ""
            layer = self._numbered(f"{path}.{name}" if path else name)
            return self._open_call(layer, is_block=False, args=(args, kwargs))
        return None

    def _finish_function(
        self, call: Call, name: str, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        activation = function_activation(name, args, kwargs)
        if call.layer not in self.memory.layers:
            self._note_forward(call)

        def describe(unit_count: int | None, site: str | None) -> Layer:
            return Layer(
                name=call.layer,
                kind=name,
                role="function",
                position=0,
                call_site=site,
                activation=activation.name if activation else None,
                greatest_slope=activation.greatest_slope if activation else None,
                unit_count=unit_count,
                dropped_share=function_dropped_share(name, args, kwargs),
            )

        self._close_call(call, output, describe)
        self._tell_after(call, None, args, kwargs, output)
        if activation is not None and isinstance(output, Tensor):
            # What is written over can't be judged by its input any more.
            is_written_over = is_in_place(function, args, kwargs)
            pre = None if is_written_over else next((a for a in args if isinstance(a, Tensor)), None)
            window = self.memory.windows.setdefault(call.layer, UnitWindow())
            window.add(activation, pre, output, unit_axis(output, self._producer))

    def _note_forward(self, call: Call) -> None:
        """Note the module that the script called by `.forward()`, where it made this functional call."""
        module = forwarding_module(self.memory.modules)
        if module is not None and module is not self.stack[-1][0]:
            self.memory.hidden.forwarded[self.memory.modules[id(module)].name] = call.layer

    def _tell_before(self, call: Call, module: nn.Module, args: tuple[Any, ...]) -> None:
        if self._batches is not None:
            self._batches.note(call, module, args)
        if self._collector is not None and self._collector.before_call is not None:
            self._collector.before_call(call, module, args)

    def _tell_after(
        self, call: Call, module: nn.Module | None, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        if self._collector is not None and self._collector.after_call is not None:
            self._collector.after_call(call, module, args, kwargs, output)

    def drop_nodes(self) -> None:
        """Let go of autograd's graph; only the planning of the trunk needs it."""
        self._watched_nodes = set()
        self.outputs.drop()
        for call in self.calls:
            call.node = call.input_node = None

    def close(self) -> None:
        """End observing, also amid a forward that failed.

        The dear measurement is let go of, too: it knows this observer, and in a circle both would outlast the step
        until Python looks for such, in a long training hardly ever.
        """
        self.stack = []
        self._end_root()
        self.drop_nodes()
        self._collector = self._batches = self._gradients.on_gradient = None

    def ordered_layers(self, trunk: Sequence[TrunkEntry], present: Sequence[str]) -> list[Layer]:
        """All layers met so far that are measured, numbered in order of execution.

        Blocks count only where they are on the trunk or have statistics of their own.
        """
        wanted = set(present) | {entry.layer for entry in trunk}
        layers = [layer for layer in self.memory.layers.values() if layer.role != "block" or layer.name in wanted]
        ranks = {layer.name: float(rank) for rank, layer in enumerate(layers)}
        for entry, above in zip(trunk[1:], trunk, strict=False):
            if entry.is_join and above.layer in ranks:
                ranks[entry.layer] = ranks[above.layer] - 0.5
        layers.sort(key=lambda layer: ranks[layer.name])
        return [replace(layer, position=rank) for rank, layer in enumerate(layers)]

    def _start_root(self, args: tuple[Any, ...]) -> None:
        self.root_calls += 1
        self._counts = {}
        if self.input_stats is None:
            self.input_stats = describe_input(args)
        self._watch_functions()

    def _watch_functions(self) -> None:
        if self._function_watch is None:
            self._function_watch = FunctionWatch(self.around_function)
            self._function_watch.__enter__()  # type: ignore[no-untyped-call]

    def _end_root(self) -> None:
        if self._fused_call.let_go() is None and self._function_watch is not None:
            self._function_watch.leave()
        self._function_watch = None
        self._hidden_calls.end()
        self._resumed_root = None

    def _numbered(self, name: str) -> str:
        """Name of a layer's next call within the root's call: `cell`, `cell#2` ..."""
        count = self._counts[name] = self._counts.get(name, 0) + 1
        return name if count == 1 else f"{name}#{count}"

    def _open_call(self, layer: str, *, is_block: bool, args: tuple[Any, ...]) -> Call:
        block = self.stack[-1][1] if self.stack else None
        root_call = self.root_calls if self._resumed_root is None else self._resumed_root
        call = Call(layer=layer, is_block=is_block, root_call=root_call, block=block)
        call.first_sequence = torch._C._autograd._get_sequence_nr()
        source = first_tensor(args)
        if source is not None:
            call.input_node = node_of(source)
            if call.input_node is None and self._resumed_root is not None:
                # A part that is done again has its input cut from the graph.
                edge = get_gradient_edge(source)
                call.input_node = (edge.node, edge.output_nr)
        self.calls.append(call)
        return call

    def _close_call(self, call: Call, output: Any, describe: Callable[[int | None, str | None], Layer]) -> None:
        tensor = first_tensor(output)
        if tensor is not None:
            call.node = node_of(tensor)
            if tensor._is_view():
                self.memory.hidden.views.add(call.layer)
            # A block that ends with a layer of its own has that layer's output; no need to measure it twice.
            if not call.is_block or call.node not in self._watched_nodes:
                self._gradients.watch_output(call, tensor)
                if call.node != call.input_node:
                    self._watched_nodes.add(call.node)
            if not call.is_block:
                self._gradients.watch_input(call)
        measured = tensor if tensor is not None else output
        if not call.is_block and isinstance(measured, Tensor) and measured.is_floating_point():
            call.output_norm, call.output_nonfinite = split_norm(measured)
            call.element_count = measured.numel()
        if call.layer not in self.memory.layers:
            self._remember(call, measured, describe)

    def _remember(self, call: Call, output: Any, describe: Callable[[int | None, str | None], Layer]) -> None:
        unit_count = None
        if isinstance(output, Tensor) and output.dim() > 0:
            unit_count = int(output.shape[unit_axis(output, self._producer)])
        layer = describe(unit_count, call_site(3))
        self.memory.layers[call.layer] = with_name(layer, call.layer)

    def _count_units(self, call: Call, record: ModuleRecord, pre: Any, output: Tensor | None) -> None:
        if not isinstance(pre, Tensor) or record.activation is None or pre.dim() == 0:
            return
        activation = self.memory.functions.get(record.name)
        if activation is None or record.activation == "prelu":
            activation = activation_of(record.activation, **slope_parameters(record.module, record.activation))
            self.memory.functions[record.name] = activation
        window = self.memory.windows.setdefault(call.layer, UnitWindow())
        window.add(activation, pre, output, unit_axis(pre if output is None else output, self._producer))


def with_name(layer: Layer, name: str) -> Layer:
    """The same layer under the name of one of its calls (`cell#2`)."""
    return layer if layer.name == name else replace(layer, name=name)
