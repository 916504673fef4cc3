"""`gradiometer runs`: the folder of run files, listed or cleaned."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from gradiometer.cli.console import messages, results, write_json
from gradiometer.errors import RunFileError, SettingsError
from gradiometer.units import format_bytes

SQLITE_MAGIC = b"SQLite format 3\x00"
COMPANION_SUFFIXES = ("-wal", "-shm", "-journal")

ALIVE_SECONDS = 3600.0
"""A run that says it is running and was written to this recently is taken to be alive; chosen by us: the writer
commits four times a second, and an hour leaves room for a long evaluation between two steps."""


@dataclass(frozen=True, slots=True)
class RunEntry:
    """What the list says of one run file.

    Attributes:
        path: The file.
        started_at: When the run began, ISO; the file's own time where the run does not say.
        script: The script; empty where none is known.
        status: `running`, `finished`, `failed`, `interrupted` or `stopped`.
        step_count: Steps it took.
        size_bytes: Size of the file and its companions.
        modified_at: Time of the last write, seconds since 1970.
    """

    path: Path
    started_at: str
    script: str
    status: str
    step_count: int
    size_bytes: int
    modified_at: float

    @property
    def is_alive(self) -> bool:
        """Whether it may still be being written."""
        return self.status == "running" and time.time() - self.modified_at < ALIVE_SECONDS


def runs(
    folder: Annotated[Path | None, typer.Argument(help="The folder; the settings' own if not given.")] = None,
    clean: Annotated[bool, typer.Option("--clean", help="Delete run files, after asking; nothing else.")] = False,
    keep: Annotated[int, typer.Option(help="With --clean: keep this many of the newest.", min=0)] = 0,
    older_than: Annotated[float | None, typer.Option(help="With --clean: only what is older, in days.", min=0)] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --clean: do not ask.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """List the run files of a folder, newest first, or delete those that are not wanted any more."""
    from gradiometer.settings import load_settings

    if json and clean and not yes:
        raise SettingsError("--json answers no questions: add --yes to clean, or leave --clean out to list.")
    place = folder or Path(load_settings().folder)
    entries, skipped = list_runs(place)
    chosen = choose_old(entries, keep=keep, older_than_days=older_than) if clean else []
    if json:
        deleted = [delete_run(entry.path) for entry in chosen]
        write_json({"folder": place, "runs": entries, "deleted": deleted, "skipped": skipped})
        return
    print_list(place, entries, skipped)
    if clean:
        clean_up(chosen, is_asked=yes)


def list_runs(folder: Path) -> tuple[list[RunEntry], list[tuple[Path, str]]]:
    """Find the run files that lie directly in a folder.

    Args:
        folder: The folder; one that is not there has no runs.

    Returns:
        The runs, newest first, and the databases that are no readable run file, each with the reason.

    Raises:
        RunFileError: The folder is a file, or can't be read.
    """
    if not folder.exists():
        return [], []
    entries: list[RunEntry] = []
    skipped: list[tuple[Path, str]] = []
    try:
        databases = [path for path in sorted(folder.iterdir()) if is_database(path)]
    except OSError as fault:
        raise RunFileError(f"{folder} can't be listed ({fault.strerror}): name a folder of run files.") from fault
    for path in databases:
        try:
            entries.append(entry_of(path))
        except RunFileError as fault:
            skipped.append((path, str(fault)))
    return sorted(entries, key=lambda entry: entry.modified_at, reverse=True), skipped


def is_database(path: Path) -> bool:
    """Whether a file is an SQLite database by its first bytes, and no companion of one."""
    if path.is_symlink() or not path.is_file() or path.name.endswith(COMPANION_SUFFIXES):
        return False
    try:
        with path.open("rb") as file:
            return file.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC
    except OSError:
        return False


def files_of(path: Path) -> list[Path]:
    """A run file and its companions, as far as they are there."""
    companions = [path.with_name(path.name + suffix) for suffix in COMPANION_SUFFIXES]
    return [path, *(companion for companion in companions if companion.is_file())]


def entry_of(path: Path) -> RunEntry:
    """Read what the list says of one run file.

    Raises:
        RunFileError: It is no run file that can be read here.
    """
    from gradiometer.recording.reader import read_run

    run = read_run(path, max_snapshots=1, max_steps=1)
    files = files_of(path)
    # Reading makes a new -shm, so its time says nothing about writing.
    modified_at = max(file.stat().st_mtime for file in files if not file.name.endswith("-shm"))
    return RunEntry(
        path=path,
        started_at=str(run.facts.get("started_at") or datetime.fromtimestamp(modified_at).isoformat("T", "seconds")),
        script=str(run.facts.get("script") or ""),
        status=str(run.facts.get("status") or "unknown"),
        step_count=run.step_count,
        size_bytes=sum(file.stat().st_size for file in files),
        modified_at=modified_at,
    )


def choose_old(entries: Sequence[RunEntry], *, keep: int, older_than_days: float | None) -> list[RunEntry]:
    """Choose the runs to delete: not the newest `keep`, none younger than asked for, none that may be alive."""
    oldest_kept = time.time() - 86400.0 * (older_than_days or 0.0)
    return [entry for entry in entries[keep:] if not entry.is_alive and entry.modified_at <= oldest_kept]


def print_list(folder: Path, entries: Sequence[RunEntry], skipped: Sequence[tuple[Path, str]]) -> None:
    """Print the list, newest first, and below it what was left alone."""
    console = results()
    if not entries:
        console.print(f"No run files in {folder} yet. Record one: gradiometer run SCRIPT", soft_wrap=True)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("when", "script", "steps", "status", "size", "run file"):
        table.add_column(heading, overflow="fold", justify="right" if heading in {"steps", "size"} else "left")
    for entry in entries:
        when, size = entry.started_at[:16].replace("T", " "), format_bytes(entry.size_bytes)
        cells = (when, entry.script or "–", str(entry.step_count), entry.status, size, entry.path.name)
        table.add_row(*(Text(cell) for cell in cells))
    if entries:
        total = format_bytes(sum(entry.size_bytes for entry in entries))
        console.print(table)
        console.print(Text(f"\n{len(entries)} runs, {total}, in {folder}"), soft_wrap=True)
    for path, reason in skipped:
        messages().print(Text(f"left alone: {path.name}: {reason}"), soft_wrap=True)


def clean_up(chosen: Sequence[RunEntry], *, is_asked: bool) -> None:
    """Delete the chosen runs, after asking where that was not waived."""
    if not chosen:
        messages().print("Nothing to clean.")
        return
    total = format_bytes(sum(entry.size_bytes for entry in chosen))
    if not is_asked and not typer.confirm(f"Delete {len(chosen)} run files ({total})?", err=True):
        messages().print("Nothing deleted.")
        return
    for entry in chosen:
        delete_run(entry.path)
    messages().print(f"Deleted {len(chosen)} run files ({total}).")


def delete_run(path: Path) -> Path:
    """Delete one run file with its companions.

    Raises:
        RunFileError: The system refuses; the message says why.
    """
    try:
        # The companions go first: a log without its database is litter, a database without its log still opens.
        for file in reversed(files_of(path)):
            file.unlink(missing_ok=True)
    except OSError as fault:
        raise RunFileError(f"{path} can't be deleted ({fault.strerror}): check who may write to its folder.") from fault
    return path
