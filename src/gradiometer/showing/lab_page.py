"""An experiment's page, in the frame of the report: one HTML file that loads nothing, and an index of such pages."""

from collections.abc import Mapping
from pathlib import Path

from gradiometer.errors import SettingsError
from gradiometer.schema import ExperimentReport
from gradiometer.showing.figures.parts import FigureParts
from gradiometer.showing.lab_parts import contents, facts_section, inline, rows_section, section_html
from gradiometer.showing.lab_words import count_verdicts, fact_of, rows_sentence
from gradiometer.showing.page_frame import framed, scrolling
from gradiometer.showing.report_parts import escaped

INDEX_HEADINGS = ("experiment", "what it asks", "within", "outside", "not run", "time")


def write_lab_page(report: ExperimentReport, path: Path, *, question: str = "") -> Path:
    """Write the page of an experiment.

    Args:
        report: What it found.
        path: Where the page goes; an older one is replaced, a folder that is missing made.
        question: What the experiment asks.

    Returns:
        The path.

    Raises:
        SettingsError: The page can't be written there; the message says why.
    """
    return written_page(render_lab_page(report, question=question), path)


def render_lab_page(report: ExperimentReport, *, question: str = "") -> str:
    """Render the page of an experiment as HTML; arguments as for `write_lab_page`."""
    figures: dict[str, FigureParts] = {}
    sections = [section_html(section, place, figures) for place, section in enumerate(report.sections)]
    published = rows_sentence(report.rows)
    link = f'<p class="next"><a href="#published">{escaped(published)}</a></p>' if published else ""
    return framed(
        title=report.title,
        subject=f"lab {report.name}",
        colour=colour_of(report),
        headline=escaped(question),
        text=inline(report.summary),
        below=link + contents(report),
        body="\n".join((*sections, rows_section(report.rows), facts_section(report))),
        figures=figures,
    )


def write_lab_index(
    reports: Mapping[str, ExperimentReport], failed: Mapping[str, str], questions: Mapping[str, str], path: Path
) -> Path:
    """Write the page that links the pages of several experiments.

    Args:
        reports: Name of each page's file, in the folder of this one, to what it shows.
        failed: Experiments that could not be run, and why.
        questions: Experiment to what it asks.
        path: Where the page goes; an older one is replaced.

    Returns:
        The path.

    Raises:
        SettingsError: The page can't be written there; the message says why.
    """
    return written_page(render_lab_index(reports, failed, questions), path)


def render_lab_index(
    reports: Mapping[str, ExperimentReport], failed: Mapping[str, str], questions: Mapping[str, str]
) -> str:
    """Render the index as HTML; arguments as for `write_lab_index`."""
    head = "".join(f'<th scope="col">{name}</th>' for name in INDEX_HEADINGS)
    lines = [index_line(page, report, questions.get(report.name, "")) for page, report in reports.items()]
    lines += [
        f'<tr><th scope="row">{escaped(name)}</th><td>{escaped(questions.get(name, ""))}<br>'
        f'<span class="critical"><span class="badge">could not be run</span></span> {escaped(reason)}</td>'
        "<td></td><td></td><td></td><td></td></tr>"
        for name, reason in failed.items()
    ]
    table = f'<table class="words"><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table>'
    rows = tuple(row for report in reports.values() for row in report.rows)
    has_faults = bool(failed) or any(report.missed for report in reports.values())
    return framed(
        title="The lab",
        subject="lab",
        colour="broken" if has_faults else "healthy",
        headline="Classic systems and results of the field, published beside measured.",
        text=escaped(rows_sentence(rows)),
        below="",
        body=f'<section class="lab"><h2>Experiments</h2>{scrolling(table, "Experiments")}</section>',
        figures={},
    )


def index_line(page: str, report: ExperimentReport, question: str) -> str:
    """One experiment in the index."""
    counts = count_verdicts(report.rows)
    numbers = "".join(f'<td class="number">{counts[verdict]}</td>' for verdict in ("within", "outside", "not run"))
    link = f'<a href="{escaped(page)}">{escaped(report.title)}</a>'
    first = f'<tr><th scope="row">{link}</th><td>{escaped(question)}</td>'
    return f"{first}{numbers}<td>{escaped(fact_of(report, 'Time'))}</td></tr>"


def colour_of(report: ExperimentReport) -> str:
    """The verdict whose colour the page takes: red where a figure is missed, blue where none was run."""
    if report.missed:
        return "broken"
    return "healthy" if count_verdicts(report.rows)["within"] else "unknown"


def written_page(page: str, path: Path) -> Path:
    """Write a page to its place; returns and raises as `write_lab_page`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8", errors="backslashreplace")
    except OSError as fault:
        reason = fault.strerror or str(fault)
        raise SettingsError(
            f"the page can't be written to {path}: {reason}; choose another place with --output FILE or --folder DIR"
        ) from fault
    return path
