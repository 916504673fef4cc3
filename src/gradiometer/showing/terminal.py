"""Diagnosis and outcome on a terminal: verdict first, worst layer next, numbers with units, then what to type next.

Everything that comes from a run is printed as text, never as markup, so a layer called `[red]` stays what it is.
"""

from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gradiometer.schema import Diagnosis, Finding, Outcome, Ranking, Run
from gradiometer.showing.cost_words import cost_line
from gradiometer.showing.outcome_words import contrast_sentences, outcome_numbers, outcome_warnings
from gradiometer.showing.palette import SEVERITY_STYLES, VERDICT_STYLES
from gradiometer.showing.recorder_text import replay_command
from gradiometer.showing.turn_words import notable_lines
from gradiometer.showing.wording import (
    OUTCOME_WORDS,
    VERDICT_WORDS,
    condition_in_words,
    cure_in_words,
    cures_in_words,
    frozen_line,
    layers_in_words,
    next_command,
    number_beside,
    sentence,
    verdict_sentence,
    written,
)

OUTCOME_STYLES: dict[str, str] = {"better": "green", "worse": "red", "not shown": "yellow"}
"""Outcome's verdict to its style on a terminal."""


def print_diagnosis(diagnosis: Diagnosis, run: Run, console: Console, *, run_file: Path | None = None) -> None:
    """Print a diagnosis so that it fits one screen.

    Args:
        diagnosis: What is wrong with the run.
        run: The run; tells what measuring cost and which command to try next.
        console: Where to print.
        run_file: The run file, named in the command to try next.
    """
    console.print(verdict_panel(diagnosis))
    if run.facts.get("status") == "failed" and run.step_count:
        steps = "1 step" if run.step_count == 1 else f"{run.step_count} steps"
        console.print(Text(f"\nThe script failed after {steps}; this is what was seen until then.", style="bold"))
    # Of a healthy run a finding is a remark, and the box above it has not said what was found.
    full_count = 0 if diagnosis.verdict == "healthy" else 1
    for place, finding in enumerate(diagnosis.findings[:6]):
        console.print(finding_in_full(finding) if place < full_count else finding_in_a_line(finding))
    hidden_count = len(diagnosis.findings) - 6
    if hidden_count > 0:
        console.print(Text(f"  and {hidden_count} more findings; the report shows them all", style="dim"))
    for finding, reason in diagnosis.ignored:
        where = f"{condition_in_words(finding.condition)} at {layers_in_words(finding.layers)}"
        console.print(Text(f"  ignored: {where} ({reason})", style="dim"))
    coverage = diagnosis.coverage if diagnosis.coverage.total_count else run.coverage
    cost = cost_line(run)
    console.print(Text(f"\n{coverage.line}" + (f"\nmeasuring cost {cost}" if cost else ""), style="dim"))
    for line in filter(None, (frozen_line(run), *notable_lines(run))):
        console.print(Text(line, style="dim"))
    command = next_command(run, diagnosis, run_file)
    if command:
        console.print(Text.assemble("\nTry next:  ", (command, "bold")), soft_wrap=True)
    replaying = replay_command(run, diagnosis, run_file)
    if replaying:
        console.print(Text.assemble("Name the operation:  ", (replaying, "bold")), soft_wrap=True)


def verdict_panel(diagnosis: Diagnosis) -> RenderableType:
    """The verdict in a box, with the worst finding's summary."""
    title, _ = VERDICT_WORDS[diagnosis.verdict]
    style = VERDICT_STYLES[diagnosis.verdict]
    body = Text(verdict_sentence(diagnosis))
    if diagnosis.findings and diagnosis.verdict != "healthy":
        body.append(f"\n{diagnosis.findings[0].summary}")
    return Panel(body, title=Text(f" {title.upper()} ", style=f"bold {style}"), title_align="left", border_style=style)


def finding_in_full(finding: Finding) -> RenderableType:
    """The worst finding: where, why, numbers, what happens if nothing is done, what to try."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    grid.add_row("where", Text(f"{layers_in_words(finding.layers)}, first told at step {finding.step}"))
    for place, cause in enumerate((finding.cause, *finding.other_causes[:2])):
        share = (f"  {number_beside(cause.text, cause.share_db, 'dB')}".rstrip(), "bold")
        grid.add_row("why" if place == 0 else "also", Text.assemble(cause.text, share))
    for place, evidence in enumerate(finding.evidence[:4]):
        number = (f"  {number_beside(evidence.text, evidence.value, evidence.unit)}".rstrip(), "bold")
        grid.add_row("numbers" if place == 0 else "", Text.assemble(evidence.text, number))
    if finding.prognosis:
        grid.add_row("if nothing is done", Text(finding.prognosis))
    for place, cure in enumerate(finding.cures[:3]):
        grid.add_row("what to try" if place == 0 else "", Text.assemble(cure_in_words(cure), (f"  {cure}", "dim")))
    if finding.prediction is not None:
        change = cure_in_words(finding.prediction.cure)
        grid.add_row("what it would give", Text(f"{change}: {finding.prediction.text}"))
    if finding.consequences:
        names = ", ".join(condition_in_words(entry.condition) for entry in finding.consequences)
        grid.add_row("consequences", Text(names))
    return Group(heading_of(finding), Padding(grid, (0, 0, 0, 2)))


def heading_of(finding: Finding) -> Text:
    """Severity and condition."""
    severity = (finding.severity, SEVERITY_STYLES[finding.severity])
    return Text.assemble("\n", severity, "  ", (condition_in_words(finding.condition), "bold"))


def finding_in_a_line(finding: Finding) -> Text:
    """Every other finding: severity, condition, summary."""
    return Text.assemble(heading_of(finding), "  ", sentence(finding.summary))


def print_outcome(outcome: Outcome, console: Console) -> None:
    """Print what the trials of cures proved: verdict, numbers, the ranking, the change as code."""
    style = OUTCOME_STYLES[outcome.verdict]
    lines = [OUTCOME_WORDS[outcome.verdict]]
    if outcome.cures:
        lines.append(f"Cure: {cures_in_words(outcome.cures)}")
    lines += outcome_warnings(outcome)
    lines += [text for text in (sentence(outcome.detail), outcome_numbers(outcome)) if text]
    lines += contrast_sentences(outcome)
    title = Text(f" {outcome.verdict.upper()} ", style=f"bold {style}")
    console.print(Panel(Text("\n".join(lines)), title=title, title_align="left", border_style=style))
    if outcome.ranking:
        console.print(ranking_table(outcome.ranking))
    if outcome.snippet:
        console.print(Text("\nThe change as code:\n", style="bold"))
        # Printed raw: a snippet is there to be pasted, so no line of it may be broken or padded.
        console.print(Text(outcome.snippet.rstrip("\n")), soft_wrap=True)


def ranking_table(ranking: tuple[Ranking, ...]) -> Table:
    """All that was tried, best first; a cure by its label, which can be typed, each part on a line of its own."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("cure", no_wrap=True)
    table.add_column("final loss", justify="right")
    for heading in ("difference", "result"):
        table.add_column(heading, overflow="fold")
    for entry in ranking:
        difference = "" if entry.difference is None else f"{entry.difference:+.3g}"
        if entry.interval is not None:
            difference += f"\n({entry.interval[0]:+.3g} to {entry.interval[1]:+.3g})"
        result = entry.verdict or f"{entry.sieve}: {entry.detail}"
        final_loss = "–" if entry.final_loss is None else written(entry.final_loss)
        cells = ("\n+ ".join(entry.cures), final_loss, difference, result)
        table.add_row(*(Text(cell) for cell in cells))
    return table
