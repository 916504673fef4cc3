"""Gradient norm of every example of a step, without storing a gradient of any: `per_example`, fed by a step's hooks.

A layer is measured as soon as the gradient at its output has come, so that nothing is held longer than autograd holds
it; layers that share a weight are measured together when all of them have their gradient. What can't be told apart is
left out with the reason: layers before a batch normalisation in training mode, weights that are also used outside of
their layer, layers inside a checkpoint, whose input would have to be kept.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gradiometer.measuring.calls import Call
from gradiometer.measuring.collecting import Collector, Findings, FloatArray, LeftOut, StepSetting
from gradiometer.measuring.example_cosines import BatchProducts, CosineSums, products_with_batch
from gradiometer.measuring.example_reading import batch_square, reason_against_noise, with_noise, with_norms
from gradiometer.measuring.loops import base_name
from gradiometer.measuring.per_example import PER_EXAMPLE, LayerUse, mixes_examples, squared_gradient_norms
from gradiometer.measuring.saved_hooks import are_hooks_active
from gradiometer.measuring.trunk import order_nodes
from gradiometer.schema import ExampleStats, Snapshot

MOST_EXAMPLES = 256
"""Examples of a batch that are measured; of a larger one evenly spaced ones."""

CASTS = frozenset({"ToCopyBackward0"})
"""Nodes by which autocast hands a weight on; one cast serves all uses."""


@dataclass(slots=True, eq=False)
class PendingUse:
    """A call of a layer whose output gradient is awaited.

    Attributes:
        call: The call.
        module: The layer.
        input: What it was called with.
        input_version: Its version then: an input that was written over is of no use.
        axis: Axis of examples.
        order: Rank among the step's calls.
        own: The layer's parameters that ask for a gradient.
    """

    call: Call
    module: nn.Module
    input: Tensor
    input_version: int
    axis: int
    order: int
    own: tuple[nn.Parameter, ...]


@dataclass(slots=True)
class PassNorms:
    """Squared norms that one backward pass brought.

    Attributes:
        root_calls: Calls of roots that it went back through.
        sizes: Examples of the measured layers' batches, with how many layers have them.
        by_parameter: Squared norm per example of its part in the step's gradient, by id of the parameter.
        products: Inner product per example with the gradient of all of them, likewise.
    """

    root_calls: set[int] = field(default_factory=set)
    sizes: Counter[int] = field(default_factory=Counter)
    by_parameter: dict[int, Tensor] = field(default_factory=dict)
    products: dict[int, BatchProducts] = field(default_factory=dict)


class ExampleCollector:
    """Measures the examples of one step, over the backward passes from its first call site."""

    def __init__(self, setting: StepSetting) -> None:
        self.setting = setting
        self.pending: dict[int, PendingUse] = {}
        self.waiting: dict[int, list[LayerUse]] = {}
        self.sharing: Counter[int] = Counter()
        self.left_out: dict[int, str] = {}
        self.mixed_at: dict[int, int] = {}
        self.passes: list[PassNorms] = []
        self.site: str | None = None
        self.is_open = False
        self.call_count = 0
        self.old_norms: list[Tensor] = []
        self.scale: Tensor | None = None

    def after_call(
        self, call: Call, module: nn.Module | None, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        """Keep what a layer was called with until its gradient comes."""
        self.call_count += 1
        if mixes(call, module):
            self.mixed_at[call.root_call] = self.call_count
        if call.is_block or module is None or not isinstance(output, Tensor) or not output.requires_grad:
            return
        own = own_parameters(module)
        if not own:
            return
        source = args[0] if args else kwargs.get("input")
        reason = self.reason_against(call, module, source, output)
        if reason is not None:
            self.leave_out(own, reason)
        elif isinstance(source, Tensor):
            axis = self.setting.batches.axis(call, output.shape)
            assert axis is not None
            self.pending[id(call)] = PendingUse(call, module, source, source._version, axis, self.call_count, own)
            self.sharing.update(map(id, own))

    def reason_against(self, call: Call, module: nn.Module, source: Any, output: Tensor) -> str | None:
        """Why a layer's call can't be measured, None where it can."""
        if type(module) not in PER_EXAMPLE:
            return f"no rule for a {type(module).__name__}"
        if not isinstance(source, Tensor):
            return "its input is not known"
        if source.is_complex() or output.is_complex():
            return "it is complex"
        if any(hasattr(value, "_local_tensor") for value in module.parameters(recurse=False)):
            return "its weight is sharded"
        if self.is_open or are_hooks_active():
            return "inside a checkpoint: its input would have to be kept"
        axis = self.setting.batches.axis(call, output.shape)
        if axis is None or source.dim() <= axis or source.shape[axis] != output.shape[axis]:
            return "its output has no axis of examples"
        return None

    def before_backward(self, site: str, tensors: tuple[Tensor, ...]) -> None:
        """Look at the graph: is every weight used where it was seen, and does anything mix examples behind it."""
        if self.site is None:
            self.site = site
            self.note_old_gradients()
        self.is_open = site == self.site
        if not self.is_open:
            return
        self.passes.append(PassNorms())
        for use in self.pending.values():
            if use.order <= self.mixed_at.get(use.call.root_call, 0):
                self.leave_out(use.own, "batch normalisation in training mode lies behind it")
        seen = Counter(id(value) for use in self.pending.values() for value in use.own)
        node = next((tensor.grad_fn for tensor in tensors if tensor.grad_fn is not None), None)
        used = uses_in_graph(node) if node is not None else {}
        for use in self.pending.values():
            strange = [value for value in use.own if used.get(id(value), 0) > seen[id(value)]]
            self.leave_out(strange, "used outside of its layer too")

    def note_old_gradients(self) -> None:
        """Note what gradients were there before the step's first backward pass."""
        grads = self.setting.parameters.gradients().values()
        self.old_norms = [torch.linalg.vector_norm(grad) for grad in grads if not grad.is_sparse]

    def on_gradient(self, call: Call, backward_pass: int, gradient: Tensor) -> None:
        """Measure a layer whose gradient has come, and those that waited for it."""
        use = self.pending.get(id(call))
        if use is None or not self.is_open:
            return
        own = use.own
        self.sharing.subtract(map(id, own))
        if use.input._version != use.input_version:
            self.leave_out(own, "its input was written over")
        if any(id(value) not in self.left_out for value in own):
            self.passes[-1].root_calls.add(call.root_call)
            found = LayerUse(use.module, use.input, gradient, use.axis)
            keys = {id(value) for value in own}
            uses = [found, *self.taken_with(keys)]
            if any(self.sharing[key] for key in keys):
                self.waiting[id(call)] = uses
            else:
                self.measure(uses)
        del self.pending[id(call)]

    def taken_with(self, keys: set[int]) -> list[LayerUse]:
        """Take the uses that wait for one that shares their parameters."""
        sharing = [
            key for key, uses in self.waiting.items() if any(keys & ids_of(use.module.parameters()) for use in uses)
        ]
        return [use for key in sharing for use in self.waiting.pop(key)]

    def measure(self, uses: list[LayerUse]) -> None:
        """Measure uses that belong together."""
        found = self.passes[-1]
        thinned = [thin(use) for use in uses]
        result = squared_gradient_norms([use for use, _ in thinned])
        for parameter, reason in result.not_measured.items():
            self.leave_out([parameter], reason)
        for parameter, squares in result.squared_norms.items():
            if id(parameter) in found.by_parameter:
                self.leave_out([parameter], "it has several gradients in one backward pass")
            found.by_parameter[id(parameter)] = squares
            found.sizes[uses[0].output_gradient.shape[uses[0].batch_axis]] += 1
        found.products.update(products_with_batch([use for use, _ in thinned], list(result.squared_norms)))

    def leave_out(self, parameters: Iterable[nn.Parameter], reason: str) -> None:
        """Note parameters that are not measured; the first reason stays."""
        for parameter in parameters:
            self.left_out.setdefault(id(parameter), reason)

    def after_backward(self, gradients: Mapping[int, Tensor]) -> None:
        """Let go of what no gradient came to."""
        if self.is_open:
            self.scale = self.setting.scale()
            for uses in list(self.waiting.values()):
                self.measure(uses)
            self.waiting.clear()
        self.is_open = False

    def end(self) -> Findings:
        """Add the squared norms up over the parameters, example by example; a noun is made of them on the host."""
        self.pending.clear()
        self.sharing.clear()
        watched = self.setting.parameters.watched
        left_out = [(watched[key].name, reason) for key, reason in self.left_out.items() if key in watched]
        passes = [one for one in self.passes if one.by_parameter]
        measured = self.measured_everywhere(passes)
        if not measured:
            return Findings((), lambda snapshot, _: (snapshot, tuple(left_out)))
        draft = self.draft_of(passes, measured)
        sums = [sums_by_device([one.by_parameter[key] for key in measured]) for one in passes]
        cosines = [CosineSums.of([one.products[key] for key in measured]) for one in passes]
        scales, old_norms = [] if self.scale is None else [self.scale], self.old_norms
        names = {watched[key].name: watched[key].tensor.numel() for key in measured}

        def read(snapshot: Snapshot, arrays: Sequence[FloatArray]) -> tuple[Snapshot, LeftOut]:
            host = iter(arrays)
            scale = float(next(host)[0]) if scales else 1.0
            # All of them are taken, whatever the first says: what follows are other tensors' numbers.
            before = [float(next(host)[0]) for _ in old_norms]
            is_alone = not any(norm > 0.0 for norm in before)
            squares = [np.sum([next(host) for _ in parts], axis=0) for parts in sums]
            stats = with_norms(draft, np.sqrt(np.concatenate(squares)) * (draft.example_count / scale))
            stats = replace(
                stats,
                cosines=tuple(
                    value for one, own in zip(cosines, squares, strict=True) for value in one.read(host, own)
                ),
            )
            reason = reason_against_noise(is_alone=is_alone)
            if reason is not None:
                return replace(snapshot, examples=stats), (*left_out, ("gradient noise scale", reason))
            return replace(snapshot, examples=with_noise(stats, batch_square(snapshot, names))), tuple(left_out)

        parts = [part for found in (sums, [one.tensors for one in cosines]) for parts in found for part in parts]
        return Findings([*scales, *old_norms, *parts], read)

    def measured_everywhere(self, passes: list[PassNorms]) -> set[int]:
        """Parameters that were measured in every pass, with its batch."""
        watched = self.setting.parameters.watched
        common: set[int] = set(watched) - set(self.left_out)
        for one in passes:
            size = len(next(iter(one.by_parameter.values()))) if one.by_parameter else 0
            common &= {key for key, squares in one.by_parameter.items() if len(squares) == size}
        return common if passes else set()

    def draft_of(self, passes: list[PassNorms], measured: set[int]) -> ExampleStats:
        """What is known of the measured examples without their norms."""
        sizes = [one.sizes.most_common(1)[0][0] for one in passes]
        starts = [sum(sizes[:place]) for place in range(len(sizes))]
        positions = tuple(
            start + row * stride_of(size)
            for start, size, one in zip(starts, sizes, passes, strict=True)
            for row in range(len(next(iter(one.by_parameter.values()))))
        )
        watched = self.setting.parameters.watched
        trainable = sum(one.tensor.numel() for one in watched.values() if one.tensor.requires_grad)
        return ExampleStats(
            norms=(),
            positions=positions,
            data_indices=self.data_indices(passes, sizes, positions),
            example_count=sum(sizes),
            measured_share=sum(watched[key].tensor.numel() for key in measured) / max(trainable, 1),
            nonfinite_count=0,
        )

    def data_indices(
        self, passes: list[PassNorms], sizes: list[int], positions: tuple[int, ...]
    ) -> tuple[int | None, ...] | None:
        """Index of each measured example in the data set; None where a batch is not known."""
        known: list[int | None] = []
        for one, size in zip(passes, sizes, strict=True):
            roots = [self.setting.batches.indices.get(number) for number in one.root_calls]
            indices = roots[0] if len(set(roots)) == 1 else None
            known += indices if indices is not None and len(indices) == size else [None] * size
        found = tuple(known[position] for position in positions)
        return found if any(index is not None for index in found) else None


def sums_by_device(squares: Sequence[Tensor]) -> list[Tensor]:
    """Sum of the squared norms of several parameters, one for each device that they are on."""
    devices = dict.fromkeys(one.device for one in squares)
    return [torch.stack([one for one in squares if one.device == device]).sum(0) for device in devices]


def mixes(call: Call, module: nn.Module | None) -> bool:
    """Whether a call makes an example's output depend on the others of its batch."""
    if module is None:
        return base_name(call.layer).rpartition(".")[2] == "batch_norm"
    return mixes_examples(module)


def own_parameters(module: nn.Module) -> tuple[nn.Parameter, ...]:
    """Parameters of a layer itself that ask for a gradient, each once."""
    held = dict.fromkeys(value for value in module._parameters.values() if value is not None)
    return tuple(value for value in held if value.requires_grad)


def ids_of(parameters: Iterable[Tensor]) -> set[int]:
    """Their ids."""
    return {id(value) for value in parameters}


def stride_of(size: int) -> int:
    """Of a batch of this size every so many examples are measured."""
    return max(1, -(-size // MOST_EXAMPLES))


def thin(use: LayerUse) -> tuple[LayerUse, int]:
    """A use with fewer examples, evenly spaced, and every how many there are."""
    stride = stride_of(use.output_gradient.shape[use.batch_axis])
    rows = (slice(None),) * use.batch_axis + (slice(None, None, stride),)
    if stride == 1:
        return use, 1
    return replace(use, input=use.input[rows], output_gradient=use.output_gradient[rows]), stride


def uses_in_graph(source: Any) -> Mapping[int, int]:
    """How often each parameter is used in autograd's graph, by its id; a cast that serves several uses counts them."""
    arriving: Counter[Any] = Counter()
    parents: dict[Any, list[Any]] = {}
    for node in order_nodes(source):
        for successor, _ in node.next_functions:
            if successor is not None:
                arriving[successor] += 1
                parents.setdefault(successor, []).append(node)
    found: dict[int, int] = {}
    for node, count in arriving.items():
        variable = getattr(node, "variable", None)
        if variable is not None:
            casts = [parent for parent in parents[node] if parent.name() in CASTS]
            found[id(variable)] = count - len(casts) + sum(arriving[cast] for cast in casts)
    return found


def start_examples(setting: StepSetting) -> Collector:
    """Collect the norms of a step's examples."""
    found = ExampleCollector(setting)
    return Collector(
        after_call=found.after_call,
        on_gradient=found.on_gradient,
        before_backward=found.before_backward,
        after_backward=found.after_backward,
        end=found.end,
    )
