"""What `run --cure` applies to a whole training: which cures, and the diagnosed run that they go by."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from gradiometer.curing import joined_label, parse_cure, parts_of
from gradiometer.curing.case import CaseRequest, case_folder, has_changed
from gradiometer.curing.choosing import SEARCHED_RATE
from gradiometer.curing.cure import Cure
from gradiometer.curing.trials.faults import serious
from gradiometer.curing.trials.gathering import SAMPLES_FILE, read_samples
from gradiometer.curing.trials.live_treatment import Regimen
from gradiometer.curing.trials.spec import RUN_FILE, TrialSpec
from gradiometer.diagnosing import diagnose
from gradiometer.errors import CureRefusedError, RunFileError, SettingsError
from gradiometer.launching.script import Target
from gradiometer.recording.opening import is_sqlite
from gradiometer.recording.reader import read_run
from gradiometer.schema import Run
from gradiometer.settings import Ignored


@dataclass(frozen=True, slots=True)
class Case:
    """A diagnosed run of the script.

    Attributes:
        run: The run.
        file: Its run file; trials of its case lie beside it.
    """

    run: Run
    file: Path

    def samples(self) -> Tensor | None:
        """The inputs of the model that trials have gathered; None where none has."""
        files = newest_first(self.file.parent.glob(f"trials/*/{SAMPLES_FILE}"))
        return read_samples(str(files[0])) if files else None


def regimen_for(words: str, target: Target, ignore: Sequence[Ignored] = ()) -> Regimen:
    """Read what is to be applied, and find the run that it goes by.

    Args:
        words: Labels of cures, joined with `,` or `+`; or a run file in which `cure` has proved one.
        target: The script that is about to train.
        ignore: Findings that are not to be acted on.

    Returns:
        The cures with the findings of the newest case of this script; without findings where there is none.

    Raises:
        SettingsError: There is no such cure, or the run file proves none.
        CureRefusedError: A cure goes by what only trials of the script can find.
    """
    is_file = is_sqlite(Path(words))
    case = Case(read_run(words), Path(words).absolute()) if is_file else newest_case(target)
    label = proved_in(case.run, words) if is_file and case is not None else joined_label(words)
    cures = parts_of(parse_cure(label))
    samples = case.samples() if case is not None and any("samples" in cure.needs for cure in cures) else None
    refuse_unresolved(cures, has_samples=samples is not None)
    if case is None:
        return Regimen(cures, (), None, seed=0, started=0.0)
    found = diagnose(case.run, ignore=ignore).findings
    findings = serious(found)
    return Regimen(cures, findings, case.run, seed=0, started=0.0, samples=samples)


def proved_in(run: Run, name: str) -> str:
    """Label of the cure that a run proves.

    Raises:
        SettingsError: It proves none.
    """
    if run.outcome is None or run.outcome.verdict != "better":
        raise SettingsError(
            f"{name} holds no cure that was proved: let `gradiometer cure` prove one, or name a cure (--cure NAME)"
        )
    return "+".join(run.outcome.cures)


def refuse_unresolved(cures: Sequence[Cure], *, has_samples: bool) -> None:
    """Refuse cures that go by what a trial has to find first.

    Raises:
        CureRefusedError: There is one.
    """
    for cure in cures:
        if cure.label == SEARCHED_RATE or ("samples" in cure.needs and not has_samples):
            sought = "a learning rate" if cure.label == SEARCHED_RATE else "inputs of the model"
            raise CureRefusedError(
                f"{cure.label} goes by {sought} that only trials of the script can find: run "
                f"`gradiometer cure --try {cure.label} SCRIPT`, and then `gradiometer run --cure RUNFILE SCRIPT` with "
                "the run file that it names"
            )


def newest_case(target: Target) -> Case | None:
    """The run of this script that `cure` diagnosed last, None where there is none or a source was changed since."""
    for file in newest_first(case_folder(CaseRequest(target)).glob(f"*/{RUN_FILE}")):
        spec = TrialSpec(target.script, target.module, target.arguments, str(Path.cwd()), str(file.parent))
        if not has_changed(spec):
            try:
                return Case(read_run(file), file)
            except RunFileError:
                continue
    return None


def newest_first(files: Iterable[Path]) -> list[Path]:
    """Files by the time of their last change."""
    return sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)
