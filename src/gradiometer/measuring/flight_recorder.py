"""The flight recorder: remembers the last steps cheaply, and where one stands out keeps its batch and looks closer.

An alarm is raised at a step whose loss was looked at; on very fast steps that is not every one. The batch is then
still there: it was kept by reference until the loss was known, and is copied now, or not at all.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from gradiometer.measuring.batch_watch import BatchWatch, StepBatch
from gradiometer.measuring.budget import Budget
from gradiometer.measuring.flight_ring import Alarm, FlightRing, Observation
from gradiometer.measuring.guarding import user_frame
from gradiometer.measuring.kept_batches import SuspiciousStep, neighbours_of
from gradiometer.measuring.sink import Relay, Sink
from gradiometer.schema import Event, Snapshot

CLOSE_STEPS = 3
"""Steps measured in full after an alarm, whatever the budget has left; they are booked, and later ones wait."""


class FlightRecorder(Relay):
    """Stands before the sink: what it is told of steps it looks at, and hands all on.

    Args:
        sink: Where measurements go, and alarms.
        budget: Asked to measure in full what follows an alarm.

    Attributes:
        batches: What roots are called with; None where nobody watches.
        keep: Keeps a suspicious step; says what was kept, or why nothing was. None keeps nothing.
        indices_of: Tells which examples of a data set some tensors are; None where nobody knows.
        when_taken: Told of every step's batch when its loss is known.
    """

    def __init__(self, sink: Sink, budget: Budget) -> None:
        super().__init__(sink)
        self.budget = budget
        self.batches: BatchWatch | None = None
        self.keep: Callable[[SuspiciousStep], str] | None = None
        self.indices_of: Callable[[Sequence[Tensor]], Sequence[int | None] | None] | None = None
        self.when_taken: Callable[[StepBatch], None] | None = None
        self.ring = FlightRing()
        self.alarm_count = 0
        self._nonfinite: deque[Snapshot] = deque(maxlen=32)

    def add_snapshot(self, snapshot: Snapshot) -> None:
        """A full measurement; its step's row comes later."""
        if any(stats.weight_nonfinite_count or stats.gradient_nonfinite_count for stats in snapshot.parameters):
            self._nonfinite.append(snapshot)
        self.sink.add_snapshot(snapshot)

    def add_step_row(self, row: tuple[Any, ...]) -> None:
        """What the every-step watch saw; on devices other than the CPU this comes some steps later."""
        step, losses, rate, total_norm, _, _, _, is_skipped, fingerprint = row
        batch = None if self.batches is None else self.batches.take(step)
        if batch is not None and self.when_taken is not None:
            self.when_taken(batch)
        if batch is not None and batch.samples and fingerprint is None:
            fingerprint = batch.fingerprint
            row = (*row[:-1], fingerprint)
        self.sink.add_step_row(row)
        loss = losses[0][1] if losses else None
        nonfinite_count = sum([entry[3] for entry in losses])
        observation = Observation(step, loss, nonfinite_count, total_norm, rate, fingerprint)
        alarm = self.ring.add(observation, self._nonfinite_in(step, is_skipped=is_skipped) if self._nonfinite else "")
        if alarm is not None:
            self._raise(alarm, batch)

    def facts(self) -> dict[str, Any]:
        """What it holds, as facts of the run."""
        return {
            "observation_count": len(self.ring.observations),
            "memory_bytes": self.ring.memory_bytes,
            "alarm_count": self.alarm_count,
        }

    def _nonfinite_in(self, step: int, *, is_skipped: bool) -> str:
        while self._nonfinite and self._nonfinite[0].step < step:
            self._nonfinite.popleft()
        if self._nonfinite and self._nonfinite[0].step == step:
            return nonfinite_parameter(self._nonfinite[0], is_skipped=is_skipped)
        return ""

    def _raise(self, alarm: Alarm, batch: StepBatch | None) -> None:
        self.alarm_count += 1
        self.budget.demand_full(alarm.step + 1, CLOSE_STEPS)
        kept = "" if self.keep is None else f"; {self._kept(alarm, batch, self.keep)}"
        self.sink.add_event(Event(alarm.step, alarm.kind, alarm.text + kept))

    def _kept(self, alarm: Alarm, batch: StepBatch | None, keep: Callable[[SuspiciousStep], str]) -> str:
        if batch is None:
            return "its batch is not kept: the call of the model was not seen, or was too long ago"
        frame = user_frame()
        neighbours = {} if frame is None else neighbours_of(batch.calls, frame.f_locals)
        tensors = [tensor for call in batch.calls for tensor in call.tensors().values()]
        indices = None if self.indices_of is None else self.indices_of(tensors)
        return keep(SuspiciousStep(alarm, batch.calls, neighbours, self.ring.observations, indices))


def nonfinite_parameter(snapshot: Snapshot, *, is_skipped: bool) -> str:
    """What a full measurement saw to be NaN or infinite in a parameter, in words; empty for nothing.

    Args:
        snapshot: The measurement.
        is_skipped: A gradient scaler left the step out: then its gradients are its business.
    """
    for stats in snapshot.parameters:
        if stats.weight_nonfinite_count:
            return f"a weight of {stats.parameter}"
    for stats in () if is_skipped else snapshot.parameters:
        if stats.gradient_nonfinite_count:
            return f"the gradient of {stats.parameter}"
    return ""
