"""Warm the learning rate up.

What it changes:
    In the first steps of this optimizer the learning rate of every group is a share of what the script or its scheduler
    has set: 1/STEPS in the first step, 2/STEPS in the second, all of it from step STEPS on. The rate is scaled when a
    step begins and put back when it ends, so that schedulers neither see it nor undo it. Without a number STEPS is a
    twentieth of the diagnosed run's steps, at least 10.

When it helps:
    A rate that the network bears later but not at its start: large first gradients, an adaptive optimizer whose
    estimates rest on a few batches, layers whose scale first has to settle. Where the rate is too high for good,
    the loss is thrown up as soon as the warm-up ends.

What it costs:
    The progress that the first steps would have made.

Source:
    Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", 2017, section 2.2 (gradual warm-up);
    Gilmer et al., "A loss curvature perspective on training instability in deep learning", 2021, for why it helps.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor
from torch.optim import Optimizer

from gradiometer.curing.cure import Labelled, Moment, Patient, Placement
from gradiometer.errors import CureRefusedError, SettingsError

RUN_SHARE = 0.05
"""Share of the diagnosed run's steps that a chosen warm-up takes."""

LEAST_STEPS, USUAL_STEPS = 10, 100
"""Fewest steps of a chosen warm-up, and how many it has where there is no run."""


@dataclass(frozen=True, slots=True)
class WarmUpLearningRate(Labelled):
    """Raise the rate linearly over the first steps.

    Attributes:
        steps: Step from which on the rate is the script's own; None to have it chosen.
    """

    name: ClassVar[str] = "warm_up_learning_rate"
    moment: ClassVar[Moment] = "first_forward"
    placement: ClassVar[Placement] = "after_optimizer"

    steps: int | None = None

    @classmethod
    def parse(cls, setting: str) -> "WarmUpLearningRate":
        """Read the number of steps; empty leaves it to be chosen.

        Raises:
            SettingsError: It is no whole number above 1.
        """
        if not setting:
            return cls()
        if not (setting.isascii() and setting.isdigit()) or int(setting) < 2:
            raise SettingsError(f"{cls.name}:{setting} is not understood; write a number of steps above 1, as in :100")
        return cls(int(setting))

    @property
    def setting(self) -> str | None:
        """As it is written behind the name."""
        return None if self.steps is None else str(self.steps)

    def apply(self, patient: Patient) -> str:
        """Register the scaling before every step of this optimizer, and its undoing after it."""
        optimizer, steps = self._checked(patient), self._steps(patient)
        ramp = Ramp(steps)
        optimizer.register_step_pre_hook(ramp.lower)
        optimizer.register_step_post_hook(ramp.restore)
        return f"the learning rate rises to its full value over the first {steps} steps"

    def _checked(self, patient: Patient) -> Optimizer:
        """The optimizer, where its rate can be scaled."""
        optimizer = patient.optimizer
        if optimizer is None:
            raise CureRefusedError("the learning rate can be warmed up only once the optimizer is constructed")
        if any("lr" not in group for group in optimizer.param_groups):
            raise CureRefusedError(f"{type(optimizer).__name__} has no learning rate in its parameter groups")
        return optimizer

    def _steps(self, patient: Patient) -> int:
        if self.steps is not None:
            return self.steps
        if patient.run is None:
            return USUAL_STEPS
        return max(LEAST_STEPS, round(RUN_SHARE * patient.run.step_count))

    def snippet(self, patient: Patient) -> str:
        """Two hooks on the optimizer; a rate that is a tensor is scaled in place."""
        has_tensors = any(isinstance(group["lr"], Tensor) for group in self._checked(patient).param_groups)
        if has_tensors:
            keep = '[float(group["lr"]) for group in optimizer.param_groups]'
            write = 'group["lr"].fill_({})'
        else:
            keep, write = '[group["lr"] for group in optimizer.param_groups]', 'group["lr"] = {}'
        pairs = "    for group, rate in zip(optimizer.param_groups, kept_rates):\n"
        return (
            f"warm_up_steps = {self._steps(patient)}\nsteps_taken = 0\nkept_rates = []\n\n\n"
            "def lower_rate(optimizer, args, kwargs):\n"
            "    global steps_taken\n"
            "    steps_taken += 1\n"
            f"    kept_rates[:] = {keep}\n"
            "    share = min(1.0, steps_taken / warm_up_steps)\n"
            f"{pairs}        {write.format('rate * share')}\n\n\n"
            f"def restore_rate(optimizer, args, kwargs):\n{pairs}        {write.format('rate')}\n\n\n"
            "optimizer.register_step_pre_hook(lower_rate)\noptimizer.register_step_post_hook(restore_rate)\n"
        )


class Ramp:
    """Scales an optimizer's rates during its steps.

    Args:
        steps: Step from which on nothing is scaled.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self._taken = 0
        self._kept: list[float] = []

    def lower(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A step begins: keep the rates and scale them."""
        self._taken += 1
        self._kept = [float(group["lr"]) for group in optimizer.param_groups]
        share = min(1.0, self._taken / self.steps)
        self._write(optimizer, [rate * share for rate in self._kept])

    def restore(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """It has ended: put the rates back."""
        self._write(optimizer, self._kept)

    def _write(self, optimizer: Optimizer, rates: list[float]) -> None:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
