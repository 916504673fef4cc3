"""The explorer's page as a Dash application, which asks another process for every number."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from dash import ClientsideFunction, Dash, Input, Output

from gradiometer.schema.explored import DigitData
from gradiometer.showing.explorer.details import add_details, add_walk
from gradiometer.showing.explorer.layout import page_layout
from gradiometer.showing.explorer.moves import FIRST_STEPS
from gradiometer.showing.explorer.questions import Ask
from gradiometer.showing.explorer.scenes import add_scene
from gradiometer.showing.page_questions import refuse_strange_questions
from gradiometer.showing.served_frame import add_style, served_frame

SCRIPTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "offer": ("choices",),
        "units": ("unit-strips",),
        "weights": ("weight-strip",),
        "picked": ("picked-shown", "weight-strip"),
        "lit": ("lit",),
        "pace": ("state", "mark", "settled"),
    }
)
"""Functions of `assets/strips.js` and the stores that they go by. Dash calls one when all its stores have come."""


def explorer_application(ask: Ask, data: DigitData, *, first_steps: int = FIRST_STEPS) -> Dash:
    """Make the page.

    Args:
        ask: Asks the process in which torch runs.
        data: What its networks are trained on.
        first_steps: Steps that a page's network is trained for as it opens.

    Returns:
        The application; its `server` is what is served.
    """
    application = Dash(
        "gradiometer.explorer",
        assets_folder=str(Path(__file__).parent / "assets"),
        title="A network that reads digits · gradiometer",
        update_title="",
        index_string=served_frame(),
    )
    # A function: every page that is opened has a key, and so a network, of its own.
    application.layout = lambda: page_layout(data, secrets.token_hex(8), first_steps)
    add_scene(application, ask, data)
    add_details(application, ask, data)
    add_walk(application, data)
    add_scripts(application)
    add_style(application)
    refuse_strange_questions(application)
    return application


def add_scripts(application: Dash) -> None:
    """What the browser does by itself: draw strips, and ask for the next answer when this one is drawn.

    Nothing of it stands in the page as text: a content security policy need allow no script but the server's.
    """
    for function, inputs in SCRIPTS.items():
        application.clientside_callback(  # type: ignore[no-untyped-call]
            ClientsideFunction("explorer", function),
            Output(f"{function}-done", "data"),
            [Input(name, "data") for name in inputs],
        )
