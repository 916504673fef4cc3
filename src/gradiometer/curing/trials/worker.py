"""What the process of one trial does: run the script watched, guarded and under a treatment; leave a run file.

Also a program, for a script that sets environment variables before it imports torch and so needs an interpreter that
has not loaded it: `python -m gradiometer.curing.trials.worker SPEC.json PARENT_DESCRIPTOR`.
"""

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import wait
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any

from gradiometer.curing.trials.spec import LOG_FILE, WRITTEN_FOLDER, TrialSpec, digest_of, spec_from_json
from gradiometer.errors import GradiometerError, ScriptError
from gradiometer.launching.guard import FileGuard, quiet_environment
from gradiometer.launching.launch import Launch, LaunchResult, launch_script
from gradiometer.launching.limits import SeededAnew, TrainingStopped
from gradiometer.recording.provenance import gather_provenance
from gradiometer.recording.writer import RunWriter

if TYPE_CHECKING:
    from gradiometer.curing.trials.treatment import TrialTreatment
    from gradiometer.schema import Finding, Run
    from gradiometer.session import Session

DIAGNOSED_SIEVES = frozenset({"diagnose", "trial"})
"""Sieves whose runs are diagnosed: is it the fault, is it there again, is it gone?"""

UNUSABLE = 70
"""Exit code of a trial whose script could not be started, or never came to import torch (EX_SOFTWARE)."""


def perform(spec: TrialSpec) -> int:
    """Run one trial in this process; its run file tells all but how the process ended.

    Args:
        spec: The trial; its folder exists.

    Returns:
        The script's exit code; `UNUSABLE` where no training could begin.
    """
    started = monotonic()
    os.chdir(spec.working_directory)
    folder = Path(spec.folder)
    os.environ.update(quiet_environment(folder))
    treating = Treating(spec, started)
    launch = launch_of(spec, treating)
    with FileGuard(folder / WRITTEN_FOLDER, allowed=(folder,)) as guard, SeededAnew(spec.seed) as seeding:
        try:
            result = launch_script(launch)
        except ScriptError as error:
            sys.stderr.write(f"gradiometer: {error}\n")
            return UNUSABLE
        except TrainingStopped:
            return UNUSABLE
        finally:
            treating.end()
        facts = {"seeding_calls": seeding.call_count, "unguarded": list(guard.unguarded), "sources": source_digests()}
    if result.file is None or result.fault is not None:
        sys.stderr.write(f"gradiometer: {result.fault or 'the script never imported torch'}\n")
        return UNUSABLE
    with RunWriter(result.file, is_resumed=True) as writer:
        writer.add_facts({**facts, **treating.closing_facts(result)})
    return result.ending.exit_code


@dataclass(slots=True)
class Treating:
    """Makes the treatment when torch is there.

    Attributes:
        spec: The trial.
        started: When its process began its work.
        treatment: The treatment, None until torch is imported.
    """

    spec: TrialSpec
    started: float
    treatment: "TrialTreatment | None" = None

    def begin(self, session: "Session") -> "TrialTreatment":
        """Make it for a session, once torch is there; a trial that can't be treated ends here.

        Raises:
            TrainingStopped: The treatment could not be made; the log says why.
        """
        try:
            self.treatment = self._made(session)
        except Exception:  # whatever it is, an untreated trial would prove nothing
            show_uncaught(*sys.exc_info())
            raise TrainingStopped from None
        return self.treatment

    def _made(self, session: "Session") -> "TrialTreatment":
        import torch

        from gradiometer.curing import parse_cure, parts_of
        from gradiometer.curing.trials.gathering import Gathering, read_samples
        from gradiometer.curing.trials.live_treatment import Regimen
        from gradiometer.curing.trials.range_test import RATE_CURES
        from gradiometer.curing.trials.treatment import TrialTreatment

        spec = self.spec
        torch.set_num_threads(spec.threads)
        run, findings = diagnosed(spec) if spec.case_file and spec.cures else (None, ())
        cures = tuple(part for label in spec.cures for part in parts_of(parse_cure(label)))
        if spec.range_test or spec.holds_still:
            cures = tuple(part for part in cures if part.name not in RATE_CURES)
        samples = read_samples(spec.samples_file) if spec.samples_file else None
        regimen = Regimen(cures, findings, run, spec.seed, self.started, samples)
        gathering = Gathering() if spec.gathers else None
        treatment = TrialTreatment(
            session, regimen, is_range_test=spec.range_test, holds_still=spec.holds_still, gathering=gathering
        )
        treatment.evaluation.start()
        return treatment

    def end(self) -> None:
        """The script has ended: take away what the treatment has wrapped."""
        if self.treatment is not None:
            self.treatment.evaluation.stop()
            self.treatment.live.passage.part()
            if self.treatment.gathering is not None:
                self.treatment.gathering.write(Path(self.spec.folder))

    def closing_facts(self, result: LaunchResult) -> dict[str, Any]:
        """What can be told at the end only."""
        if self.treatment is None:
            return {}
        rows = self.treatment.live.originals.rows()
        originals = {"original_losses": rows} if rows else {}
        sweep = self.treatment.sweep
        ranged = {} if sweep is None else {"range_test": sweep.facts()}
        evaluation = {"evaluation": self.treatment.evaluation.facts()}
        return {**originals, **ranged, **evaluation, **self._refusal(result, self.treatment)}

    def _refusal(self, result: LaunchResult, treatment: "TrialTreatment") -> dict[str, Any]:
        """That a cure found no moment, where that is so."""
        if result.ending.exit_code != 0:
            return {}
        missed = treatment.live.what_was_missed(has_optimizer=result.optimizer_count > 0)
        return {"refusal_at_end": missed} if missed else {}


def diagnosed(spec: TrialSpec) -> "tuple[Run, tuple[Finding, ...]]":
    """The case's run and those of its findings that the cure is tried on."""
    from gradiometer.diagnosing import diagnose
    from gradiometer.recording.reader import read_run

    run = read_run(str(spec.case_file))
    return run, tuple(finding for finding in diagnose(run).findings if finding.condition in spec.conditions)


def launch_of(spec: TrialSpec, treating: Treating) -> Launch:
    """What to run for a trial, and how to watch it."""
    name = spec.script or spec.module
    facts = gather_provenance(name, spec.arguments)
    return Launch(
        target=spec.target,
        file=spec.run_file,
        step_limit=spec.step_limit,
        seconds_limit=spec.seconds_limit,
        seed=spec.seed,
        overhead=spec.overhead,
        watches_every_step=True,
        # Sieves before the last go by the core of a full step; what is diagnosed needs all that a run measures.
        dear=None if spec.sieve in DIAGNOSED_SIEVES else (),
        treatment=treating.begin,
        facts={**facts, "is_module": spec.script is None, "cures": list(spec.cures), "sieve": spec.sieve},
    )


def source_digests() -> dict[str, str]:
    """Digest of every source file that the script brought along: its own and what it imported from beside it."""
    found: dict[str, str] = {}
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str) and path.endswith(".py") and is_own_source(path):
            try:
                found[path] = digest_of(Path(path).read_bytes())
            except OSError:
                continue
    return found


def is_own_source(path: str) -> bool:
    """Whether a source file belongs to the script rather than to an installed package or to gradiometer."""
    installed = ("site-packages", "dist-packages")
    if any(part in installed for part in Path(path).parts):
        return False
    library = (sys.prefix, sys.base_prefix, str(Path(os.__file__).parent), str(Path(__file__).parents[2]))
    # Older versions of torch write a module of their own into a new folder each time that they are imported.
    instantiator = sys.modules.get("torch.distributed.nn.jit.instantiator")
    made = getattr(instantiator, "INSTANTIATED_TEMPLATE_DIR_PATH", None)
    folders = library if made is None else (*library, str(made))
    return not path.startswith(tuple(f"{folder}{os.sep}" for folder in folders))


def perform_in_child(spec: TrialSpec, environment: Mapping[str, str]) -> None:
    """Run a trial in a process that was forked from the server, and end that process.

    Args:
        spec: The trial.
        environment: Environment variables of the process that asked for it.
    """
    parent = parent_process()
    sentinel = parent.sentinel if parent is not None else None
    begin_process(spec, environment, lambda: wait([sentinel]) if sentinel is not None else None)
    end_process(lambda: perform(spec))


def begin_process(spec: TrialSpec, environment: Mapping[str, str], wait_for_parent: Callable[[], Any]) -> None:
    """Make this process a trial's own: a group that can be ended as one, its log, its environment."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    log = os.open(Path(spec.folder) / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    threading.Thread(target=leave_with_parent, args=(wait_for_parent,), daemon=True).start()


def leave_with_parent(wait_for_parent: Callable[[], Any]) -> None:
    """End this process and all that it started as soon as the program that asked for the trial is gone."""
    wait_for_parent()
    os.killpg(0, signal.SIGKILL)


def end_process(work: Callable[[], int]) -> None:
    """Do the work and leave at once: what a script registered for the interpreter's end is not guarded any more."""
    code = UNUSABLE
    try:
        code = work()
    except GradiometerError as error:
        sys.stderr.write(f"gradiometer: {error}\n")
    except BaseException:
        show_uncaught(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (AttributeError, OSError, ValueError):
                continue
        os._exit(code)


def show_uncaught(kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
    """Write a traceback to the trial's log."""
    if kind is not None and error is not None:
        sys.__excepthook__(kind, error, trace)


def main() -> None:
    """Run the trial that the command line names."""
    spec = spec_from_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    descriptor = int(sys.argv[2])
    begin_process(spec, dict(os.environ), lambda: os.read(descriptor, 1))
    end_process(lambda: perform(spec))


if __name__ == "__main__":
    main()
