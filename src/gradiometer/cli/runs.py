"""`gradiometer runs`: the run files and the cases of `cure` that are kept here, listed or cleaned."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from gradiometer.cli.console import messages, results, write_json
from gradiometer.cli.kept import Entry, Skipped, choose_old, delete, list_kept
from gradiometer.errors import SettingsError
from gradiometer.units import format_bytes


def runs(
    folder: Annotated[
        Path | None, typer.Argument(help="Only this folder; else the settings' own, and that of `cure`.")
    ] = None,
    clean: Annotated[bool, typer.Option("--clean", help="Delete runs and cures, after asking; nothing else.")] = False,
    keep: Annotated[int, typer.Option(help="With --clean: keep this many of the newest.", min=0)] = 0,
    older_than: Annotated[float | None, typer.Option(help="With --clean: only what is older, in days.", min=0)] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --clean: do not ask.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """List the run files that are kept here, newest first, and the cures with their trials, or delete old ones."""
    from gradiometer.settings import CASES_FOLDER, load_settings

    if json and clean and not yes:
        raise SettingsError("--json answers no questions: add --yes to clean, or leave --clean out to list.")
    places = [folder] if folder else list(dict.fromkeys([Path(load_settings().folder), Path(CASES_FOLDER)]))
    entries, skipped = list_kept(places)
    chosen = choose_old(entries, keep=keep, older_than_days=older_than) if clean else []
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
    if not is_asked and not typer.confirm(f"Delete {counted(chosen)}?", err=True):
        messages().print("Nothing deleted.")
        return
    for entry in chosen:
        delete(entry)
    messages().print(f"Deleted {counted(chosen)}.")
