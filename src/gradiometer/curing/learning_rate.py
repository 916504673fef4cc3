"""Change the learning rate.

What it changes:
    The learning rate of every parameter group, by a factor (`change_learning_rate:x0.1`) or to a value
    (`change_learning_rate:=0.001`). With `change_learning_rate:range` the value is looked for by a range test: the
    script is run for up to 96 steps with the other cures while the rate grows from far too small to far too large,
    beside a run on the same batches whose weights are held, and a seventh of the rate is taken at which the loss was
    down by most of its fall; where it fell nowhere, a twentieth of the one at which it rose, if the script's own is of
    another size. `gradiometer cure` runs that test. The change is made at the end of the optimizer's construction, so
    that a scheduler made afterwards starts from the new rate; a rate that a scheduler has already noted down is changed
    along.

When it helps:
    Down where updates are so large that weights are thrown about (thrashing, exploding, units killed, NaN); up where
    weights barely move although a gradient arrives (stuck).

What it costs:
    Nothing per step. Too small a rate needs more steps. A scheduler that sets rates of its own (OneCycleLR) overrides
    it.

Source:
    Bengio, "Practical recommendations for gradient-based training of deep architectures", 2012, section 3.1: the
    learning rate is the one hyper-parameter to tune if there is time for only one. Smith, "Cyclical learning rates for
    training neural networks", WACV 2017, section 3.3, for the range test. The fastai library takes a tenth of the
    rate of the least loss (`minimum`), which lies anywhere where the loss stays low over decades.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from gradiometer.curing.cure import Labelled, Moment, Patient, Placement
from gradiometer.errors import CureRefusedError, SettingsError
from gradiometer.units import format_number, format_setting

RANGE = "range"
"""The setting that stands for the rate which a range test finds."""


@dataclass(frozen=True, slots=True)
class ChangeLearningRate(Labelled):
    """Multiply every group's learning rate by a factor, or set it.

    Attributes:
        factor: What to multiply by; not used where a value is given.
        value: What to set it to.
        is_ranged: The rate is still to be found by a range test.
    """

    name: ClassVar[str] = "change_learning_rate"
    moment: ClassVar[Moment] = "construction"
    placement: ClassVar[Placement] = "after_optimizer"

    factor: float = 0.1
    value: float | None = None
    is_ranged: bool = False

    @classmethod
    def parse(cls, setting: str) -> "ChangeLearningRate":
        """Read `x0.1` (a factor), `=0.001` (a value) or `range`; empty stands for `x0.1`.

        Raises:
            SettingsError: It is none of these, or not above 0.
        """
        if not setting:
            return cls()
        if setting == RANGE:
            return cls(is_ranged=True)
        try:
            number = float(setting[1:])
        except ValueError:
            number = 0.0
        if setting[0] not in "x=" or not 0.0 < number < float("inf"):
            raise SettingsError(
                f"change_learning_rate:{setting} is not understood; write :x0.1, :x10, :=0.001 or :range"
            )
        return cls(factor=number) if setting[0] == "x" else cls(value=number)

    @property
    def setting(self) -> str:
        """As it is written behind the name."""
        if self.is_ranged:
            return RANGE
        return f"x{format_setting(self.factor)}" if self.value is None else f"={format_setting(self.value)}"

    def apply(self, patient: Patient) -> str:
        """Change the rates of a constructed optimizer."""
        self._check_found()
        if patient.optimizer is None:
            raise CureRefusedError("the learning rate can be changed only once the optimizer is constructed")
        groups = patient.optimizer.param_groups
        if any("lr" not in group for group in groups):
            raise CureRefusedError(f"{type(patient.optimizer).__name__} has no learning rate in its parameter groups")
        before = [float(group["lr"]) for group in groups]
        holders: list[dict[str, Any]] = [*groups, patient.optimizer.defaults]
        if all(self._changed(rate) == rate for rate in before):
            raise CureRefusedError(f"the learning rate is {format_number(before[0])} already")
        for holder in holders:
            for key in ("lr", "initial_lr"):
                if holder.get(key) is not None:
                    self._change(holder, key)
        after = [float(group["lr"]) for group in groups]
        return f"learning rate {format_number(before[0])} became {format_number(after[0])} in {len(groups)} group(s)"

    def _check_found(self) -> None:
        """Refuse where the rate is still to be found."""
        if self.is_ranged:
            raise CureRefusedError(
                f"{self.label} stands for a rate that is still to be found: `gradiometer cure` runs the range test "
                "that finds it; elsewhere write a rate, as in change_learning_rate:=0.001"
            )

    def _changed(self, rate: float) -> float:
        return rate * self.factor if self.value is None else self.value

    def _change(self, holder: dict[str, Any], key: str) -> None:
        """A rate that is a tensor is changed in place: a captured graph may hold it."""
        rate = holder[key]
        if isinstance(rate, Tensor):
            rate.mul_(self.factor) if self.value is None else rate.fill_(self.value)
        else:
            holder[key] = self._changed(float(rate))

    def snippet(self, patient: Patient) -> str:
        """A loop over the optimizer's groups."""
        self._check_found()
        change = f'group["lr"] *= {self.factor!r}' if self.value is None else f'group["lr"] = {self.value!r}'
        return f"for group in optimizer.param_groups:\n    {change}\n"
