"""Scale the output to the targets.

What it changes:
    What the model gives is multiplied by the targets' spread and moved to their mean, so that its layers work at unit
    scale, whatever the targets' unit; the loss stays the script's own, in the script's units. On the way back the
    gradient at the last layer is divided by the square of the spread (behind an absolute error by the spread): every
    step is the one that standardised targets would have given. Mean and spread are those of all targets of the
    diagnosed run, or given as `scale_output_to_targets:500/300`; several columns share them.

When it helps:
    In a regression whose targets are far from unit scale. A squared error of targets of spread 300 has a gradient
    90 000 times as large as one of spread 1: plain descent is thrown out at any usual rate, and under Adam the last
    bias needs as many steps as the mean is large in units of the learning rate.

What it costs:
    Two numbers in the checkpoint, `target_mean` and `target_spread`. Scale the targets in the script instead where
    predictions may be scaled back later.

Source:
    LeCun, Bottou, Orr, Müller, "Efficient BackProp", 1998, sections 4.3 and 4.5; Goodfellow, Bengio, Courville,
    "Deep Learning", 2016, section 6.2.2.1.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from gradiometer.curing.cure import Labelled, Moment, Patient, Placement
from gradiometer.diagnosing.learned_well import REGRESSIONS, snapshot_column
from gradiometer.diagnosing.loss_pairing import RANGES, UNIT_NAMES
from gradiometer.diagnosing.loss_path import loss_path
from gradiometer.errors import CureRefusedError, SettingsError
from gradiometer.schema import Run

UNIT_SPREADS = (0.5, 2.0)
"""Spreads between which targets count as of unit scale, if their mean lies within as much."""

ABSOLUTE_ERRORS = ("absolute_error", "smooth_absolute_error")
"""Losses whose gradient grows with the targets' spread and not with its square."""

BUFFERS = ("target_mean", "target_spread")
"""Names under which a checkpoint has the two numbers."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What an output is brought to.

    Attributes:
        mean: Mean of the targets.
        spread: Their standard deviation.
        damping: What the gradient at the last layer is multiplied by.
    """

    mean: float
    spread: float
    damping: float

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> Any:
        """A forward hook: the output in the targets' scale; of several values the first."""
        if isinstance(output, (tuple, list)):
            parts = [self(module, inputs, output[0]), *output[1:]]
            return type(output)(*parts) if hasattr(output, "_fields") else type(output)(parts)
        if not isinstance(output, Tensor):
            raise CureRefusedError(f"the model gives a {type(output).__name__} that begins with no tensor to scale")
        if output.requires_grad:
            output.register_hook(self.damped)  # type: ignore[no-untyped-call]
        return output * module.get_buffer("target_spread") + module.get_buffer("target_mean")

    def damped(self, gradient: Tensor) -> Tensor:
        """The gradient that targets of unit scale would have given."""
        return gradient * self.damping


@dataclass(frozen=True, slots=True)
class ScaleOutputToTargets(Labelled):
    """Scale the output to the targets.

    Attributes:
        mean: Mean of the targets; None to go by the diagnosed run.
        spread: Their standard deviation likewise.
    """

    name: ClassVar[str] = "scale_output_to_targets"
    moment: ClassVar[Moment] = "first_forward"
    placement: ClassVar[Placement] = "before_optimizer"

    mean: float | None = None
    spread: float | None = None

    @classmethod
    def parse(cls, setting: str) -> "ScaleOutputToTargets":
        """Read `MEAN/SPREAD`; empty leaves both to the diagnosed run.

        Raises:
            SettingsError: These are no two numbers, or the spread is none.
        """
        if not setting:
            return cls()
        try:
            mean, spread = (float(f"{float(part):.6g}") for part in setting.split("/"))
        except ValueError:
            raise SettingsError(f"{setting!r} is no mean and spread: write them as 500/300") from None
        if not (math.isfinite(mean) and 0.0 < spread < math.inf):
            raise SettingsError(f"targets can't have a mean of {mean:g} and a spread of {spread:g}: write 500/300")
        return cls(mean, spread)

    @property
    def setting(self) -> str | None:
        """As it is written behind the name."""
        if self.mean is None or self.spread is None:
            return None
        # A plus sign would begin another cure.
        return f"{self.mean:.6g}/{self.spread:.6g}".replace("e+", "e")

    def apply(self, patient: Patient) -> str:
        """Put a hook behind the model, and the numbers into its buffers."""
        scale = self.scale_for(patient)
        device = next((parameter.device for parameter in patient.model.parameters()), None)
        for name, value in zip(BUFFERS, (scale.mean, scale.spread), strict=True):
            patient.model.register_buffer(name, torch.tensor(value, device=device))
        patient.model.register_forward_hook(scale)
        return f"the output is multiplied by {scale.spread:g} and moved by {scale.mean:g}"

    def scale_for(self, patient: Patient) -> Scale:
        """What the output is brought to.

        Raises:
            CureRefusedError: The targets are not known, not numbers, or of unit scale; or no single model meets them.
        """
        model, run = patient.model, patient.run
        if isinstance(model, nn.ModuleDict):
            raise CureRefusedError("which of several models meets the targets is not known")
        if any(hasattr(model, name) for name in BUFFERS):
            raise CureRefusedError(f"the model has a {' or '.join(BUFFERS)} of its own")
        if self.mean is not None and self.spread is not None:
            mean, spread = self.mean, self.spread
        else:
            mean, spread = measured_scale(run)
        path = None if run is None else loss_path(run)
        is_absolute = path is not None and path.loss in ABSOLUTE_ERRORS
        return Scale(mean, spread, 1.0 / spread if is_absolute else 1.0 / spread**2)

    def snippet(self, patient: Patient) -> str:
        """Two buffers and the hook."""
        scale = self.scale_for(patient)
        return f"""\
import torch

# Better scale the targets, (targets - {scale.mean!r}) / {scale.spread!r}, and predictions back where they are used.
device = next((parameter.device for parameter in model.parameters()), None)
model.register_buffer("target_mean", torch.tensor({scale.mean!r}, device=device))
model.register_buffer("target_spread", torch.tensor({scale.spread!r}, device=device))


def scale_to_targets(module, inputs, output):
    if isinstance(output, (tuple, list)):
        parts = [scale_to_targets(module, inputs, output[0]), *output[1:]]
        return type(output)(*parts) if hasattr(output, "_fields") else type(output)(parts)
    if output.requires_grad:  # steps as large as those of targets of unit scale
        output.register_hook(lambda gradient: gradient * {scale.damping!r})
    return output * module.target_spread + module.target_mean


model.register_forward_hook(scale_to_targets)
"""


def measured_scale(run: Run | None) -> tuple[float, float]:
    """Mean and spread of a run's targets, three digits of the spread.

    Raises:
        CureRefusedError: They are not known, no numbers, all alike, or of unit scale.
    """
    if run is None:
        raise CureRefusedError(
            "no diagnosed run tells the targets' scale: give it, as in scale_output_to_targets:500/300"
        )
    path = loss_path(run)
    if path is None or path.loss not in REGRESSIONS:
        raise CureRefusedError("the targets are no numbers to be reached, or their loss is not known")
    if path.output_unit in RANGES:
        unit = UNIT_NAMES[str(path.output_unit)]
        raise CureRefusedError(
            f"the network ends with {unit}, whose range no scale makes right: fix_loss_pairing first"
        )
    means, sizes = snapshot_column(run, "target_mean"), snapshot_column(run, "target_rms")
    known = np.isfinite(means) & np.isfinite(sizes)
    if not known.any():
        raise CureRefusedError("the diagnosed run has no measurement of its targets")
    mean = float(means[known].mean())
    spread = math.sqrt(max(float((sizes[known] ** 2).mean()) - mean**2, 0.0))
    if not spread > 1e-6 * abs(mean):
        raise CureRefusedError("all targets are alike")
    least, greatest = UNIT_SPREADS
    if least <= spread <= greatest and abs(mean) <= greatest:
        raise CureRefusedError(f"the targets are of unit scale already (mean {mean:.3g}, spread {spread:.3g})")
    digits = 2 - math.floor(math.log10(spread))
    return round(mean, digits), round(spread, digits)
