"""Measures one step of a live training operation by operation, and looks for where a NaN or infinity began in it."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from gradiometer.measuring.backward import Pairs, start_listening, stop_listening
from gradiometer.measuring.operations import OperationTrace, Source
from gradiometer.measuring.origins import Beginning, chain_to, find_beginning
from gradiometer.measuring.probe import Probe
from gradiometer.measuring.ranges import is_measurable
from gradiometer.schema import Operation, TensorRange

HOLDER = "operation trace"
"""Who lets compiled models run eagerly."""


class StepTrace:
    """Traces one step, from `begin` to `finish`; compiled models run eagerly meanwhile.

    Args:
        probe: What knows the training's roots, parameters and steps.
    """

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.trace = OperationTrace(self._module_name, self._tensor_name)
        self.losses: list[Source] = []
        self.gradients: list[Source] = []
        self.weights: list[Source] = []
        self.bad_inputs: list[str] = []
        self._handle: RemovableHandle | None = None

    def begin(self) -> None:
        """Measure every operation from now on."""
        full_step = self.probe.full_step
        if full_step.is_closed:
            full_step.stance.need()
        full_step.stance.hold(HOLDER)
        start_listening(self)
        self._handle = register_optimizer_step_pre_hook(self._before_update)
        self.trace.begin()

    def finish(self) -> None:
        """Measure no more; the weights are looked at as the step left them."""
        self.trace.finish()
        self.weights = self._sources(watched.tensor for watched in self.probe.parameters.watched.values())
        stop_listening(self)
        if self._handle is not None:
            self._handle.remove()
        self.probe.full_step.stance.release(HOLDER)

    def wants_gradients_of(self, inputs: Sequence[Tensor]) -> bool:
        """Whether a pass that hands its gradients back is one of the training."""
        return self.probe.wants_gradients_of(inputs)

    def before_backward(self, tensors: tuple[Tensor, ...]) -> None:
        """A backward pass starts: from what, in true units."""
        self.losses += self._sources(self.probe.scaling.unscale(tensor) for tensor in tensors)
        batch = self.probe.batches.tensors()
        sources = self._sources(tensor for tensor in batch.values() if is_measurable(tensor))
        names = [name for name, tensor in batch.items() if is_measurable(tensor)]
        self.bad_inputs += [name for name, source in zip(names, sources, strict=True) if not source.range.is_finite]

    def after_backward(self) -> None:
        """It has ended: what gradients it left."""
        watched = self.probe.parameters.watched.values()
        self._note_gradients([entry.tensor.grad for entry in watched if isinstance(entry.tensor.grad, Tensor)])

    def before_gradients(self, tensors: tuple[Tensor, ...]) -> None:
        """A pass starts whose gradients the script is handed."""
        self.before_backward(tensors)

    def after_gradients(self, gradients: Pairs) -> None:
        """It has ended with these gradients."""
        self._note_gradients([gradient for _, gradient in gradients])

    def _note_gradients(self, gradients: Sequence[Tensor]) -> None:
        self.gradients += self._sources(gradients)
        self.trace.phase = "update"

    def beginning(self, *, is_named: bool) -> Beginning | None:
        """Where what is not finite began; None where nothing that matters is.

        Args:
            is_named: Gradients count although the weights came out finite. Else they do not: a gradient scaler has
                left the step out, or the script has.
        """
        weights_are_bad = any(not source.range.is_finite for source in self.weights)
        finals = self.losses if any(not source.range.is_finite for source in self.losses) else []
        if not finals and (weights_are_bad or is_named):
            finals = self.gradients if any(not source.range.is_finite for source in self.gradients) else self.weights
        found = find_beginning(finals)
        if found is not None and self.bad_inputs and is_written_by_script(found):
            return Beginning(None, self.bad_inputs[0])
        return found

    def chain(self, beginning: Beginning) -> tuple[Operation, ...]:
        """The operations that led to a beginning."""
        return () if beginning.record is None else tuple(record.told() for record in chain_to(beginning.record))

    def largest(self) -> tuple[Operation, TensorRange] | None:
        """The operation that gave the largest finite number, with what it gave."""
        given = [(record, output) for record in self.trace.records for output in record.outputs]
        record, output = max(given, key=lambda pair: greatest_of(pair[1]), default=(None, None))
        return None if record is None or output is None else (record.told(), output)

    def _before_update(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self.trace.phase = "update"

    def _sources(self, tensors: Iterable[Tensor]) -> list[Source]:
        with self.trace.paused(), torch.no_grad():
            found = [self.trace.source_of(tensor) for tensor in tensors]
        return [source for source in found if source is not None]

    def _module_name(self, identity: int) -> str | None:
        record = self.probe.full_step.memory.modules.get(identity)
        if record is None:
            return None
        return "" if identity in self.probe.full_step.memory.root_ids and "" in self.probe.roots else record.name

    def _tensor_name(self, tensor: Tensor) -> str:
        watched = self.probe.parameters.watched.get(id(tensor))
        if watched is not None:
            return watched.name
        return self.probe.batches.name_of(tensor)


def greatest_of(found: TensorRange) -> float:
    """The greatest absolute value of a range's finite elements; 0 where there is none."""
    return max(abs(found.low or 0.0), abs(found.high or 0.0))


def is_written_by_script(beginning: Beginning) -> bool:
    """Whether something began as a number that no operation computed: an unknown one, or a NaN that was asked for.

    To write a NaN into a tensor is an operation of its own in newer versions of torch alone (2.15).
    """
    record = beginning.record
    if record is None:
        return not beginning.name
    return record.is_constant and any(output.nan_count for output in record.outputs)
