"""The probe: all hooks on a live training, and a step as a whole.

Between full steps no module carries a hook: torch's global hooks are set for a full step and taken away after it, so
that nothing is ever kept on a module (`state_dict`, pickling and copying see the module as it is). What stays is one
function around `backward`, two around a gradient scaler's methods, and torch's global hooks around `optimizer.step`;
in other steps they do next to nothing. Of a compiled model parameters alone are measured.
"""

import weakref
from collections.abc import Callable
from dataclasses import replace
from threading import get_ident
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from gradiometer.measuring.backward import start_listening, stop_listening
from gradiometer.measuring.budget import Budget
from gradiometer.measuring.compiled import is_compiled
from gradiometer.measuring.guarding import Guard, call_site, is_traced
from gradiometer.measuring.layers import records_of
from gradiometer.measuring.losses import LossBook
from gradiometer.measuring.observing import Memory, StepObserver
from gradiometer.measuring.parameters import ParameterWatch, members, names_of
from gradiometer.measuring.rounds import Rounds
from gradiometer.measuring.scaling import ScaleWatch
from gradiometer.measuring.sink import Latest, Sink
from gradiometer.measuring.snapshot import StepMaterial, build_snapshot, total_norms
from gradiometer.measuring.structure import describe_coverage, join_layer, plan_trunk, signature_of
from gradiometer.measuring.trunk import TrunkEntry
from gradiometer.schema import Coverage, Event, Snapshot, StepStats


class Probe:
    """Measures a training.

    Args:
        sink: Where measurements go.
        budget: When to measure.
        after_step: Called with the index of every step that has ended; what it raises goes to the script.
    """

    def __init__(self, sink: Sink, budget: Budget, after_step: Callable[[int], None] | None = None) -> None:
        self.sink = sink
        self.budget = budget
        self.after_step = after_step
        self.when_hooked: Callable[[], None] | None = None
        self.guard = Guard(self._fail)
        self.step = 0
        self.full_count = 0
        self.roots: dict[str, nn.Module] = {}
        self._optimizers: list[weakref.ref[Optimizer]] = []
        self.optimizer_count = 0
        self.is_attached = False
        self.is_full = False
        self.is_closed = False
        self.updates_by_hand = False
        self.notes: list[str] = []
        self.fingerprint: str | None = None
        self.latest = Latest()
        self.losses = LossBook()
        self.scaling = ScaleWatch(self._after_scaler_update)
        self.parameters = ParameterWatch()
        self.observer: StepObserver | None = None
        self.memory = Memory({}, set(), {}, {}, {})
        self._pass: int | None = None
        self._has_open_backward = False
        self._pass_sites: dict[int, str] = {}
        self._backwards_before = 1
        self._trunks: dict[int, tuple[TrunkEntry, ...]] = {}
        self._trunk: tuple[TrunkEntry, ...] = ()
        self._without_gradient: set[str] = set()
        self._known: tuple[int, int] = (0, 0)
        self._rounds = Rounds()
        self._handles: list[RemovableHandle] = []
        self._full_handles: list[RemovableHandle] = []
        self._is_watched = True
        self._step_start = perf_counter()
        self._spent_before = 0.0
        self._writing_before = 0.0
        self._thread: int | None = None

    def watch_root(self, module: nn.Module, name: str = "") -> None:
        """Measure a root's modules from the next full step on (also in the one under way)."""
        self.roots[name] = module
        if is_compiled(module):
            self.close_modules()
        self.memory.root_ids.add(id(module))
        for record in records_of(module, name):
            self.memory.modules.setdefault(id(record.module), record)
        self._watch_parameters()

    def close_modules(self) -> None:
        """Measure parameters alone from now on: something is compiled, and a module hook would be compiled in."""
        if not self.is_closed:
            self.is_closed = True
            self._end_full_hooks()
            self.observer = None
            self.notes.append("compiled: parameters alone are measured, layers are not opened")

    def watch_optimizer(self, optimizer: Optimizer) -> None:
        """Measure an optimizer's updates; with several, a step of the run is one round of them (`Rounds`)."""
        if not any(optimizer is known for known in self.optimizers):
            self._optimizers.append(weakref.ref(optimizer))
            self.optimizer_count += 1
            self.updates_by_hand = False
            self._watch_parameters()

    def _watch_parameters(self) -> None:
        self.parameters.add(names_of(self.roots, self.optimizers))

    def prepare(self) -> None:
        """Set the hooks on optimizers: before other threads may step, for torch goes through them unlocked."""
        if not self._handles:
            self._handles = [
                register_optimizer_step_pre_hook(self._before_update),
                register_optimizer_step_post_hook(self._after_update),
            ]

    def attach(self) -> None:
        """Set the hooks and start the first step; a probe that is attached stays so."""
        if self.is_attached:
            return
        self.is_attached = True
        start_listening(self)
        self.scaling.start()
        self.prepare()
        self._step_start = perf_counter()
        with self.guard:
            self._start_step()

    def detach(self) -> None:
        """Take every hook away; a step that is not finished is not recorded."""
        self.rest()
        while self._handles:
            self._handles.pop().remove()

    def rest(self) -> None:
        """Measure no more; may be called amid an optimizer's step, whose hooks stay and do nothing."""
        if self.is_attached:
            self.is_attached = self.is_full = False
            self._end_full_hooks()
            stop_listening(self)
            self.scaling.stop()

    def _fail(self, text: str) -> None:
        self.rest()
        self.sink.add_event(Event(self.step, "fault", text))

    def _start_step(self) -> None:
        self._spent_before = self.guard.seconds_so_far
        self._is_watched = self.budget.is_watched(self.step)
        self.is_full = self.budget.is_full(self.step)
        self.losses.start(self._is_watched or self.is_full)
        self.fingerprint = None
        self.scaling.start_step()
        if self.is_full:
            self._pass_sites = {}
            self.parameters.start()
            if self.updates_by_hand:
                self.parameters.measure_weights()
            if not self.is_closed:
                self._hook_modules()

    def _hook_modules(self) -> None:
        self.observer = StepObserver(self.memory, self.guard, lambda: self._pass)
        self._full_handles = [
            register_module_forward_pre_hook(self.before_module),
            register_module_forward_hook(self._after_module, with_kwargs=True, always_call=True),
        ]
        if self.when_hooked is not None:
            self.when_hooked()

    def _end_full_hooks(self) -> None:
        while self._full_handles:
            self._full_handles.pop().remove()
        if self.observer is not None:
            self.observer.close()

    def before_module(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Global forward pre-hook of a full step."""
        observer = self.observer
        if observer is None or not torch.is_grad_enabled() or self._pass is not None or self.guard.is_broken:
            return
        if is_traced() or not self.is_my_thread(claims=id(module) in self.memory.root_ids):
            return
        with self.guard, torch._C.DisableTorchFunction():
            observer.before_module(module, args)

    def _after_module(self, module: nn.Module, args: tuple[Any, ...], *rest: Any) -> None:
        # After a forward that failed torch leaves the keyword arguments out, whatever was asked for.
        kwargs, output = rest if len(rest) == 2 else ({}, rest[0])
        observer = self.observer
        if observer is None or not observer.is_inside_root or not self.is_my_thread():
            return
        with self.guard, torch._C.DisableTorchFunction():
            observer.after_module(module, args, kwargs, output)

    def before_backward(self, tensors: tuple[Tensor, ...]) -> None:
        """A backward pass starts: note its loss, and in a full step find the trunk."""
        if not self.losses.is_open or self.guard.is_broken or not self.is_my_thread():
            return
        with self.guard:
            site = call_site(3) or "?"
            self.losses.add(site, tuple(self.scaling.unscale(tensor) for tensor in tensors))
            if self.updates_by_hand and self.is_full:
                self.parameters.after_update(watched.tensor for watched in self.parameters.watched.values())
            if self.is_full:
                self._pass = len(self._pass_sites)
                self._pass_sites[self._pass] = site
                self._find_trunk(tensors)

    def _find_trunk(self, tensors: tuple[Tensor, ...]) -> None:
        observer = self.observer
        node = next((tensor.grad_fn for tensor in tensors if tensor.grad_fn is not None), None)
        if observer is None or node is None or not observer.calls:
            return
        signature = signature_of(observer.calls)
        if signature not in self._trunks:
            self._trunks[signature] = plan_trunk(observer.calls, node)
        self._trunk = self._trunks[signature]

    def after_backward(self) -> None:
        """A backward pass has ended: measure gradients before anybody clips them."""
        if not self.is_my_thread():
            return
        self._has_open_backward = True
        if self._pass is not None:
            self._pass = None
            with self.guard:
                if self.observer is not None:
                    self.observer.drop_nodes()
                if self.losses.backward_count >= self._backwards_before:
                    self.parameters.measure_gradients(self.scaling.scale)
        if not self.optimizer_count and self.is_attached:
            self.updates_by_hand = True
            self._end_step(None)

    def _after_scaler_update(self) -> None:
        """A gradient scaler was updated; where no optimizer has stepped since the last backward, it left a step out."""
        if self._has_open_backward and self.is_attached and self.optimizers:
            self._end_step(None, is_skipped=True)

    def _before_update(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if self.is_full and self._is_mine(optimizer):
            with self.guard:
                if self.parameters.has_shapeless:
                    self._watch_parameters()
                self.parameters.before_update(optimizer)

    def _after_update(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if not self.is_attached or not self._is_mine(optimizer):
            return
        self._has_open_backward = False
        if self.is_full:
            with self.guard:
                self.parameters.after_update(tensor for _, tensor in members(optimizer))
        if self._rounds.ends_with(optimizer, len(self.optimizers)):
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
        """Whether this is the thread that trains: the first that called a root. Trainings beside it are left alone."""
        here = get_ident()
        if claims and self._thread is None:
            self._thread = here
        return self._thread is None or self._thread == here

    def _end_step(self, optimizer: Optimizer | None, *, is_skipped: bool = False) -> None:
        ended = self.step
        with self.guard:
            self._has_open_backward = False
            if self._is_watched or self.is_full or is_skipped:
                self._record(optimizer, is_skipped=is_skipped)
            self._turn()
        if self.after_step is not None:
            self.after_step(ended)

    def _turn(self) -> None:
        """Book the step that has ended and start the next."""
        now = perf_counter()
        was_watched = self._is_watched or self.is_full
        spent_seconds = self._spent_seconds() if was_watched else self.guard.seconds_so_far - self._spent_before
        is_open = self.budget.repaid_step is None
        self.budget.account(
            self.step, now - self._step_start, spent_seconds, was_full=self.is_full, was_watched=was_watched
        )
        if is_open and self.budget.repaid_step is not None:
            self.sink.add_facts({"repaid_step": self.budget.repaid_step})
        self.step, self._step_start = self.step + 1, now
        if self.is_attached:
            self._start_step()

    def _spent_seconds(self) -> float:
        """Time spent in this step in our own code, and since the last recorded one in the thread that writes."""
        writing_seconds = self.sink.writing_seconds
        writing_before, self._writing_before = self._writing_before, writing_seconds
        return self.guard.seconds_so_far - self._spent_before + writing_seconds - writing_before

    def _record(self, optimizer: Optimizer | None, *, is_skipped: bool) -> None:
        losses = self.losses.close()
        if losses:
            self.latest.loss = losses[0][1]
        total = clipped = None
        if self.is_full:
            self._end_full_hooks()
            snapshot = self._snapshot(losses[0][1] if losses else None)
            total, clipped = total_norms(snapshot, self.parameters.watched)
            self._backwards_before = max(self.losses.backward_count, 1)
            self.observer = None
            self.full_count += 1
        self.sink.add_step(
            StepStats(
                step=self.step,
                losses=losses,
                learning_rate=float(optimizer.param_groups[0]["lr"])
                if optimizer and "lr" in optimizer.defaults
                else None,
                total_norm=total,
                clipped_total_norm=clipped,
                step_seconds=perf_counter() - self._step_start,
                measuring_seconds=self.guard.seconds_so_far - self._spent_before,
                is_skipped=is_skipped,
                batch_fingerprint=self.fingerprint,
            )
        )

    def _snapshot(self, loss: float | None) -> Snapshot:
        observer = self.observer
        last_site = self._pass_sites[max(self._pass_sites)] if self._pass_sites else ""
        passes = frozenset(number for number, site in self._pass_sites.items() if site == last_site)
        snapshot = build_snapshot(
            StepMaterial(
                step=self.step,
                calls=observer.calls if observer is not None else (),
                passes=passes,
                trunk=self._trunk if observer is not None else (),
                windows=self.memory.windows if observer is not None else {},
                watched=self.parameters.watched,
                measured=self.parameters.found,
                inputs=observer.input_stats if observer is not None else None,
                loss=loss,
            )
        )
        self._without_gradient = {
            stats.layer
            for stats in snapshot.layers
            if stats.output_gradient_norm is None and not stats.gradient_nonfinite_count
        }
        self._describe(observer, [stats.layer for stats in snapshot.layers])
        snapshot = replace(snapshot, measuring_seconds=self.guard.seconds_so_far - self._spent_before)
        self.latest.snapshot = snapshot
        self.sink.add_snapshot(snapshot)
        return snapshot

    def _describe(self, observer: StepObserver | None, present: list[str]) -> None:
        for entry in self._trunk:
            if entry.is_join:
                self.memory.layers.setdefault(entry.layer, join_layer(entry))
        known = (len(self.memory.layers), len(self.parameters.watched))
        if known == self._known:
            return
        self._known = known
        if observer is not None:
            self.latest.layers = tuple(observer.ordered_layers(self._trunk, present))
        self.latest.parameters = tuple(self.parameters.describe(self.optimizers, self.memory.layers.values()))
        self.sink.add_layers(self.latest.layers)
        self.sink.add_parameters(self.latest.parameters)
        self.sink.set_coverage(self.coverage())
        if observer is not None and observer.input_stats is not None:
            self.sink.add_facts({"batch_size": observer.input_stats.batch_size})

    def coverage(self) -> Coverage:
        """What has been seen so far."""
        return describe_coverage(
            self.memory.modules.values(),
            self.memory.layers,
            self._without_gradient,
            self.notes,
            is_closed=self.is_closed,
        )
