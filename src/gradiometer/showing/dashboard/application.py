"""The dashboard as a Dash application: a list of runs, a page for each, and one that compares two."""

import threading
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, dcc, html
from flask import Response, jsonify, request

from gradiometer.showing.dashboard.compare_page import add_compare_answers, compare_page
from gradiometer.showing.dashboard.list_page import add_list_answers, list_page, mark_of_list
from gradiometer.showing.dashboard.listing import Listing
from gradiometer.showing.dashboard.run_answers import add_run_answers
from gradiometer.showing.dashboard.run_page import FIGURES, run_page
from gradiometer.showing.dashboard.shelf import SOON_SECONDS, Shelf
from gradiometer.showing.dashboard.words import status_line
from gradiometer.showing.page_frame import plotly_source
from gradiometer.showing.page_questions import refuse_strange_questions
from gradiometer.showing.served_frame import add_style, served_frame

FOOTER = (
    "<footer>Served by gradiometer from this machine, read-only. This page loads nothing from anywhere else.</footer>"
)

KEPT = {"Cache-Control": "private, max-age=31536000, immutable"}
"""How long a browser keeps plotly.js, whose address has its version."""


def dashboard_application(shelf: Shelf, place: str) -> Dash:
    """Make the dashboard.

    Args:
        shelf: The table of runs.
        place: Where they are looked for, as it was said on the command line.

    Returns:
        The application; its `server` is what is served.
    """
    listing = Listing(shelf)
    application = Dash(
        "gradiometer.dashboard",
        assets_folder=str(Path(__file__).parent / "assets"),
        title="Runs · gradiometer",
        update_title="",
        index_string=served_frame(
            head=f'<meta name="figures" content="/plotly.js?{version("plotly")}">', footer=FOOTER
        ),
        suppress_callback_exceptions=True,
    )
    application.layout = html.Div([dcc.Location(id="place", refresh=False), html.Main(id="page")])
    add_pages(application, shelf, place)
    add_list_answers(application, listing)
    add_run_answers(application, shelf)
    add_compare_answers(application, shelf)
    add_scripts(application)
    add_style(application)
    refuse_strange_questions(application)
    add_routes(application, shelf, listing)
    return application


def add_pages(application: Dash, shelf: Shelf, place: str) -> None:
    """Give every address its page."""

    @application.callback(Output("page", "children"), Input("place", "pathname"))
    def page(pathname: str | None) -> Any:
        """The page of an address; its keys are looked up, never taken as a path."""
        words = [word for word in str(pathname or "").split("/") if word]
        pages: dict[tuple[str, int], Callable[..., Any]] = {("run", 1): run_page, ("compare", 2): compare_page}
        if not words:
            return list_page(place)
        kind, keys = words[0], words[1:]
        if (kind, len(keys)) in pages and all(is_known(shelf, key) for key in keys):
            return pages[kind, len(keys)](*keys, mark=mark_of_runs(shelf, keys))
        return unknown_page()


def mark_of_runs(shelf: Shelf, keys: Iterable[str]) -> str:
    """Changes with what is known of some runs; empty where there is none of them."""
    return "|".join(seen.mark + seen.fault for key in keys if (seen := shelf.look(key)) is not None)


def is_known(shelf: Shelf, key: str) -> bool:
    """Whether there is a run of this key; one that has just begun may not have been found yet."""
    return key in shelf.found() or key in shelf.found(pause_seconds=SOON_SECONDS)


def unknown_page() -> html.Div:
    """What an address shows that is none of ours, or whose run is gone."""
    return html.Div(
        [
            html.Header(
                [
                    html.H1("No such run"),
                    html.P("It may have been deleted, or this dashboard looks into another folder."),
                    html.P(html.A("All runs", href="/")),
                ]
            )
        ]
    )


def add_scripts(application: Dash) -> None:
    """What the browser does by itself: draw what it was handed, and say the title.

    Nothing of it stands in the page as text: a content security policy need allow no script but the server's.
    """
    for name in (*FIGURES, "two_runs"):
        application.clientside_callback(  # type: ignore[no-untyped-call]
            ClientsideFunction("dashboard", "draw"), Output(f"{name}-done", "data"), Input(f"{name}-parts", "data")
        )
    for name in ("title", "compare-title"):
        application.clientside_callback(  # type: ignore[no-untyped-call]
            ClientsideFunction("dashboard", "entitle"), Output(f"{name}-done", "data"), Input(name, "data")
        )


def add_routes(application: Dash, shelf: Shelf, listing: Listing) -> None:
    """What a page asks for beside Dash's own: whether something has changed, and plotly.js."""

    def list_mark() -> Response:
        """Changes with everything that the list says."""
        return jsonify({"mark": mark_of_list(listing)})

    def run_mark(keys: str) -> Response:
        """Changes with what is known of a run, or of two, with how the first of them stands."""
        asked = keys.split("/")[:2]
        seen = shelf.look(asked[0])
        status = status_line(seen) if seen is not None else ""
        return jsonify({"mark": mark_of_runs(shelf, asked), "status": status})

    def plotly() -> Response:
        """The library that draws the figures, from the plotly package."""
        return Response(plotly_source(), mimetype="text/javascript", headers=KEPT)

    def read_ahead() -> None:
        """Read the run that a page is opened for while the browser still loads that page's scripts."""
        kind, _, key = request.path.strip("/").partition("/")
        if kind == "run":
            threading.Thread(target=shelf.look, args=(key,), daemon=True).start()

    application.server.before_request(read_ahead)
    routes = {"/marks/list": list_mark, "/marks/<path:keys>": run_mark, "/plotly.js": plotly}
    for address, answer in routes.items():
        application.server.add_url_rule(address, f"gradiometer {answer.__name__}", answer)
