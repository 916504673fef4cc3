"""How often a growing run is looked at in the training's own process, and how much each look tells.

A look costs what it tells: MLflow takes a tenth of a millisecond for a number, W&B a tenth of that. So looks are cut
down to what their share of the time pays for, and one that was dearer puts the next one off.
"""

from dataclasses import dataclass

from gradiometer.integrations.telling import LEAST_PAUSE_SECONDS

PACE_SECONDS = 20.0
"""Time between two looks that is aimed at; charts of a long training are looked at less often."""

ASSUMED_LOOK_SECONDS = 0.05
"""What the first look is taken to cost; 13 layers and three seconds of steps took about as much."""

ASSUMED_NUMBER_SECONDS = 1e-4
"""What telling one number is taken to cost before the first look, which is about what MLflow takes."""

LEAST_NUMBERS = 100
"""Numbers that a look tells of in any case: less is no chart."""

MOST_NUMBERS = 1_000_000
"""Numbers that a look tells of at most; there are never so many."""

MOST_CHANGE = 4.0
"""By what factor a look may tell more or less than the one before: what a single one costs is noisy."""


@dataclass(slots=True)
class Pace:
    """Keeps what telling costs within its share of the training time.

    Attributes:
        share: That share.
        look_seconds: What the next look is taken to cost.
        most_numbers: How many numbers it may tell of.
    """

    share: float
    look_seconds: float = ASSUMED_LOOK_SECONDS
    most_numbers: int = 0

    def __post_init__(self) -> None:
        self.most_numbers = max(LEAST_NUMBERS, round(self.aimed_seconds / ASSUMED_NUMBER_SECONDS))

    @property
    def aimed_seconds(self) -> float:
        """What a look should cost."""
        return self.share * PACE_SECONDS

    def may_look(self, pause_seconds: float, spent_seconds: float, elapsed_seconds: float) -> bool:
        """Whether the run may be looked at again.

        Args:
            pause_seconds: Time since the last look.
            spent_seconds: What telling has cost so far.
            elapsed_seconds: Time since it began.

        Example:
            >>> pace = Pace(0.0025)
            >>> pace.may_look(3.0, 0.2, 110.0), pace.may_look(1.0, 0.2, 110.0), pace.may_look(3.0, 0.2, 90.0)
            (True, False, False)
        """
        is_paid = spent_seconds + self.look_seconds <= self.share * elapsed_seconds
        return pause_seconds >= LEAST_PAUSE_SECONDS and is_paid

    def book(self, seconds: float) -> None:
        """Book what a look has cost, and cut the next one to what it should cost.

        Example:
            >>> pace = Pace(0.0025)
            >>> pace.most_numbers, pace.book(0.1), pace.most_numbers, pace.look_seconds
            (500, None, 250, 0.1)
        """
        factor = min(max(self.aimed_seconds / max(seconds, 1e-6), 1.0 / MOST_CHANGE), MOST_CHANGE)
        self.most_numbers = min(max(round(self.most_numbers * factor), LEAST_NUMBERS), MOST_NUMBERS)
        # What is cut down is not taken to be cheaper: reading the run costs the same.
        self.look_seconds = seconds * max(factor, 1.0)
