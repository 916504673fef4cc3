"""When to measure: the advance, then as often as the allowed share of the training time permits."""

from collections import deque
from dataclasses import dataclass, field
from statistics import fmean, median

SMALL_ADVANCE_STEPS = (0, 1)
"""Full steps taken before they are paid for where less than 0.5 % is allowed."""

LAST_ADVANCE_STEP = max(SMALL_ADVANCE_STEPS)

WATCH_SHARE = 0.4
"""Part of the allowed share that the every-step watch may use, once idle hooks are paid for; the rest pays for full
steps."""

FIRST_STEPS = 200
"""Steps watched one by one whatever that costs: two milliseconds in all, a part of the advance. Of a short training
they are the whole loss curve."""

ADAPTING_STEPS = 32
"""Steps after which medians are taken anew: one costs as much as watching a step."""

LONGEST_INTERVAL_STEPS = 64
"""A loss is recorded at least this often, whatever it costs; on the fastest steps that is a microsecond a step."""

MOST_COST_RATIO = 5.0
"""A full step's cost is at most this multiple of the time spent in our own code: what lies above is noise."""


TURNS_SHARE = 0.25
"""Part of the allowed share that dear measurements have together, where any fits the network; each has as much of it
as the others. The core of full steps may use what watching and they leave."""


@dataclass(slots=True)
class Budget:
    """Keeps the promise that measuring takes at most a share of the training time.

    Attributes:
        allowed_share: Greatest share, 0.01 for one percent; 1.0 measures every step in full.
        watches_every_step: Record the loss of every step whatever that costs; trials need it.
        spent_seconds: Time that measuring has taken.
        training_seconds: Time that training has taken, measuring left out.
        repaid_step: Step from which on the promise held, None while the advance is not repaid.
        bare_step_seconds: Median time of the last steps between full ones, None before there was one.
        is_closed: No step is measured in full, whatever is allowed: a replay only compares and traces.
        has_turns: Dear measurements take turns on full steps.
        turns_spent_seconds: Time that their turns have taken, a part of `spent_seconds`.
    """

    allowed_share: float
    watches_every_step: bool = False
    spent_seconds: float = 0.0
    training_seconds: float = 0.0
    repaid_step: int | None = None
    bare_step_seconds: float | None = None
    is_closed: bool = False
    has_turns: bool = False
    turns_spent_seconds: float = 0.0
    _bare_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=32))
    _watch_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=128))
    _idle_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=32))
    _full_costs: deque[float] = field(default_factory=lambda: deque(maxlen=8))
    _outside_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=8))
    _core_cost_seconds: float = 0.0
    _between_count: int = 0
    _watch_interval: int = 1
    _demanded_end: int = 0

    @property
    def share(self) -> float:
        """Measuring as a share of the training time so far; 0 before the first step has ended."""
        return self.spent_seconds / self.training_seconds if self.training_seconds > 0.0 else 0.0

    def is_full(self, step: int) -> bool:
        """Whether to measure this step in full."""
        if self.is_closed:
            return False
        if self.allowed_share >= 1.0 or step < self._demanded_end:
            return True
        if self.is_advance(step):
            return True
        if not self._full_costs or self.repaid_step is None:
            return False
        core_spent_seconds = self.spent_seconds - self.turns_spent_seconds
        core_share = self.allowed_share * (1.0 - TURNS_SHARE if self.has_turns else 1.0)
        is_paid = core_spent_seconds + self.core_cost_seconds <= core_share * self.training_seconds
        return is_paid and self.has_room(self.core_cost_seconds)

    @property
    def core_cost_seconds(self) -> float:
        """What the dearest of the last full steps cost, turns of dear measurements left out; 0 before there was one."""
        return self._core_cost_seconds

    @property
    def turns_seconds(self) -> float:
        """Time that all turns of dear measurements together may have taken by now."""
        return TURNS_SHARE * self.allowed_share * self.training_seconds

    def has_room(self, seconds: float) -> bool:
        """Whether the whole would stay within its share with so much more spent."""
        return self.spent_seconds + seconds <= self.allowed_share * self.training_seconds

    def demand_full(self, step: int, step_count: int) -> None:
        """Measure these steps in full whether they are paid for or not; they are booked, and what comes later waits."""
        self._demanded_end = max(self._demanded_end, step + step_count)

    def is_advance(self, step: int) -> bool:
        """Whether this step is measured before it is paid for: 0, 1, 2, 4, 8 ... while the advance is not repaid.

        A network that can't train mostly shows it in its first steps, and a short training never repays them.
        """
        if self.allowed_share < 0.005:
            return step in SMALL_ADVANCE_STEPS
        return step in SMALL_ADVANCE_STEPS or (self.repaid_step is None and step & (step - 1) == 0)

    def is_watched(self, step: int) -> bool:
        """Whether to record the loss of this step."""
        return self.watches_every_step or step < FIRST_STEPS or step % self._watch_interval == 0

    def next_event(self, step: int) -> int:
        """The next step at which anything may be due; in those between nothing at all is done.

        Full steps are taken at events alone, which come every `LONGEST_INTERVAL_STEPS` steps at least.
        """
        if self.watches_every_step or self.allowed_share >= 1.0:
            return step + 1
        event = step - step % self._watch_interval + self._watch_interval
        if step + 1 < FIRST_STEPS or step + 1 < self._demanded_end:
            return step + 1
        if self.repaid_step is None and self.allowed_share >= 0.005:
            return min(event, 1 << step.bit_length())
        return event

    def account_idle(
        self, step: int, step_count: int, seconds: float, *, hook_seconds: float, other_seconds: float = 0.0
    ) -> None:
        """Book steps between two events.

        Args:
            step: The last of them.
            step_count: How many they are, at least one.
            seconds: Their whole time.
            hook_seconds: What hooks that had nothing to do took of each.
            other_seconds: What else was spent in our own code.
        """
        spent_seconds = step_count * hook_seconds + other_seconds
        self._idle_seconds.append(hook_seconds)
        self._bare_seconds.append((seconds - spent_seconds) / step_count)
        self.spent_seconds += spent_seconds
        self.training_seconds += max(seconds - spent_seconds, 0.0)
        self._look_whether_repaid(step)

    def account(
        self,
        step: int,
        step_seconds: float,
        spent_seconds: float,
        *,
        was_full: bool,
        was_watched: bool = True,
        stored_seconds: float = 0.0,
        to_store_seconds: float = 0.0,
        turn_seconds: float = 0.0,
    ) -> float:
        """Book one step.

        Args:
            step: Its index.
            step_seconds: Its whole time.
            spent_seconds: Time spent in our own code, a part of it.
            was_full: It was measured in full.
            was_watched: Its loss was recorded.
            stored_seconds: Time that storing took since the last event, in a thread of its own.
            to_store_seconds: Time that storing this step is going to take there.
            turn_seconds: Time that a dear measurement took, a part of `spent_seconds`.

        Returns:
            What the turn cost: its time, and its part of what hooks cost outside of our own code.
        """
        cost_seconds = self._cost_of_full(step_seconds, spent_seconds) if was_full else spent_seconds
        turn_cost_seconds = cost_seconds * min(turn_seconds / spent_seconds, 1.0) if was_full and spent_seconds else 0.0
        if was_full:
            self._full_costs.append(cost_seconds - turn_cost_seconds + to_store_seconds)
            self._core_cost_seconds = max(self._full_costs)
        else:
            self._book_between(step_seconds - spent_seconds, spent_seconds + to_store_seconds, was_watched=was_watched)
        self.spent_seconds += cost_seconds + stored_seconds
        self.turns_spent_seconds += turn_cost_seconds
        self.training_seconds += max(step_seconds - cost_seconds, 0.0)
        self._look_whether_repaid(step)
        return turn_cost_seconds

    def _cost_of_full(self, step_seconds: float, spent_seconds: float) -> float:
        """What a full step cost: the time in our own code, and what its hooks cost outside of it.

        The latter shows only in the step's whole time, and a step's time is noisy: on a machine that others use, the
        excess of single steps, where none may count as less than our own time, adds up to far more than was taken.
        So it is the median of the last full steps.
        """
        if self.bare_step_seconds is None:
            return spent_seconds
        self._outside_seconds.append(step_seconds - self.bare_step_seconds - spent_seconds)
        outside_seconds = max(median(self._outside_seconds), 0.0)
        return min(spent_seconds + outside_seconds, MOST_COST_RATIO * spent_seconds)

    def _look_whether_repaid(self, step: int) -> None:
        if self.repaid_step is None and self.share <= self.allowed_share and step > LAST_ADVANCE_STEP:
            self.repaid_step = step

    def _book_between(self, bare_seconds: float, spent_seconds: float, *, was_watched: bool) -> None:
        """Book a step between full ones; what follows from many of them is worked out now and then only."""
        self._bare_seconds.append(bare_seconds)
        kept = self._watch_seconds if was_watched else self._idle_seconds
        kept.append(spent_seconds)
        self._between_count += 1
        if self._between_count <= 8 or self._between_count % ADAPTING_STEPS == 0:
            self.bare_step_seconds = median(self._bare_seconds)
            self._adapt_interval(self.bare_step_seconds)

    def _adapt_interval(self, bare_seconds: float) -> None:
        """Choose how often to watch, so that watching takes its part of the allowed share and no more.

        What is booked is a sum, so it is the mean that has to fit: on a machine that others use a few watched steps
        cost a hundred times the median.
        """
        idle_seconds = median(self._idle_seconds) if self._idle_seconds else 0.0
        watch_seconds = max(fmean(self._watch_seconds) - idle_seconds, 0.0) if self._watch_seconds else 0.0
        allowed_seconds = max(WATCH_SHARE * (self.allowed_share * bare_seconds - idle_seconds), 1e-9)
        self._watch_interval = max(1, min(LONGEST_INTERVAL_STEPS, round(watch_seconds / allowed_seconds)))
