"""Where measurements go, and the newest of them for a view of the run while it goes on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gradiometer.schema import Coverage, Event, Layer, Parameter, Snapshot


class Sink(Protocol):
    """Where measurements go; a `RunWriter` is one."""

    @property
    def writing_seconds(self) -> float:
        """Processor time that storing has taken so far, beside the training."""

    def add_facts(self, facts: Mapping[str, Any]) -> None:
        """Facts of the run as a whole."""

    def add_layers(self, layers: Sequence[Layer]) -> None:
        """Layers, new or known better."""

    def add_parameters(self, parameters: Sequence[Parameter]) -> None:
        """Parameters."""

    def rename_parameters(self, names: Sequence[tuple[str, str]]) -> None:
        """Parameters are known by other names now: of each the old one and the new."""

    @property
    def seconds_per_row(self) -> float:
        """Processor time that storing one row took on average so far."""

    def add_step_row(self, row: tuple[Any, ...]) -> None:
        """What the every-step watch saw: the fields of a `StepStats` in their order."""

    def add_snapshot(self, snapshot: Snapshot) -> None:
        """A full measurement."""

    def add_event(self, event: Event) -> None:
        """Something that happened once."""

    def set_coverage(self, coverage: Coverage) -> None:
        """What is seen so far."""


class Relay:
    """Stands before a sink and hands on what it is given.

    Args:
        sink: Where measurements go.
        is_silent: Nothing is handed on.
    """

    def __init__(self, sink: Sink, *, is_silent: bool = False) -> None:
        self.sink = sink
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


@dataclass(slots=True)
class Latest:
    """The newest of everything, for a view of the run while it goes on.

    Attributes:
        snapshot: The last full measurement.
        layers: The layers.
        parameters: The parameters.
        loss: The last loss recorded.
    """

    snapshot: Snapshot | None = None
    layers: tuple[Layer, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    loss: float | None = None
