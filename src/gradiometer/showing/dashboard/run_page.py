"""What stands still on the page of one run: its sections, controls and the places of its figures."""

from collections.abc import Sequence
from typing import Any

from dash import dcc, html

from gradiometer.showing.dashboard.drawn import HEAT_CHOICES, TURN_NAMES
from gradiometer.showing.dashed_attributes import attributes
from gradiometer.showing.figures import layer_heatmap
from gradiometer.showing.report import FIGURE_TEXTS

FIGURES = ("gain_ladder", "heat_map", "loss_and_updates", "learning_speed", "trial_pairs", *TURN_NAMES)
"""Places of figures; each has a store of its own, from which `assets/dashboard.js` draws."""

FIRST_QUANTITY = "level_db"

LADDER_WORDS = (
    "Choose a full measurement, or let it play. The ladder and the table show the same layers: open a block in the "
    "table, and it opens in the figures, too."
)


def run_page(key: str, *, mark: str) -> html.Div:
    """The page of a run before anything of it is shown.

    Args:
        key: Its key.
        mark: Changes with what is known of it.
    """
    stores: dict[str, Any] = {
        "key": key,
        "mark": mark,
        "moments": [],
        "opened": {},
        "quantity": FIRST_QUANTITY,
        "title": "",
        **{f"{name}-parts": None for name in FIGURES},
        **{f"{name}-done": 0 for name in (*FIGURES, "title")},
    }
    return html.Div(
        [
            *(dcc.Store(id=name, data=value) for name, value in stores.items()),
            html.Nav([html.A("All runs", href="/"), html.Span(id="beside")], **attributes("aria", label="Runs")),
            html.Header(
                [html.Div(id="head"), html.P(id="status", className="status"), html.Div(id="answers"), contents()],
                id="heading",
            ),
            html.P(id="notice", role="status"),
            html.Div(id="findings", **attributes("aria", live="polite")),
            *figure_sections(),
            html.Div(id="outcome"),
            figure_section("trial_pairs", *FIGURE_TEXTS["trial_pairs"]),
            html.Section(id="trials"),
            *(figure_section(name, *FIGURE_TEXTS[name]) for name in TURN_NAMES),
            html.Section(id="commands"),
            html.Div(id="measured"),
        ],
        id="run-page",
        **attributes("data", mark=mark),
    )


def contents() -> html.Nav:
    """Links to the sections that every run has."""
    places = {
        "findings": "Findings",
        "moment-section": "Step by step",
        "loss_and_updates-section": "Loss",
        "heat_map-section": "Layer by step",
        "commands": "On a terminal",
        "measured": "How it was measured",
    }
    links = [html.A(heading, href=f"#{place}") for place, heading in places.items()]
    return html.Nav(links, **attributes("aria", label="Contents"))


def figure_sections() -> list[html.Section]:
    """The sections that every run has."""
    return [
        section(
            "moment",
            "Step by step",
            LADDER_WORDS,
            [
                moment_controls(),
                html.P(FIGURE_TEXTS["gain_ladder"][1], className="how"),
                html.Div(
                    [
                        html.Div([html.H3("Gain ladder"), html.P(id="gain_ladder-said"), figure_place("gain_ladder")]),
                        html.Div(
                            [html.H3("Layers"), search_field(), html.P(id="tree-words", role="status"), tree_place()]
                        ),
                    ],
                    className="halves",
                ),
            ],
            kind="figure",
        ),
        figure_section("loss_and_updates", *FIGURE_TEXTS["loss_and_updates"]),
        section(
            "heat_map",
            "Layer by step",
            layer_heatmap.HOW_TO_READ_ROWS,
            [heat_choice(), html.P(id="heat-words", className="how"), figure_place("heat_map")],
            kind="figure",
        ),
        figure_section("learning_speed", *FIGURE_TEXTS["learning_speed"]),
    ]


def section(name: str, title: str, words: str, children: Sequence[Any], *, kind: str = "") -> html.Section:
    """One section with its heading."""
    return html.Section(
        [html.H2(title, id=f"{name}-title"), html.P(words, className="how"), *children],
        id=f"{name}-section",
        className=kind or None,
        **attributes("aria", labelledby=f"{name}-title"),
    )


def figure_section(name: str, title: str, words: str) -> html.Section:
    """A section of one figure; it shows when there is something to draw."""
    return section(name, title, words, [html.P(id=f"{name}-said"), figure_place(name)], kind="figure")


def figure_place(name: str) -> html.Div:
    """Where a figure is drawn."""
    return html.Div(
        id=name,
        className="plot",
        role="img",
        **attributes("data", figure=name),
        **attributes("aria", label="not drawn yet"),
    )


def tree_place() -> html.Div:
    """Where the tree of layers stands; it keeps how far it was scrolled while its table changes."""
    label = attributes("aria", label="Layers as a tree")
    return html.Div(id="tree", className="scroll", tabIndex=0, role="region", **label)


def moment_controls() -> html.Div:
    """The slider of full measurements, and its buttons."""
    return html.Div(
        [
            html.Label("Full measurement", htmlFor="moment"),
            dcc.Input(id="moment", type="range", min=0, max=0, step=1, value=0),
            html.Output(id="moment-words", htmlFor="moment"),
            html.Button("Play", id="play", type="button"),
            html.Button("Newest", id="newest", type="button"),
        ],
        className="moments",
    )


def search_field() -> html.Div:
    """The field that looks for layers by name."""
    return html.Div(
        [
            html.Label("Find layers by name", htmlFor="search"),
            dcc.Input(id="search", type="search", value="", debounce=0.3, autoComplete="off"),
        ],
        className="search",
    )


def heat_choice() -> html.Div:
    """What the heat map shows, as buttons of which one is pressed; Dash's own radio buttons are no good to a reader."""
    buttons = [
        html.Button(
            words,
            type="button",
            **attributes("data", quantity=name),
            **attributes("aria", pressed="true" if name == FIRST_QUANTITY else "false"),
        )
        for name, words in HEAT_CHOICES.items()
    ]
    return html.Div(buttons, className="choices", role="group", **attributes("aria", label="What is shown"))
