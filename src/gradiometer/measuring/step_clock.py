"""Times steps and what measuring took of them, and books both."""

from time import perf_counter

from gradiometer.measuring.budget import Budget
from gradiometer.measuring.guarding import Guard
from gradiometer.measuring.sink import Sink
from gradiometer.measuring.turns import Turns


class StepClock:
    """Runs from the end of what was booked last.

    Args:
        guard: Knows the time spent in our own code.
        budget: Where steps are booked.
        sink: Knows the time that storing took; told once from which step on the budget is kept.
        turns: Dear measurements, told what their turns cost.

    Attributes:
        started: When it was started, as `perf_counter` tells the time.
        hook_seconds: What the hooks of a step take in which nothing is due; None until it was measured.
    """

    def __init__(self, guard: Guard, budget: Budget, sink: Sink, turns: Turns) -> None:
        self.guard = guard
        self.budget = budget
        self.sink = sink
        self.turns = turns
        self.started = perf_counter()
        self.hook_seconds: float | None = None
        self._spent_before = 0.0
        self._written_before = 0.0
        self._has_told_repaid = False

    def start(self, now: float) -> None:
        """Begin to time what comes next."""
        self.started = now
        self._spent_before = self.guard.seconds_so_far
        if not self._has_told_repaid and self.budget.repaid_step is not None:
            self._has_told_repaid = True
            self.sink.add_facts({"repaid_step": self.budget.repaid_step})

    @property
    def measuring_seconds(self) -> float:
        """Time spent in our own code since the clock was started."""
        return self.guard.seconds_so_far - self._spent_before

    def book_event(self, step: int, row_count: int, *, was_full: bool) -> None:
        """Book a step that was recorded.

        Args:
            step: Its index.
            row_count: Rows of the run file that it takes, about.
            was_full: It was measured in full.
        """
        now, spent_seconds = perf_counter(), self.measuring_seconds
        written_seconds = self.sink.writing_seconds
        turn_cost_seconds = self.budget.account(
            step,
            now - self.started,
            spent_seconds + (self.hook_seconds or 0.0),
            was_full=was_full,
            stored_seconds=written_seconds - self._written_before,
            to_store_seconds=row_count * self.sink.seconds_per_row,
            turn_seconds=self.turns.seconds,
        )
        self.turns.account(step, turn_cost_seconds)
        self._written_before = written_seconds
        self.start(now)

    def book_idling(self, step: int, step_count: int) -> None:
        """Book steps in which nothing was due, `step` being the last of them."""
        now = perf_counter()
        self.budget.account_idle(
            step,
            step_count,
            now - self.started,
            hook_seconds=self.hook_seconds or 0.0,
            other_seconds=self.measuring_seconds,
        )
        self.start(now)
