"""What `cure` does on the command line: progress to stderr, the outcome to stdout, one exit code."""

import shutil
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gradiometer.cli.console import messages, results, write_json
from gradiometer.cli.engines import EngineOptions, chosen_engine
from gradiometer.cli.exit_codes import FINDINGS, INTERRUPTED, OK
from gradiometer.cli.targets import named_target
from gradiometer.curing import parse_cure
from gradiometer.curing.case import CaseRequest, CaseResult, cure_script, target_from
from gradiometer.curing.trials.plan import Wishes
from gradiometer.errors import RunFileError
from gradiometer.settings import load_settings
from gradiometer.showing.json_output import plain
from gradiometer.showing.outcome_words import outcome_warnings
from gradiometer.showing.terminal import print_diagnosis, print_outcome

if TYPE_CHECKING:
    from rich.console import Console

SIEVES = {
    "diagnose": "running the script",
    "range": "looking for a learning rate",
    "gather": "gathering inputs",
    "remeasure": "first steps of every cure",
    "race": "short race",
    "trial": "paired trials",
}
"""Sieve to what is shown beside the bar."""


@dataclass(frozen=True, slots=True)
class CureOptions:
    """The command line's options of `cure`.

    Attributes:
        words: Script or run file, and the script's arguments; only arguments where a module is given.
        module: Module to run, as after `python -m`.
        wishes: Steps, seconds, seeds, workers.
        file: Where the run file with the outcome is copied to.
        is_diff: Print the change as a patch.
        is_json: Print one JSON object.
        is_fresh: Forget what was tried before.
        labels: Cures to be tried before those that are chosen.
        left_out: Kinds of cures that are not to be tried.
        engine: What runs the trials.
    """

    words: tuple[str, ...]
    module: str | None
    wishes: Wishes
    file: Path | None = None
    is_diff: bool = False
    is_json: bool = False
    is_fresh: bool = False
    labels: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    engine: EngineOptions = field(default_factory=EngineOptions)


class TrialBar:
    """A bar over the trials of each sieve on a terminal, a line per sieve elsewhere."""

    def __init__(self, console: "Console") -> None:
        self.console = console
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task: Any = None

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.bar.console.print(text, soft_wrap=True)

    def begin(self, sieve: str, trial_count: int) -> None:
        """A sieve begins."""
        words = SIEVES.get(sieve, sieve)
        if not self.console.is_terminal:
            self.say(f"{words}: {trial_count} trial{'s' if trial_count != 1 else ''}")
        self._task = self.bar.add_task(words, total=trial_count)

    def advance(self) -> None:
        """A trial is done."""
        if self._task is not None:
            self.bar.advance(self._task)


def run_cure(options: CureOptions) -> int:
    """Cure a script and show what came of it.

    Returns:
        0 where a cure is proved, 3 where none is, 130 after Ctrl-C.

    Raises:
        GradiometerError: It could not be done.
    """
    named = named_target(options.words, options.module, "cure")
    target = named if named.script is None else target_from(named.script, named.arguments)
    for label in (*options.labels, *options.left_out):
        parse_cure(label)
    request = CaseRequest(
        target,
        options.wishes,
        load_settings().ignore,
        is_fresh=options.is_fresh,
        labels=options.labels,
        left_out=frozenset(options.left_out),
    )
    bar = TrialBar(messages())
    try:
        with chosen_engine(options.engine, options.wishes) as (engine, wishes), bar.bar:
            result = cure_script(replace(request, engine=engine, wishes=wishes), bar)
    except KeyboardInterrupt:
        messages().print("\nInterrupted. What is done is kept: the same command goes on from here.")
        return INTERRUPTED
    if options.file is not None:
        copy_run_file(result.file, options.file)
    show(result, options)
    return OK if result.is_proved else FINDINGS


def listed(words: str | None) -> tuple[str, ...]:
    """Names that were written with commas between them.

    Example:
        >>> listed("a, b:1"), listed(None)
        (('a', 'b:1'), ())
    """
    return tuple(word.strip() for word in (words or "").split(",") if word.strip())


def copy_run_file(file: Path, place: Path) -> None:
    """Copy a closed run file.

    Raises:
        RunFileError: It can't be written there.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)
    except OSError as error:
        raise RunFileError(f"{place} can't be written ({error.strerror or error}): the outcome is in {file}") from None


def show(result: CaseResult, options: CureOptions) -> None:
    """Print the outcome: JSON, or diagnosis and verdict, and the patch where one was asked for."""
    patch = patch_for(result) if options.is_diff else None
    if options.is_json:
        write_json({**as_json(result), **({"diff": patch} if options.is_diff else {})})
        return
    file = options.file or result.file
    # A patch alone goes to stdout, so that it can be piped into `git apply`.
    console = messages() if options.is_diff else results()
    print_diagnosis(result.diagnosis, result.run, messages() if result.outcome else console, run_file=file)
    if result.outcome is None:
        console.print("\nNothing to cure: no cure was tried.")
    else:
        print_outcome(result.outcome, console)
    if patch is not None:
        sys.stdout.write(patch)
    elif options.is_diff and result.is_proved:
        messages().print("The change can't be written as a patch of this script; paste the code above.")
    messages().print(f"\nRun file:  {file}", style="dim", soft_wrap=True)


def patch_for(result: CaseResult) -> str | None:
    """The winner's change as a patch of the script, None where there is none."""
    from gradiometer.curing.trials.patching import patch_script

    return patch_script(result.run, result.changes) if result.is_proved else None


def as_json(result: CaseResult) -> dict[str, Any]:
    """The object that `--json` prints.

    Keys: outcome (`better`, `worse`, `not shown`), cures, findings, verdict, control and treated (final loss per
    seed), difference, interval, confidence, is_paired, control_shows_fault, detail, held_out, held_out_detail,
    equal_time, warnings, ranking, trials (cure, seed, sieve, run_file, final_loss, status, detail), snippet, run_file.
    """
    reason = result.diagnosis.reason or "nothing was found that is worth a cure"
    outcome = plain(result.outcome) if result.outcome is not None else {"verdict": "not shown", "detail": reason}
    defaults: dict[str, Any] = {"cures": [], "control": [], "treated": [], "difference": None, "interval": None}
    defaults |= {"held_out": None, "held_out_detail": "", "equal_time": None}
    warnings = outcome_warnings(result.outcome) if result.outcome is not None else []
    return {
        "outcome": outcome.pop("verdict"),
        **defaults,
        **outcome,
        "snippet": outcome.get("snippet", ""),
        "warnings": warnings,
        "verdict": result.diagnosis.verdict,
        "findings": plain(result.diagnosis.findings),
        "trials": [
            {
                "cure": "+".join(trial.cures),
                "seed": trial.seed,
                "sieve": trial.sieve,
                "run_file": trial.run_file,
                "final_loss": plain(trial.final_loss),
                "status": trial.status,
                "detail": trial.detail,
            }
            for trial in result.trials
        ],
        "run_file": str(result.file),
    }
