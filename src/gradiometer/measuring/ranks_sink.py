"""Where the measurements of a team's process go: the leader's to the run file, everybody else's nowhere."""

from collections.abc import Callable
from typing import Any

from gradiometer.measuring.losses import LossEntries
from gradiometer.measuring.sink import Relay, Sink


class TeamSink(Relay):
    """Stands before a sink in a process of a team; hands on what the leader measures and drops the rest.

    Args:
        sink: Where measurements go.
        note_losses: Told of the losses of every watched step.
        is_silent: Nothing is handed on.
    """

    def __init__(self, sink: Sink, note_losses: Callable[[int, LossEntries], None], *, is_silent: bool) -> None:
        super().__init__(sink, is_silent=is_silent)
        self.note_losses = note_losses

    def add_step_row(self, row: tuple[Any, ...]) -> None:
        """What the every-step watch saw: the fields of a `StepStats` in their order."""
        self.note_losses(row[0], row[1] or ())
        super().add_step_row(row)
