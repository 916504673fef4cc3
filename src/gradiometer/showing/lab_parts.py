"""What an experiment's page is made of as HTML: sections with their parts, published beside measured, how it was run.

All text is escaped; in paragraphs and captions what stands between backticks becomes code.
"""

import re

from gradiometer.schema import Chart, ExperimentReport, HeatMap, Part, PictureGrid, Row, Section, Table
from gradiometer.showing.figures.lab_chart import describe_lab_chart, not_drawn_words
from gradiometer.showing.figures.lab_heat_map import describe_lab_heat_map
from gradiometer.showing.figures.parts import FigureParts
from gradiometer.showing.grey_png import picture_address
from gradiometer.showing.lab_words import (
    STANDING_WORDS,
    band_words,
    cell_words,
    measured_words,
    report_command,
    rows_sentence,
    spread_words,
)
from gradiometer.showing.page_frame import figure_place, scrolling
from gradiometer.showing.report_parts import escaped

ROW_HEADINGS = ("what is claimed", "published", "accepted", "measured", "verdict")

VERDICT_BADGES = {"within": "healthy", "outside": "critical", "not run": "info"}
"""Verdict of a row to the class whose colour its badge takes."""

LONG_CELL = 28
"""A table in which a cell has more letters breaks its cells into lines; others stay on one."""


def prose(text: str) -> str:
    r"""A text as paragraphs: escaped, code between backticks, a new paragraph after an empty line.

    Example:
        >>> prose("`a` < b\n\nc")
        '<p><code>a</code> &lt; b</p><p>c</p>'
    """
    return "".join(f"<p>{inline(block)}</p>" for block in re.split(r"\n\s*\n", text.strip()) if block)


def inline(text: str) -> str:
    """A text within a line: escaped, code between backticks, powers of ten raised.

    Example:
        >>> inline("about 10^-8.9 of it")
        'about 10<sup>-8.9</sup> of it'
    """
    coded = re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped(text))
    return re.sub(r"\b10\^(-?\d+(?:\.\d+)?)", r"10<sup>\1</sup>", coded)


def section_html(section: Section, place: int, figures: dict[str, FigureParts]) -> str:
    """One section; the figures that it holds are put into `figures` under the name of their place."""
    parts = [part_html(part, f"figure-{place}-{index}", figures) for index, part in enumerate(section.parts)]
    return f'<section id="section-{place}" class="lab"><h2>{escaped(section.title)}</h2>{"".join(parts)}</section>'


def part_html(part: Part, name: str, figures: dict[str, FigureParts]) -> str:
    """One part of a section; a figure among them is put into `figures` under its name."""
    if isinstance(part, str):
        return prose(part)
    if isinstance(part, Table):
        return table_html(part)
    if isinstance(part, PictureGrid):
        return pictures_html(part)
    figures[name] = describe_lab_chart(part) if isinstance(part, Chart) else describe_lab_heat_map(part)
    return f"{heading(part)}{figure_place(name, part.title, figures[name])}"


def heading(part: Chart | HeatMap | PictureGrid | Table) -> str:
    """What stands above a figure, pictures or a table: title, and how to read it."""
    title = f"<h3>{escaped(part.title)}</h3>" if part.title else ""
    said = [part.caption, not_drawn_words(part) if isinstance(part, Chart) else ""]
    caption = " ".join(inline(words) for words in said if words)
    return title + (f'<p class="how">{caption}</p>' if caption else "")


def table_html(table: Table) -> str:
    """A table that scrolls where it is wider than the page."""
    head = "".join(f'<th scope="col">{escaped(name)}</th>' for name in table.columns)
    body = "".join(f"<tr>{''.join(cell_html(cell) for cell in row)}</tr>" for row in table.rows)
    is_long = any(isinstance(cell, str) and len(cell) > LONG_CELL for row in table.rows for cell in row)
    kind = ' class="words"' if is_long else ""
    drawn = f"<table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"{heading(table)}{scrolling(drawn, table.title or 'Table')}"


def cell_html(cell: str | float) -> str:
    """A cell of a table."""
    return f"<td>{inline(cell)}</td>" if isinstance(cell, str) else f'<td class="number">{cell_words(cell)}</td>'


def pictures_html(grid: PictureGrid) -> str:
    """Grey pictures side by side, with crisp pixels."""
    columns = max(min(grid.columns, len(grid.pictures)), 1)
    has_long_names = any(len(picture.name) > 6 for picture in grid.pictures)
    figures = "".join(
        f'<figure><img src="{picture_address(picture.pixels)}" alt="{escaped(picture.name or grid.title)}">'
        f"<figcaption>{inline(picture.name)}</figcaption></figure>"
        for picture in grid.pictures
    )
    widths = (
        f"grid-template-columns:repeat({columns},minmax({76 if has_long_names else 44}px,{picture_width(columns)}px))"
    )
    drawn = f'<div class="pictures" style="{widths}">{figures}</div>'
    return f"{heading(grid)}{scrolling(drawn, grid.title or 'Pictures')}"


def picture_width(columns: int) -> int:
    """How wide a picture is where there is room, in pixels."""
    return min(max(960 // columns, 76), 160)


def rows_section(rows: tuple[Row, ...]) -> str:
    """The table of what is published beside what was measured; nothing without rows."""
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{name}</th>' for name in ROW_HEADINGS)
    body = "".join(row_html(row) for row in rows)
    table = f'<table class="words"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    shown = scrolling(table, "Published beside measured", kind="stacked")
    return (
        '<section id="published" class="lab"><h2>Published beside measured</h2>'
        f"<p>{escaped(rows_sentence(rows))}</p>{shown}</section>"
    )


def row_html(row: Row) -> str:
    """One published figure beside the measured one."""
    badge = f'<span class="{VERDICT_BADGES[row.verdict]}"><span class="badge">{row.verdict}</span></span>'
    cells = (
        two_lines(inline(row.name), row.source),
        two_lines(f"<b>{escaped(row.published)}</b>", STANDING_WORDS[row.standing]),
        escaped(band_words(row)),
        two_lines(f"<b>{escaped(measured_words(row))}</b>", spread_words(row)),
        two_lines(badge, row.reason),
    )
    labelled = zip(ROW_HEADINGS, cells, strict=True)
    return "<tr>" + "".join(f'<td data-label="{name}"><div>{cell}</div></td>' for name, cell in labelled) + "</tr>"


def two_lines(first: str, second: str) -> str:
    """A line that is HTML already, and a quiet one below it that is text."""
    return first + (f'<br><span class="quiet">{inline(second)}</span>' if second else "")


def facts_section(report: ExperimentReport) -> str:
    """How it was run, and its run files with the command that opens each."""
    lines = "".join(f"<dt>{escaped(name)}</dt><dd>{inline(words)}</dd>" for name, words in report.facts)
    commands = "".join(f"<li><code>{escaped(report_command(path))}</code></li>" for path in report.run_files)
    files = f"<dt>Run files</dt><dd>Each opens as a report: <ul>{commands}</ul></dd>" if commands else ""
    return f'<section id="facts" class="lab"><h2>How it was run</h2><dl>{lines}{files}</dl></section>'


def contents(report: ExperimentReport) -> str:
    """Links to the sections."""
    links = [(f"section-{place}", section.title) for place, section in enumerate(report.sections)]
    links += [("published", "Published beside measured")] if report.rows else []
    links.append(("facts", "How it was run"))
    anchors = "".join(f'<a href="#{anchor}">{escaped(title)}</a>' for anchor, title in links)
    return f'<nav aria-label="Contents">{anchors}</nav>'
