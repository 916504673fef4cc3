"""What is kept on disk: run files, and the cases of `cure` with all their trials; found, described, deleted."""

import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gradiometer.errors import RunFileError
from gradiometer.recording.keeping import batches_folder, kept_files, weights_folder
from gradiometer.recording.liveness import is_alive, is_recent
from gradiometer.recording.opening import COMPANION_SUFFIXES, is_sqlite
from gradiometer.recording.reader import read_run

CASE_NAME = re.compile(r".+-[0-9a-f]{12}")
PLAN_NAME = re.compile(r"[0-9a-f]{12}")
"""Names that `cure` gives: to the folder of a script, and in it to one for each set of options."""

SPEC_FILE, RESULT_FILE, RUN_FILE = "spec.json", "result.json", "run.db"
"""Files in the folder of a trial; the first is written when it starts, the second when it has ended."""

Skipped = tuple[Path, str]
"""What was left alone, and why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the list says of one run file, or of one case of `cure`.

    Attributes:
        path: The file, or the case's folder.
        kind: `run` or `cure`.
        started_at: When the run began, ISO; the file's own time where the run does not say.
        script: The script; empty where none is known.
        status: `running`, `finished`, `failed`, `interrupted` or `stopped`; of a case what it proved, where it did.
        step_count: Steps that the run took, of a case the diagnosed one.
        trial_count: Trials of a case.
        size_bytes: Size of all its files.
        modified_at: Time of the last write, seconds since 1970.
        is_alive: It may still be being written.
    """

    path: Path
    kind: str
    started_at: str
    script: str
    status: str
    step_count: int
    trial_count: int
    size_bytes: int
    modified_at: float
    is_alive: bool


def list_kept(folders: Sequence[Path]) -> tuple[list[Entry], list[Skipped]]:
    """Find the run files and the cases that lie directly in some folders.

    Args:
        folders: The folders; one that is not there has nothing.

    Returns:
        What was found, newest first, and what looks like it and can't be read, each with the reason.

    Raises:
        RunFileError: A folder is a file, or can't be read.
    """
    entries: list[Entry] = []
    skipped: list[Skipped] = []
    for folder in folders:
        for path, describe in candidates(folder):
            try:
                entries.append(describe(path))
            except RunFileError as fault:
                skipped.append((path, str(fault)))
    return sorted(entries, key=lambda entry: entry.modified_at, reverse=True), skipped


def candidates(folder: Path) -> Iterator[tuple[Path, Callable[[Path], Entry]]]:
    """What may be a run file or a case, each with the function that describes it.

    Raises:
        RunFileError: The folder is a file, or can't be read.
    """
    if not folder.exists():
        return
    try:
        paths = sorted(folder.iterdir())
    except OSError as fault:
        raise RunFileError(f"{folder} can't be listed ({fault.strerror}): name a folder of run files.") from fault
    for path in paths:
        if is_case(path):
            yield path, case_entry
        elif is_database(path):
            yield path, run_entry


def is_database(path: Path) -> bool:
    """Whether a file is an SQLite database by its first bytes, and no companion of one."""
    return not path.is_symlink() and not path.name.endswith(COMPANION_SUFFIXES) and is_sqlite(path)


def is_case(path: Path) -> bool:
    """Whether a folder is one that `cure` made, and holds nothing but what `cure` puts there."""
    if path.is_symlink() or not path.is_dir() or not CASE_NAME.fullmatch(path.name):
        return False
    inside = list(path.iterdir())
    plans = [plan for plan in inside if PLAN_NAME.fullmatch(plan.name) and plan.is_dir() and not plan.is_symlink()]
    return len(plans) == len(inside) and any((plan / SPEC_FILE).is_file() for plan in plans)


def files_of(path: Path) -> list[Path]:
    """A run file, its companions, and the batches and weights kept beside it, as far as they are there."""
    companions = [path.with_name(path.name + suffix) for suffix in COMPANION_SUFFIXES]
    kept = [*kept_files(batches_folder(path)).values(), *kept_files(weights_folder(path)).values()]
    return [path, *(companion for companion in companions if companion.is_file()), *kept]


def last_write(files: Sequence[Path]) -> float:
    """Time of the last write to some files; reading makes a new -shm, so its time says nothing."""
    return max((file.stat().st_mtime for file in files if not file.name.endswith("-shm")), default=0.0)


def run_entry(path: Path) -> Entry:
    """Describe a run file.

    Raises:
        RunFileError: It is no run file that can be read here.
    """
    run = read_run(path, max_snapshots=1, max_steps=1)
    files = files_of(path)
    modified_at = last_write(files)
    return Entry(
        path=path,
        kind="run",
        **facts_of(run.facts, modified_at),
        status=str(run.facts.get("status") or "unknown"),
        step_count=run.step_count,
        trial_count=0,
        size_bytes=sum(file.stat().st_size for file in files),
        modified_at=modified_at,
        is_alive=is_alive(run, modified_at),
    )


def facts_of(facts: Any, modified_at: float) -> dict[str, str]:
    """When a run began, and its script."""
    written_at = datetime.fromtimestamp(modified_at).isoformat("T", "seconds")
    return {"started_at": str(facts.get("started_at") or written_at), "script": str(facts.get("script") or "")}


def case_entry(path: Path) -> Entry:
    """Describe a case of `cure` by the diagnosed run that was written last.

    Raises:
        RunFileError: It has no run file that can be read here.
    """
    files = [file for file in path.rglob("*") if file.is_file() and not file.is_symlink()]
    runs = [file for file in path.glob(f"*/{RUN_FILE}") if file in files]
    if not runs:
        raise RunFileError(f"{path} is a case of `cure` without a run: its script never trained.")
    run = read_run(max(runs, key=lambda file: file.stat().st_mtime), max_snapshots=1, max_steps=1)
    modified_at = last_write(files)
    return Entry(
        path=path,
        kind="cure",
        **facts_of(run.facts, modified_at),
        status=run.outcome.verdict if run.outcome is not None else str(run.facts.get("status") or "unknown"),
        step_count=run.step_count,
        trial_count=sum(file.name == SPEC_FILE and file.parent.parent.name == "trials" for file in files),
        size_bytes=sum(file.stat().st_size for file in files),
        modified_at=modified_at,
        is_alive=any(is_under_way(file.parent) for file in files if file.name == SPEC_FILE),
    )


def is_under_way(trial: Path) -> bool:
    """Whether a trial has not ended and its folder was written to a short while ago."""
    files = [file for file in trial.iterdir() if file.is_file()]
    return not (trial / RESULT_FILE).exists() and is_recent(last_write(files))


def choose_old(entries: Sequence[Entry], *, keep: int, older_than_days: float | None) -> list[Entry]:
    """Choose what to delete: not the newest `keep`, nothing younger than asked for, nothing that may be alive."""
    oldest_kept = time.time() - 86400.0 * (older_than_days or 0.0)
    return [entry for entry in entries[keep:] if not entry.is_alive and entry.modified_at <= oldest_kept]


def delete(entry: Entry) -> Path:
    """Delete one run file with its companions, or one case with its trials.

    Raises:
        RunFileError: The system refuses; the message says why.
    """
    try:
        if entry.kind == "cure":
            shutil.rmtree(entry.path)
        else:
            # The companions go first: a log without its database is litter, a database without its log still opens.
            for file in reversed(files_of(entry.path)):
                file.unlink(missing_ok=True)
            for folder in (batches_folder(entry.path), weights_folder(entry.path)):
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
    except OSError as fault:
        path = entry.path
        raise RunFileError(f"{path} can't be deleted ({fault.strerror}): check who may write to its folder.") from fault
    return entry.path
