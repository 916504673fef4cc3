"""What a training loop holds: `watch(model, optimizer)` wires a probe to a run file; `check` tries a few steps."""

import contextlib
import copy
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gradiometer.errors import SettingsError
from gradiometer.measuring.budget import Budget
from gradiometer.measuring.compiled import CompileWatch, has_compiled_twin
from gradiometer.measuring.dear import DEAR_MEASUREMENTS
from gradiometer.measuring.flight_recorder import FlightRecorder
from gradiometer.measuring.guarding import call_site
from gradiometer.measuring.kept_batches import SuspiciousStep
from gradiometer.measuring.probe import Probe
from gradiometer.measuring.ranks import find_team
from gradiometer.measuring.ranks_shards import plain_class
from gradiometer.measuring.reductions import note_on_device
from gradiometer.measuring.weight_ring import WeightRing
from gradiometer.recording.keeping import Keeping, KeptFiles, batches_folder, weights_folder
from gradiometer.recording.writer import RunWriter
from gradiometer.schema import Diagnosis, Event, Run

CHECK_STEPS = 16
"""Steps that `check` takes at most: what shows from the start shows by then."""


class Session:
    """A probe and the run file that it writes to; holds what is known of the run as a whole.

    Args:
        file: Path of the run file; None keeps the run in memory.
        overhead: Greatest share of the training time that measuring may take; 1 measures every step in full.
        watches_every_step: Record the loss of every step whatever that costs.
        after_step: Called with the index of every step that has ended; what it raises goes to the script.
        max_bytes: Bound of the run file's size.
        open_compiled: Measure the layers of compiled models too; full steps then run eagerly.
        keeping: What the flight recorder may keep beside the file; None for no flight recorder, as in a trial.
        dear: Dear measurements that take turns on full steps, keys of
            `gradiometer.measuring.dear.DEAR_MEASUREMENTS`; None for all, an empty tuple for none.

    Raises:
        RunFileError: A file is in the way.
        SettingsError: The share is not above 0 and at most 1, or there is no such measurement.
    """

    def __init__(
        self,
        file: str | Path | None = None,
        overhead: float = 0.01,
        *,
        watches_every_step: bool = False,
        after_step: Callable[[int], None] | None = None,
        max_bytes: int = 256 * 2**20,
        open_compiled: bool = False,
        keeping: Keeping | None = Keeping(),  # noqa: B008 - it is frozen
        dear: Sequence[str] | None = None,
    ) -> None:
        if not 0.0 < overhead <= 1.0:
            raise SettingsError(f"overhead is {overhead}: give a share of the training time above 0 and at most 1")
        names = names_of_dear(dear)
        self.overhead = overhead
        self.writer = RunWriter(None if file is None else Path(file), max_bytes=max_bytes)
        self.budget = Budget(overhead, watches_every_step)
        self.recorder = None if keeping is None else FlightRecorder(self.writer, self.budget)
        self.probe = Probe(self.recorder or self.writer, self.budget, after_step, names)
        self._kept: dict[str, KeptFiles] = {}
        if keeping is not None:
            self._keep(keeping)
        self.probe.full_step.opens_compiled = open_compiled
        self.is_stopped = False
        self._has_warned = False
        self.writer.add_facts(
            {
                "status": "running",
                "started_at": now_text(),
                "overhead_allowed": overhead,
                "python": platform.python_version(),
                "torch": torch.__version__,
                "threads": torch.get_num_threads(),
            }
        )

    def _keep(self, keeping: Keeping) -> None:
        """Start the flight recorder; where there is a run file, with what it may keep beside it."""
        probe, recorder, file = self.probe, self.recorder, self.writer.path
        assert recorder is not None
        probe.batches.is_wanted = True
        recorder.batches = probe.batches
        recorder.indices_of = probe.full_step.turns.loaders.find_latest
        if file is not None and not keeping.batches.is_nothing:
            self._kept["batch"] = KeptFiles(batches_folder(file), keeping.batches)
            recorder.keep = self._keep_step
        if file is not None and not keeping.weights.is_nothing:
            self._kept["weight"] = kept = KeptFiles(weights_folder(file), keeping.weights)
            ring = WeightRing(probe, kept.keep, self._tell_of_weights, lambda: recorder.ring.is_sound)
            others = probe.after_step

            def after_step(step: int) -> None:
                ring.after_step(step)
                if others is not None:
                    others(step)

            probe.after_step = after_step

    def _keep_step(self, suspicious: SuspiciousStep) -> str:
        """Keep a suspicious step's batch; says what was kept, or why nothing was."""
        kept = self._kept["batch"]
        reason = kept.keep(suspicious.alarm.step, suspicious.size_bytes, suspicious.write)
        return f"its batch is not kept: {reason}" if reason else f"its batch is kept in {kept.folder.name}"

    def _tell_of_weights(self, reason: str) -> None:
        self.writer.add_event(Event(self.probe.step, "note", f"no weights are kept: {reason}"))

    def describe(self) -> None:
        """Write down what is known of roots and optimizers; called when the first step begins."""
        probe = self.probe
        facts: dict[str, Any] = {
            "root_names": [name or plain_class(root).__name__ for name, root in probe.roots.items()],
            "parameter_count": sum(watched.tensor.numel() for watched in probe.parameters.watched.values()),
            "device": device_name(probe),
            "hand_written_updates": probe.updates_by_hand,
        }
        if probe.optimizers:
            optimizer = probe.leader or probe.optimizers[0]
            facts["optimizer"] = type(optimizer).__name__
            facts["optimizer_settings"] = plain_settings(optimizer)
        self.writer.add_facts(facts)
        devices = {watched.tensor.device for watched in probe.parameters.watched.values()}
        notes = probe.full_step.notes
        notes += sorted({note_on_device(device) for device in devices} - {"", *notes})

    def end(self, error: BaseException | None) -> None:
        """Stop, as what ended the training says; None where it ended by itself."""
        if error is not None and not self.is_stopped:
            self.writer.add_event(Event(self.probe.step, "failed", f"{type(error).__name__}: {error}"))
        self.stop(status_of(error))

    def stop(self, status: str = "finished", **facts: Any) -> None:
        """Detach, write the last facts and close the file; a second call does nothing.

        Args:
            status: `finished`, `failed`, `interrupted` or `stopped`.
            **facts: Further facts to write.
        """
        if self.is_stopped:
            return
        self.is_stopped = True
        self.probe.detach()
        with self.probe.guard:
            self.describe()
            self.writer.set_coverage(self.probe.full_step.coverage())
        self.writer.add_facts({"status": status, "finished_at": now_text(), **facts})
        with self.probe.guard:
            self.writer.add_facts(self.account())
        self.warn_of_faults()
        self.writer.close()

    def account(self) -> dict[str, Any]:
        """What measuring has cost so far, as facts."""
        budget = self.budget
        recorded = {} if self.recorder is None else {"flight_recorder": self.recorder.facts() | self._kept_facts()}
        return {
            **recorded,
            "step_count": self.probe.step,
            "overhead_measured": budget.share,
            "measuring_seconds": budget.spent_seconds,
            "training_seconds": budget.training_seconds,
            "full_measurement_count": self.probe.full_step.count,
            "repaid_step": budget.repaid_step,
            "dear_costs": self.probe.turns.costs(),
        }

    def _kept_facts(self) -> dict[str, int]:
        """How much is kept beside the run file."""
        counts = {f"kept_{name}_count": kept.file_count for name, kept in self._kept.items()}
        return counts | {f"kept_{name}_bytes": kept.size_bytes for name, kept in self._kept.items()}

    def warn_of_faults(self) -> None:
        """Say once that measuring or recording has stopped, and why."""
        text = ""
        if self.probe.guard.is_broken:
            where = "Rank 0's run names it." if self.probe.teamwork.is_silent else "The run file has the traceback."
            text = f"a fault of its own ended the measuring; training went on. {where}"
        elif self.writer.fault:
            text = self.writer.fault
        if text and not self._has_warned:
            self._has_warned = True
            with contextlib.suppress(AttributeError, OSError, ValueError):  # stderr closed, or its reader gone
                sys.stderr.write(f"gradiometer: {text}\n")

    @property
    def run(self) -> Run:
        """Everything measured so far."""
        if not self.is_stopped:
            self.writer.add_facts(self.account())
        return self.writer.read()


def status_of(error: BaseException | None) -> str:
    """A run's status, from what ended its training: Ctrl-C and the end of the program are no failures."""
    if error is None:
        return "finished"
    return "failed" if isinstance(error, Exception) else "interrupted"


class Watch:
    """A training loop's hold on gradiometer: a context manager, or `start` and `stop`; see `watch`."""

    def __init__(self, model: nn.Module, optimizers: tuple[Optimizer, ...], session: Session) -> None:
        self.session = session
        probe = session.probe
        self._compiling = CompileWatch(probe.meet_compiled)
        probe.watch_root(model)
        # A function or a step that is compiled can't be found from the model; who asks to open it knows of it.
        if has_compiled_twin(model) or probe.full_step.opens_compiled:
            probe.meet_compiled()
        for optimizer in optimizers:
            probe.watch_optimizer(optimizer)
        probe.updates_by_hand = not optimizers
        session.describe()

    def start(self) -> "Watch":
        """Attach; the next forward belongs to the first step."""
        self._compiling.start()
        self.session.probe.attach()
        return self

    def stop(self) -> None:
        """Detach and close the run file; `run` stays readable."""
        self._compiling.stop()
        self.session.stop()

    @property
    def run(self) -> Run:
        """Everything measured so far."""
        return self.session.run

    def diagnose(self) -> Diagnosis:
        """What is wrong with the run so far."""
        from gradiometer.diagnosing import diagnose

        return diagnose(self.run)

    def __enter__(self) -> "Watch":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._compiling.stop()
        self.session.end(error)


def watch(
    model: nn.Module,
    optimizer: Optimizer | Iterable[Optimizer] | None = None,
    file: str | Path | None = None,
    overhead: float = 0.01,
    *,
    open_compiled: bool = False,
    dear: Sequence[str] | None = None,
) -> Watch:
    """Watch a training loop; no call is needed inside it.

    Args:
        model: The module that the loop calls.
        optimizer: Its optimizer or optimizers; None for updates written by hand.
        file: Path of the run file; None keeps the run in memory. Of several processes that train the model together
            the first writes it, and the others' runs stay empty.
        overhead: Greatest share of the training time that measuring may take.
        open_compiled: The model, or what calls it, is compiled, and its layers are to be measured all the same: full
            steps run eagerly, so the last bits of the weights may differ.
        dear: Dear measurements that take turns on full steps: `similarity`, `through_time`, `per_example`,
            `histograms`, `units`; None for all that fit the network, an empty tuple for none.

    Returns:
        A context manager with `.run` and `.diagnose()`; or call its `start()` and `stop()`.

    Raises:
        RunFileError: A file is in the way.
        SettingsError: The share is not above 0 and at most 1, or there is no such measurement.

    Example:
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Sigmoid(), torch.nn.Linear(4, 1))
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> with watch(model, optimizer) as watching:
        ...     for _ in range(3):
        ...         optimizer.zero_grad()
        ...         model(torch.ones(8, 4)).square().mean().backward()
        ...         _ = optimizer.step()
        >>> watching.run.step_count, [layer.name for layer in watching.run.layers]
        (3, ['0', '1', '2'])
    """
    if optimizer is None:
        optimizers: tuple[Optimizer, ...] = ()
    else:
        optimizers = (optimizer,) if isinstance(optimizer, Optimizer) else tuple(optimizer)
    team = find_team(model)
    session = Session(
        file if team is None or team.is_leader else None, overhead, open_compiled=open_compiled, dear=dear
    )
    session.writer.add_facts({"script": call_site(2) or "interactive"})
    return Watch(model, optimizers, session)


def check(
    model: nn.Module,
    loss_fn: Callable[..., Tensor],
    batches: Iterable[Any],
    optimizer: Optimizer | None = None,
    *,
    steps: int = CHECK_STEPS,
) -> Diagnosis:
    """Diagnose a model from its first steps, on copies: model, optimizer and random state stay as they are.

    Args:
        model: The model.
        loss_fn: Called with the model's output and the target; returns a scalar.
        batches: Pairs (input, target); gone through again where there are fewer than `steps`.
        optimizer: The model's optimizer. None measures gradients without ever changing a weight.
        steps: Steps to take at most.

    Returns:
        The diagnosis; its verdict is `unknown` where too little was seen.

    Raises:
        SettingsError: There is no batch.
    """
    model, optimizer = copy.deepcopy((model, optimizer))
    stepper = optimizer or torch.optim.SGD(model.parameters(), lr=0.0)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        # A loader shuffles with the global random state, and may never end.
        taken = list(islice(batches, steps))
        if not taken:
            raise SettingsError("check needs at least one batch: pairs of input and target")
        session = Session(None, overhead=1.0)
        session.writer.add_facts({"updates_measured": optimizer is not None})
        with Watch(model, (stepper,), session) as watching:
            for number in range(steps):
                inputs, target = taken[number % len(taken)]
                stepper.zero_grad()
                loss_fn(model(inputs), target).backward()  # type: ignore[no-untyped-call]
                stepper.step()
    return watching.diagnose()


def names_of_dear(dear: Sequence[str] | None) -> tuple[str, ...]:
    """The dear measurements that were asked for; all where none was named.

    Raises:
        SettingsError: There is no such measurement.
    """
    unknown = [name for name in dear or () if name not in DEAR_MEASUREMENTS]
    if unknown:
        raise SettingsError(f"there is no dear measurement '{unknown[0]}'; there are {', '.join(DEAR_MEASUREMENTS)}")
    return tuple(DEAR_MEASUREMENTS if dear is None else dear)


def now_text() -> str:
    """The time of day, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def device_name(probe: Probe) -> str:
    """The devices that parameters are on, as torch names them."""
    return ", ".join(sorted({str(watched.tensor.device) for watched in probe.parameters.watched.values()})) or "cpu"


def plain_settings(optimizer: Optimizer) -> dict[str, Any]:
    """An optimizer's settings that are numbers, flags or names."""
    group = optimizer.param_groups[0]
    settings = {key: value for key, value in group.items() if key != "params"}
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in settings.items()
        if value is None or isinstance(value, (bool, int, float, str, tuple))
    }
