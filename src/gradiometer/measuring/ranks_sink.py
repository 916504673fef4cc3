"""Where the measurements of a team's process go: the leader's to the run file, everybody else's nowhere."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gradiometer.measuring.losses import LossEntries
from gradiometer.measuring.sink import Sink
from gradiometer.schema import Coverage, Event, Layer, Parameter, Snapshot


class TeamSink:
    """Stands before a sink in a process of a team; hands on what the leader measures and drops the rest.

    Args:
        sink: Where measurements go.
        note_losses: Told of the losses of every watched step.
        is_silent: Nothing is handed on.
    """

    def __init__(self, sink: Sink, note_losses: Callable[[int, LossEntries], None], *, is_silent: bool) -> None:
        self.sink = sink
        self.note_losses = note_losses
        self.is_silent = is_silent

    @property
    def writing_seconds(self) -> float:
        """Processor time that storing has taken so far, beside the training."""
        return self.sink.writing_seconds

    @property
    def seconds_per_row(self) -> float:
        """Processor time that storing one row took on average so far."""
        return self.sink.seconds_per_row

    def add_facts(self, facts: Mapping[str, Any]) -> None:
        """Facts of the run as a whole."""
        if not self.is_silent:
            self.sink.add_facts(facts)

    def add_layers(self, layers: Sequence[Layer]) -> None:
        """Layers, new or known better."""
        if not self.is_silent:
            self.sink.add_layers(layers)

    def add_parameters(self, parameters: Sequence[Parameter]) -> None:
        """Parameters."""
        if not self.is_silent:
            self.sink.add_parameters(parameters)

    def rename_parameters(self, names: Sequence[tuple[str, str]]) -> None:
        """Parameters are known by other names now: of each the old one and the new."""
        if not self.is_silent:
            self.sink.rename_parameters(names)

    def add_step_row(self, row: tuple[Any, ...]) -> None:
        """What the every-step watch saw: the fields of a `StepStats` in their order."""
        self.note_losses(row[0], row[1] or ())
        if not self.is_silent:
            self.sink.add_step_row(row)

    def add_snapshot(self, snapshot: Snapshot) -> None:
        """A full measurement."""
        if not self.is_silent:
            self.sink.add_snapshot(snapshot)

    def add_event(self, event: Event) -> None:
        """Something that happened once."""
        if not self.is_silent:
            self.sink.add_event(event)

    def set_coverage(self, coverage: Coverage) -> None:
        """What is seen so far."""
        if not self.is_silent:
            self.sink.set_coverage(coverage)
