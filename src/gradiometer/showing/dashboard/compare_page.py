"""The page that compares two runs: what `gradiometer compare` says, and its figure."""

from typing import Any

from dash import Dash, Input, Output, State, dcc, html, no_update

from gradiometer.comparing import compare
from gradiometer.schema import Comparison
from gradiometer.showing.comparison_page import (
    PAGE_COLOURS,
    PAGE_TITLES,
    changes_section,
    layers_section,
    settings_section,
)
from gradiometer.showing.dashboard.drawn import drawn
from gradiometer.showing.dashboard.elements import elements_of
from gradiometer.showing.dashboard.run_page import figure_section
from gradiometer.showing.dashboard.shelf import Seen, Shelf
from gradiometer.showing.dashed_attributes import attributes
from gradiometer.showing.figures import describe_two_runs, two_runs
from gradiometer.showing.wording import VERDICT_WORDS, sentence

ANSWERS = {
    "head": Output("compare-head", "children"),
    "verdict": Output("compare-heading", "className"),
    "title": Output("compare-title", "data"),
    "body": Output("changes", "children"),
    "parts": Output("two_runs-parts", "data"),
    "below": Output("below", "children"),
}


def compare_page(before: str, after: str, *, mark: str) -> html.Div:
    """The page before anything was read.

    Args:
        before: Key of the run to compare with.
        after: Key of the run to judge.
        mark: Changes with what is known of both.
    """
    stores: dict[str, Any] = {
        "before-key": before,
        "after-key": after,
        "compare-mark": mark,
        "compare-title": "",
        "two_runs-parts": None,
        "two_runs-done": 0,
        "compare-title-done": 0,
    }
    return html.Div(
        [
            *(dcc.Store(id=name, data=value) for name, value in stores.items()),
            html.Nav(html.A("All runs", href="/"), **attributes("aria", label="Runs")),
            html.Header(html.Div(id="compare-head"), id="compare-heading"),
            html.P(id="notice", role="status"),
            html.Div(id="changes"),
            figure_section("two_runs", "Both runs", two_runs.HOW_TO_READ),
            html.Div(id="below"),
        ],
        id="compare-page",
        **attributes("data", mark=mark),
    )


def add_compare_answers(application: Dash, shelf: Shelf) -> None:
    """Let the comparison be answered."""

    @application.callback(
        output=ANSWERS,
        inputs={"mark": Input("compare-mark", "data")},
        state={"first": State("before-key", "data"), "second": State("after-key", "data")},
    )
    def say(mark: str, first: str, second: str) -> dict[str, Any]:
        """Compare the runs anew; the mark only says that one of them has changed."""
        before, after = shelf.look(str(first)), shelf.look(str(second))
        if before is None or after is None or not mark:
            return dict.fromkeys(ANSWERS, no_update)
        return comparison_of(before, after)


def comparison_of(before: Seen, after: Seen) -> dict[str, Any]:
    """All that the page says."""
    fault = before.fault or after.fault
    ways = [part for seen in (before, after) for part in (html.A(seen.path.name, href=f"/run/{seen.key}"), " → ")]
    subject = html.P(ways[:-1], className="subject")
    if fault:
        head = [subject, html.H1("Can't be compared"), html.P(fault, className="headline")]
        return {**dict.fromkeys(ANSWERS), "head": head, "verdict": "unknown", "title": "Can't be compared"}
    compared: Comparison = compare(before.run, after.run)
    settings = [change for change in compared.changes if change.kind == "setting"]
    measured = [change for change in compared.changes if change.kind != "setting"]
    verdicts = " → ".join(VERDICT_WORDS[verdict][0] for verdict in (compared.before, compared.after))
    note = (
        f"Verdict before and after: {verdicts}. Two runs are one pair: what the seed does is in the difference too. "
        "A change is proved by paired trials: gradiometer cure."
    )
    title = PAGE_TITLES[compared.verdict]
    return {
        "head": [subject, html.H1(title), html.P(sentence(compared.reason), className="headline"), html.P(note)],
        "verdict": PAGE_COLOURS[compared.verdict],
        "title": title,
        "body": elements_of(changes_section(measured)),
        "parts": drawn("two_runs", "Both runs", describe_two_runs(before.run, after.run)),
        "below": elements_of(layers_section(before.run, after.run) + settings_section(settings)),
    }
