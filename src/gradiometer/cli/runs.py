"""`gradiometer runs`: the run files and the cases of `cure` that are kept here, listed or cleaned.

Examples:
    gradiometer runs
        List what is kept here, newest first.
    gradiometer runs --clean --keep 10 --older-than 30
        Delete what is older than 30 days, but the newest ten, after asking.
    gradiometer runs experiments --json
        List another folder, as one JSON object.

Exit codes:
    0    It is listed, or deleted.
    2    A folder can't be read, a file can't be deleted, or nobody answers; stderr says which.
    130  Ctrl-C.

Files:
    .gradiometer/runs/   Run files, with kept batches and weights; the setting `folder` names another place.
    .gradiometer/cures/  Cases of `cure` with their trials.
    pyproject.toml       Its table [tool.gradiometer] holds the folder.

Environment:
    NO_COLOR, COLUMNS  No colour; width of the terminal.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from gradiometer.cli.console import messages, results, write_json
from gradiometer.cli.kept import Entry, Skipped, choose_old, delete, list_kept
from gradiometer.cli.reading import Json
from gradiometer.cli.topics import CLEANING
from gradiometer.errors import SettingsError
from gradiometer.units import format_bytes


def runs(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="FOLDER", help="Only this folder; else the settings' own, and that of `cure`."),
    ] = None,
    clean: Annotated[
        bool,
        typer.Option("--clean", help="Delete runs and cures, after asking; nothing else.", rich_help_panel=CLEANING),
    ] = False,
    keep: Annotated[
        int | None,
        typer.Option(metavar="N", help="With --clean: keep this many of the newest.", min=0, rich_help_panel=CLEANING),
    ] = None,
    older_than: Annotated[
        float | None,
        typer.Option(
            metavar="DAYS", help="With --clean: only what is older, in days.", min=0, rich_help_panel=CLEANING
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --clean: do not ask.", rich_help_panel=CLEANING)] = False,
    json: Json = False,
) -> None:
    """List the run files that are kept here, newest first, and the cures with their trials, or delete old ones."""
    from gradiometer.settings import CASES_FOLDER, load_settings

    if not clean and (keep is not None or older_than is not None or yes):
        raise SettingsError(
            "--keep, --older-than and --yes say what --clean deletes: add it, or leave them out to list."
        )
    if json and clean and not yes:
        raise SettingsError("--json answers no questions: add --yes to clean, or leave --clean out to list.")
    places = [folder] if folder else list(dict.fromkeys([Path(load_settings().folder), Path(CASES_FOLDER)]))
    entries, skipped = list_kept(places)
    chosen = choose_old(entries, keep=keep or 0, older_than_days=older_than) if clean else []
    if json:
        deleted = [delete(entry) for entry in chosen]
        write_json({"folders": places, "runs": entries, "deleted": deleted, "skipped": skipped})
        return
    print_list(places, entries, skipped)
    if clean:
        clean_up(chosen, is_asked=yes)


def print_list(places: Sequence[Path], entries: Sequence[Entry], skipped: Sequence[Skipped]) -> None:
    """Print the list, newest first, and below it what was left alone."""
    console = results()
    where = " and ".join(str(place) for place in places)
    if not entries:
        console.print(f"No run files in {where} yet. Record one: gradiometer run SCRIPT", soft_wrap=True)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("when", "script", "steps", "status", "size", "run file or cure"):
        table.add_column(heading, overflow="fold", justify="right" if heading in {"steps", "size"} else "left")
    for entry in entries:
        when, size = entry.started_at[:16].replace("T", " "), format_bytes(entry.size_bytes)
        trials = f" ({entry.trial_count} trials)" if entry.kind == "cure" else ""
        cells = (when, entry.script or "–", str(entry.step_count), entry.status, size, f"{entry.path.name}{trials}")
        table.add_row(*(Text(cell) for cell in cells))
    if entries:
        console.print(table)
        console.print(Text(f"\n{counted(entries)}, in {where}"), soft_wrap=True)
    for path, reason in skipped:
        messages().print(Text(f"left alone: {path.name}: {reason}"), soft_wrap=True)


def counted(entries: Sequence[Entry]) -> str:
    """How many there are of each kind, and their size.

    Example:
        >>> run = Entry(Path("a.db"), "run", "", "", "finished", 3, 0, 2048, 0.0, is_alive=False)
        >>> counted([run, run])
        '2 runs, 4 KiB'
    """
    counts = [(sum(entry.kind == kind for entry in entries), kind) for kind in ("run", "cure")]
    words = [f"{count} {kind}{'s' if count > 1 else ''}" for count, kind in counts if count]
    return f"{' and '.join(words)}, {format_bytes(sum(entry.size_bytes for entry in entries))}"


def clean_up(chosen: Sequence[Entry], *, is_asked: bool) -> None:
    """Delete what was chosen, after asking where that was not waived."""
    if not chosen:
        messages().print("Nothing to clean.")
        return
    if not is_asked and not is_agreed(f"Delete {counted(chosen)}? [y/N]:"):
        messages().print("Nothing deleted.")
        return
    for entry in chosen:
        delete(entry)
    messages().print(f"Deleted {counted(chosen)}.")


def is_agreed(question: str) -> bool:
    """Ask a question on stderr, and read the answer from stdin; what is no yes is a no.

    Raises:
        SettingsError: Stdin is closed, as where a program and nobody at a terminal has started this one.
    """
    messages().print(question, end=" ", soft_wrap=True)
    answer = sys.stdin.readline() if sys.stdin is not None else ""
    if not answer:
        messages().print()
        raise SettingsError("nobody answered, and nothing was deleted: add --yes to clean without being asked.")
    return answer.strip().lower() in {"y", "yes"}
