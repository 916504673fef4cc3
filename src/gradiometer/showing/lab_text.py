"""The lab on a terminal: the list of experiments, what one found beside what is published, what several came to."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gradiometer.schema import ExperimentReport, Row
from gradiometer.showing.lab_words import (
    STANDING_WORDS,
    VERDICT_STYLES,
    band_words,
    count_verdicts,
    fact_of,
    measured_words,
    report_command,
    rows_sentence,
    spread_words,
)


def print_experiments(questions: Mapping[str, str], console: Console) -> None:
    """Print every experiment with its question, and how to conduct one."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column()
    for name, question in questions.items():
        grid.add_row(Text(name), Text(question))
    console.print(grid)
    console.print(Text("\nConduct one:  gradiometer lab NAME, or all; --quick needs no download", style="dim"))


def print_report(report: ExperimentReport, console: Console, *, page: str) -> None:
    """Print what an experiment found: summary, published beside measured, how it was run, where its page is.

    Args:
        report: What it found.
        console: Where to print.
        page: Path of its page.
    """
    style = "red" if report.missed else "green" if count_verdicts(report.rows)["within"] else "cyan"
    title = Text(f" {report.title} ", style=f"bold {style}")
    console.print(Panel(Text(report.summary), title=title, title_align="left", border_style=style))
    if report.rows:
        console.print(rows_table(report.rows))
        console.print(Text(f"\n{rows_sentence(report.rows)}", style="bold"))
    console.print(facts_grid(report))
    console.print(Text.assemble("\nPage:  ", (page, "bold")), soft_wrap=True)


def rows_table(rows: Sequence[Row]) -> Table:
    """Published beside measured, a row for each figure, its source and the reason below it."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", expand=True)
    table.add_column("what is claimed", overflow="fold", ratio=5)
    for name, share in (("published", 2), ("accepted", 2), ("measured", 2)):
        table.add_column(name, overflow="fold", ratio=share)
    table.add_column("verdict", no_wrap=True)
    for row in rows:
        table.add_row(
            two_lines(row.name, row.reason),
            two_lines(row.published, STANDING_WORDS[row.standing]),
            Text(band_words(row)),
            two_lines(measured_words(row), spread_words(row)),
            Text(row.verdict, style=VERDICT_STYLES[row.verdict]),
        )
    return table


def two_lines(first: str, second: str) -> Text:
    """A text, and a dim one below it."""
    return Text.assemble(first, (f"\n{second}", "dim")) if second else Text(first)


def facts_grid(report: ExperimentReport) -> Table:
    """How it was run, and the run files with the command that opens each."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(style="dim", overflow="fold")
    grid.add_row("", "")
    for name, words in report.facts:
        grid.add_row(Text(name), Text(words))
    for place, path in enumerate(report.run_files):
        grid.add_row(Text("" if place else "Run files"), Text(report_command(path)))
    return grid


def print_reports(
    reports: Sequence[ExperimentReport], failed: Mapping[str, str], console: Console, *, index: str
) -> None:
    """Print what several experiments came to: figures within, outside and not run of each, and what could not be run.

    Args:
        reports: What they found.
        failed: Experiments that could not be run, and why.
        console: Where to print.
        index: Path of the page that links theirs.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("experiment", no_wrap=True)
    for verdict in VERDICT_STYLES:
        table.add_column(verdict, justify="right", no_wrap=True)
    table.add_column("time", no_wrap=True)
    for report in reports:
        counts = count_verdicts(report.rows)
        numbers = (Text(str(count), style=VERDICT_STYLES[verdict]) for verdict, count in counts.items())
        table.add_row(Text(report.name), *numbers, Text(fact_of(report, "Time")))
    if reports:
        console.print(table)
    for report in reports:
        for row in report.missed:
            console.print(missed_line(report, row))
    for name, reason in failed.items():
        console.print(Text.assemble(("could not be run  ", "red"), (name, "bold"), f": {reason}"), soft_wrap=True)
    rows = tuple(row for report in reports for row in report.rows)
    console.print(Text(f"\n{rows_sentence(rows)}", style="bold"))
    console.print(Text.assemble("Pages:  ", (index, "bold")), soft_wrap=True)


def missed_line(report: ExperimentReport, row: Row) -> Text:
    """A figure that lies outside of what is accepted."""
    said = f": {row.name}: {measured_words(row)}, accepted {band_words(row)}"
    reason = f" ({row.reason})" if row.reason else ""
    return Text.assemble(("outside  ", "red"), (report.name, "bold"), said + reason)
