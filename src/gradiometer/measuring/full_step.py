"""A step that is measured in full: its hooks on modules, its backward passes, its trunk and its snapshot.

Torch's global module hooks are set when such a step begins and taken away when it ends, so that nothing is ever kept
on a module. Of a compiled model parameters alone are measured, unless its layers are to be opened: then it runs
eagerly for the step.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from gradiometer.measuring.backward import Pairs
from gradiometer.measuring.collecting import Collector
from gradiometer.measuring.compiled import EagerStance, remove_whole
from gradiometer.measuring.copying_behind import CopyBehind
from gradiometer.measuring.guarding import Guard, contained, is_traced, is_transformed
from gradiometer.measuring.loss_watch import HIDDEN_NOTE, LossWatch
from gradiometer.measuring.losses import LossBook, LossEntries
from gradiometer.measuring.observing import Memory, StepObserver
from gradiometer.measuring.optimizers import describe_optimizers
from gradiometer.measuring.parameters import ParameterWatch
from gradiometer.measuring.ranks_shards import is_sharded
from gradiometer.measuring.scaling import ScaleWatch
from gradiometer.measuring.settling import Ending, Settling
from gradiometer.measuring.sink import Latest, Sink
from gradiometer.measuring.snapshot import Numbers, StepMaterial, judge_units, tensors_of
from gradiometer.measuring.structure import describe_coverage, join_layer, plan_trunk, signature_of, trunk_with_joins
from gradiometer.measuring.training_thread import TrainingThread
from gradiometer.measuring.trunk import TrunkEntry
from gradiometer.measuring.turns import Turns
from gradiometer.schema import Coverage, Snapshot

OTHER_THREAD_NOTE = "gradients of what another thread trains are not measured"


class FullStep:
    """Measures one step in full at a time, and keeps what outlives it.

    Args:
        guard: Times this code and keeps its faults out of the training.
        thread: The thread that trains.
        sink: Where measurements go.
        scaling: What losses were multiplied by.
        turns: Whose turn it is of the dear measurements.

    Attributes:
        is_active: The step under way is measured in full.
        is_closed: Layers are not opened: the model is compiled.
        opens_compiled: Layers of a compiled model are opened; its full steps run eagerly.
        stance: Lets compiled code run eagerly while hooks are set.
        count: Steps measured in full so far.
        observer: What the hooks of the step under way tell; None between full steps and where layers are closed.
        parameters: The run's parameters and what this step saw of them.
        memory: What is known of the network.
        latest: The newest of everything, for a view of the run while it goes on.
        notes: What limits the measurements, for the coverage.
        collector: What the dear measurement does whose turn it is in the step under way; nothing where nobody's.
        when_hooked: Called when the module hooks were set, so that others can move theirs behind them.
        share: Puts a snapshot together with those of other processes (`Teamwork.share`); None where there are none.
        settling: Full steps whose numbers are on their way from a GPU.
        loss_watch: How the run's main loss is made, and its targets.
    """

    def __init__(self, guard: Guard, thread: TrainingThread, sink: Sink, scaling: ScaleWatch, turns: Turns) -> None:
        self.guard = guard
        self.thread = thread
        self.sink = sink
        self.scaling = scaling
        self.turns = turns
        self.collector = Collector()
        self.is_active = False
        self.is_closed = False
        self.opens_compiled = False
        self.stance = EagerStance()
        self.count = 0
        self.observer: StepObserver | None = None
        self.parameters = ParameterWatch()
        self.memory = Memory({}, set(), {}, {}, {})
        self.latest = Latest()
        self.notes: list[str] = []
        self.when_hooked: Callable[[], None] | None = None
        self.share: Callable[..., Snapshot | None] | None = None
        self.settling = Settling()
        self.loss_watch = LossWatch()
        self._pass: int | None = None
        self._pass_sites: dict[int, str] = {}
        self._backwards_before = 1
        self._trunks: dict[int, tuple[TrunkEntry, ...]] = {}
        self._trunk: tuple[TrunkEntry, ...] = ()
        self._with_gradient: set[str] = set()
        self._without_gradient: set[str] = set()
        self._known: tuple[int, int, int] = (0, 0, 0)
        self._handles: list[RemovableHandle] = []

    def start(self, step: int) -> None:
        """Begin to measure a step: set its hooks, and begin the turn of a dear measurement."""
        self.is_active = True
        self._pass_sites = {}
        self.parameters.start()
        self.parameters.looks_for_twins = step == 0
        self.loss_watch.start()
        if not self.is_closed:
            self.stance.hold("full step")
            self.observer = StepObserver(self.memory, self.guard, lambda: self._pass)
            self.observer.outputs.is_holding = self.loss_watch.needs_output
            self._handles = [
                register_module_forward_pre_hook(self.before_module),
                register_module_forward_hook(self._after_module, with_kwargs=True, always_call=True),
            ]
            if self.when_hooked is not None:
                self.when_hooked()
        self.collector = self.turns.begin(step, self.memory, self.observer, self.parameters, self._scale)

    def _scale(self) -> Tensor | None:
        """What the loss was multiplied by, None where it was not."""
        return self.scaling.scale

    def meet_compiled(self) -> None:
        """Something is compiled, and a module hook would be compiled in: measure parameters alone from now on.

        Where layers are to be opened, full steps run eagerly instead.
        """
        if self.opens_compiled:
            if not self.stance.is_needed:
                self.stance.need()
                self.notes.append("compiled: full steps ran eagerly, last bits may differ")
        elif not self.is_closed:
            self.is_closed = True
            self._end_hooks()
            self.observer = None
            self.notes.append("compiled: parameters alone are measured, layers are not opened")

    def abandon(self) -> None:
        """Give the step under way up."""
        self.is_active = False
        self.loss_watch.abandon()
        try:
            self.turns.abandon()
        finally:
            self._end_hooks()

    def _end_hooks(self) -> None:
        while self._handles:
            remove_whole(self._handles[-1])
            self._handles.pop()
        self.stance.release("full step")
        if self.observer is not None:
            self.observer.close()

    @contained
    def before_module(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Global forward pre-hook of a full step."""
        observer = self.observer
        if observer is None or self.guard.is_broken or is_traced() or not self._is_ours(observer, module):
            return
        with self.guard, torch._C.DisableTorchFunction():
            if is_transformed():
                observer.note_transformed(module)
            elif torch.is_grad_enabled():
                observer.before_module(module, args, is_resumed=self._pass is not None)
            elif observer.is_inside_root:
                observer.before_hidden_module(module, args)

    def _is_ours(self, observer: StepObserver, module: nn.Module) -> bool:
        """Whether a module's call belongs to this training; amid a backward pass only what is done again does.

        On a GPU that is done in a thread of autograd's, while the training's own waits for it.
        """
        if self._pass is not None:
            return observer.is_resumable(module)
        is_root = torch.is_grad_enabled() and id(module) in self.memory.root_ids
        is_here = self.thread.is_here(claims=is_root)
        if is_root and not is_here:
            self.leave_to_other_thread(module)
        return is_here

    def leave_to_other_thread(self, root: nn.Module) -> None:
        """Let the gradients of a root alone that another thread than the training's calls, and say so once."""
        self.parameters.elsewhere.update(id(parameter) for parameter in root.parameters())
        if OTHER_THREAD_NOTE not in self.notes:
            self.notes.append(OTHER_THREAD_NOTE)

    @contained
    def _after_module(self, module: nn.Module, args: tuple[Any, ...], *rest: Any) -> None:
        # After a forward that failed torch leaves the keyword arguments out, whatever was asked for.
        kwargs, output = rest if len(rest) == 2 else ({}, rest[0])
        observer = self.observer
        if observer is None or not observer.is_inside_root or not self._is_ours(observer, module):
            return
        with self.guard, torch._C.DisableTorchFunction():
            observer.after_module(module, args, kwargs, output)

    def before_backward(self, site: str, tensors: tuple[Tensor, ...], *, is_handed_back: bool = False) -> None:
        """A backward pass starts from these tensors: find the trunk.

        Args:
            site: Its call site.
            tensors: What it starts from.
            is_handed_back: Its gradients go to the script and are not added to those at the parameters.
        """
        self._pass = len(self._pass_sites)
        self._pass_sites[self._pass] = site
        self._look_at_loss(site, tensors, is_handed_back=is_handed_back)
        if self.collector.before_backward is not None:
            self.collector.before_backward(site, tensors)
        observer = self.observer
        node = next((tensor.grad_fn for tensor in tensors if tensor.grad_fn is not None), None)
        if observer is None or node is None or not observer.calls:
            return
        signature = signature_of(observer.calls)
        if signature not in self._trunks:
            self._trunks[signature] = plan_trunk(observer.calls, node)
        self._trunk = self._trunks[signature]

    def _look_at_loss(self, site: str, tensors: tuple[Tensor, ...], *, is_handed_back: bool) -> None:
        """Measure what the first backward of the step finds, and the targets of each."""
        with torch.no_grad(), torch._C.DisableTorchFunction():
            if self._pass == 0 and not is_handed_back:
                self.parameters.measure_stale()
            if len(tensors) == 1:
                find = self.observer.outputs.find if self.observer is not None else lambda node: None
                loss = self.scaling.unscale(tensors[0])
                self.loss_watch.before_backward(site, loss, self._is_weight, find)
                if self.loss_watch.is_hidden and HIDDEN_NOTE not in self.notes:
                    self.notes.append(HIDDEN_NOTE)

    def _is_weight(self, tensor: Any) -> bool:
        """Whether a leaf of the graph is a parameter of the run.

        Sharded weights are gathered into tensors of their own, so where any is sharded every leaf may be one.
        """
        watched = self.parameters.watched
        return id(tensor) in watched or any(is_sharded(known.tensor) for known in watched.values())

    def after_backward(self, backward_count: int, gradients: Pairs = ()) -> None:
        """A backward pass has ended: measure gradients before anybody clips them.

        Args:
            backward_count: Passes in this step so far. Gradients are measured from the pass on that was the last of
                the full step before: until then they are accumulated.
            gradients: Gradients that were handed to the script; empty where they are at the parameters.
        """
        if self._pass is None:
            return
        self._pass = None
        with self.guard:
            if self.collector.after_backward is not None:
                self.collector.after_backward(self.parameters.gradients(gradients))
            if self.observer is not None:
                self.observer.drop_nodes()
            if gradients or backward_count >= self._backwards_before:
                self.parameters.measure_gradients(self.scaling.scale, gradients)

    def finish(
        self,
        step: int,
        losses: LossBook,
        optimizers: Sequence[Optimizer],
        spent_seconds: Callable[[], float],
        hand_on: Callable[[Snapshot | None, LossEntries], None],
    ) -> None:
        """End the step: take its hooks away and hand its snapshot to the sink.

        On a GPU nothing waits for its numbers: the snapshot follows in a later step, when they have arrived. Figures of
        several processes are waited for.

        Args:
            step: Its index.
            losses: Its losses.
            optimizers: The run's optimizers.
            spent_seconds: Gives the time that measuring took in this step so far.
            hand_on: Called with the snapshot, None where another process writes it, and with the losses.
        """
        self._end_hooks()
        observer, backward_count = self.observer, losses.backward_count
        ending = Ending(self._material(step), list(losses.seen), observer, tuple(optimizers), hand_on)
        self._settle_or_send(ending, spent_seconds)
        self._backwards_before = max(backward_count, 1)
        if observer is not None:
            self.turns.look_for_loops(observer.calls, self.memory)
        self.observer, self.collector = None, Collector()
        self.is_active = False
        self.count += 1

    def _settle_or_send(self, ending: Ending, spent_seconds: Callable[[], float]) -> None:
        """Make the step's snapshot now, or have its numbers copied behind the training and make it then."""
        shares, turn = judge_units(ending.material), self.turns.end()
        known, loss_tensors = tensors_of(ending.material, shares), ending.loss_tensors()
        found = turn.findings.tensors if turn is not None else ()
        tensors = [*known, *loss_tensors, *found]
        if self.share is None and self.settling.is_behind(tensors):
            seconds, count = spent_seconds(), len(known) + len(loss_tensors)

            def settle(values: NDArray[np.float64]) -> None:
                numbers = Numbers(known, values[: len(known)].tolist())
                snapshot, losses = ending.build(shares, numbers, values[len(known) : count].tolist())
                snapshot = snapshot if turn is None else turn.read(snapshot, values[count:])
                self._describe_step(ending, snapshot, trunk_with_joins(ending.material.trunk, snapshot))
                self._hand_on(ending, replace(snapshot, measuring_seconds=seconds), losses)

            self.settling.send(tensors, settle)
            return
        snapshot, losses = ending.build(shares, Numbers(known))
        snapshot = snapshot if turn is None else turn.read(snapshot, CopyBehind(found).elements())
        self._trunk = trunk_with_joins(self._trunk, snapshot)
        self._describe_step(ending, snapshot, self._trunk)
        has_loss = bool(ending.entries)
        shared = snapshot if self.share is None else self.share(snapshot, ending.material, has_loss=has_loss)
        if shared is not None:
            shared = replace(shared, measuring_seconds=spent_seconds())
        self._hand_on(ending, shared, losses)

    def _hand_on(self, ending: Ending, snapshot: Snapshot | None, losses: LossEntries) -> None:
        if snapshot is not None:
            self.latest.snapshot = snapshot
            self.sink.add_snapshot(snapshot)
        ending.hand_on(snapshot, losses)

    def _describe_step(self, ending: Ending, snapshot: Snapshot, trunk: Sequence[TrunkEntry]) -> None:
        self._note_gradients(snapshot)
        if (fact := self.loss_watch.take_fact()) is not None:
            self.sink.add_facts({"loss_path": fact})
        self._describe(ending.observer, trunk, [stats.layer for stats in snapshot.layers], ending.optimizers)

    def _note_gradients(self, snapshot: Snapshot) -> None:
        """Remember which layers a gradient ever came to: one that is skipped now and then was seen all the same."""
        for stats in snapshot.layers:
            if stats.output_gradient_norm is not None or stats.gradient_nonfinite_count:
                self._with_gradient.add(stats.layer)
            else:
                self._without_gradient.add(stats.layer)

    def _material(self, step: int) -> StepMaterial:
        observer = self.observer
        last_site = self._pass_sites[max(self._pass_sites)] if self._pass_sites else ""
        return StepMaterial(
            step=step,
            calls=observer.calls if observer is not None else (),
            passes=frozenset(number for number, site in self._pass_sites.items() if site == last_site),
            trunk=self._trunk if observer is not None else (),
            windows=self.memory.windows if observer is not None else {},
            watched=self.parameters.watched,
            measured=self.parameters.found,
            inputs=observer.input_stats if observer is not None else None,
            loss=None,
            targets=self.loss_watch.end(),
            stale_norm=self.parameters.stale_norm,
        )

    def _describe(
        self,
        observer: StepObserver | None,
        trunk: Sequence[TrunkEntry],
        present: list[str],
        optimizers: Sequence[Optimizer],
    ) -> None:
        for entry in trunk:
            if entry.is_join:
                self.memory.layers.setdefault(entry.layer, join_layer(entry))
        known = (len(self.memory.layers), len(self.parameters.watched), len(optimizers))
        if known == self._known:
            return
        self._known = known
        if observer is not None:
            self.latest.layers = tuple(observer.ordered_layers(trunk, present))
        self.latest.parameters = tuple(self.parameters.describe(optimizers, self.memory.layers.values()))
        self.sink.rename_parameters(self.parameters.take_renamed())
        self.sink.add_layers(self.latest.layers)
        self.sink.add_parameters(self.latest.parameters)
        self.sink.set_coverage(self.coverage())
        self.sink.add_facts({"optimizers": describe_optimizers(optimizers)})
        if observer is not None and observer.input_stats is not None:
            self.sink.add_facts({"batch_size": observer.input_stats.batch_size})

    def coverage(self) -> Coverage:
        """What has been seen so far."""
        return describe_coverage(
            self.memory.modules.values(),
            self.memory.layers,
            self._without_gradient - self._with_gradient,
            self.memory.hidden,
            self.notes,
            is_closed=self.is_closed,
        )
