"""Finds out about an unchanged script: its optimizers as they are made, its roots as they are called.

Torch has a global hook for every call of a module and none for `torch.compile`, which is wrapped while a script runs;
so is the making of optimizers (`making`). The global hooks on modules are taken away again when the roots own all that
the optimizers hold, so that they cost nothing later; a trial keeps them, for it follows every forward of a root.
"""

import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from gradiometer.launching.callers import keywords_of_call, path_inside, variable_name
from gradiometer.launching.compiled_roots import CompiledRoots
from gradiometer.launching.making import OptimizerMaking
from gradiometer.launching.succession import Succession
from gradiometer.launching.treatment import Treatment
from gradiometer.measuring.backward import Pairs, start_listening, stop_listening
from gradiometer.measuring.compiled import CompileWatch
from gradiometer.measuring.guarding import call_site, is_traced
from gradiometer.measuring.parameters import members
from gradiometer.measuring.ranks import unwrapped
from gradiometer.measuring.ranks_shards import is_sharded
from gradiometer.schema import Event
from gradiometer.session import Session

SETTLING_STEPS = 50
"""Steps after which the search for roots ends although the optimizers hold more than the roots own."""

EAGER_STEPS = 2
"""The same where compiled code runs eagerly as long as the search goes on; these steps are measured in full anyway."""

OTHERS_NOTE = "optimizers that threads beside the training's made are not watched"


class Discovery:
    """Watches a script for its optimizers and roots and hands them to the session's probe.

    Args:
        session: Where they are measured.
        treatment: What a trial does to them, None where nothing.
        when_succeeded: Called when another training has begun (`Succession`); what it raises goes to the script.
        owner: A module that holds everything that is trained, by whose paths roots are named, where the probe was told
            of all optimizers: a trainer's module, of which maybe only parts are called. None for a script, whose
            optimizers are found.
    """

    def __init__(
        self,
        session: Session,
        treatment: Treatment | None = None,
        when_succeeded: Callable[[], None] | None = None,
        owner: nn.Module | None = None,
    ) -> None:
        self.session = session
        self.probe = session.probe
        self.treatment = treatment
        self.owner = owner
        self.forward_count = 0
        self._outermost: nn.Module | None = None
        self._is_settled = False
        self._has_late_pass = False
        self._is_inside = False
        self._making = OptimizerMaking(treatment, self._constructed)
        self._maker: int | None = None
        self._handles: list[RemovableHandle] = []
        self._entry: RemovableHandle | None = None
        self._compiling = CompileWatch(self._meet_compiled, self._follow_compiled)
        self._compiled_roots: CompiledRoots | None = None
        self._when_succeeded = when_succeeded
        self._succession = Succession(self.probe, self.join, self._succeed)

    def start(self) -> None:
        """Wrap the making of optimizers, where they are not known, and hook the calls of modules."""
        if self.owner is None:
            self._making.start()
        self._hook()
        if self.treatment is not None:
            self._move_behind()
            self.probe.full_step.when_hooked = self._move_behind
        start_listening(self)
        self.probe.prepare()
        self._succession.start()
        self._compiling.start()

    def stop(self) -> None:
        """Take all of it away."""
        stop_listening(self)
        self._compiling.stop()
        if self._compiled_roots is not None:
            self._compiled_roots.stop()
        self._succession.stop()
        self._making.stop()
        self._unhook()
        if self._entry is not None:
            self._entry.remove()

    def before_backward(self, tensors: tuple[Tensor, ...]) -> None:
        """Attach the probe at the latest when a gradient is asked for: an optimizer may hold bare tensors only."""
        if self._attach_late():
            self.probe.before_backward(tensors)

    def before_gradients(self, tensors: tuple[Tensor, ...]) -> None:
        """The same where the script is handed the gradients."""
        if self._attach_late():
            self.probe.before_gradients(tensors)

    def _attach_late(self) -> bool:
        """Attach the probe where no root has been called; whether it has to be told of the pass under way."""
        with self._sheltered():
            if self.probe.optimizers and not self.probe.is_attached and not self.probe.guard.is_broken:
                if not self.probe.roots:
                    self._adopt_owner()
                self.probe.attach()
                self.session.describe()
                self._has_late_pass = True
                return True
            if not self._has_late_pass:
                stop_listening(self)
        return False

    def wants_gradients_of(self, inputs: Sequence[Tensor]) -> bool:
        """Whether `torch.autograd.grad` for these is the training's backward pass, amid which to attach the probe."""
        with self._sheltered():
            if self.probe.is_attached:
                stop_listening(self)
                return False
            held = self._held()
            return 2 * sum(id(tensor) in held for tensor in inputs) > len(inputs)
        return False

    def _adopt_owner(self) -> None:
        """Take the smallest module that owns all that is optimized for the root: no forward was watched."""
        held = self._held()
        alive = [thing for thing in gc.get_objects() if issubclass(type(thing), nn.Module)]
        owners = [module for module in alive if held <= {id(parameter) for parameter in module.parameters()}]
        if owners:
            self.probe.watch_root(min(owners, key=lambda module: sum(1 for _ in module.modules())))

    def _meet_compiled(self) -> None:
        """The script is about to compile: no module hook may be there when that runs, or, opened, it runs eagerly."""
        if not self.probe.full_step.opens_compiled:
            self._is_settled = True
            self._unhook()
            if self._entry is not None:
                self._entry.remove()
                self._entry = None
        self.probe.meet_compiled()

    def _follow_compiled(self, made: Any) -> None:
        """Have the treatment meet what the script has compiled; opened, it is met as any other model is."""
        if self.treatment is None or self.probe.full_step.opens_compiled:
            return
        if self._compiled_roots is None:
            treatment = self.treatment
            self._compiled_roots = CompiledRoots(
                self._meet_compiled_root, treatment.enter_forward, treatment.leave_forward
            )
        self._compiled_roots.follow(made)

    def _meet_compiled_root(self, root: nn.Module, inputs: tuple[Any, ...]) -> None:
        name = self._name_of(root)
        if self.treatment is not None:
            with self._making.treating():
                self.treatment.before_first_forward(root, name, tuple(self.probe.optimizers), inputs)
        with self._sheltered():
            if not self.probe.is_attached and not self.probe.guard.is_broken:
                self.probe.watch_root(root, name)
                self.probe.attach()
                self.session.describe()

    def after_backward(self) -> None:
        """Tell the probe of the pass amid which it was attached."""
        if self._has_late_pass:
            self._has_late_pass = False
            self.probe.after_backward()
            with self._sheltered():
                stop_listening(self)

    def after_gradients(self, gradients: Pairs) -> None:
        """The same where they were handed to the script."""
        if self._has_late_pass:
            self._has_late_pass = False
            self.probe.after_gradients(gradients)
            with self._sheltered():
                stop_listening(self)

    def _hook(self) -> None:
        if not self._handles and not self.probe.full_step.is_closed:
            self.probe.full_step.stance.hold("search")
            self._handles = [
                register_module_forward_pre_hook(self._before_module),
                register_module_forward_hook(self._after_module, always_call=True),
            ]

    def _unhook(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self.probe.full_step.stance.release("search")

    def _constructed(self, optimizer: Optimizer) -> None:
        with self._sheltered():
            if self._is_anothers():
                return
            if not self.probe.optimizer_count:
                self.session.writer.add_facts({"optimizer_site": call_site(3)})
            if not self._succession.takes(optimizer):
                self.join(optimizer)

    def _is_anothers(self) -> bool:
        """Whether an optimizer is made in a thread beside that of the first: it belongs to a training of its own.

        To look at what that one trains would be a race with autograd's engine, which runs without Python's lock.
        """
        here = threading.get_ident()
        if all(thread.ident != self._maker for thread in threading.enumerate()):
            self._maker = here
        if self._maker == here:
            return False
        if OTHERS_NOTE not in self.probe.full_step.notes:
            self.probe.full_step.notes.append(OTHERS_NOTE)
        return True

    def join(self, optimizer: Optimizer) -> None:
        """Take in an optimizer that belongs to the training; what it holds may be a further root's."""
        self.probe.watch_optimizer(optimizer)
        self._is_settled = self.probe.full_step.is_closed
        self._hook()

    def _succeed(self) -> None:
        """Another training has begun: measure no more."""
        with self._sheltered():
            text = f"another training began after step {self.probe.step}, this run holds the first"
            self.probe.full_step.notes.append(text)
            self.session.writer.add_event(Event(self.probe.step, "note", f"{text} ({call_site(3)})"))
            self.probe.rest()
            self._is_settled = True
            self._unhook()
        if self._when_succeeded is not None:
            self._when_succeeded()

    @contextmanager
    def _sheltered(self) -> Iterator[None]:
        """Keep a fault of the search out of the script; it ends the measuring."""
        try:
            yield
        except Exception as error:
            self.probe.guard.fail(error)

    def _before_module(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if self._outermost is None or not self.probe.thread.is_here():
            with self._sheltered():
                if not is_traced():
                    self._look_at(module, args)

    def _look_at(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """A module is called that no root's forward called: it may be a root, known or new."""
        is_known = id(unwrapped(module)) in self.probe.full_step.memory.root_ids
        if is_known and self.treatment is not None and self.probe.thread.is_here():
            self._outermost = module
            return
        self.forward_count += 1
        if self._is_settled or not torch.is_grad_enabled() or not self._may_be_root(module):
            return
        # Where no optimizer is known yet, a forward may be a trial run before the training, in any thread.
        if not self.probe.thread.is_here(claims=bool(self.probe.optimizers)):
            self.probe.full_step.leave_to_other_thread(module)
            return
        self._outermost = module
        if not is_known:
            self._adopt(module, args)

    def _adopt(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        probe = self.probe
        name = self._name_of(module)
        if self.treatment is not None:
            with self._making.treating():
                inputs = (*args, *keywords_of_call(module).values())
                self.treatment.before_first_forward(module, name, tuple(probe.optimizers), inputs)
        probe.watch_root(module, name)
        if not probe.is_attached and not probe.guard.is_broken:
            probe.attach()
            self.session.describe()
            # The probe's own hook was set amid this call, too late to be told of it.
            if unwrapped(module) is module:
                probe.full_step.before_module(module, args)
                probe.batches.note(module, args, {})

    def _enter_forward(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Global pre-hook of a treatment; kept behind the probe's, so that measuring sees what the cure has made."""
        if module is self._outermost and not self._is_inside and self.treatment is not None:
            self._is_inside = True
            self.treatment.enter_forward(module, args)

    def _after_module(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if module is not self._outermost:
            return
        self._outermost = None
        if self._is_inside and self.treatment is not None:
            self._is_inside = False
            self.treatment.leave_forward(output)
        if self.probe.step > 0 and not self._is_settled:
            with self._sheltered():
                self._settle()

    def _stay_out(self) -> None:
        """Take the treatment's pre-hook away for good."""
        self.probe.full_step.when_hooked = None
        if self._entry is not None:
            self._entry.remove()
            self._entry = None

    def _move_behind(self) -> None:
        """Set the treatment's pre-hook anew, behind those that the probe has just set."""
        if self._entry is not None:
            self._entry.remove()
        self._entry = register_module_forward_pre_hook(self._enter_forward)

    def _settle(self) -> None:
        """End the search when the roots own all that the optimizers hold, or nothing more is to be expected."""
        owned = {id(parameter) for root in self.probe.roots.values() for parameter in root.parameters()}
        # A sharded parameter is not in its module while that runs: another tensor, put together, stands for it.
        optimized = [tensor for optimizer in self.probe.optimizers for _, tensor in members(optimizer)]
        missing = {id(tensor) for tensor in optimized if not is_sharded(tensor)} - owned
        is_eager = self.probe.full_step.stance.is_needed
        if missing and self.probe.step < (EAGER_STEPS if is_eager else SETTLING_STEPS):
            return
        self._is_settled = True
        self.session.describe()
        if missing:
            self.probe.full_step.notes.append(f"{len(missing)} optimized tensors belong to no module that was called")
        if self.treatment is None or not self.treatment.follows_forwards():
            self._unhook()
            self._stay_out()

    def _held(self) -> set[int]:
        """Identities of all tensors that the optimizers hold."""
        return {id(tensor) for optimizer in self.probe.optimizers for _, tensor in members(optimizer)}

    def _may_be_root(self, module: nn.Module) -> bool:
        """Whether a module that nobody's forward called owns something that is trained."""
        held = self._held()
        if held or self.probe.optimizer_count:
            return any(id(parameter) in held for parameter in module.parameters())
        return any(parameter.requires_grad for parameter in module.parameters())

    def _name_of(self, module: nn.Module) -> str:
        """Prefix of a root's layer names: none where it owns all that is trained, else the script's name for it."""
        held = self._held()
        owned = {id(parameter) for parameter in module.parameters()}
        is_whole = held <= owned if self.owner is None else unwrapped(module) is self.owner
        if is_whole and not self.probe.roots:
            return ""
        name = path_inside(self.owner, unwrapped(module)) or variable_name(module) or type(module).__name__.lower()
        taken = self.probe.roots.keys()
        return name if name not in taken else next(f"{name}{k}" for k in range(2, 10**6) if f"{name}{k}" not in taken)
