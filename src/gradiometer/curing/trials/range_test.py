"""Learning-rate range test: one short run of the script in which the rate grows step by step.

The first step is taken at a rate of 1 and scaled back, so that the shares by which it moves the weight matrices add up
to a tiny one; from there every step's rate is a fixed factor above the one before. The rates of all groups and
optimizers keep their ratios, and what a scheduler sets between two steps is put back after each of them. The run
ends by itself where the loss has climbed far above its least.

A still run goes beside it, whose weights are put back after every step. With the same seed it sees the same batches in
the same order and draws the same numbers, so that the difference between the two losses of a step tells what the
weights have learned, free of what one batch is harder than the next. Running statistics move in both, after other
weights: a network that trains by the statistics of its batches does not see them. What the two runs tell is read by
`range_reading`.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradiometer.errors import CureRefusedError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

RANGE_STEPS = 96
"""Steps of a range test: eight decades. At 60, losses on raw targets had fallen by 0.4 % when it ended, of 94 %. Most
tests end by themselves after 50 to 85."""

STEPS_PER_DECADE = 12.0
"""With fewer the loss lags behind the rate under momentum: at 8.5 a third of the rates found were too high."""

START_RATIO = 3e-5
"""Sum over the weight matrices of the shares of their norms by which the first step moves them: it bounds the share by
which the network's output changes, whatever its depth (Bernstein et al., "On the distance between two neural networks
and the stability of learning", NeurIPS 2020). In a usual step each share is about 1e-3."""

OVERSHOOT = 3.0
"""The loss is far above its least where it exceeds that by this many times the size of the first loss."""

FORGETTING = 0.7
"""Weight of the past in the running mean that is watched while the test goes on."""

RATE_CURES = frozenset({"change_learning_rate", "warm_up_learning_rate"})
"""Cures that set rates themselves: left out of the test, which is of the network under all others."""

UNRANGED = {
    "LBFGS": "LBFGS searches along its direction by itself",
    "Rprop": "Rprop adapts the rate of every weight by itself",
}
"""Optimizers without a rate that could be looked for."""

UNSCALED_AT_FIRST = frozenset({"RAdam"})
"""Optimizers whose first steps are not divided by the gradient's size yet: they do not tell of later ones."""


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


def hold_still(optimizer: "Optimizer") -> None:
    """Have an optimizer's weights put back after each of its steps, whatever it does in them."""
    kept: list[list[Tensor]] = []

    def before(stepping: "Optimizer", args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        kept.append([weight.detach().clone() for weight in weights_of(stepping)])

    def after(stepping: "Optimizer", args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        import torch

        with torch.no_grad():
            for weight, old in zip(weights_of(stepping), kept.pop(), strict=True):
                weight.copy_(old)

    optimizer.register_step_pre_hook(before)
    optimizer.register_step_post_hook(after)


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
