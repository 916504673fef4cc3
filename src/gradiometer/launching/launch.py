"""One watched run of a script, from the command line's options to a closed run file."""

import shlex
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from gradiometer.launching.ending import INTERRUPTED, TERMINATED, Ending
from gradiometer.launching.limits import TrainingStopped, seed_everything
from gradiometer.launching.script import Target, run_target
from gradiometer.recording.keeping import Keeping
from gradiometer.recording.provenance import gather_provenance

if TYPE_CHECKING:
    from gradiometer.launching.discovery import Discovery
    from gradiometer.launching.treatment import Treatment
    from gradiometer.session import Session


@dataclass(frozen=True, slots=True)
class Launch:
    """What to run, and how to watch it.

    Attributes:
        target: The script or module with its arguments.
        file: Path of the run file.
        step_limit: Steps after which the training is stopped; None lets it end by itself.
        seconds_limit: Seconds of training after which it is stopped.
        seed: Seed set before the script starts; None leaves the random state alone.
        overhead: Greatest share of the training time that measuring may take.
        watches_every_step: Record the loss of every step; trials need it.
        treatment: Makes a trial's treatment when torch is there; None changes nothing.
        when_watching: Called once with the session when torch is there.
        when_ending: Called once when the script has ended, before the run file is closed.
        max_bytes: Bound of the run file's size.
        open_compiled: Measure the layers of compiled models too.
        dear: Dear measurements that take turns on full steps; None for all.
        keeping: What may be kept beside the run file; a trial keeps nothing, whatever this says.
        is_silent: This is one of several processes, and another one writes; it measures only its part for that one.
        is_stop_asked: Asked after every step; True stops the training.
        facts: Further facts for the run file.
    """

    target: Target
    file: Path | None
    step_limit: int | None = None
    seconds_limit: float | None = None
    seed: int | None = None
    overhead: float = 0.01
    watches_every_step: bool = False
    treatment: "Callable[[Session], Treatment] | None" = None
    when_watching: "Callable[[Session], None] | None" = None
    when_ending: Callable[[], None] | None = None
    max_bytes: int = 256 * 2**20
    open_compiled: bool = False
    dear: tuple[str, ...] | None = None
    keeping: Keeping = field(default_factory=Keeping)
    is_silent: bool = False
    is_stop_asked: Callable[[], bool] | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Watching:
    """A launch under way: what appears when the script imports torch.

    Attributes:
        launch: What was asked for.
        session: The session, None until torch is imported.
        discovery: The search for roots and optimizers, likewise.
        fault: Why watching could not start.
    """

    launch: Launch
    session: "Session | None" = None
    discovery: "Discovery | None" = None
    fault: Exception | None = None
    started: float | None = None

    def begin(self) -> None:
        """Start watching; called when the script has imported torch. What fails is kept for the caller."""
        try:
            self._begin()
        except Exception as error:  # the script goes on unwatched; the caller tells
            self.fault = error

    def _begin(self) -> None:
        from gradiometer.launching.discovery import Discovery
        from gradiometer.session import Session

        launch = self.launch
        if launch.seed is not None:
            seed_everything(launch.seed)
        self.session = Session(
            launch.file,
            launch.overhead,
            watches_every_step=launch.watches_every_step,
            after_step=self.after_step,
            max_bytes=launch.max_bytes,
            open_compiled=launch.open_compiled,
            dear=launch.dear,
            keeping=launch.keeping if launch.treatment is None else None,
        )
        if launch.is_silent:
            self.session.probe.stay_silent()
        self.session.probe.teamwork.is_stop_asked = self.is_stop_asked
        target = launch.target
        words = [target.script] if target.script else ["-m", target.module or ""]
        command = shlex.join(["python", *words, *target.arguments])
        provenance = gather_provenance(target.script or target.module, target.arguments, command=command)
        provenance |= {"is_module": target.script is None, "working_directory": str(Path.cwd())}
        self.session.writer.add_facts({**provenance, "seed": launch.seed, **launch.facts})
        treatment = launch.treatment(self.session) if launch.treatment else None
        self.discovery = Discovery(self.session, treatment, self.after_training)
        self.discovery.start()
        if launch.when_watching is not None:
            launch.when_watching(self.session)

    def after_step(self, step: int) -> None:
        """Stop the training where a limit is reached.

        Raises:
            TrainingStopped: It is.
        """
        limit = self.launch.step_limit
        # Of several processes that train together one alone may not stop: the others would wait for it.
        teamwork = self.session.probe.teamwork if self.session is not None else None
        is_planned = teamwork is not None and teamwork.is_planned
        is_stopping = teamwork.is_stopping if teamwork is not None and is_planned else self.is_stop_asked()
        if is_stopping or (limit is not None and step + 1 >= limit):
            raise TrainingStopped

    def is_stop_asked(self) -> bool:
        """Whether the training is to stop for another reason than its number of steps; its time begins here."""
        launch, now = self.launch, monotonic()
        if self.started is None:
            self.started = now
        is_late = launch.seconds_limit is not None and now - self.started >= launch.seconds_limit
        return is_late or (launch.is_stop_asked is not None and launch.is_stop_asked())

    def after_training(self) -> None:
        """Stop the script where a limit was set: another training has begun, and this run holds the first.

        Raises:
            TrainingStopped: It was.
        """
        if self.launch.step_limit is not None or self.launch.seconds_limit is not None:
            raise TrainingStopped

    def end(self, ending: Ending | None) -> None:
        """Take the hooks away and close the run file; what fails is kept for the caller, as the script has ended."""
        try:
            self._end(ending)
        except Exception as error:
            self.fault = self.fault or error

    def _end(self, ending: Ending | None) -> None:
        with ExitStack() as ends:  # from the last to the first, each whatever becomes of the others
            if self.session is not None:
                facts = {} if ending is None else {"exit_code": ending.exit_code, "traceback": ending.traceback_text}
                ends.callback(self.session.stop, status_of(ending), **facts)
            if self.discovery is not None:
                ends.callback(self.discovery.stop)
            if self.launch.when_ending is not None and self.session is not None:
                ends.callback(self.launch.when_ending)


@dataclass(frozen=True, slots=True)
class LaunchResult:
    """How a watched run ended.

    Attributes:
        ending: How the script ended.
        file: The run file, None where the script never imported torch.
        step_count: Steps seen.
        forward_count: Forward calls of modules seen while roots were looked for.
        optimizer_count: Optimizers seen.
        saw_torch: The script imported torch.
        fault: Why watching could not start, None where it did.
        is_broken: A fault of gradiometer's own ended the measuring.
    """

    ending: Ending
    file: Path | None
    step_count: int
    forward_count: int
    optimizer_count: int
    saw_torch: bool
    fault: Exception | None
    is_broken: bool = False


def launch_script(launch: Launch) -> LaunchResult:
    """Run a script watched; its output, arguments and exit code are its own.

    Args:
        launch: What to run and how.

    Returns:
        How it ended; the run file is closed.

    Raises:
        ScriptError: The script can't be started.
    """
    watching = Watching(launch)
    ending: Ending | None = None
    try:
        ending = run_target(launch.target, when_torch_is_imported=watching.begin)
    finally:
        watching.end(ending)
    session, discovery = watching.session, watching.discovery
    return LaunchResult(
        ending=ending,
        file=launch.file if session is not None else None,
        step_count=session.probe.step if session else 0,
        forward_count=discovery.forward_count if discovery else 0,
        optimizer_count=session.probe.optimizer_count if session else 0,
        saw_torch="torch" in sys.modules,
        fault=watching.fault,
        is_broken=session is not None and session.probe.guard.is_broken,
    )


def status_of(ending: Ending | None) -> str:
    """A run's status, from how its script ended; a script that could not be ended properly has failed."""
    if ending is None:
        return "failed"
    if ending.was_stopped:
        return "stopped"
    if ending.exit_code in {INTERRUPTED, TERMINATED}:
        return "interrupted"
    return "finished" if ending.exit_code == 0 else "failed"
