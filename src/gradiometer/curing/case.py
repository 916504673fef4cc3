"""The whole of `cure`: read a run, choose cures, start runs, read them, compare."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gradiometer.curing.choosing import asked_for, choose_candidates
from gradiometer.curing.loss_pairing import has_meaningless_loss
from gradiometer.curing.trials.faults import serious
from gradiometer.curing.trials.local import run_trials
from gradiometer.curing.trials.pairing import Reading, read_trial
from gradiometer.curing.trials.plan import DIAGNOSIS_SHARE, Pace, Plan, Wishes, make_plan
from gradiometer.curing.trials.runner import Engine, Progress, TrialRunner
from gradiometer.curing.trials.spec import LOG_FILE, RESULT_FILE, TrialSpec, digest_of
from gradiometer.curing.trying import Attempt, try_cures
from gradiometer.diagnosing import diagnose
from gradiometer.errors import NoTrainingError, RunFileError, ScriptError, SettingsError
from gradiometer.launching.script import Target, read_source
from gradiometer.recording.opening import is_sqlite
from gradiometer.recording.reader import read_run
from gradiometer.recording.writer import RunWriter
from gradiometer.schema import Diagnosis, Finding, Outcome, Run, Trial
from gradiometer.settings import CASES_FOLDER, Ignored

GREATEST_PATIENCE_SECONDS = 1800.0
"""Wall time after which a diagnosed run that takes no step is given up: it may have data to prepare."""

PATIENCE_FACTOR, PATIENCE_FLOOR_SECONDS = 8.0, 60.0
"""A trial may take this many times as long as planned, a machine under load, and at least so long."""


@dataclass(frozen=True, slots=True)
class CaseRequest:
    """What is to be cured.

    Attributes:
        target: The script with its arguments.
        wishes: What the user asked for.
        ignore: Findings that are not to be acted on.
        is_fresh: Forget what was tried before.
        folder: Where cases are kept.
        engine: What runs the trials.
        labels: Cures that are to be tried before those that are chosen.
        left_out: Names of cures that are not to be tried.
    """

    target: Target
    wishes: Wishes = field(default_factory=Wishes)
    ignore: Sequence[Ignored] = ()
    is_fresh: bool = False
    folder: Path = Path(CASES_FOLDER)
    engine: Engine = run_trials
    labels: tuple[str, ...] = ()
    left_out: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What came of a case.

    Attributes:
        diagnosis: What is wrong with the script's training.
        run: The diagnosed run, with trials and outcome.
        file: Its run file.
        outcome: What was proved; None where nothing was tried, for nothing is wrong.
        changes: The winner's changes, part by part, as `gradiometer.curing.trials.treatment.Change` has them.
        trials: All trials of this outcome, the diagnosed run first.
    """

    diagnosis: Diagnosis
    run: Run
    file: Path
    outcome: Outcome | None
    changes: tuple[dict[str, object], ...] = ()
    trials: tuple[Trial, ...] = ()

    @property
    def is_proved(self) -> bool:
        """Whether a cure was shown to be better than the control."""
        return self.outcome is not None and self.outcome.verdict == "better"


def cure_script(request: CaseRequest, progress: Progress) -> CaseResult:
    """Diagnose a script's training, try the cures that fit, and say what is proved.

    Args:
        request: What is to be cured, and how long it may take.
        progress: Told how it goes on.

    Raises:
        ScriptError: The script can't be started, or fails before it trains.
        NoTrainingError: It takes no step.
        RunFileError: Nothing can be written here.
        KeyboardInterrupt: Ctrl-C; what is done is kept, and the same request goes on from there.
    """
    diagnosed = diagnose_script(request, progress)
    assert diagnosed.run is not None
    diagnosis = diagnose(diagnosed.run, ignore=request.ignore)
    file = diagnosed.spec.run_file
    findings = serious(diagnosis.findings)
    chosen = choose_candidates(findings, diagnosed.run, left_out=request.left_out)
    candidates = (*asked_for(request.labels), *chosen) if findings else ()
    if not candidates:
        return CaseResult(diagnosis, diagnosed.run, file, None)
    plan = make_plan(request.wishes, pace_of(diagnosed, findings), len(candidates))
    progress.say(plan.text)
    runner = runner_for(diagnosed, findings, plan, request, progress)
    outcome, changes = try_cures(
        Attempt(runner, diagnosed, findings, plan, request.left_out), candidates[: plan.candidate_count]
    )
    trials = tuple(reading.trial for reading in (diagnosed, *runner.readings))
    with RunWriter(file, is_resumed=True) as writer:
        writer.add_trials(trials)
        writer.set_outcome(outcome)
    return CaseResult(diagnosis, read_run(file), file, outcome, changes, trials)


def diagnose_script(request: CaseRequest, progress: Progress) -> Reading:
    """Run the script as a control with seed 0, or find the run of it that was made before.

    Raises:
        ScriptError: It can't be started, or fails before it trains.
        NoTrainingError: It takes no step.
    """
    folder = case_folder(request)
    if request.is_fresh:
        shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder)
    wishes, target = request.wishes, request.target
    spec = TrialSpec(
        script=target.script,
        module=target.module,
        arguments=target.arguments,
        working_directory=str(Path.cwd()),
        folder="",
        step_limit=wishes.steps,
        seconds_limit=wishes.total_seconds * DIAGNOSIS_SHARE,
        patience_seconds=max(GREATEST_PATIENCE_SECONDS, wishes.total_seconds),
        threads=wishes.threads,
    ).placed_in(folder)
    if has_changed(spec):
        shutil.rmtree(spec.folder, ignore_errors=True)
    progress.begin("diagnose", 1)
    end = request.engine([spec], workers=1, when_done=lambda _: progress.advance())[0]
    reading = read_trial(end)
    if reading.run is None or reading.run.step_count == 0:
        (Path(spec.folder) / RESULT_FILE).unlink(missing_ok=True)
        raise untrained(reading)
    return reading


def make_folder(folder: Path) -> None:
    """Make a folder with those above it.

    Raises:
        RunFileError: It can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunFileError(f"{folder} can't be made ({reason}): change to a folder that you may write to") from None


def case_folder(request: CaseRequest) -> Path:
    """The folder of a case: named by the script, its content and its arguments.

    Raises:
        ScriptError: There is no such script.
    """
    target = request.target
    if target.script is not None:
        name, content = Path(target.script).stem or "script", source_of(target.script)
    else:
        name, content = module_named(str(target.module)), str(target.module).encode()
    digest = digest_of(content, json.dumps([str(Path.cwd()), target.script, *target.arguments]).encode())
    return request.folder.absolute() / f"{name}-{digest}"


def module_named(name: str) -> str:
    """A module's name, of which a folder's is made: names in a row, with dots between.

    Raises:
        ScriptError: It is another word, which could lead elsewhere.
    """
    if not all(part.isidentifier() for part in name.split(".")):
        raise ScriptError(f"There is no module {name!r}: name it as after `python -m`.")
    return name


def source_of(script: str) -> bytes:
    """The script's bytes; those of its `__main__.py` for a folder."""
    path = Path(script)
    try:
        return read_source(path / "__main__.py" if path.is_dir() else path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ScriptError(f"{script!r} can't be read ({reason}): name a training script (.py).") from None


def has_changed(spec: TrialSpec) -> bool:
    """Whether a source file was changed since the run that was made before, or that run is damaged."""
    if not spec.run_file.exists():
        return False
    try:
        sources = read_run(spec.run_file).facts.get("sources") or {}
    except RunFileError:
        return True
    for path, digest in sources.items():
        try:
            if digest_of(Path(path).read_bytes()) != digest:
                return True
        except OSError:
            return True
    return False


def untrained(reading: Reading) -> ScriptError | NoTrainingError:
    """What to raise for a script that took no step: why, in its own last words."""
    spec = reading.spec
    name = spec.script or spec.module
    log = Path(spec.folder) / LOG_FILE
    if reading.trial.status == "failed":
        reason = reading.trial.detail.removeprefix("gradiometer: ")
        return ScriptError(f"{name} took no training step: {reason} (what it printed is in {log})")
    return NoTrainingError(
        f"{name} took no training step: looked for torch.optim optimizers that step after a backward(), in this "
        f"process. Does it train on these arguments? What it printed is in {log}"
    )


def pace_of(diagnosed: Reading, findings: Sequence[Finding]) -> Pace:
    """How fast the script is, from the run that was diagnosed."""
    run = diagnosed.run
    assert run is not None
    steps = max(run.step_count, 1)
    training = float(run.facts.get("training_seconds") or 0.0) + float(run.facts.get("measuring_seconds") or 0.0)
    startup = float(run.facts.get("startup_seconds") or 0.0) + 0.2
    is_whole = run.facts.get("status") == "finished"
    return Pace(
        startup_seconds=startup,
        step_seconds=max(training / steps, 1e-5),
        step_count=steps,
        onset_step=max(finding.step for finding in findings),
        is_accelerated=str(run.facts.get("device") or "cpu") != "cpu",
        ending_seconds=max(diagnosed.process_seconds - startup - training, 0.0) if is_whole else 0.0,
        is_whole=is_whole,
    )


def runner_for(
    diagnosed: Reading, findings: Sequence[Finding], plan: Plan, request: CaseRequest, progress: Progress
) -> TrialRunner:
    """Where the trials of this case are run."""
    spec = diagnosed.spec
    template = replace(
        spec,
        seconds_limit=None,
        patience_seconds=max(PATIENCE_FLOOR_SECONDS, PATIENCE_FACTOR * plan.seconds, request.wishes.total_seconds),
        case_file=str(spec.run_file),
        conditions=tuple(dict.fromkeys(finding.condition for finding in findings)),
    )
    judges_answers = diagnosed.run is not None and has_meaningless_loss(diagnosed.run)
    return TrialRunner(
        template, Path(spec.folder) / "trials", plan.workers, progress, request.engine, judges_answers=judges_answers
    )


def target_from(path: str, arguments: Sequence[str]) -> Target:
    """What to cure: a script, or the script that a run file was made of.

    Raises:
        SettingsError: The run file does not say what was run.
    """
    if not is_sqlite(Path(path)):
        return Target(path, None, tuple(arguments))
    facts = read_run(path).facts
    script = facts.get("script")
    if not script:
        raise SettingsError(f"{path} does not say which script was run: name the script")
    given = tuple(str(argument) for argument in facts.get("arguments") or ())
    if facts.get("is_module"):
        return Target(None, str(script), given)
    return Target(str(script), None, given)
