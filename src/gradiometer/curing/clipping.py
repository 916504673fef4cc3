"""Clip the gradient.

What it changes:
    Before every step of this optimizer, and after whatever the script does to its gradients, they are bounded in one
    of three ways. `clip_gradients:1.0`: all of them together are scaled down to a norm of 1.0 where they exceed it;
    their direction stays. Without a number the norm is chosen: the median of the diagnosed run's healthy total norms,
    and under plain gradient descent no more than moves the weights by 1 % a step. `clip_gradients:value=0.5`: every
    single number is kept between -0.5 and 0.5. `clip_gradients:adaptive=0.01`: the gradient of each unit (a row of a
    matrix, a filter) is scaled down to 1 % of the norm of that unit's own weights; the output layer is left out.

When it helps:
    Exploding gradients, and single batches whose gradient throws the weights far away. The adaptive bound suits
    networks whose layers differ in scale, and residual networks without normalisation. None of them helps where the
    gradient is NaN already, and none can bring back what has vanished.

What it costs:
    One norm of all gradients per step, or one of each unit's gradient and weights. Clipping single values turns the
    gradient's direction.

Source:
    Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks", ICML 2013, algorithm 1 (which
    finds anything between half and ten times the average norm to work). Brock, De, Smith, Simonyan, "High-performance
    large-scale image recognition without normalization", ICML 2021, section 4.1, for the adaptive bound; vectors
    such as biases count as one unit, as in the authors' code.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from torch.optim import LBFGS, SGD

from gradiometer.curing.cure import Labelled, Moment, Patient, Placement
from gradiometer.curing.gradient_bounds import Bound, NormBound, UnitBound, ValueBound, traits_of
from gradiometer.errors import CureRefusedError, SettingsError
from gradiometer.schema import FloatArray, Run
from gradiometer.units import format_setting

HEALTHY_FACTOR = 10.0
"""A total norm counts as healthy up to this many times the run's lower quartile: Pascanu's own upper bound."""

GREATEST_UPDATE = 0.01
"""Share of the weights' norm that a chosen bound lets plain descent move in a step, ten times the usual 1e-3."""

FALLBACK_NORM = 1.0
"""Where neither a run nor the weights tell: the value most scripts use."""

UNIT_SHARE = 0.01
"""Share of a unit's norm that its gradient may have: the value of the paper for its smaller batches."""

ClipKind = Literal["norm", "value", "adaptive"]


@dataclass(frozen=True, slots=True)
class ClipGradients(Labelled):
    """Bound the gradients before every step.

    Attributes:
        kind: What is bounded: the norm of all together, every single value, or each unit's share of its weights.
        bound: The bound; None for the chosen norm, or the usual share.
    """

    name: ClassVar[str] = "clip_gradients"
    moment: ClassVar[Moment] = "first_forward"
    placement: ClassVar[Placement] = "after_optimizer"

    kind: ClipKind = "norm"
    bound: float | None = None

    @classmethod
    def parse(cls, setting: str) -> "ClipGradients":
        """Read `1.0` (a norm), `value=0.5`, `adaptive` or `adaptive=0.01`; empty leaves a norm to be chosen.

        Raises:
            SettingsError: It is none of these, or not above 0.
        """
        if not setting:
            return cls()
        if setting == "adaptive":
            return cls("adaptive")
        word, equals, number = setting.partition("=")
        kinds: dict[str, ClipKind] = {"value": "value", "adaptive": "adaptive"}
        kind: ClipKind | None = kinds.get(word) if equals else "norm"
        try:
            bound = float(number if equals else setting)
        except ValueError:
            bound = 0.0
        if kind is None or not 0.0 < bound < math.inf:
            raise SettingsError(
                f"clip_gradients:{setting} is not understood; write a norm above 0, as in :1.0, or :value=0.5, or "
                ":adaptive=0.01"
            )
        return cls(kind, bound)

    @property
    def setting(self) -> str | None:
        """As it is written behind the name."""
        number = None if self.bound is None else format_setting(self.bound)
        if self.kind == "norm":
            return number
        return self.kind if number is None else f"{self.kind}={number}"

    def apply(self, patient: Patient) -> str:
        """Register the clipping before every step of this optimizer."""
        bound = self._bound(patient)
        assert patient.optimizer is not None
        patient.optimizer.register_step_pre_hook(bound)
        return bound.words

    def _bound(self, patient: Patient) -> Bound:
        """What will be registered.

        Raises:
            CureRefusedError: There is no optimizer yet, or no moment at which its gradients could be clipped.
        """
        if patient.optimizer is None:
            raise CureRefusedError("gradients can be clipped only once the optimizer is constructed")
        if isinstance(patient.optimizer, LBFGS):
            raise CureRefusedError("LBFGS computes its gradients inside the step, where they can't be clipped")
        if self.kind == "norm":
            greatest = chosen_norm(patient) if self.bound is None else self.bound
            return NormBound(greatest, traits_of(patient))
        if self.kind == "value":
            assert self.bound is not None
            return ValueBound(self.bound, traits_of(patient))
        return UnitBound(UNIT_SHARE if self.bound is None else self.bound, traits_of(patient))

    def snippet(self, patient: Patient) -> str:
        """The same hook, to be registered after the optimizer is made."""
        return self._bound(patient).code


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
