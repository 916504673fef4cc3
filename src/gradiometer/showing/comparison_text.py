"""What changed between two runs, on a terminal."""

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gradiometer.schema import Change, Comparison
from gradiometer.showing.wording import VERDICT_WORDS, sentence

COMPARISON_STYLES: dict[str, str] = {"better": "green", "worse": "red", "same": "cyan", "not comparable": "yellow"}
"""Verdict of a comparison to its style on a terminal."""

MARKS: dict[str, tuple[str, str]] = {"better": ("better", "green"), "worse": ("worse", "red"), "other": ("", "")}
"""Direction of a change to its word and style."""


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print a comparison: verdict and what decided it, then what was measured, then how the runs were set up."""
    style = COMPARISON_STYLES[comparison.verdict]
    verdicts = " → ".join(VERDICT_WORDS[verdict][0].lower() for verdict in (comparison.before, comparison.after))
    body = Text(f"{verdicts}\n{sentence(comparison.reason)}")
    title = Text(f" {comparison.verdict.upper()} ", style=f"bold {style}")
    console.print(Panel(body, title=title, title_align="left", border_style=style))
    measured = [change for change in comparison.changes if change.kind != "setting"]
    settings = [change for change in comparison.changes if change.kind == "setting"]
    for heading, changes in (("What was measured", measured), ("How they were run", settings)):
        if changes:
            console.print(Text(f"\n{heading}", style="bold"))
            console.print(table_of(changes))
    if not comparison.changes:
        console.print(Text("\nNothing else differs.", style="dim"))


def table_of(changes: list[Change]) -> Table:
    """Changes, each with its direction."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, min_width=6)
    for change in changes:
        grid.add_row(Text(*MARKS[change.direction]), Text(change.text))
    return grid
