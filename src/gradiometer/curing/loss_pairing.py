"""Bring output unit and loss together.

What it changes:
    What the loss is handed, or which loss it is; weights stay. Written `fix_loss_pairing` it goes by what the
    diagnosed run has found between the last layer and the loss; a word behind it forces one correction:

    - `logits`: a cross-entropy, or a binary one on logits, gets what the softmax, sigmoid or tanh in front of it was
      handed; a negative log-likelihood of probabilities gets their logarithms.
    - `log_softmax`: a negative log-likelihood of raw scores gets the logarithms of their softmax.
    - `likelihood`: a squared error behind a softmax becomes a cross-entropy, one behind a sigmoid or tanh a binary one.
    - `no_output_unit`: the unit that the network ends with (a ReLU, or one that can't reach the targets) is left out.
    - `one_unit`: of two units, one in front of a sigmoid, the sigmoid stays.
    - `sigmoid`: a softmax over a single unit becomes a sigmoid, with the binary cross-entropy.
    - `class_axis`: a softmax along the batch runs along the classes.
    - `target_shape`: targets of shape [N] take the shape of outputs [N, 1].

    The first three change the loss alone and only where gradients are computed: what the model gives stays as it is,
    so that what the script computes from it, and its held-out losses, mean what they meant.

When it helps:
    Where a finding names the loss as its cause. An output that is squashed once too often has a gradient that is
    smallest where it is most wrong; with the loss that belongs to it the gradient is output minus target.

What it costs:
    Some ten microseconds for every call of torch, with which a step of a tiny network takes twice as long, until the
    correction is written into the script itself, which is one line: the code says which. The loss is another number
    than before: the cure is judged by the loss that the script would have had, or by accuracy, where that says nothing
    (`log_softmax`, `class_axis`), or is least for saturated units (a cross-entropy of sigmoids).

Source:
    Goodfellow, Bengio, Courville, "Deep Learning", 2016, section 6.2.2; Bishop, "Pattern Recognition and Machine
    Learning", 2006, sections 4.3.6 and 5.2 (canonical link functions).
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn
from torch.overrides import TorchFunctionMode

from gradiometer.curing.cure import Labelled, Moment, Patient, Placement, Yardstick
from gradiometer.curing.loss_judging import LossJudge
from gradiometer.curing.loss_modes import (
    Likelihood,
    LossOnLogarithms,
    LossOnLogits,
    NoOutputUnit,
    OneUnit,
    PairedLoss,
    SigmoidOfOneUnit,
    SoftmaxOverClasses,
    TargetsInShape,
)
from gradiometer.diagnosing import loss_pairing as rules
from gradiometer.diagnosing.learning import LossMotion, judge_loss
from gradiometer.diagnosing.loss_path import LossPath, loss_path
from gradiometer.diagnosing.unopened import is_unopened
from gradiometer.errors import CureRefusedError, SettingsError
from gradiometer.schema import Run

Judgement = Literal["loss", "original_loss", "accuracy"]


@dataclass(frozen=True, slots=True)
class Correction:
    """One way to bring output unit and loss together.

    Attributes:
        mode: The mode that does it.
        judged_by: What tells whether it helped: the script's loss as it is computed now, the loss that the script
            would have had, or accuracy, where neither can be compared with the control's.
        text: What it changes, in words.
        advice: What to write in the script instead.
    """

    mode: type[TorchFunctionMode]
    judged_by: Judgement
    text: str
    advice: str


CORRECTIONS: dict[str, Correction] = {
    "logits": Correction(
        LossOnLogits,
        "original_loss",
        "the loss is handed what its output unit was handed",
        "Hand the loss the last layer's output as it is, without softmax or sigmoid (log_softmax before nll_loss)",
    ),
    "log_softmax": Correction(
        LossOnLogarithms,
        "accuracy",
        "the negative log-likelihood is handed the logarithms of a softmax",
        "Write cross_entropy in place of nll_loss, or log_softmax before it",
    ),
    "likelihood": Correction(
        Likelihood,
        "original_loss",
        "the squared error became the cross-entropy that belongs to its output unit",
        "Write cross_entropy (behind a softmax) or binary_cross_entropy_with_logits (behind a sigmoid) of the last "
        "layer's output in place of the squared error",
    ),
    "no_output_unit": Correction(
        NoOutputUnit,
        "loss",
        "the network ends without its output unit",
        "Leave out the unit that the network ends with",
    ),
    "one_unit": Correction(
        OneUnit,
        "loss",
        "the unit in front of the last sigmoid is left out",
        "Leave out the unit in front of the last sigmoid",
    ),
    "sigmoid": Correction(
        SigmoidOfOneUnit,
        "original_loss",
        "the softmax over a single unit became a sigmoid with its binary cross-entropy",
        "Write binary_cross_entropy_with_logits of the last layer's output, and a sigmoid in place of the softmax",
    ),
    "class_axis": Correction(
        SoftmaxOverClasses,
        "accuracy",
        "the softmax runs along the classes",
        "Write dim=1 in the softmax; before cross_entropy leave it out",
    ),
    "target_shape": Correction(
        TargetsInShape, "loss", "targets take the shape of the outputs", "Write target.unsqueeze(1) in the loss"
    ),
}
"""Every correction, by the word that forces it."""


@dataclass(frozen=True, slots=True)
class FixLossPairing(Labelled):
    """Bring output unit and loss together.

    Attributes:
        correction: A key of `CORRECTIONS`; None to go by the diagnosed run.
    """

    name: ClassVar[str] = "fix_loss_pairing"
    moment: ClassVar[Moment] = "first_forward"
    placement: ClassVar[Placement] = "before_optimizer"
    yardstick: ClassVar[Yardstick] = "original_loss"

    correction: str | None = None

    @classmethod
    def parse(cls, setting: str) -> "FixLossPairing":
        """Read the name of a correction; empty leaves it to be chosen.

        Raises:
            SettingsError: There is no such correction.
        """
        if setting and setting not in CORRECTIONS:
            raise SettingsError(f"there is no correction {setting!r} of a loss; choose {', '.join(CORRECTIONS)}")
        return cls(setting or None)

    @property
    def setting(self) -> str | None:
        """As it is written behind the name."""
        return self.correction

    def apply(self, patient: Patient) -> str:
        """Add the correction's mode to the patient's script modes."""
        chosen = self.correction_for(patient.run)
        mode = made_mode(chosen, patient.run)
        if isinstance(mode, (LossOnLogits, Likelihood)):
            LossJudge(mode, patient.original_losses)
        if isinstance(mode, NoOutputUnit):
            for root in roots_of(patient.model):
                root.register_forward_hook(mode.without_unit)
        patient.script_modes.append(mode)
        return CORRECTIONS[chosen].text

    def correction_for(self, run: Run | None) -> str:
        """The correction that is forced, or that a run asks for.

        Raises:
            CureRefusedError: It asks for none that can be made.
        """
        chosen = self.correction
        if chosen is None and run is None:
            raise CureRefusedError(
                "no diagnosed run tells what stands before the loss: name the correction, as in fix_loss_pairing:logits"
            )
        if chosen is None and run is not None:
            chosen = correction_of(run)
        if chosen is None:
            raise CureRefusedError("the loss and what stands before it belong together")
        if run is not None and is_unopened(run) and CORRECTIONS[chosen].mode is not TargetsInShape:
            raise CureRefusedError("the model is compiled, so that what its output unit is handed is not seen")
        return chosen

    def snippet(self, patient: Patient) -> str:
        """What to write in the script, and the mode that does the same without."""
        chosen = self.correction_for(patient.run)
        mode = made_mode(chosen, patient.run)
        path = None if patient.run is None else loss_path(patient.run)
        where = f" (backward at {path.site})" if path is not None and path.site else ""
        lines = [
            f"# {CORRECTIONS[chosen].advice}{where}.",
            "# The same without a change of these lines, by a mode over the whole script:",
            IMPORTS,
            *(inspect.getsource(kind) for kind in reversed(type(mode).__mro__) if kind.__module__ == MODES),
            f"pairing = {type(mode).__name__}({repr(mode.units) if isinstance(mode, NoOutputUnit) else ''})",
            "pairing.__enter__()",
        ]
        if isinstance(mode, NoOutputUnit):
            has_roots = isinstance(patient.model, nn.ModuleDict)
            lines.append(f"for root in {'model.values()' if has_roots else '[model]'}:")
            lines.append("    root.register_forward_hook(pairing.without_unit)")
        return "\n".join(lines) + "\n"


def has_meaningless_loss(run: Run) -> bool:
    """Whether a run's loss does not tell what its network has learned, so that any cure is judged by accuracy.

    A cross-entropy of outputs between 0 and 1 is least where each of them is saturated. Training by the right loss
    leaves scores unsaturated and so looks worse by it, however well it tells the classes apart.
    """
    try:
        chosen = correction_of(run)
    except CureRefusedError:
        return False
    path = loss_path(run)
    if chosen is None or path is None:
        return False
    is_squashed = path.loss == "cross_entropy" and path.output_unit in {"Sigmoid", "Tanh"}
    return is_squashed or CORRECTIONS[chosen].judged_by == "accuracy"


MODES = PairedLoss.__module__

IMPORTS = """\
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

"""


def roots_of(model: nn.Module) -> list[nn.Module]:
    """The models that are called: one, or those of a dictionary of roots."""
    return list(model.values()) if isinstance(model, nn.ModuleDict) else [model]


def made_mode(correction: str, run: Run | None) -> TorchFunctionMode:
    """The mode of a correction; one that leaves out the output unit knows which where a run tells."""
    kind = CORRECTIONS[correction].mode
    path = None if run is None else loss_path(run)
    if kind is NoOutputUnit and path is not None and path.output_unit in rules.RANGES:
        return NoOutputUnit((path.output_unit.lower(),))
    return kind()


def correction_of(run: Run) -> str | None:
    """The correction that a run asks for, by the rules of the condition; None where nothing is to be corrected.

    Raises:
        CureRefusedError: What is wrong can't be corrected from outside of the script, or what stands before the loss
            is not known.
    """
    path = loss_path(run)
    if path is None:
        raise CureRefusedError("the diagnosed run does not tell what stands before its loss")
    if len(run.losses) > 1:
        raise CureRefusedError("several losses are trained, and only of the first is known what stands before it")
    loss = judge_loss(run)
    for rule in rules.PAIRINGS:
        if rule(path, run, loss) is not None:
            return CHOICES[rule](path)
    return None


def for_one_unit(path: LossPath) -> str:
    """A softmax over one unit: yes or no can be learned where the targets say it."""
    if path.target_kind == "classes":
        raise CureRefusedError("the network has one output unit and the targets are classes: there is only one class")
    return "sigmoid"


def for_scores(path: LossPath) -> str:
    """A unit before a cross-entropy: where it loses which score is greatest, it has to go."""
    return "no_output_unit" if path.output_unit in {"Relu", "Softplus"} else "logits"


def for_logits(path: LossPath) -> str:
    """A unit before a binary cross-entropy on logits, or before the sigmoid of one on probabilities."""
    if path.loss == "binary_cross_entropy":
        return "one_unit"
    return "no_output_unit" if path.head[:1] == ("Relu",) else "logits"


def for_logarithms(path: LossPath) -> str:
    """A negative log-likelihood of what is no logarithm."""
    return "logits" if path.output_unit in {"Softmax", "Sigmoid"} else "log_softmax"


def for_slopes(path: LossPath) -> str:
    """An error behind a unit that is flat where it is wrong."""
    if path.loss != "squared_error":
        raise CureRefusedError("the loss that belongs to the output unit is known for a squared error only")
    return "likelihood"


Rule = Callable[[LossPath, Run, LossMotion], rules.Mismatch | None]

CHOICES: dict[Rule, Callable[[LossPath], str]] = {
    rules.find_constant_softmax: for_one_unit,
    rules.find_softmax_over_batch: lambda path: "class_axis",
    rules.find_broadcasting: lambda path: "target_shape",
    rules.find_squashed_scores: for_scores,
    rules.find_squashed_logits: for_logits,
    rules.find_missing_logarithm: for_logarithms,
    rules.find_confined_outputs: lambda path: "no_output_unit",
    rules.find_squared_classes: for_slopes,
    rules.find_dying_slope: for_slopes,
}
"""Rule of the condition to what chooses the correction."""
