"""Watches a replay step by step: is it the recorded run still, and what does the step in question do."""

from collections.abc import Callable
from dataclasses import replace

import torch

from gradiometer.launching.replay_plan import ReplayPlan
from gradiometer.launching.tracing import StepTrace
from gradiometer.measuring.batch_watch import StepBatch
from gradiometer.measuring.flight_ring import Observation
from gradiometer.measuring.kept_batches import is_same, read_batch
from gradiometer.measuring.kept_weights import differing, moment_of
from gradiometer.schema import Replay
from gradiometer.session import Session
from gradiometer.units import format_number


class ReplayControl:
    """Compares a replay with the recorded run and traces the steps that the plan names.

    Args:
        plan: The plan.
        session: The session of the replay, before its first step; it looks at every step.
        say: Told what happens.
    """

    def __init__(self, plan: ReplayPlan, session: Session, say: Callable[[str], None]) -> None:
        assert session.recorder is not None
        self.plan = plan
        self.probe = session.probe
        self.recorder = session.recorder
        self.say = say
        self.notes: list[str] = []
        self.parted_step: int | None = None
        self.checked_count = 0
        self.trace: StepTrace | None = None
        self._traced_step = -1
        self._found: Replay | None = None
        self._seen_step = -1
        session.budget.is_closed = True
        self.probe.batches.samples_every_step = True
        self.recorder.when_taken = self._compare_batch
        if plan.thread_count and plan.thread_count != torch.get_num_threads():
            torch.set_num_threads(plan.thread_count)
        if plan.first_traced == 0:
            self._begin_trace(0)

    def look(self) -> bool:
        """Look at the step that has ended.

        Returns:
            Whether all is known, and the script may stop.
        """
        ended = self.probe.step - 1
        self._compare_observations()
        self._compare_weights(ended + 1)
        if self.trace is not None:
            self._end_trace(ended)
        if self._found is not None and self._found.is_found:
            return True
        if ended + 1 > self.plan.last_traced:
            return True
        if ended + 1 >= self.plan.first_traced:
            self._begin_trace(ended + 1)
        return False

    def close(self) -> None:
        """Trace no more: the script has ended."""
        if self.trace is not None:
            self._end_trace(self._traced_step)

    def result(self) -> Replay:
        """What was found; to be asked for when it is closed."""
        found = self._found
        if found is None:
            self._note(f"the script ended after {self.probe.step} steps, before step {self.plan.first_traced}")
            found = Replay(self.probe.step)
        return replace(found, checked_count=self.checked_count, parted_step=self.parted_step, notes=tuple(self.notes))

    def _begin_trace(self, step: int) -> None:
        self._traced_step = step
        self.trace = StepTrace(self.probe)
        self.trace.begin()

    def _end_trace(self, step: int) -> None:
        trace, self.trace = self.trace, None
        assert trace is not None
        trace.finish()
        beginning = trace.beginning(is_named=self.plan.is_named)
        count = len(trace.trace.records)
        if beginning is None:
            largest = trace.largest()
            if largest is not None and step == self.plan.last_traced:
                where = largest[0].layer or "outside of every layer"
                greatest = format_number(max(abs(largest[1].low or 0.0), abs(largest[1].high or 0.0)))
                self._note(f"the largest number in step {step} is {greatest}, from {largest[0].name} ({where})")
            self._found = Replay(step, operation_count=count)
            return
        operation = None if beginning.record is None else beginning.record.told()
        source = "" if operation is not None else beginning.name or "a tensor that was there before the step"
        self._found = Replay(step, operation, source, trace.chain(beginning), count)

    def _compare_observations(self) -> None:
        """Compare what has become known since the last look; on a device that may be some steps late."""
        fresh = [entry for entry in self.recorder.ring.observations if entry.step > self._seen_step]
        for observation in fresh:
            self._seen_step = observation.step
            if self.parted_step is None:
                self._compare(observation)

    def _compare(self, seen: Observation) -> None:
        batch = self.plan.fingerprints.get(seen.step)
        has_loss = seen.step in self.plan.losses
        if batch is None and not has_loss:
            return
        if batch is not None and seen.fingerprint is not None and batch != seen.fingerprint:
            self._part(seen.step, "its batch is another one: the script draws its data from what no seed fixes")
            return
        recorded = self.plan.losses.get(seen.step)
        present = None if seen.nonfinite_count else seen.loss
        if has_loss and recorded != present:
            text = f"its loss is {present}, and was {recorded}".replace("None", "not finite")
            self._part(seen.step, text)
            return
        self.checked_count += 1

    def _compare_weights(self, step: int) -> None:
        path = self.plan.weights.get(step)
        if path is None or self.parted_step is not None:
            return
        try:
            others = differing(path, moment_of(self.probe.roots, self.probe.optimizers))
        except (OSError, ValueError) as fault:
            self._note(f"the weights kept before step {step} are not compared: {fault}")
            return
        if others:
            self._part(step, f"{len(others)} tensors are not those that were kept, {others[0]} for one")
        else:
            self._note(
                f"before step {step} weights, optimizer and random numbers are those that were kept, bit for bit"
            )

    def _compare_batch(self, batch: StepBatch) -> None:
        path = self.plan.batches.get(batch.step)
        if path is None:
            return
        try:
            kept, header = read_batch(path)
        except (OSError, ValueError) as fault:
            self._note(f"the batch kept of step {batch.step} is not compared: {fault}")
            return
        if any(header.get("is_overwritten") or ()):
            self._note(f"the script wrote into its batch of step {batch.step} before it could be kept: not compared")
            return
        present = {f"batch.{n}.{place}": t for n, call in enumerate(batch.calls) for place, t in call.tensors().items()}
        others = [name for name in kept if name.startswith("batch.") and name in present]
        if all(is_same(kept[name], present[name]) for name in others):
            self._note(f"the batch of step {batch.step} is the one that was kept, bit for bit")
        else:
            self._note(f"the batch of step {batch.step} is not the one that was kept")

    def _part(self, step: int, text: str) -> None:
        self.parted_step = step
        self._note(f"from step {step} on the replay is not the recorded run: {text}")

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self.say(text)
