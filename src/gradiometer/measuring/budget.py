"""When to measure: the advance, then as often as the allowed share of the training time permits."""

from collections import deque
from dataclasses import dataclass, field
from statistics import median

SMALL_ADVANCE_STEPS = (0, 1)
"""Full steps taken before they are paid for where less than 0.5 % is allowed."""

WATCH_SHARE = 0.3
"""Part of the allowed share that the every-step watch may use; the rest pays for full steps."""

MOST_COST_RATIO = 5.0
"""A full step's cost is at most this multiple of the time spent in our own code: what lies above is noise."""


@dataclass(slots=True)
class Budget:
    """Keeps the promise that measuring takes at most a share of the training time.

    Attributes:
        allowed_share: Greatest share, 0.01 for one percent; 1.0 measures every step in full.
        watches_every_step: Record the loss of every step whatever that costs; trials need it.
        spent_seconds: Time that measuring has taken.
        training_seconds: Time that training has taken, measuring left out.
        repaid_step: Step from which on the promise held, None while the advance is not repaid.
    """

    allowed_share: float
    watches_every_step: bool = False
    spent_seconds: float = 0.0
    training_seconds: float = 0.0
    repaid_step: int | None = None
    _bare_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=32))
    _full_costs: deque[float] = field(default_factory=lambda: deque(maxlen=8))
    _watch_cost: float = 0.0
    _watch_interval: int = 1

    @property
    def share(self) -> float:
        """Measuring as a share of the training time so far; 0 before the first step has ended."""
        return self.spent_seconds / self.training_seconds if self.training_seconds > 0.0 else 0.0

    @property
    def bare_step_seconds(self) -> float | None:
        """Median time of the steps between full ones, None before there was one."""
        return median(self._bare_seconds) if self._bare_seconds else None

    def is_full(self, step: int) -> bool:
        """Whether to measure this step in full."""
        if self.allowed_share >= 1.0:
            return True
        if self.is_advance(step):
            return True
        if not self._full_costs or self.repaid_step is None:
            return False
        return self.spent_seconds + max(self._full_costs) <= self.allowed_share * self.training_seconds

    def is_advance(self, step: int) -> bool:
        """Whether this step is measured before it is paid for: 0, 1, 2, 4, 8 ... while the advance is not repaid.

        A network that can't train mostly shows it in its first steps, and a short training never repays them.
        """
        if self.allowed_share < 0.005:
            return step in SMALL_ADVANCE_STEPS
        return step in SMALL_ADVANCE_STEPS or (self.repaid_step is None and step & (step - 1) == 0)

    def is_watched(self, step: int) -> bool:
        """Whether to record the loss of this step."""
        return self.watches_every_step or step % self._watch_interval == 0

    def account(self, step: int, step_seconds: float, spent_seconds: float, *, was_full: bool) -> None:
        """Book one step.

        Args:
            step: Its index.
            step_seconds: Its whole time.
            spent_seconds: Time spent in our own code, a part of it.
            was_full: It was measured in full.
        """
        cost_seconds = spent_seconds
        bare_seconds = self.bare_step_seconds
        if was_full:
            if bare_seconds is not None:
                # What hooks cost outside of our own code shows only in the step's whole time.
                excess_seconds = step_seconds - bare_seconds
                cost_seconds = max(spent_seconds, min(excess_seconds, MOST_COST_RATIO * spent_seconds))
            self._full_costs.append(cost_seconds)
        else:
            self._bare_seconds.append(step_seconds - spent_seconds)
            self._watch_cost += 0.1 * (spent_seconds - self._watch_cost) if self._watch_cost else spent_seconds
        self.spent_seconds += cost_seconds
        self.training_seconds += max(step_seconds - cost_seconds, 0.0)
        self._settle(step)

    def _settle(self, step: int) -> None:
        if self.repaid_step is None and self.share <= self.allowed_share and step > max(SMALL_ADVANCE_STEPS):
            self.repaid_step = step
        bare_seconds = self.bare_step_seconds
        if bare_seconds:
            allowed_seconds = WATCH_SHARE * self.allowed_share * bare_seconds
            watch_seconds = self._watch_cost * self._watch_interval
            self._watch_interval = max(1, min(1000, round(watch_seconds / max(allowed_seconds, 1e-12))))
