"""The page that lists the runs, and lets two be compared."""

from typing import Any

from dash import Dash, Input, Output, dcc, html

from gradiometer.showing.dashboard.listing import Line, Listing, shown_name
from gradiometer.showing.dashed_attributes import attributes
from gradiometer.showing.wording import VERDICT_WORDS

HEADINGS = ("script", "verdict", "status", "steps", "began", "run file", "compare")

BADGES = {"healthy": "healthy", "at_risk": "warning", "broken": "critical", "unknown": "info"}
"""Verdict to the class of its badge."""


def list_page(place: str) -> html.Div:
    """The list before anything was read.

    Args:
        place: Where runs are looked for, as it was said on the command line.
    """
    return html.Div(
        [
            dcc.Store(id="list-mark", data=""),
            dcc.Store(id="picked", data=""),
            html.Header(
                [
                    html.P("gradiometer live", className="subject"),
                    html.H1("Runs"),
                    html.P(["Recorded in ", html.Code(place), ", newest first. What grows, grows here, too."]),
                    html.P(id="picked-words", role="status"),
                ]
            ),
            html.P(id="notice", role="status"),
            html.Section([html.H2("All runs", className="unseen"), html.Div(id="list")]),
        ],
        id="list-page",
    )


def add_list_answers(application: Dash, listing: Listing) -> None:
    """Let the list be answered."""

    @application.callback(
        output={"list": Output("list", "children"), "words": Output("picked-words", "children")},
        inputs={"mark": Input("list-mark", "data"), "picked": Input("picked", "data")},
    )
    def write(mark: Any, picked: Any) -> dict[str, Any]:
        """Write the list anew; the mark only says that it has changed."""
        if not mark:
            return {"list": None, "words": ""}
        lines, older_count = listing.lines()
        names = {line.key: shown_name(line.path) for line in lines}
        return {"list": table_of(lines, older_count, str(picked)), "words": words_on(names.get(str(picked), ""))}


def words_on(name: str) -> str:
    """What is to be done when the first of two runs was picked."""
    return f"{name} is the run before. Now pick the run to judge." if name else ""


def mark_of_list(listing: Listing) -> str:
    """Changes with everything that the list says."""
    lines, older_count = listing.lines()
    return f"{hash((tuple(lines), older_count)):x}"


def table_of(lines: list[Line], older_count: int, picked: str) -> list[Any]:
    """The list as a table."""
    if not lines:
        command = html.Code("gradiometer run SCRIPT")
        return [html.P(["There is no run yet. Record one: ", command, ". It appears here by itself."])]
    head = html.Thead(html.Tr([html.Th(name, scope="col") for name in HEADINGS]))
    body = html.Tbody([row_of(line, picked) for line in lines])
    more = [html.P(f"and {older_count:,} older runs.", className="quiet")] if older_count else []
    table = html.Table([html.Caption("Runs", className="unseen"), head, body], className="words")
    label = attributes("aria", label="Table of runs")
    return [html.Div(table, className="scroll stacked", tabIndex=0, role="region", **label), *more]


def row_of(line: Line, picked: str) -> html.Tr:
    """One run."""
    is_picked = line.key == picked
    trials = f" · cure, {line.trial_count} trials" if line.trial_count else ""
    outcome = f" · {line.outcome}" if line.outcome else ""
    compare = html.Button(
        "before" if is_picked else "compare",
        className="compare",
        type="button",
        disabled=bool(line.fault),
        **attributes("data", key=line.key),
        **attributes("aria", pressed="true" if is_picked else "false", label=f"compare {shown_name(line.path)}"),
    )
    cells: tuple[Any, ...] = (
        badge_of(line),
        f"{line.status}{outcome}{trials}" if not line.fault else line.fault,
        f"{line.step_count:,}" if line.status else "",
        line.started_at,
        html.Code(shown_name(line.path)),
        compare,
    )
    first = html.Th(html.A(line.script or shown_name(line.path), href=f"/run/{line.key}"), scope="row")
    return html.Tr(
        [
            first,
            *(html.Td(cell, **attributes("data", label=name)) for name, cell in zip(HEADINGS[1:], cells, strict=True)),
        ],
        className="marked" if is_picked else None,
    )


def badge_of(line: Line) -> html.Span:
    """The verdict as a word with a colour."""
    if line.fault:
        return html.Span(html.Span("can't be read", className="badge"), className="warning")
    if not line.verdict:
        return html.Span("…", title="not judged yet", className="quiet")
    title = VERDICT_WORDS[line.verdict][0]  # type: ignore[index]
    return html.Span(html.Span(title, className="badge"), className=BADGES[line.verdict])
