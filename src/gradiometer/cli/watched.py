"""What `run` and `check` share: a script is run watched, its verdict printed, and one exit code told."""

import contextlib
import errno
import os
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from gradiometer.cli.artefacts import Artefacts, refuse_places, write_artefacts
from gradiometer.cli.console import messages
from gradiometer.cli.cured import CuredRun, cured_run
from gradiometer.cli.exit_codes import COULD_NOT, FINDINGS, OK, exit_code_of, severity_of
from gradiometer.cli.served_beside import served_beside
from gradiometer.cli.targets import named_target
from gradiometer.cli.tracked import Tracking, destinations_in
from gradiometer.errors import GradiometerError, NoTrainingError, RunFileError, SettingsError
from gradiometer.launching.departing import DepartureWatch
from gradiometer.launching.launch import Launch, LaunchResult, launch_script
from gradiometer.launching.script import Target, is_there
from gradiometer.launching.torchrun import rank_in
from gradiometer.recording.keeping import Keeping, bounds_from
from gradiometer.settings import Settings, load_settings
from gradiometer.showing.live import LiveState, LiveView

if TYPE_CHECKING:
    from gradiometer.schema import Diagnosis
    from gradiometer.session import Session


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """The command line's options of `run` and `check`; None leaves the choice to the settings.

    Attributes:
        words: Script and its arguments, or only arguments where a module is given.
        module: Module to run, as after `python -m`.
        file: Path of the run file.
        steps: Steps after which the training is stopped.
        seed: Seed set before the script starts.
        overhead: Share of the training time that measuring may take.
        fail_on: Severity from which on the exit code is 3.
        stop_on: Severity or condition at which the training is stopped.
        is_quiet: No live view.
        is_json: The diagnosis goes to stdout as one JSON object.
        opens_compiled: Layers of compiled models are measured; the settings may say so too.
        keep_batches: How many batches of suspicious steps are kept, or how large they may be together.
        keep_weights: The same of weights on the way.
        cure: Labels of cures to apply, or a run file that holds a proved one.
        is_live: The run's dashboard is served while it trains.
        artefacts: Files for continuous integration.
        to: Trackers to tell of the run while it trains.
        is_check: The verdict is all that is wanted.
    """

    words: tuple[str, ...]
    module: str | None = None
    file: Path | None = None
    steps: int | None = None
    seed: int | None = None
    overhead: float | None = None
    fail_on: str | None = None
    stop_on: str | None = None
    is_quiet: bool = False
    is_json: bool = False
    opens_compiled: bool = False
    keep_batches: str = "4"
    keep_weights: str = "0"
    cure: str | None = None
    is_live: bool = False
    artefacts: Artefacts = Artefacts()
    to: str | None = None
    is_check: bool = False


@dataclass(slots=True)
class Watcher:
    """Shows a run while it goes on, and says when it is to be stopped.

    Attributes:
        options: The command line's options.
        settings: The settings.
        cured: The cures to apply; None without.
        tracking: The trackers to tell.
        session: The run's session, None until the script imports torch.
        view: The live view.
        is_stop_asked: A finding that `--stop-on` names was made.
    """

    options: WatchOptions
    settings: Settings
    cured: CuredRun | None = None
    tracking: Tracking = field(default_factory=lambda: Tracking(()))
    session: "Session | None" = None
    view: LiveView | None = None
    is_stop_asked: bool = False
    started: float = field(default_factory=time.monotonic)
    _ended: threading.Event = field(default_factory=threading.Event)

    def start(self, session: "Session") -> None:
        """Begin to show; called when watching begins."""
        self.session = session
        self.started = time.monotonic()
        self.tracking.start(session)
        if not self.options.is_quiet and sys.stderr is not None:
            self.view = LiveView(self.state).start()
        if self.options.stop_on:
            threading.Thread(target=self.look_for_findings, daemon=True, name="gradiometer-stop-on").start()

    def stop(self) -> None:
        """Give the terminal back."""
        self._ended.set()
        if self.cured is not None:
            self.cured.end()
        if self.view is not None and self.session is not None:
            self.session.budget.spent_seconds += self.view.rendering_seconds
            self.view.stop()

    def launch(self, target: Target, file: Path, overhead: float) -> Launch:
        """What to run, and how to watch it."""
        options, settings, cured = self.options, self.settings, self.cured
        return Launch(
            target,
            file,
            step_limit=options.steps,
            seed=options.seed,
            overhead=overhead,
            max_bytes=settings.max_megabytes * 2**20,
            open_compiled=options.opens_compiled or settings.open_compiled,
            dear=settings.dear,
            keeping=keeping_of(options),
            when_watching=self.start,
            when_ending=self.stop,
            is_stop_asked=self.is_to_stop if options.stop_on or cured is not None else None,
            treatment=cured.begin if cured is not None else None,
        )

    def is_to_stop(self) -> bool:
        """Whether the training is to stop here."""
        return self.is_stop_asked or (self.cured is not None and self.cured.is_hopeless())

    @property
    def is_judged(self) -> bool:
        """Whether the exit code is to tell more than how the script ended: then to have no run file is a failure."""
        options = self.options
        asked = options.fail_on or self.settings.fail_on or options.stop_on or options.is_json or options.is_check
        return bool(asked) or options.artefacts != Artefacts()

    def state(self) -> LiveState:
        """What the live view shows now."""
        from gradiometer.showing.layer_rows import rows_of_snapshot

        session = self.session
        assert session is not None
        latest = session.probe.full_step.latest
        rows = rows_of_snapshot(latest.layers, latest.parameters, latest.snapshot) if latest.snapshot else ()
        return LiveState(
            rows=rows,
            loss=latest.loss,
            step=session.probe.step,
            step_limit=self.options.steps,
            elapsed_seconds=time.monotonic() - self.started,
            overhead=session.budget.share,
        )

    def look_for_findings(self) -> None:
        """Diagnose the run again and again until a finding is one to stop on; at most 2 % of the time goes into it."""
        pause_seconds = 0.5
        while not self._ended.wait(pause_seconds) and self.session is not None:
            begun = time.monotonic()
            if self.is_hit(diagnose_run(self.session.writer.read(), self.settings)):
                self.is_stop_asked = True
                return
            pause_seconds = max(0.5, 50.0 * (time.monotonic() - begun))

    def is_hit(self, diagnosis: "Diagnosis") -> bool:
        """Whether a diagnosis has what `--stop-on` names."""
        word = self.options.stop_on or ""
        if word in condition_names():
            return any(finding.condition == word for finding in diagnosis.findings)
        severity = severity_of(word)
        return severity is not None and diagnosis.reaches(severity)


def condition_names() -> frozenset[str]:
    """Names of all conditions."""
    from gradiometer.diagnosing import CONDITIONS

    return frozenset(CONDITIONS)


def diagnose_run(run: object, settings: Settings) -> "Diagnosis":
    """Diagnose a run under the settings' ignore list."""
    from gradiometer.diagnosing import diagnose
    from gradiometer.schema import Run

    assert isinstance(run, Run)
    return diagnose(run, ignore=settings.ignore)


def run_watched(options: WatchOptions) -> int:
    """Run a script watched, print its verdict to stderr, and tell the exit code.

    Raises:
        NoTrainingError: The script ended well and no step of training was seen.
        RunFileError: The run file can't be made.
        ScriptError: The script can't be started.
        SettingsError: An option has a value that is not allowed.
    """
    settings = load_settings()
    severity = severity_of(options.fail_on if options.fail_on is not None else settings.fail_on)
    if options.stop_on and options.stop_on not in condition_names():
        severity_of(options.stop_on)
    target = named_target(options.words, options.module, "check" if options.is_check else "run")
    cured = cured_run(options.cure, target, settings.ignore)
    if rank_in(os.environ):
        return run_beside(target, options)
    file = options.file or default_file(target, settings)
    overhead = options.overhead if options.overhead is not None else settings.overhead
    refuse_early(file, overhead)
    refuse_places(options.artefacts, file)
    watcher = Watcher(options, settings, cured, Tracking(destinations_in(options.to)))
    launch = watcher.launch(target, file, overhead)
    can_start = target.script is None or is_there(Path(target.script))
    with served_beside(file, is_wanted=options.is_live and can_start):
        diagnosis, code = launch_watched(launch, file, watcher)
    if diagnosis is None or code:
        return code
    return FINDINGS if watcher.is_stop_asked else exit_code_of(diagnosis, severity)


def launch_watched(launch: Launch, file: Path, watcher: Watcher) -> "tuple[Diagnosis | None, int]":
    """Run the script and print its verdict; tells the diagnosis, None without a run file, and the script's own code.

    Raises:
        NoTrainingError: The script ended well and no step of training was seen.
        ScriptError: The script can't be started.
    """
    cured = watcher.cured
    with DepartureWatch(file, lambda: watcher.session):
        result = launch_script(launch) if cured is None else cured.launch(launch)
    watcher.tracking.stop()
    script_code = result.ending.exit_code
    if result.fault is not None:
        is_ours_to_mend = not isinstance(result.fault, GradiometerError)
        if not script_code and (watcher.is_judged or not is_ours_to_mend):
            raise result.fault
        tell(result.fault)
    if cured is not None and script_code == 0:
        cured.finish(has_optimizer=result.optimizer_count > 0)
    if result.step_count == 0 and script_code == 0 and not result.is_broken:
        raise NoTrainingError(what_was_looked_for(result))
    if result.file is None or not result.file.exists():
        return None, script_code or (COULD_NOT if watcher.is_judged else OK)
    return verdict_after(result.file, watcher, script_code), script_code


def verdict_after(file: Path, watcher: Watcher, script_code: int) -> "Diagnosis | None":
    """Show the verdict; where that fails, the training that is over keeps its exit code, unless more was asked for.

    Raises:
        GradiometerError: The verdict was asked for, and the run can't be read, or there is no memory left to.
    """
    try:
        return show_verdict(file, watcher.settings, watcher.options)
    except BrokenPipeError:
        raise
    except Exception as error:
        text = f"no memory or no thread was left for a verdict: gradiometer diagnose {file} gives it"
        fault = GradiometerError(text) if is_refused_by_system(error) else error
        if watcher.is_judged and not script_code:
            raise fault from None
    tell(fault)
    return None


def is_refused_by_system(error: Exception) -> bool:
    """Whether the system had nothing left to give: memory for objects, files or libraries, or one more thread."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in (errno.ENOMEM, errno.EAGAIN)):
        return True
    return any(words in str(error) for words in ("failed to map segment", "can't start new thread"))


def tell(fault: Exception) -> None:
    """Say what went wrong with gradiometer itself; a fault that is ours to mend with its traceback."""
    lines = [str(fault)] if isinstance(fault, GradiometerError) else traceback.format_exception(fault)
    with contextlib.suppress(MemoryError):  # to say that there is none takes some
        messages().print(f"gradiometer: {''.join(lines)}", soft_wrap=True)


def run_beside(target: Target, options: WatchOptions) -> int:
    """Run the script in a process that another one writes for; tells the script's own exit code.

    Raises:
        ScriptError: The script can't be started.
    """
    result = launch_script(Launch(target, None, step_limit=options.steps, seed=options.seed, is_silent=True))
    if result.fault is not None:
        raise result.fault
    return result.ending.exit_code


def show_verdict(file: Path, settings: Settings, options: WatchOptions) -> "Diagnosis":
    """Read a closed run file, diagnose it and print the verdict."""
    from gradiometer.cli.console import write_json
    from gradiometer.recording.reader import read_run
    from gradiometer.showing.measured_object import diagnosis_object
    from gradiometer.showing.terminal import print_diagnosis

    run = read_run(file)
    diagnosis = diagnose_run(run, settings)
    with contextlib.suppress(AttributeError, OSError, ValueError):  # closed, or its reader left: the script's affair
        sys.stdout.flush()
    console = messages()
    if options.is_json:
        write_json(diagnosis_object(run, diagnosis))
    else:
        print_diagnosis(diagnosis, run, console, run_file=file)
    threshold = severity_of(options.fail_on if options.fail_on is not None else settings.fail_on)
    write_artefacts(run, diagnosis, options.artefacts, threshold)
    console.print(f"\nRun file:  {file}", style="dim", soft_wrap=True)
    return diagnosis


def keeping_of(options: WatchOptions) -> Keeping:
    """What may be kept beside the run file.

    Raises:
        SettingsError: An option is neither a number nor a size.
    """
    return Keeping(
        bounds_from(options.keep_batches, "--keep-batches"), bounds_from(options.keep_weights, "--keep-weights")
    )


def refuse_early(file: Path, overhead: float) -> None:
    """Refuse what could not be recorded before the script runs, perhaps for hours.

    Raises:
        RunFileError: There is something of the run file's name already.
        SettingsError: The share of the training time is not above 0 and at most 1.
    """
    if not 0.0 < overhead <= 1.0:
        raise SettingsError(f"overhead is {overhead}: give a share of the training time above 0 and at most 1")
    if file.exists():
        raise RunFileError(f"There is a file {file} already: delete it, or name another one with --file.")


def default_file(target: Target, settings: Settings) -> Path:
    """Where a run file goes that nobody named: the settings' folder, the script's name and the time of day.

    The process's number is part of the name: of runs that start together, each has a file of its own.
    """
    stem = Path(target.script).stem if target.script else (target.module or "run").rpartition(".")[2]
    # What is no module's name could lead to another folder.
    stem = Path(stem).name or "run"
    moment = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    folder = Path(settings.folder).absolute()
    name = f"{stem}-{moment}-{os.getpid()}"
    candidates = (folder / f"{name}{suffix}.db" for suffix in ("", *(f"-{k}" for k in range(2, 1000))))
    return next(candidate for candidate in candidates if not candidate.exists())


def what_was_looked_for(result: LaunchResult) -> str:
    """Say what was looked for where no training was seen."""
    if not result.saw_torch:
        return (
            "no training was seen: the script never imported torch. gradiometer watches PyTorch trainings; "
            "if the training runs in another process, run that process under gradiometer, or put "
            "`with gradiometer.watch(model, optimizer):` around its training loop."
        )
    return (
        f"no training was seen: {result.optimizer_count} optimizer(s) were made, {result.forward_count} call(s) of "
        "modules were seen, and no optimizer took a step after a backward(). gradiometer looks for "
        "torch.optim optimizers and the modules whose parameters they hold, in this process; "
        "does the script call optimizer.step(), and does it train on its default arguments? "
        "If it trains in processes of its own (torch.multiprocessing.spawn), or without an optimizer, put "
        "`with gradiometer.watch(model, optimizer):` around the training loop."
    )
