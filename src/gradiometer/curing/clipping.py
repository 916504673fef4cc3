"""Clip the gradient's norm.

What it changes:
    Before every step of this optimizer the gradients of all its parameters together are scaled down to a norm of
    `max_norm` where they exceed it; their direction stays. Without a number the norm is chosen: the median of the
    diagnosed run's healthy total norms, and under plain gradient descent no more than moves the weights by 1 % a step.

When it helps:
    Exploding gradients, and single batches whose gradient throws the weights far away. It does not help where the
    gradient is NaN already, and it can't bring back what has vanished.

What it costs:
    One norm of all gradients per step, and a reading of it.

Source:
    Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks", ICML 2013, algorithm 1 (which
    finds anything between half and ten times the average norm to work).
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch.optim import LBFGS, SGD, Optimizer

from gradiometer.curing.cure import Labelled, Moment, Patient, Placement
from gradiometer.errors import CureRefusedError, SettingsError
from gradiometer.schema import FloatArray, Run
from gradiometer.units import format_setting

HEALTHY_FACTOR = 10.0
"""A total norm counts as healthy up to this many times the run's lower quartile: Pascanu's own upper bound."""

GREATEST_UPDATE = 0.01
"""Share of the weights' norm that a chosen bound lets plain descent move in a step, ten times the usual 1e-3."""

FALLBACK_NORM = 1.0
"""Where neither a run nor the weights tell: the value most scripts use."""


@dataclass(frozen=True, slots=True)
class ClipGradients(Labelled):
    """Bound the norm of all gradients together.

    Attributes:
        max_norm: The bound; None to have it chosen.
    """

    name: ClassVar[str] = "clip_gradients"
    moment: ClassVar[Moment] = "first_forward"
    placement: ClassVar[Placement] = "after_optimizer"

    max_norm: float | None = None

    @classmethod
    def parse(cls, setting: str) -> "ClipGradients":
        """Read the norm; empty leaves it to be chosen.

        Raises:
            SettingsError: It is not a number above 0.
        """
        if not setting:
            return cls()
        try:
            max_norm = float(setting)
        except ValueError:
            max_norm = 0.0
        if not 0.0 < max_norm < math.inf:
            raise SettingsError(f"clip_gradients:{setting} is not understood; write a norm above 0, as in :1.0")
        return cls(max_norm)

    @property
    def setting(self) -> str | None:
        """As it is written behind the name."""
        return None if self.max_norm is None else format_setting(self.max_norm)

    def apply(self, patient: Patient) -> str:
        """Register the clipping before every step of this optimizer."""
        if patient.optimizer is None:
            raise CureRefusedError("gradients can be clipped only once the optimizer is constructed")
        if isinstance(patient.optimizer, LBFGS):
            raise CureRefusedError("LBFGS computes its gradients inside the step, where they can't be clipped")
        max_norm = self._bound(patient)

        def clip(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, max_norm)

        patient.optimizer.register_step_pre_hook(clip)
        return f"gradients are clipped to a total norm of {max_norm:g} before every step"

    def _bound(self, patient: Patient) -> float:
        return chosen_norm(patient) if self.max_norm is None else self.max_norm

    def snippet(self, patient: Patient) -> str:
        """The same hook, to be registered after the optimizer is made."""
        return (
            "import torch\n\n\n"
            "def clip_gradients(optimizer, args, kwargs):\n"
            '    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]\n'
            f"    torch.nn.utils.clip_grad_norm_(parameters, {self._bound(patient)!r})\n\n\n"
            "optimizer.register_step_pre_hook(clip_gradients)\n"
        )


def chosen_norm(patient: Patient) -> float:
    """The bound that suits a run.

    Returns:
        The smaller of the median healthy total norm and, under plain SGD, of the norm that moves all weights by
        `GREATEST_UPDATE`; `FALLBACK_NORM` where neither is known. Two digits, so that it reads well in a script.
    """
    candidates = []
    if patient.run is not None:
        healthy = healthy_norms(patient.run)
        candidates += [float(np.median(healthy))] if len(healthy) else []
    if type(patient.optimizer) is SGD and patient.optimizer is not None:
        groups = patient.optimizer.param_groups
        rate = max(float(group["lr"]) for group in groups)
        parameters = [parameter.detach() for group in groups for parameter in group["params"]]
        weight_norm = math.sqrt(sum(float(parameter.double().square().sum()) for parameter in parameters))
        candidates += [GREATEST_UPDATE * weight_norm / rate] if rate > 0.0 else []
    usable = [norm for norm in candidates if 0.0 < norm < math.inf]
    return float(f"{min(usable):.2g}") if usable else FALLBACK_NORM


def healthy_norms(run: Run) -> FloatArray:
    """Total gradient norms of a run that are finite, above zero and not far above the rest, one per measured step."""
    every_step = run.step_columns.get("total_norm", np.zeros(0))
    norms = every_step if np.isfinite(every_step).any() else _snapshot_norms(run)
    usable = norms[np.isfinite(norms) & (norms > 0.0)]
    if not len(usable):
        return usable
    return np.asarray(usable[usable <= HEALTHY_FACTOR * np.quantile(usable, 0.25)])


def _snapshot_norms(run: Run) -> FloatArray:
    """Total norm of each full measurement, from every parameter's gradient RMS."""
    if not run.snapshot_count or "gradient_rms" not in run.parameter_columns:
        return np.zeros(0)
    counts = np.array([parameter.element_count for parameter in run.parameters], dtype=np.float64)
    return np.asarray(np.sqrt(np.nansum(run.parameter_column("gradient_rms") ** 2 * counts, axis=1)))
