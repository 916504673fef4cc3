"""Rows that are laid into rows of the script's, so that its own step counter is not touched: at most one into each."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gradiometer.integrations.scalars import SCALARS, Row

MOST_WAITING = 1000
"""Rows that wait at most; beyond that the oldest are left out."""

STEP_NAMES = frozenset(scalar.name for scalar in SCALARS if scalar.moment == "step")
"""What rows of steps between full ones hold."""


@dataclass(slots=True)
class Waiting:
    """Rows that wait for the script to begin a new row.

    Attributes:
        step_now: Tells which row of its own the script is at.
        lay: Lays a row into that.
        rows: The rows that wait, oldest first.
        last_step: The script's row that one was laid into last; -1 before the first.
    """

    step_now: Callable[[], int]
    lay: Callable[[Row], None]
    rows: deque[Row] = field(default_factory=lambda: deque(maxlen=MOST_WAITING))
    last_step: int = -1

    def add(self, rows: Sequence[Row]) -> None:
        """Take rows of full steps; what lies between them the script logs itself."""
        self.rows.extend(row for row in rows if row.values.keys() - STEP_NAMES)
        self.tick()

    def tick(self) -> None:
        """Lay one row, where the script has begun a new one."""
        if self.rows and (step := self.step_now()) != self.last_step:
            self.last_step = step
            self.lay(self.rows.popleft())

    def finish(self) -> None:
        """Lay what still waits as one row: there are no more rows of the script's, and the newest numbers count."""
        if self.rows:
            newest = {name: value for row in self.rows for name, value in row.values.items()}
            histograms = {(one.parameter, one.quantity): one for row in self.rows for one in row.histograms}
            self.lay(Row(self.rows[-1].step, newest, tuple(histograms.values())))
        self.rows.clear()
