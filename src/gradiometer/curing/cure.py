"""What a cure is, and what it is applied to.

A cure is a frozen dataclass: it fits a finding, changes a live model and optimizer in place, and writes that change
as code. `CURES` in this room's `__init__` lists them all.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, Self

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode

from gradiometer.errors import SettingsError
from gradiometer.prescribing import PRESCRIPTIONS, can_act_on, cure_names
from gradiometer.schema import Finding, Run

Moment = Literal["construction", "first_forward"]
Placement = Literal["before_optimizer", "after_optimizer"]
Need = Literal["inputs", "samples"]
Yardstick = Literal["loss", "original_loss"]


@dataclass(slots=True)
class Patient:
    """A live model and optimizer, and what is known of them.

    Attributes:
        model: The root; for several roots an `nn.ModuleDict` of them.
        optimizer: The run's first optimizer; None while it is being constructed.
        parameter_groups: The groups about to be handed to the optimizer, or those that it holds.
        findings: What was found in the diagnosed run, worst first.
        run: That run; without it a cure goes by the order in which modules are registered.
        forward_modes: Modes to be entered during every forward of the roots; a cure that changes functional calls
            appends its own. They have to be entered last, so that whoever measures sees the changed call.
        script_modes: Modes to be entered from now on for everything the script does, its loss functions too.
        inputs: What the first forward is called with, positional arguments and then keywords' values; empty before.
        samples: Inputs of the root that a run of the script has gathered beforehand [example ...]; None without.
        original_losses: Where a cure that exchanges the loss puts the loss that the script would have had, one scalar
            without gradient for each loss that is computed with gradients.
    """

    model: nn.Module
    optimizer: Optimizer | None = None
    parameter_groups: list[dict[str, Any]] = field(default_factory=list)
    findings: tuple[Finding, ...] = ()
    run: Run | None = None
    forward_modes: list[TorchFunctionMode] = field(default_factory=list)
    script_modes: list[TorchFunctionMode] = field(default_factory=list)
    inputs: tuple[Any, ...] = ()
    samples: Tensor | None = None
    original_losses: list[Tensor] = field(default_factory=list)


class Cure(Protocol):
    """A change that may make a network train.

    Attributes:
        name: Its key in `CURES`.
        moment: When it takes effect: at the end of the optimizer's construction, or at the root's first forward.
        placement: Where its snippet belongs in the script.
        needs: What it goes by beside the model: `inputs`, the first batch, or `samples`, inputs gathered beforehand.
        yardstick: What it is judged by: the script's loss, or, where the cure exchanges that, the original one.
    """

    name: ClassVar[str]
    moment: ClassVar[Moment]
    placement: ClassVar[Placement]
    needs: ClassVar[frozenset[Need]]
    yardstick: ClassVar[Yardstick]

    @property
    def label(self) -> str:
        """How it is written on the command line and in a run file, with its settings."""
        ...

    def fits(self, finding: Finding) -> bool:
        """Whether it can act on this finding's condition and cause."""
        ...

    def apply(self, patient: Patient) -> str:
        """Change the patient in place; the global random state stays as it is.

        Returns:
            What changed, in words.

        Raises:
            CureRefusedError: It does not fit this network or this moment; nothing was changed.
        """
        ...

    def snippet(self, patient: Patient) -> str:
        """The same change as Python code with the free names `model` and `optimizer`.

        A cure that has needs may use `inputs`, a batch of the model's inputs (for `samples` all that were gathered).
        Has to be asked for before `apply`: it describes the way from the patient as it is.
        """
        ...


class Labelled(ABC):
    """What cures with one setting share: a label of name and setting, and the tables that say what they fit.

    Attributes:
        name: Its key in `CURES`.
        moment: When it takes effect.
        placement: Where its snippet belongs in the script.
        needs: What it goes by beside the model; most need nothing.
        yardstick: What it is judged by.
    """

    __slots__ = ()

    name: ClassVar[str]
    moment: ClassVar[Moment]
    placement: ClassVar[Placement]
    needs: ClassVar[frozenset[Need]] = frozenset()
    yardstick: ClassVar[Yardstick] = "loss"

    @classmethod
    @abstractmethod
    def parse(cls, setting: str) -> "Labelled":
        """Read the setting behind the name; empty stands for the default.

        Raises:
            SettingsError: It is not understood; the message says what could be written.
        """

    @abstractmethod
    def apply(self, patient: Patient) -> str:
        """As `Cure.apply`."""

    @abstractmethod
    def snippet(self, patient: Patient) -> str:
        """As `Cure.snippet`."""

    @property
    @abstractmethod
    def setting(self) -> str | None:
        """Its setting as it is written, None where that is left to the cure."""

    @property
    def label(self) -> str:
        """How it is written."""
        return self.name if self.setting is None else f"{self.name}:{self.setting}"

    def fits(self, finding: Finding) -> bool:
        """By cause and condition, as the prescriptions have it."""
        return fits_by_table(self.label, finding)


class WithoutSetting(Labelled):
    """What cures share that have nothing to set."""

    __slots__ = ()

    @classmethod
    def parse(cls, setting: str) -> Self:
        """There is nothing to read.

        Raises:
            SettingsError: There is a setting.
        """
        if setting:
            raise SettingsError(f"{cls.name} has no setting; write it without {setting!r}")
        return cls()

    @property
    def setting(self) -> None:
        """There is none."""
        return


def fits_by_table(label: str, finding: Finding) -> bool:
    """Whether the prescriptions name this kind of cure for the finding's cause, and it can act on its condition."""
    prescribed = PRESCRIPTIONS.get(finding.cause.name, PRESCRIPTIONS["unknown"])
    kinds = frozenset[str]().union(*map(cure_names, prescribed))
    return cure_names(label) <= kinds and can_act_on(finding.condition, label)


def listed_in_words(names: list[str], most: int = 4) -> str:
    """Name the first few, count the rest.

    Example:
        >>> listed_in_words(["a", "b", "c"], most=2)
        'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
