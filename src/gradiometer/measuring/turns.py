"""Whose turn it is: dear measurements take turns on full steps, each with a share of the budget of its own.

In the advance each has one first turn, on steps 1, 2, 4, 8 ...; step 0 shows what the network has, and so which of them
fit it. From the step at which the advance is repaid each one waits until its own share has paid for another turn, so
that a very dear one has few turns and keeps none of the others from theirs. Where every step is measured in full they
take turns in every one of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from statistics import median
from typing import Any

import numpy as np
from torch import Tensor
from torch.optim import Optimizer

from gradiometer.measuring.budget import Budget
from gradiometer.measuring.calls import Call
from gradiometer.measuring.collecting import (
    Batches,
    Collector,
    Findings,
    FloatArray,
    LeftOut,
    StepSetting,
    Stopwatch,
)
from gradiometer.measuring.dear import DEAR_MEASUREMENTS, DearMeasurement
from gradiometer.measuring.loaders import LoaderWatch
from gradiometer.measuring.network import Network, has_loops
from gradiometer.measuring.observing import Memory, StepObserver
from gradiometer.measuring.parameters import ParameterWatch
from gradiometer.schema import Snapshot, Turn

KEPT_COSTS = 16
"""Turns whose cost is remembered of each measurement."""

ESTIMATED_RATIO = 2.0
"""Cost of a first turn over that of the core of a full step; chosen by us, it only delays a first turn."""


@dataclass(slots=True)
class Account:
    """One measurement's turns.

    Attributes:
        turn_count: Turns that it had.
        last_step: Step of the last one.
        spent_seconds: What they cost together.
        costs_seconds: What each of the last ones cost.
    """

    turn_count: int = 0
    last_step: int = -1
    spent_seconds: float = 0.0
    costs_seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class EndedTurn:
    """A turn whose step has ended, before its numbers are read.

    Attributes:
        measurement: Whose turn it was.
        findings: What was found.
        stopwatch: Times it.
    """

    measurement: str
    findings: Findings
    stopwatch: Stopwatch

    def read(self, snapshot: Snapshot, elements: FloatArray) -> Snapshot:
        """Add to the step's snapshot what was found.

        Args:
            snapshot: The snapshot.
            elements: Elements of the tensors of its findings, one after the other.
        """
        sizes = [tensor.numel() for tensor in self.findings.tensors]
        arrays = np.split(elements, np.cumsum(sizes)[:-1]) if sizes else []
        snapshot, left_out = self.stopwatch.timed(self.findings.read)(snapshot, arrays)
        return replace(snapshot, turn=Turn(self.measurement, self.stopwatch.seconds, left_out))


class Turns:
    """Chooses whose turn it is, and leads it through its step.

    Args:
        names: Keys of `DEAR_MEASUREMENTS` that may have turns, in the order of their first ones.
        budget: Says what may be spent.
        measurements: The table itself.
        on_fault: Called with an error met amid a script's use of its loader.

    Attributes:
        accounts: What each has cost so far.
        loaders: Tells which examples batches are made of.
    """

    def __init__(
        self,
        names: Sequence[str],
        budget: Budget,
        measurements: Mapping[str, DearMeasurement] = DEAR_MEASUREMENTS,
        *,
        on_fault: Callable[[Exception], None],
    ) -> None:
        self.budget = budget
        self.measurements = {name: measurements[name] for name in names}
        self.accounts = {name: Account() for name in names}
        self.loaders = LoaderWatch(on_fault)
        self._has_loops = False
        self._chosen: str | None = None
        self._collector = Collector()
        self._stopwatch = Stopwatch()

    def prepare(self) -> None:
        """Listen to loaders, before the first of them is asked for a batch."""
        if "per_example" in self.measurements:
            self.loaders.start()

    def close(self) -> None:
        """Listen no more."""
        self.loaders.stop()

    def begin(
        self,
        step: int,
        memory: Memory,
        observer: StepObserver | None,
        parameters: ParameterWatch,
        scale: Callable[[], Tensor | None],
    ) -> Collector:
        """Begin a full step: what the measurement collects whose turn it is, nothing where it is nobody's.

        Args:
            step: Its index.
            memory: What is known of the network.
            observer: Sees its layers; None where they are not opened.
            parameters: The run's parameters.
            scale: Gives what the loss was multiplied by, None where it was not.
        """
        self.abandon()
        network = Network(
            modules=tuple(record.module for record in memory.modules.values()),
            is_closed=observer is None,
            has_loops=self._has_loops,
            has_windows=bool(memory.windows),
        )
        self._chosen = self.choose(step, network)
        if self._chosen is None:
            return self._collector
        batches = Batches(self.loaders.find)
        setting = StepSetting(
            calls=observer.calls if observer is not None else (),
            batches=batches,
            parameters=parameters,
            windows=memory.windows,
            scale=scale,
            guarded=observer.guarded if observer is not None else unguarded,
        )
        self._collector = timed(self.measurements[self._chosen].start(setting), self._stopwatch)
        self.loaders.is_noting = self._chosen == "per_example"
        if observer is not None:
            observer.collect(self._collector, batches)
        return self._collector

    def before_update(self, optimizer: Optimizer | None) -> None:
        """An optimizer is about to step."""
        if self._collector.before_update is not None:
            self._collector.before_update(optimizer)

    def after_update(self, optimizer: Optimizer | None) -> None:
        """It has stepped."""
        if self._collector.after_update is not None:
            self._collector.after_update(optimizer)

    def look_for_loops(self, calls: Sequence[Call], memory: Memory) -> None:
        """Note whether a full step has called a module with parameters in a loop."""
        if not self._has_loops:
            modules = ((record.name, record.module) for record in memory.modules.values())
            self._has_loops = has_loops(calls, modules)

    @property
    def seconds(self) -> float:
        """Time that the turn under way has taken, 0 where there is none."""
        return self._stopwatch.seconds

    def choose(self, step: int, network: Network) -> str | None:
        """Say whose turn a full step is; None where nobody's."""
        fitting = [name for name, measurement in self.measurements.items() if measurement.fits(network)]
        self.budget.has_turns = bool(fitting)
        if step == 0 or not fitting:
            return None
        waiting = sorted(fitting, key=lambda name: self.accounts[name].last_step)
        if self.budget.allowed_share >= 1.0:
            return waiting[0]
        if self.budget.repaid_step is None:
            return next((name for name in waiting if not self.accounts[name].turn_count), None)
        return next((name for name in waiting if self._is_paid(name, len(fitting))), None)

    def _is_paid(self, name: str, count: int) -> bool:
        """Whether a measurement's own share has paid for another turn."""
        account = self.accounts[name]
        core_seconds = self.budget.core_cost_seconds
        cost_seconds = median(account.costs_seconds) if account.costs_seconds else ESTIMATED_RATIO * core_seconds
        own_seconds = self.budget.turns_seconds / count
        return account.spent_seconds + cost_seconds <= own_seconds and self.budget.has_room(core_seconds + cost_seconds)

    def end(self) -> EndedTurn | None:
        """End the turn under way; None where there is none. No device is waited for."""
        if self._chosen is None:
            return None
        findings = self._collector.end() if self._collector.end is not None else Findings((), read_nothing)
        return EndedTurn(self._chosen, findings, self._stopwatch)

    def account(self, step: int, cost_seconds: float) -> None:
        """Book what the turn of a step that has ended cost, and let go of it."""
        if self._chosen is not None:
            self.book(self._chosen, step, cost_seconds)
            self.abandon()

    def book(self, name: str, step: int, cost_seconds: float) -> None:
        """Book one measurement's turn."""
        account = self.accounts[name]
        account.turn_count += 1
        account.last_step = step
        account.spent_seconds += cost_seconds
        account.costs_seconds = [*account.costs_seconds[1 - KEPT_COSTS :], cost_seconds]

    def abandon(self) -> None:
        """Let go of the turn under way."""
        self._chosen, self._collector, self._stopwatch = None, Collector(), Stopwatch()
        self.loaders.forget()

    def costs(self) -> dict[str, dict[str, Any]]:
        """What each measurement has cost so far, as a fact; those that had no turn are left out."""
        return {
            name: {
                "turn_count": account.turn_count,
                "median_seconds": median(account.costs_seconds),
                "spent_seconds": account.spent_seconds,
            }
            for name, account in self.accounts.items()
            if account.turn_count
        }


def read_nothing(snapshot: Snapshot, arrays: Sequence[FloatArray]) -> tuple[Snapshot, LeftOut]:
    """Add nothing to a snapshot: what a measurement that ends with nothing has found."""
    return snapshot, ()


def unguarded(function: Callable[..., None]) -> Callable[..., None]:
    """Stand for the guard of autograd's hooks where no layer is opened, and none is set."""
    return function


def timed(collector: Collector, stopwatch: Stopwatch) -> Collector:
    """The same collector with every function timed."""
    functions = {spec.name: getattr(collector, spec.name) for spec in fields(Collector)}
    return Collector(
        **{name: None if function is None else stopwatch.timed(function) for name, function in functions.items()}
    )
