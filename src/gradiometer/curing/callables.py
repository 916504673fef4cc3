"""`gradiometer.cure(train)`: what `gradiometer cure` does for a script, for a function that trains.

A function that another process can import is called there, as a script of two lines would. Any other (a closure, a
function of a notebook) exists in this process only: its trials are forks of it, which works on Linux and as long as
CUDA is not in use here, for a fork can use neither.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from gradiometer.curing.case import CaseRequest, CaseResult, cure_script
from gradiometer.curing.trials.forked import run_forked
from gradiometer.curing.trials.local import run_trials
from gradiometer.curing.trials.plan import Wishes
from gradiometer.curing.trials.runner import Engine
from gradiometer.errors import SettingsError
from gradiometer.launching.script import Target
from gradiometer.schema import Diagnosis, Outcome, Run
from gradiometer.settings import CASES_FOLDER, load_settings
from gradiometer.units import format_number

SCRIPTS_FOLDER = "callables"
"""Where the scripts of functions lie, among the cases."""

held: dict[str, Callable[[], Any]] = {}
"""Functions that forks of this process are to call, by name."""

inside: list[str] = []
"""What this process, a trial, calls; empty in every other process."""


@dataclass(frozen=True, slots=True)
class CureResult:
    """What came of curing a function; `str` of it tells.

    Attributes:
        verdict: `better`, `worse` or `not shown`; `not shown` where nothing is wrong.
        cures: Labels of the cure that was proved, or came closest.
        snippet: The change as code.
        diagnosis: What is wrong with the training.
        outcome: What the trials gave; None where nothing was tried, for nothing is wrong.
        run: The diagnosed run, with all trials.
        file: Its run file, for `gradiometer report`.
    """

    verdict: str
    cures: tuple[str, ...]
    snippet: str
    diagnosis: Diagnosis
    outcome: Outcome | None
    run: Run
    file: Path

    @property
    def is_proved(self) -> bool:
        """Whether a cure was shown to be better than the untouched training."""
        return self.verdict == "better"

    def __str__(self) -> str:
        """Verdict, numbers and code, each on lines of its own."""
        found = ", ".join(finding.condition for finding in self.diagnosis.findings) or "nothing"
        lines = [f"Found: {found} ({self.diagnosis.verdict})"]
        if self.outcome is None:
            lines.append("Nothing to cure: no cure was tried.")
        else:
            lines += [f"Cure: {' + '.join(self.cures) or 'none'}: {self.verdict}", *numbers_of(self.outcome)]
        code = ["", self.snippet.strip()] if self.snippet else []
        return "\n".join([*lines, f"Run file: {self.file}", *code])


def numbers_of(outcome: Outcome) -> list[str]:
    """An outcome's numbers as lines."""
    lines = []
    if outcome.difference is not None and outcome.interval is not None:
        low, high = (format_number(bound) for bound in outcome.interval)
        lines.append(
            f"Final loss changed by {format_number(outcome.difference)} ({low} to {high}, {outcome.confidence:.0%} "
            f"confidence, {len(outcome.treated)} seeds)"
        )
    return [*lines, *([outcome.detail] if outcome.detail else [])]


@dataclass(slots=True)
class Lines:
    """Progress as lines on stderr.

    Attributes:
        is_quiet: Say nothing.
    """

    is_quiet: bool

    def say(self, text: str) -> None:
        """Write a line."""
        if not self.is_quiet:
            sys.stderr.write(f"{text}\n")

    def begin(self, sieve: str, trial_count: int) -> None:
        """A sieve begins."""
        self.say(f"{sieve}: {trial_count} trial{'s' if trial_count != 1 else ''}")

    def advance(self) -> None:
        """A trial is done: nothing is said of it."""


def cure(
    train: Callable[[], Any],
    *,
    steps: int | None = None,
    seconds: float | None = None,
    seeds: int | None = None,
    workers: int | None = None,
    is_fresh: bool = False,
    is_quiet: bool = False,
) -> CureResult:
    """Find out what is wrong with a training, try the cures that fit, and prove which one works.

    Args:
        train: Trains once when it is called without arguments, and makes its optimizer itself. It is called some dozen
            times, in processes of its own; nothing that it writes touches your files.
        steps: Steps of each trial; as many as fit where None.
        seconds: Wall time that all may take; two minutes where None.
        seeds: Seeds of the last trials; 3 to 5 where None.
        workers: Processes at a time; one per processor where None.
        is_fresh: Forget what was tried before. A function that can't be imported is always tried anew.
        is_quiet: Say nothing on the way.

    Returns:
        What came of it.

    Raises:
        ScriptError: The function fails before it trains.
        NoTrainingError: It takes no step.
        SettingsError: It can't be called in another process; the message says what to do.
    """
    refuse_again()
    wishes = Wishes(steps, seconds, seeds, workers)
    engine: Engine = run_trials
    if is_importable(train):
        text = script_of(train)
    else:
        refuse_unforkable(train)
        name = name_of(train)
        held[name] = train
        text, engine = f"from gradiometer.curing.callables import call_held\n\ncall_held({name!r})\n", run_forked
        is_fresh = True
    target = Target(str(written(text, name_of(train))), None, ())
    request = CaseRequest(target, wishes, ignore=load_settings().ignore, is_fresh=is_fresh, engine=engine)
    try:
        return result_of(cure_script(request, Lines(is_quiet)))
    finally:
        held.pop(name_of(train), None)


def is_importable(train: Callable[[], Any]) -> bool:
    """Whether another process can import a function from a file.

    Example:
        >>> is_importable(format_number), is_importable(lambda: None)
        (True, False)
    """
    module, path = getattr(train, "__module__", None), getattr(train, "__qualname__", "<locals>")
    home: Any = sys.modules.get(str(module))
    if module in (None, "__main__") or "<locals>" in path or not getattr(home, "__file__", None):
        return False
    found = home
    for part in path.split("."):
        found = getattr(found, part, None)
    return found is train


def script_of(train: Callable[[], Any]) -> str:
    """The script that imports a function and calls it, with this process's paths to look for modules."""
    paths = [str(Path(entry).absolute()) for entry in sys.path]
    return (
        "import sys\n\n"
        f"sys.path[:] = {paths!r}\n"
        "from gradiometer.curing.callables import call\n\n"
        f"call({train.__module__!r}, {train.__qualname__!r})\n"
    )


def call(module: str, path: str) -> None:
    """Import a function and call it, in a trial."""
    inside.append(module)
    found: Any = import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    found()


def call_held(name: str) -> None:
    """Call a function that this process was forked with, in a trial."""
    inside.append(name)
    held[name]()


def refuse_again() -> None:
    """Refuse to cure in a trial, where what is tried, or a module that it imports, asks for it again.

    Raises:
        SettingsError: This is a trial.
    """
    if inside:
        raise SettingsError(
            f"{inside[0]} calls gradiometer.cure again while it is tried: put that call under "
            "`if __name__ == '__main__':`"
        )


def refuse_unforkable(train: Callable[[], Any]) -> None:
    """Refuse a function that can be called in this process only, where this process can't be forked.

    Raises:
        SettingsError: It can't.
    """
    advice = "put it at the top of a module (.py) and import it from there"
    torch: Any = sys.modules.get("torch")
    if not sys.platform.startswith("linux"):
        raise SettingsError(f"{name_of(train)} can't be imported, and forks of a process train on Linux only: {advice}")
    if torch is not None and torch.cuda.is_initialized():
        raise SettingsError(
            f"{name_of(train)} can't be imported, and CUDA is in use in this process, so no fork of it can: {advice}"
        )


def name_of(train: Callable[[], Any]) -> str:
    """A function's name, as far as it has one; fit for a file."""
    name = str(getattr(train, "__qualname__", type(train).__name__))
    return "".join(letter if letter.isalnum() or letter in "._" else "_" for letter in name)


def written(text: str, name: str) -> Path:
    """Write a script where the cases lie; the same text goes to the same place."""
    folder = Path(CASES_FOLDER).absolute() / SCRIPTS_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / f"{name}.py"
    script.write_text(text, encoding="utf-8")
    return script


def result_of(result: CaseResult) -> CureResult:
    """Put a case's result into the words of this function."""
    outcome = result.outcome
    verdict = "not shown" if outcome is None else outcome.verdict
    cures = () if outcome is None else outcome.cures
    snippet = "" if outcome is None else outcome.snippet
    return CureResult(verdict, cures, snippet, result.diagnosis, outcome, result.run, result.file)
