"""What stands still on the explorer's page: its sections, controls and words."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from dash import dcc, html

from gradiometer.schema.explored import ACTIVATIONS, COSTS, MOST_LAYERS, STARTS, DigitData
from gradiometer.showing.dashed_attributes import attributes
from gradiometer.showing.explorer.course_figure import QUANTITIES
from gradiometer.showing.explorer.moves import PageState, Picked
from gradiometer.showing.explorer.words import ACTIVATION_WORDS, COST_WORDS, SET_WORDS, START_WORDS


@dataclass(frozen=True, slots=True)
class Control:
    """A group of choices of which one is taken.

    Attributes:
        legend: What is chosen.
        choices: Values and their words.
    """

    legend: str
    choices: Mapping[str | int | float, str]


def counted(values: Sequence[int | float]) -> dict[str | int | float, str]:
    """Numbers that stand for themselves."""
    return {value: f"{value:g}" for value in values}


CONTROLS: Mapping[str, Control] = MappingProxyType(
    {
        "activation": Control("Activation", {name: ACTIVATION_WORDS[name] for name in ACTIVATIONS}),
        "hidden_layers": Control("Hidden layers", counted(range(MOST_LAYERS + 1))),
        "units": Control("Units in each", counted((8, 16, 30, 100))),
        "start": Control("First weights", {name: START_WORDS[name] for name in STARTS}),
        "learning_rate": Control("Learning rate η", counted((0.01, 0.03, 0.1, 0.3, 1.0, 3.0))),
        "cost": Control("Outputs and cost", {name: COST_WORDS[name] for name in COSTS}),
        "batch_size": Control("Mini-batch", counted((1, 8, 32, 128))),
    }
)
"""Controls by the setting that they set, in the order of the page."""

BUTTONS: Mapping[str, str] = MappingProxyType(
    {"train-step": "Train 1 step", "train-epoch": "Train 1 epoch", "play": "Play", "reset": "Reset"}
)

DIGIT_CLASS = "digit-class"
ANY = "any"
"""The control that says which digits are gone through, and its first choice."""

FIGURE_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "accuracy": "Share of the digits not trained on that are told, step by step.",
        "cost": "Mean cost of the digits not trained on, step by step.",
        "level": "Level of the error at layer 1, relative to the output, step by step.",
    }
)
"""What the figures show, for those who can't see them; the numbers stand in the table."""


GLOSSARY: Mapping[str, str] = MappingProxyType(
    {
        "unit": "adds up what it reads, each times its weight, and its bias: z. It hands on a = φ(z), its activation.",
        "slope": "φ′(z): how much a moves when z moves a little. A sigmoid's is ¼ at most, a ReLU's 1 or 0.",
        "cost C": "one number that says how far the outputs are from right, for one digit or on average over several.",
        "gradient": "the rate at which the cost rises with a number. Going the other way lowers the cost.",
        "error": "the gradient of the cost by a unit's z.",
        "wanted change": "minus the gradient: the direction, and in what proportion, in which the cost falls fastest.",
        "mini-batch": "the digits whose gradients are averaged for one training step: w ← w − η · average gradient.",
        "level": "how strong the error is at a layer beside the output, in decibels: −20 dB is ten times weaker.",
    }
)
"""What someone needs who has not met backpropagation before."""


WALK_BUTTONS: Mapping[str, str] = MappingProxyType({"walk-back": "Back", "walk-next": "Next step"})

DETAILS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "unit": (
            "3 What this digit asks of one unit",
            "A unit can change in three ways: by its bias, by its weights, and by the activations that it reads. What "
            "the units above ask of it is added up; what it asks of those below goes on.",
        ),
        "classes": (
            "4 The average over the mini-batch",
            "Every digit of the next mini-batch asks for something else. The step that is taken is the average, here "
            "of what is asked of this unit's bias and of the weights that matter most to the digit above.",
        ),
        "sensitive": (
            "5 Where the cost listens most",
            "The weights whose change moves this digit's cost most. Pick one.",
        ),
        "weight": (
            "6 One weight: its gradient as a product",
            "The chain rule multiplies the derivatives along each path from the weight to the cost, and adds up all "
            "paths.",
        ),
        "walk": (
            "7 One training step, walked through",
            "Along the weight's greatest path: forward to the outputs, the error, back to the weight, and the update. "
            "The cells that a step uses are framed.",
        ),
    }
)
"""Sections that a pick fills: heading and words."""


def page_layout(data: DigitData, key: str, first_steps: int) -> html.Div:
    """The page before anything was answered.

    Args:
        data: The digits.
        key: The page's own key, by which its network is known.
        first_steps: Steps that its network is trained for as it opens.
    """
    state = PageState(target=first_steps)
    stores: dict[str, Any] = {
        "key": key,
        "choices": {
            **{name: value for name, value in asdict(state.settings).items() if name in CONTROLS},
            DIGIT_CLASS: ANY,
        },
        "state": asdict(state),
        "picked": asdict(Picked()),
        "mark": "",
        "settled": "",
        "tick": 0,
        "unit-strips": None,
        "weight-strip": None,
        "weight": None,
        "walk-at": 0,
        "lit": None,
        "picked-shown": None,
        **{f"{function}-done": 0 for function in ("offer", "units", "weights", "picked", "lit", "pace")},
    }
    return html.Div(
        [
            *(dcc.Store(id=name, data=value) for name, value in stores.items()),
            heading(),
            html.Main([network_section(data), digit_section(data), *detail_sections()]),
            footer(data),
        ],
        className="page",
    )


def heading() -> html.Header:
    """What this is."""
    return html.Header(
        [
            html.P("gradiometer lab explorer", className="subject"),
            html.H1("A network that reads digits, down to one weight"),
            html.P(
                "A picture goes in, ten numbers come out. The cost says how far they are from right, and its gradient "
                "says how each weight should change to lower it. Backpropagation finds that gradient by handing the "
                "error back from layer to layer. Pick a digit, a unit and a weight, and follow the numbers.",
                className="headline",
            ),
            html.Details(
                [
                    html.Summary("Words used here"),
                    html.Dl([part for word, meaning in GLOSSARY.items() for part in (html.Dt(word), html.Dd(meaning))]),
                ]
            ),
            html.Div(id="notice", role="status"),
        ]
    )


def section(name: str, title: str, words: str, children: Sequence[Any]) -> html.Section:
    """One section with its heading."""
    return html.Section(
        [html.H2(title, id=f"{name}-title"), html.P(words, className="how"), *children],
        id=f"{name}-section",
        **attributes("aria", labelledby=f"{name}-title"),
    )


def choice(name: str, legend: str, choices: Mapping[str | int | float, str]) -> html.Fieldset:
    """One group of choices; `assets/strips.js` makes native radio buttons of it, which Dash has none of."""
    place = html.Div(id=name, className="choices", **attributes("data", choices=json.dumps(list(choices.items()))))
    return html.Fieldset([html.Legend(legend), place])


def network_section(data: DigitData) -> html.Section:
    """Controls, how the training goes, ladder and figures."""
    controls = [choice(name, one.legend, one.choices) for name, one in CONTROLS.items()]
    buttons = [html.Button(words, id=name, type="button") for name, words in BUTTONS.items()]
    beside = [
        html.Div(buttons, className="buttons"),
        html.Div(id="readout"),
        html.H3("The gradient on its way back"),
        html.P(
            "Level of the error (the gradient by z) at each layer relative to the output, in decibels: −20 dB is ten "
            "times weaker. Measured on 128 digits; the thin mark is what random weights of this size are expected to "
            "leave.",
            className="quiet",
        ),
        html.Div(id="ladder", className="ladder"),
    ]
    digits = f"{data.train_count:,} of {SET_WORDS.get(data.name, data.name)}"
    words = (
        f"It is trained on {digits} by plain gradient descent. Change anything: the network begins anew from first "
        "weights and is trained for as long as before, and the network before stays beside it. Ten sigmoid layers are "
        "worth a try."
    )
    return section(
        "network",
        "1 The network and its training",
        words,
        [
            html.Div([html.Div(controls, className="controls"), html.Div(beside)], className="halves"),
            html.Div(figures(), className="figures"),
        ],
    )


def figures() -> list[html.Div]:
    """Places of the figures."""
    return [
        html.Div(
            dcc.Graph(id=f"{name}-figure", config={"displayModeBar": False, "staticPlot": True, "responsive": True}),
            role="img",
            className="figure",
            id=f"{name}-place",
            **attributes("aria", label=FIGURE_WORDS[name]),
            **attributes("data", figure=name),
        )
        for name in QUANTITIES
    ]


def digit_section(data: DigitData) -> html.Section:
    """The digit, the strips of units, the outputs."""
    labels: dict[str | int | float, str] = {ANY: "any", **counted(range(max(data.labels) + 1))}
    left = [
        choice(DIGIT_CLASS, "Digit", labels),
        html.Div(
            [
                html.Button("Next digit", id="next-digit", type="button"),
                html.Button("One it gets wrong", id="next-mistake", type="button"),
            ],
            className="buttons",
        ),
        html.Div(id="picture", className="picture"),
    ]
    key: list[Any] = [
        html.Span(className="swatch plus"),
        " active  ",
        html.Span(className="swatch minus"),
        " active below zero  ",
        html.Span("▲", className="up"),
        " should rise  ",
        html.Span("▼", className="down"),
        " should fall to lower this digit's cost (height: how much, beside the others of the layer)",
    ]
    words = (
        "Every cell is a unit: its colour says how active it is on this digit, the arrow below what the digit wants of "
        "it. Outputs are wanted up for the right digit and down for the others, in proportion to their error. Pick a "
        "unit with a click, or with the arrow keys and Enter."
    )
    right = [html.Div(id="unit-strips-place", className="strips"), html.P(key, className="quiet key")]
    return section(
        "digit",
        "2 One digit goes through",
        words,
        [
            html.Div([html.Div(left, className="beside"), html.Div(right)], className="picture-halves"),
            html.Div(id="outputs"),
        ],
    )


def detail_sections() -> list[html.Section]:
    """The unit, the average, the sensitive weights, the weight, the walk."""
    buttons = [html.Button(words, id=name, type="button") for name, words in WALK_BUTTONS.items()]
    places = {
        "unit": [html.Div(id="unit-card"), html.Div(id="weight-strip-place", className="strips")],
        "classes": [html.Div(id="class-table")],
        "sensitive": [html.Div(id="sensitive")],
        "weight": [html.Div(id="weight-card")],
        "walk": [
            html.Div(buttons, className="buttons"),
            html.Div(id="walk-card", **attributes("aria", live="polite")),
            html.Div(id="walk-strips-place", className="strips"),
        ],
    }
    return [section(name, title, words, places[name]) for name, (title, words) in DETAILS.items()]


def footer(data: DigitData) -> html.Footer:
    """How it was computed."""
    return html.Footer(
        "Computed by PyTorch in float64, in a process of its own; every gradient is autograd's. The "
        f"{len(data.labels):,} digits that one can look at were not trained on. Units and pixels are counted "
        "from 0, hidden layers from 1. "
        "This page loads nothing from anywhere else."
    )
