"""The probe: what stays on a live training, and which of its steps are measured how.

Between full steps no module carries a hook (`full_step`). What stays is one function around `backward`, two around a
gradient scaler's methods, and torch's global hooks around `optimizer.step`; in other steps they do next to nothing.
"""

import sys
import weakref
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from gradiometer.measuring.backward import Pairs, leave_graphs, mute, pass_idly, start_listening, stop_listening, unmute
from gradiometer.measuring.batch_watch import BatchWatch
from gradiometer.measuring.budget import Budget
from gradiometer.measuring.compiled import is_compiled
from gradiometer.measuring.dear import DEAR_MEASUREMENTS
from gradiometer.measuring.every_step import EveryStep
from gradiometer.measuring.full_step import FullStep
from gradiometer.measuring.guarding import Guard, call_site, contained
from gradiometer.measuring.layers import records_of
from gradiometer.measuring.losses import LossEntries
from gradiometer.measuring.parameters import members, names_of, plain_rate
from gradiometer.measuring.ranks import unwrapped
from gradiometer.measuring.ranks_teamwork import Teamwork
from gradiometer.measuring.rounds import Rounds, no_optimizer
from gradiometer.measuring.scaling import ScaleWatch
from gradiometer.measuring.sink import Sink
from gradiometer.measuring.snapshot import row_count_of, total_norms
from gradiometer.measuring.step_clock import StepClock
from gradiometer.measuring.training_thread import TrainingThread
from gradiometer.measuring.turns import Turns
from gradiometer.measuring.update_hooks import StepArguments, UpdateHooks, when_gradients_are_there
from gradiometer.schema import Event, Snapshot

TIMED_ROUNDS = 64
"""Rounds in which an idle step's hooks are timed, once in a run; some 50 microseconds in all."""


class Probe:
    """Measures a training.

    Args:
        sink: Where measurements go.
        budget: When to measure.
        after_step: Called with the index of every step that has ended; what it raises goes to the script, save errors.
        dear: Dear measurements that take turns on full steps, keys of `DEAR_MEASUREMENTS`.
    """

    def __init__(
        self,
        sink: Sink,
        budget: Budget,
        after_step: Callable[[int], None] | None = None,
        dear: Sequence[str] = tuple(DEAR_MEASUREMENTS),
    ) -> None:
        self.sink = sink
        self.budget = budget
        self.after_step = after_step
        self.guard = Guard(self._fail)
        self.step = 0
        self.roots: dict[str, nn.Module] = {}
        self._optimizers: list[weakref.ref[Optimizer]] = []
        self.optimizer_count = 0
        self.is_attached = False
        self.updates_by_hand = False
        self.fingerprint: str | None = None
        self.scaling = ScaleWatch(self._after_scaler_update, self.guard.fail)
        self.thread = TrainingThread()
        self.batches = BatchWatch(self.guard, self.thread)
        self.turns = Turns(dear, budget, on_fault=self.guard.fail)
        self.full_step = FullStep(self.guard, self.thread, sink, self.scaling, self.turns)
        self.teamwork = Teamwork(sink, budget, self.full_step.notes, lambda: self.step)
        self.parameters = self.full_step.parameters
        self.every_step = EveryStep(sink, self.full_step.latest)
        self._losses = self.every_step.losses
        self._rounds = Rounds()
        self._updates = UpdateHooks(self._before_update, self._after_update)
        self._meets_compiled = False
        self._sole: Callable[[], Optimizer | None] = no_optimizer
        self._event = 0
        self._idle_from = 0
        self._trains_by_backward = False
        self._was_full = False
        self.clock = StepClock(self.guard, budget, sink, self.turns)

    def watch_root(self, module: nn.Module, name: str = "") -> None:
        """Measure a root's modules from the next full step on (also in the one under way)."""
        self._join_team(module)
        if is_compiled(module):
            self.meet_compiled()
        module = unwrapped(module)
        self.roots[name] = module
        memory = self.full_step.memory
        memory.root_ids.add(id(module))
        for record in records_of(module, name):
            memory.modules.setdefault(id(record.module), record)
        self.batches.watch(module, name)
        self._watch_parameters()

    def _join_team(self, module: nn.Module | None = None) -> None:
        """Find out which processes train a model; without one: another process writes, whatever comes."""
        if self.teamwork.look_at(module):
            self.sink = self.clock.sink = self.full_step.sink = self.every_step.sink = self.teamwork.sink
            self.full_step.share = self.teamwork.share
            if not self.teamwork.takes_turns:
                self.turns.measurements.clear()

    def stay_silent(self) -> None:
        """Measure nothing but for another process, which writes."""
        self._join_team()

    @contained
    def meet_compiled(self) -> None:
        """Something is compiled, and a module hook would be compiled in."""
        self.full_step.meet_compiled()
        self.batches.stop(for_good=True)
        if not self._meets_compiled:
            self._meets_compiled = True
            self._updates.leave_graphs()
            leave_graphs()

    def watch_optimizer(self, optimizer: Optimizer) -> None:
        """Measure an optimizer's updates; with several, a step of the run is one round of them (`Rounds`)."""
        if not any(optimizer is known for known in self.optimizers):
            self._optimizers.append(weakref.ref(optimizer))
            self.optimizer_count += 1
            self._sole = self._optimizers[0] if self.optimizer_count == 1 else no_optimizer
            self.updates_by_hand = False
            self._watch_parameters()

    def _watch_parameters(self) -> None:
        self.parameters.add(names_of(self.roots, self.optimizers))

    def prepare(self) -> None:
        """Set the hooks on optimizers: before other threads may step, for torch goes through them unlocked."""
        if self._updates.start():
            self.turns.prepare()

    def attach(self) -> None:
        """Set the hooks and start the first step; a probe that is attached stays so."""
        if self.is_attached:
            return
        self.is_attached = True
        start_listening(self)
        self.scaling.start()
        self.batches.start()
        self.prepare()
        self.clock.start(perf_counter())
        with self.guard:
            self._start_event()

    def detach(self) -> None:
        """Take every hook away; a step that is not finished is not recorded."""
        self.rest()
        for end in (self.turns.close, self._updates.stop):
            with self.guard:
                end()

    def rest(self) -> None:
        """Measure no more; may be called amid an optimizer's step, whose hooks stay and do nothing."""
        if self.is_attached:
            self.is_attached = False
            leave: Callable[[], None] = lambda: self.teamwork.leave("has ended its measuring")  # noqa: E731
            ends = (leave, self.full_step.abandon, self.batches.stop, lambda: stop_listening(self), self.scaling.stop)
            for end in (*ends, self.full_step.settling.flush, self.every_step.flush):
                with self.guard:  # each for itself: the fault of one must not leave the hooks of another behind
                    end()

    def _fail(self, text: str) -> None:
        self.sink.add_event(Event(self.step, "fault", text))
        with self.guard:
            self.teamwork.leave(f"met a fault of gradiometer's own: {text.strip().splitlines()[-1]}")
        self.rest()

    def _start_event(self) -> None:
        """Begin a step that is watched or measured in full."""
        self._event = self.step
        self._losses.start()
        self.fingerprint = None
        self.scaling.start_step(is_open=True)
        unmute(self)
        is_full = self.teamwork.is_full(self.step)
        self.batches.start_step(self.step, is_open=True, is_full=is_full)
        if is_full:
            self.full_step.start(self.step)
            if self.updates_by_hand:
                self.parameters.measure_weights()
                self.turns.before_update(None)

    def _start_idling(self, event: int, optimizer: Optimizer | None) -> None:
        """Begin steps in which nothing is due."""
        self._event, self._idle_from = event, self.step
        self._losses.start()
        self.fingerprint = None
        self.scaling.start_step(is_open=False)
        self.batches.start_step(self.step, is_open=False, is_full=False)
        if self.optimizer_count:
            mute(self)
        if self.clock.hook_seconds is None:
            self.clock.hook_seconds = self._time_idle_hooks(optimizer)

    def _time_idle_hooks(self, optimizer: Optimizer | None) -> float:
        """Time what the hooks of an idle step take, calling them included: a clock in them would cost as much again."""
        kept = self.step, self._event, self.after_step
        self._event, self.after_step = sys.maxsize, None
        try:
            started = perf_counter()
            for _ in range(TIMED_ROUNDS):
                pass_idly()
                if optimizer is None:
                    self._before_pass(())
                    self.after_backward()
                elif optimizer is self._sole():
                    self._before_update(optimizer, (), {})
                    self._after_update(optimizer, (), {})
            return (perf_counter() - started) / TIMED_ROUNDS
        finally:
            self.step, self._event, self.after_step = kept

    def wants_gradients_of(self, inputs: Sequence[Tensor]) -> bool:
        """Whether `torch.autograd.grad` for these is the training's backward pass: most are parameters of the run.

        In a script that trains by `backward` it is not: there it computes a penalty, a diagnosis or an inner loop.
        """
        if self._trains_by_backward or not inputs:
            return False
        watched, some = self.parameters.watched, inputs[:: 1 + len(inputs) // 16]
        return 2 * sum(id(tensor) in watched for tensor in some) > len(some)

    @contained
    def before_backward(self, tensors: tuple[Tensor, ...]) -> None:
        """A backward pass starts: note its loss, and in a full step find the trunk."""
        self._trains_by_backward = True
        self._before_pass(tensors)

    @contained
    def before_gradients(self, tensors: tuple[Tensor, ...]) -> None:
        """The same where the script is handed the gradients."""
        self._before_pass(tensors, is_handed_back=True)

    def _before_pass(self, tensors: tuple[Tensor, ...], *, is_handed_back: bool = False) -> None:
        if self.step != self._event or self.guard.is_broken or not self.thread.is_here():
            return
        with self.guard:
            site = call_site(4, is_scripts=True) or "?"
            unscale = self.scaling.unscale
            self._losses.add(site, [unscale(tensor) for tensor in tensors], is_handed_back=is_handed_back)
            if self.full_step.is_active:
                if self.updates_by_hand:
                    self.parameters.after_update(watched.tensor for watched in self.parameters.watched.values())
                    self.turns.after_update(None)
                self.full_step.before_backward(site, tensors, is_handed_back=is_handed_back)

    @contained
    def after_backward(self) -> None:
        """A backward pass has ended: measure gradients before anybody clips them."""
        self.after_gradients(())

    @contained
    def after_gradients(self, gradients: Pairs) -> None:
        """The same where they were handed to the script."""
        if not self.thread.is_here():
            return
        if self.full_step.is_active:
            self.full_step.after_backward(self._losses.backward_count, gradients)
        if not self.optimizer_count and self.is_attached:
            self.updates_by_hand = True
            self._end_step(None)

    @contained
    def _after_scaler_update(self) -> None:
        """A gradient scaler was updated; where no optimizer has stepped since a loss was scaled, it left a step out."""
        if self.scaling.has_scaled and self.is_attached and self.optimizers:
            self._end_step(None, is_skipped=True)

    @contained
    def _before_update(self, optimizer: Optimizer, args: Any, kwargs: Any) -> StepArguments | None:
        if self.full_step.is_active:
            self._measure_used(optimizer, has_gradients=False)
        elif self.step or self.is_attached:
            return None
        # The first forward may come amid the first step, in its closure, and the probe be attached only then.
        return when_gradients_are_there(args, kwargs, lambda: self._measure_used(optimizer, has_gradients=True))

    def _measure_used(self, optimizer: Optimizer, *, has_gradients: bool) -> None:
        """Measure what an optimizer steps with: weights at once, gradients where they are there."""
        if self.full_step.is_active and self._is_mine(optimizer):
            with self.guard:
                if self.parameters.has_shapeless:
                    self._watch_parameters()
                if self.parameters.before_update(optimizer):
                    self.turns.before_update(optimizer)
                if has_gradients:
                    self.parameters.measure_used(optimizer)

    @contained
    def _after_update(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if not self.is_attached:
            return
        if optimizer is self._sole() and self.thread.is_here(claims=True):
            self.scaling.has_scaled = False
            if self.step + 1 < self._event:
                self.step += 1
                if self.after_step is not None:
                    self.after_step(self.step - 1)
                return
            if not self.full_step.is_active and self.step > 0:
                # A single optimizer ends every step; its first one is told to `Rounds`, for it leads from then on.
                self._end_step(optimizer)
                return
        elif not self._is_mine(optimizer):
            return
        self._after_mine(optimizer)

    def _after_mine(self, optimizer: Optimizer) -> None:
        """An optimizer of the run has stepped, and that may end a step that is of interest."""
        is_end = False
        with self.guard:
            self.scaling.has_scaled = False
            if self.full_step.is_active:
                self.parameters.after_update(tensor for _, tensor in members(optimizer))
                self.turns.after_update(optimizer)
            is_end = self._rounds.ends_with(optimizer, len(self._optimizers))
        if is_end:
            self._end_step(optimizer)

    @property
    def optimizers(self) -> list[Optimizer]:
        """The optimizers that are still there; none is kept alive, for each may hold twice the size of its model."""
        return [optimizer for reference in self._optimizers if (optimizer := reference()) is not None]

    @property
    def leader(self) -> Optimizer | None:
        """The optimizer that stepped first, None before any did."""
        return self._rounds.leader

    def _is_mine(self, optimizer: Optimizer) -> bool:
        return any(optimizer is known for known in self.optimizers) and self.is_my_thread(claims=True)

    def is_my_thread(self, *, claims: bool = False) -> bool:
        """Whether this is the thread that trains. Trainings beside it are left alone."""
        return self.thread.is_here(claims=claims)

    def _end_step(self, optimizer: Optimizer | None, *, is_skipped: bool = False) -> None:
        ended = self.step
        if ended + 1 < self._event and not is_skipped:
            self.step += 1
        else:
            with self.guard:
                self._end_event(optimizer, is_skipped=is_skipped)
        if self.after_step is not None:
            self.after_step(ended)

    def _end_event(self, optimizer: Optimizer | None, *, is_skipped: bool) -> None:
        """End a step that is recorded, or the last of some idle ones; book it and start the next."""
        self.full_step.settling.settle()
        ended, is_event = self.step, self.step == self._event
        self.scaling.has_scaled = False
        if is_event:
            row_count = self._record(optimizer, is_skipped=is_skipped)
            self.clock.book_event(ended, row_count, was_full=self._was_full)
        elif is_skipped:
            self.every_step.record(ended, (None, None, None, None, None, True, None), ())
        if ended + 1 == self._event:
            self.clock.book_idling(ended, self._event - self._idle_from)
        self.step = ended + 1
        if self.is_attached and self.step >= self._event:
            event = self.teamwork.next_event(ended) if is_event else self.step
            if event == self.step:
                self._start_event()
            else:
                self._start_idling(event, optimizer)

    def _record(self, optimizer: Optimizer | None, *, is_skipped: bool) -> int:
        """Hand on what was seen of a step; returns about how many rows of the run file that is."""
        rate = plain_rate(optimizer.param_groups[0].get("lr")) if optimizer is not None else None
        step, fingerprint, started = self.step, self.fingerprint, self.clock.started
        seconds: list[float] = []

        def record(total: float | None, clipped: float | None, losses: LossEntries | None) -> None:
            times = seconds or (perf_counter() - started, self.clock.measuring_seconds)
            self.every_step.record(step, (rate, total, clipped, *times, is_skipped, fingerprint), losses)

        def hand_on(snapshot: Snapshot | None, losses: LossEntries) -> None:
            norms = (None, None) if snapshot is None else total_norms(snapshot, self.parameters.watched)
            record(*norms, losses)

        self._was_full = self.full_step.is_active
        if not self._was_full:
            record(None, None, None)
            return 2
        self.full_step.finish(step, self._losses, self.optimizers, lambda: self.clock.measuring_seconds, hand_on)
        # What is handed on later took its time by now.
        seconds += (perf_counter() - started, self.clock.measuring_seconds)
        return row_count_of(self.full_step.latest.snapshot)
