"""Zero the gradients after every step.

What it changes:
    After every step of this optimizer the gradients of its parameters are dropped, as `optimizer.zero_grad()` does.
    For scripts that never do it: PyTorch adds each backward pass to what is there. Gradients gathered over several
    backward passes before a step are left whole.

When it helps:
    Gradients that are never zeroed grow without end: every step goes along the sum of all gradients so far, the
    updates grow with the number of steps, and the training swings ever wider or diverges.

What it costs:
    Nothing. Code of the script that reads `parameter.grad` after the step finds None there.

Source:
    PyTorch's documentation of `torch.optim.Optimizer.zero_grad`.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch.optim import LBFGS, Optimizer

from gradiometer.curing.cure import Moment, Patient, Placement, WithoutSetting
from gradiometer.diagnosing.accumulating import stale_shares
from gradiometer.errors import CureRefusedError

LEAST_SHARE = 0.1
"""Share of a step's gradient that is left over from earlier ones, from which on the condition counts it."""


@dataclass(frozen=True, slots=True)
class ZeroGradients(WithoutSetting):
    """Drop the gradients after each step."""

    name: ClassVar[str] = "zero_gradients"
    moment: ClassVar[Moment] = "first_forward"
    placement: ClassVar[Placement] = "after_optimizer"

    def apply(self, patient: Patient) -> str:
        """Register the zeroing after every step of this optimizer."""
        self._checked(patient).register_step_post_hook(zero)
        return "gradients are zeroed after every step"

    def _checked(self, patient: Patient) -> Optimizer:
        """The optimizer, where its gradients are not zeroed anyway."""
        if patient.optimizer is None:
            raise CureRefusedError("gradients can be zeroed only once the optimizer is constructed")
        if isinstance(patient.optimizer, LBFGS):
            raise CureRefusedError("LBFGS runs the script's closure several times a step; zero the gradients in there")
        if patient.run is not None and not (np.nan_to_num(stale_shares(patient.run)) >= LEAST_SHARE).any():
            raise CureRefusedError("the script zeroes its gradients already")
        return patient.optimizer

    def snippet(self, patient: Patient) -> str:
        """One hook on the optimizer."""
        self._checked(patient)
        return (
            "def zero_gradients(optimizer, args, kwargs):\n    optimizer.zero_grad()\n\n\n"
            "optimizer.register_step_post_hook(zero_gradients)\n"
        )


def zero(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Drop the gradients of all that an optimizer holds."""
    optimizer.zero_grad()
