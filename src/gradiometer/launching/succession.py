"""A script that trains again: one model after another, each with an optimizer of its own.

A search over hyper-parameters, a cross-validation or a federated round makes a new model and a new optimizer and trains
them as it trained the last. That is another training, not more of the first: its loss starts anew, and its layers are
other ones under the same names. A run holds one training, the first; from the next on, nothing is measured, and none
of the models that come is kept alive.
"""

import weakref
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from gradiometer.measuring.parameters import members
from gradiometer.measuring.probe import Probe

TELLING_STEPS = 3
"""Steps that optimizers made later take among themselves before theirs counts as another training."""


class Succession:
    """Sets optimizers apart that are made amid a training and hold nothing of it, and tells what they are.

    Where they step by turns with those of the training, they belong to it: a part that was added late. Where they
    step alone, another training has begun.

    Args:
        probe: What measures the training.
        when_joined: Called with an optimizer that belongs to the training after all.
        when_succeeded: Called once, when another training has begun; what it raises goes to the script.
    """

    def __init__(
        self, probe: Probe, when_joined: Callable[[Optimizer], None], when_succeeded: Callable[[], None]
    ) -> None:
        self.probe = probe
        self.when_joined = when_joined
        self.when_succeeded = when_succeeded
        self.is_over = False
        self._apart: list[weakref.ref[Optimizer]] = []
        self._steps_apart = 0
        self._handle: RemovableHandle | None = None

    def takes(self, optimizer: Optimizer) -> bool:
        """Whether a new optimizer is set apart: a training is under way, and it holds nothing of it."""
        if self.is_over:
            return True
        known = self.probe.parameters.watched
        if self.probe.step == 0 or any(id(tensor) in known for _, tensor in members(optimizer)):
            return False
        self._apart.append(weakref.ref(optimizer))
        return True

    def start(self) -> None:
        """Look at the steps of all optimizers from now on."""
        self._handle = register_optimizer_step_pre_hook(self._before_update)

    def stop(self) -> None:
        """Look at no further steps; not to be called amid one."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def _before_update(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if not self._apart or not self.probe.is_my_thread():
            return
        waiting = [known for reference in self._apart if (known := reference()) is not None]
        if any(optimizer is known for known in waiting):
            self._steps_apart += 1
            if self._steps_apart == TELLING_STEPS:
                self.is_over = True
                self._apart = []
                self.when_succeeded()
        elif self._steps_apart and any(optimizer is known for known in self.probe.optimizers):
            self._apart = []
            self._steps_apart = 0
            for known in waiting:
                self.when_joined(known)
