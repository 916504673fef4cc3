"""What a dear measurement collects in one step: functions that the step's hooks call, and what they may ask.

A measurement is a function from a `StepSetting` to a `Collector`. A collector lives for one full step; what it does not
need stays None and costs nothing. Everything that it is handed belongs to the training: it may be read, never changed,
and nothing of it may be kept beyond the step. None of its functions may wait for a device: no `.item()`, `.tolist()`,
`.cpu()`, `nonzero` or indexing by a mask. What it has found leaves the device as `Findings`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.optim import Optimizer

from gradiometer.measuring.calls import Call
from gradiometer.measuring.parameters import ParameterWatch
from gradiometer.schema import Snapshot

LeftOut = tuple[tuple[str, str], ...]
"""What was not measured, each with the reason."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Findings:
    """What a collector has found in a step that has ended; its numbers may be on a device still.

    Attributes:
        tensors: Tensors of any shapes and real formats, which nobody writes to any more. Whole numbers below 2^53
            arrive as they are. They are copied to the host behind the training, so nothing waits for them.
        read: From the step's snapshot and the elements of these tensors, a flat array for each, to the snapshot with
            what was found, and what was left out. Called with the host's numbers, in this step or a later one: it
            must ask nothing of a tensor, and keep none that belongs to the training.
    """

    tensors: Sequence[Tensor]
    read: Callable[[Snapshot, Sequence[FloatArray]], tuple[Snapshot, LeftOut]]


@dataclass(slots=True)
class Collector:
    """What one dear measurement does in one step; None where it has nothing to do.

    Attributes:
        before_call: Before a module runs: its call, the module, its positional arguments.
        after_call: After a layer or block has run: its call, the module (None for a functional call), positional
            and keyword arguments, output.
        on_gradient: The loss gradient at a call's output has come: the call, the backward pass, the gradient.
        before_backward: A backward pass starts: its call site and the tensors that it starts from.
        after_backward: It has ended, weights are as they were: the gradients, at the parameters or handed to the
            script, by id of their parameter.
        before_update: An optimizer is about to step; None stands for updates by hand, just after the step began.
        after_update: It has stepped; None stands for updates by hand, just before the next backward.
        end: The step has ended: what was found, which must not wait for a device.
    """

    before_call: Callable[[Call, nn.Module, tuple[Any, ...]], None] | None = None
    after_call: Callable[[Call, nn.Module | None, tuple[Any, ...], dict[str, Any], Any], None] | None = None
    on_gradient: Callable[[Call, int, Tensor], None] | None = None
    before_backward: Callable[[str, tuple[Tensor, ...]], None] | None = None
    after_backward: Callable[[Mapping[int, Tensor]], None] | None = None
    before_update: Callable[[Optimizer | None], None] | None = None
    after_update: Callable[[Optimizer | None], None] | None = None
    end: Callable[[], Findings] | None = None


@dataclass(slots=True)
class Batches:
    """How many examples each call of a root works on, and which they are.

    Attributes:
        sizes: By number of the root's call within the step.
        indices: Likewise: index of each example in the data set, where the loader reveals it.
        find_indices: From the tensors that a root was called with to these indices; None where they are not known.
    """

    find_indices: Callable[[Sequence[Tensor]], tuple[int | None, ...] | None]
    sizes: dict[int, int] = field(default_factory=dict)
    indices: dict[int, tuple[int | None, ...]] = field(default_factory=dict)

    def note(self, call: Call, module: nn.Module, args: tuple[Any, ...]) -> None:
        """A module is about to run: the first one of a root's call that is handed a tensor tells the batch."""
        if call.root_call in self.sizes:
            return
        tensors = tensors_in(args)
        if not tensors:
            return
        indices = self.find_indices(tensors)
        size = len(indices) if indices is not None else batch_size_of(module, args)
        if size is not None:
            self.sizes[call.root_call] = size
        if indices is not None:
            self.indices[call.root_call] = indices

    def axis(self, call: Call, shape: torch.Size) -> int | None:
        """Axis of examples of a tensor that belongs to a call, None where it has none."""
        size = self.sizes.get(call.root_call)
        if size is None or len(shape) < 2:
            return None
        if shape[0] == size:
            return 0
        return 1 if len(shape) >= 3 and shape[1] == size else None


@dataclass(frozen=True, slots=True)
class StepSetting:
    """What a dear measurement may ask of the step.

    Attributes:
        calls: The step's calls so far.
        batches: Examples of each call of a root.
        parameters: The run's parameters.
        windows: Unit windows by layer.
        scale: Gives what the loss was multiplied by, None where it was not.
        guarded: Turns a function into one that may run as a hook on autograd's nodes.
    """

    calls: Sequence[Call]
    batches: Batches
    parameters: ParameterWatch
    windows: Any
    scale: Callable[[], Tensor | None]
    guarded: Callable[[Callable[..., None]], Callable[..., None]]


class Stopwatch:
    """Times a collector.

    Attributes:
        seconds: Time that its functions have taken.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, timed."""

        def run(*arguments: Any) -> Any:
            started = perf_counter()
            try:
                return function(*arguments)
            finally:
                self.seconds += perf_counter() - started

        return run


def tensors_in(value: Any) -> list[Tensor]:
    """All tensors with at least one axis in nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        return [value] if value.dim() > 0 else []
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return [tensor for part in value for tensor in tensors_in(part)]
    return []


def batch_size_of(module: nn.Module, args: tuple[Any, ...]) -> int | None:
    """Examples that a module is called with, by the shape of its first tensor.

    The first axis counts them, the second one where the module holds layers that want time first (`batch_first=False`)
    and the tensor has such an axis; of a packed sequence its batch sizes tell.
    """
    packed = next((value for value in args if isinstance(value, PackedSequence)), None)
    if packed is not None:
        return int(packed.batch_sizes[0])
    tensors = tensors_in(args)
    if not tensors:
        return None
    first = tensors[0]
    is_sequence = first.dim() >= 3 or (first.dim() == 2 and not first.is_floating_point())
    if is_sequence and wants_time_first(module):
        return int(first.shape[1])
    return int(first.shape[0])


def wants_time_first(module: nn.Module) -> bool:
    """Whether a module holds a layer whose input has time as its first axis."""
    kinds = (nn.RNNBase, nn.MultiheadAttention)
    return any(isinstance(part, kinds) and not part.batch_first for part in module.modules())
