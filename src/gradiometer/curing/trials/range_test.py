"""Learning-rate range test: one short run of the script in which the rate grows step by step, and what it tells.

The first step is taken at a rate of 1 and scaled back, so that the shares by which it moves the weight matrices add up
to a tiny one; from there every step's rate is a fixed factor above the one before. The rates of all groups and
optimizers keep their ratios, and what a scheduler sets between two steps is put back after each of them. The run
ends by itself where the loss has climbed far above its least.

The rate that is taken is a tenth of the one at which the loss was least: at that one the growing rate was about to
throw the weights away. Found in trials: the log has the table.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gradiometer.errors import CureRefusedError
from gradiometer.schema import FloatArray, Run
from gradiometer.units import format_number, format_setting

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

RANGE_STEPS = 60
"""Steps of a range test: five decades."""

STEPS_PER_DECADE = 12.0
"""With fewer the loss lags behind the rate under momentum: at 8.5 a third of the rates found were too high."""

START_RATIO = 3e-5
"""Sum over the weight matrices of the shares of their norms by which the first step moves them: it bounds the share by
which the network's output changes, whatever its depth (Bernstein et al., "On the distance between two neural networks
and the stability of learning", NeurIPS 2020). In a usual step each share is about 1e-3."""

OVERSHOOT = 3.0
"""The loss is far above its least where it exceeds that by this many times the size of the first loss."""

SAFETY = 10.0
"""How far the chosen rate stays below that of the least loss."""

HALF_WINDOW = 2
"""Steps on either side that a loss is averaged over."""

FORGETTING = 0.7
"""Weight of the past in the running mean that is watched while the test goes on."""

LEAST_FALL = 0.02
"""A loss that falls by a smaller share of its first value has not fallen."""

NOISE_FACTOR = 2.0
"""Nor has one that falls by less than this many times the scatter of the first losses: of pure noise the least of so
many means lies 0.9 times the scatter below, and by more than this once in a hundred tests."""

RATE_CURES = frozenset({"change_learning_rate", "warm_up_learning_rate"})
"""Cures that set rates themselves: left out of the test, which is of the network under all others."""

UNRANGED = {
    "LBFGS": "LBFGS searches along its direction by itself",
    "Rprop": "Rprop adapts the rate of every weight by itself",
}
"""Optimizers without a rate that could be looked for."""

UNSCALED_AT_FIRST = frozenset({"RAdam"})
"""Optimizers whose first steps are not divided by the gradient's size yet: they do not tell of later ones."""


@dataclass(frozen=True, slots=True)
class RangeResult:
    """What a range test found.

    Attributes:
        rate: Rate for the first group of the first optimizer, two significant digits; None where none was found.
        factor: What every group's rate is to be multiplied by, likewise.
        label: The cure that makes the change: a rate where all groups of all optimizers have the same one, else a
            factor; None where no rate was found.
        reason: What the test saw, or why it found none.
    """

    rate: float | None
    factor: float | None
    label: str | None
    reason: str


class RateSweep:
    """Raises the rates of a script's optimizers step by step.

    Args:
        step: Tells the number of steps that were taken before.
    """

    def __init__(self, step: Callable[[], int]) -> None:
        self._step = step
        self._held: list[tuple[Optimizer, list[float]]] = []
        self._multipliers: dict[int, float] = {}
        self._start: tuple[int, float] | None = None
        self._sensed: dict[int, float] = {}
        self._watch = DivergenceWatch()
        self._noted_step = 0

    def take(self, optimizer: "Optimizer") -> None:
        """Have an optimizer's rates follow the sweep; it is complete and a cure may have changed it.

        Raises:
            CureRefusedError: It has no rate that could be looked for.
        """
        name = type(optimizer).__name__
        if name in UNRANGED:
            raise CureRefusedError(f"no learning rate can be looked for: {UNRANGED[name]}")
        rates = [float(group.get("lr") or 0.0) for group in optimizer.param_groups]
        if not max(rates, default=0.0) > 0.0:
            raise CureRefusedError(f"no learning rate can be looked for: {name} has none above 0")
        self._held.append((optimizer, rates))
        kept: list[tuple[list[float], list[Tensor]]] = []

        def before(stepping: "Optimizer", args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            weights = weights_of(stepping) if self._is_sensing(stepping) else []
            kept.append((rates_of(stepping), [weight.detach().clone() for weight in weights]))
            multiplier = 1.0 / max(rates) if weights else self._multiplier()
            set_rates(stepping, [rate * multiplier for rate in rates])

        def after(stepping: "Optimizer", args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            former, weights = kept.pop()
            set_rates(stepping, former)
            if weights:
                self._scale_back(stepping, weights, max(rates))

        optimizer.register_step_pre_hook(before)
        optimizer.register_step_post_hook(after)

    def is_over(self, loss: float | None) -> bool:
        """Whether the test has seen enough.

        Args:
            loss: The last step's loss; None where it was not finite.
        """
        step = self._step()
        if step == self._noted_step:
            return False
        self._noted_step = step
        return self._watch.note(math.nan if loss is None else loss)

    def facts(self) -> dict[str, Any]:
        """What the run file keeps: the rates that the sweep started from, and the multiplier of each step."""
        return {
            "base_rates": [rates for _, rates in self._held],
            "multipliers": [[step, multiplier] for step, multiplier in sorted(self._multipliers.items())],
        }

    def _is_sensing(self, optimizer: "Optimizer") -> bool:
        """Whether this optimizer's step is its first, and the sweep has not gone on without it."""
        return id(optimizer) not in self._sensed and (self._start is None or self._start[0] == self._step())

    def _multiplier(self) -> float:
        """Multiplier of the step under way."""
        first, lowest = self._start or (self._step(), START_RATIO)
        multiplier = float(lowest * 10.0 ** ((self._step() - first) / STEPS_PER_DECADE))
        self._multipliers[self._step()] = multiplier
        return multiplier

    def _scale_back(self, optimizer: "Optimizer", before: list["Tensor"], greatest_rate: float) -> None:
        """Turn a step at a rate of 1 into one that moves the matrices by `START_RATIO` in all."""
        import torch

        weights = weights_of(optimizer)
        ratio = update_ratio(weights, before, is_by_rate=type(optimizer).__name__ in UNSCALED_AT_FIRST)
        share = START_RATIO / ratio if 0.0 < ratio < math.inf else START_RATIO
        with torch.no_grad():
            for weight, old in zip(weights, before, strict=True):
                weight.copy_(old + share * (weight - old))
        self._sensed[id(optimizer)] = share / greatest_rate
        lowest = min(self._sensed.values())
        self._start = (self._step(), lowest)
        self._multipliers[self._step()] = lowest


class DivergenceWatch:
    """Follows the running mean of a loss and tells when it has climbed far above its least."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._weight = 0.0
        self._least = math.inf
        self._first: float | None = None

    def note(self, loss: float) -> bool:
        """Take the next loss; True where it is not finite, or the running mean is far above its least."""
        if not math.isfinite(loss):
            return True
        if self._first is None:
            self._first = abs(loss)
        self._sum = FORGETTING * self._sum + (1.0 - FORGETTING) * loss
        self._weight = FORGETTING * self._weight + 1.0 - FORGETTING
        mean = self._sum / self._weight
        self._least = min(self._least, mean)
        return mean > self._least + OVERSHOOT * self._first


def weights_of(optimizer: "Optimizer") -> list["Tensor"]:
    """Everything that an optimizer holds."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def rates_of(optimizer: "Optimizer") -> list[float]:
    """Rates of an optimizer's groups."""
    return [float(group["lr"]) for group in optimizer.param_groups]


def set_rates(optimizer: "Optimizer", rates: list[float]) -> None:
    """Set the rates of an optimizer's groups; one that is a tensor is written over."""
    for group, rate in zip(optimizer.param_groups, rates, strict=False):
        if hasattr(group["lr"], "fill_"):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def update_ratio(weights: list["Tensor"], before: list["Tensor"], *, is_by_rate: bool = False) -> float:
    """Sum of the shares of their norms by which a step moved the matrices; all tensors where there is no matrix.

    Args:
        weights: What was moved.
        before: The same before the step.
        is_by_rate: Take each weight to move by the rate, here 1, whatever this step did.
    """
    pairs = [(new, old) for new, old in zip(weights, before, strict=True) if old.dim() > 1] or list(
        zip(weights, before, strict=True)
    )
    ratios: list[float] = []
    for new, old in pairs:
        size = float(old.float().norm())
        moved = math.sqrt(old.numel()) if is_by_rate else float((new.detach().float() - old.float()).norm())
        if size > 0.0:
            ratios.append(moved / size)
    return sum(ratios)


def rate_from(run: Run) -> RangeResult:
    """Read the rate from the run of a range test.

    The losses at the first `backward` call site are averaged over five steps; the rate of the least mean, divided by
    `SAFETY`, is the one.

    Args:
        run: The run of a trial with `range_test`.

    Returns:
        The rate, or the reason why there is none: the loss never fell, or the test did not come to its end.
    """
    refusal = run.facts.get("refusal") or run.facts.get("refusal_at_end")
    if refusal:
        return unfound(str(refusal))
    facts = run.facts.get("range_test") or {}
    multipliers = {int(step): float(value) for step, value in facts.get("multipliers") or ()}
    bases = [float(rate) for rates in facts.get("base_rates") or () for rate in rates]
    if not run.losses or not multipliers:
        return unfound("the range test recorded no loss of a step whose rate is known")
    series = run.losses[0]
    is_finite = np.isfinite(series.values) & (series.nonfinite_counts == 0)
    end = int(np.argmin(is_finite)) if not is_finite.all() else len(is_finite)
    known = [index for index in range(end) if int(series.steps[index]) in multipliers]
    losses = series.values[known]
    factors = np.array([multipliers[int(series.steps[index])] for index in known])
    if len(losses) <= 4 * HALF_WINDOW:
        return unfound(f"the loss was finite in {len(losses)} steps of the range test only")
    smooth = smoothed(losses)
    least = int(np.argmin(smooth))
    if not has_fallen(losses, float(smooth[least])):
        return unfound(
            f"the loss did not fall at any rate from {format_number(bases[0] * factors[0])} to "
            f"{format_number(bases[0] * factors[-1])}"
        )
    return found(bases, float(factors[least]) / SAFETY, is_at_end=least >= len(smooth) - 1 - HALF_WINDOW)


def smoothed(losses: FloatArray) -> FloatArray:
    """Mean over a window around each step, shorter at the ends.

    Example:
        >>> smoothed(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])).tolist()
        [2.0, 2.5, 3.0, 4.0, 4.5, 5.0]
    """
    count = len(losses)
    windows = [losses[max(0, step - HALF_WINDOW) : step + HALF_WINDOW + 1] for step in range(count)]
    return np.array([window.mean() for window in windows])


def has_fallen(losses: FloatArray, least: float) -> bool:
    """Whether the least mean lies below the first losses, those at tiny rates, by more than chance gives."""
    first = losses[: max(2 * HALF_WINDOW + 1, len(losses) // 5)]
    start = float(first.mean())
    return start - least >= max(LEAST_FALL * abs(start), NOISE_FACTOR * float(first.std(ddof=1)))


def unfound(reason: str) -> RangeResult:
    """No rate, and why."""
    return RangeResult(None, None, None, reason)


def found(bases: list[float], factor: float, *, is_at_end: bool) -> RangeResult:
    """A rate, with two significant digits, and the cure that sets it."""
    factor = float(f"{factor:.2g}")
    rate = float(f"{bases[0] * factor:.2g}")
    is_one = len(set(bases)) == 1
    label = f"change_learning_rate:={format_setting(rate)}" if is_one else f"change_learning_rate:x{factor:g}"
    least = f"the loss was least at a rate of {format_number(rate * SAFETY)}, a tenth of that is taken"
    more = "; it had not risen yet when the test ended" if is_at_end else ""
    return RangeResult(rate, factor, label.replace("e+", "e"), least + more)
