"""One unit as HTML: what one digit asks of it by its three ways, who asks, and the average over the mini-batch."""

from typing import Any

from dash import html

from gradiometer.schema.explored import ClassAsk, UnitScene
from gradiometer.showing.explorer.elements import pick_button, table
from gradiometer.showing.explorer.words import exact, signed, unit_name

MOST_ROWS = 5
"""Rows of a table; the others are added up in one."""


def unit_card(unit: UnitScene, depth: int, side: int) -> list[Any]:
    """Everything about one unit.

    Args:
        unit: The unit.
        depth: The output's number.
        side: Width of a picture, pixels.
    """
    return [
        html.H3(unit_name(unit.layer, unit.unit, depth, side).capitalize()),
        *facts(unit, depth, side),
        html.Div(
            [*bias_way(unit), *weight_way(unit, depth, side), *activation_way(unit, depth, side)], className="ways"
        ),
    ]


def facts(unit: UnitScene, depth: int, side: int) -> list[Any]:
    """What the unit is doing, and who asks what of it."""
    words = (
        f"It adds up z = {exact(unit.pre_activation)} and gives a = {exact(unit.activation)}. "
        f"Wanted: {direction(unit.wanted)} of a by {signed(unit.wanted)}; through the slope {exact(unit.slope)} "
        f"that is {signed(unit.wanted_pre)} of z ({signed(unit.wanted)} × {exact(unit.slope)})."
    )
    if unit.slope == 0.0:
        words += " Its slope is 0: nothing passes back through it, and this digit asks nothing of what it reads by."
    if not unit.asked_by:
        return [html.P(words), html.P("It is an output: the cost itself asks this of it.", className="quiet")]
    rows: list[list[Any]] = [
        [
            pick_button(unit_name(unit.layer + 1, ask.unit, depth, side), unit.layer + 1, ask.unit),
            exact(ask.weight),
            signed(ask.wanted),
            signed(ask.weight * ask.wanted),
        ]
        for ask in unit.asked_by[:MOST_ROWS]
    ]
    others = unit.asked_by[MOST_ROWS:]
    if others:
        rows.append([f"{len(others)} others", "", "", signed(sum(ask.weight * ask.wanted for ask in others))])
    rows.append(["together", "", "", signed(unit.wanted)])
    head = ["asked by", "weight to it", "its wanted change of z", "product"]
    return [html.P(words), table(head, rows, name="What the units above ask of this one")]


def direction(wanted: float) -> str:
    """Which way a number is to go."""
    return "a rise" if wanted > 0.0 else "a fall" if wanted < 0.0 else "no change"


def bias_way(unit: UnitScene) -> list[Any]:
    """The first way."""
    rows = [[exact(unit.bias), signed(unit.wanted_pre), signed(unit.batch_bias)]]
    return [
        html.Div(
            [
                html.H4("1 Change the bias"),
                html.P("It asks exactly what is wanted of z.", className="quiet"),
                table(["bias", "this digit", "mini-batch"], rows, name="The bias"),
            ]
        )
    ]


def weight_way(unit: UnitScene, depth: int, side: int) -> list[Any]:
    """The second way."""
    rows: list[list[Any]] = [
        [
            pick_button(unit_name(unit.layer - 1, source, depth, side), unit.layer, unit.unit, source),
            exact(unit.below[source]),
            signed(unit.wanted_weights[source]),
            signed(unit.batch_weights[source]),
        ]
        for source in unit.shown[:MOST_ROWS]
    ]
    return [
        html.Div(
            [
                html.H4("2 Change the weights"),
                html.P("In proportion to the activation below: what is dark now can't help.", className="quiet"),
                table(["weight from", "activation", "this digit", "mini-batch"], rows, name="The weights"),
            ]
        )
    ]


def activation_way(unit: UnitScene, depth: int, side: int) -> list[Any]:
    """The third way."""
    order = sorted(range(len(unit.weights)), key=lambda source: -abs(unit.wanted_below[source]))[:MOST_ROWS]
    rows: list[list[Any]] = []
    for source in order:
        name = unit_name(unit.layer - 1, source, depth, side)
        # A picture is what it is: a pixel is no unit to look at.
        below: Any = name if unit.layer == 1 else pick_button(name, unit.layer - 1, source)
        rows.append([below, exact(unit.weights[source]), signed(unit.wanted_below[source])])
    words = "In proportion to the weight. "
    words += "A picture can't be changed; a unit could." if unit.layer == 1 else "These asks go on to the layer below."
    return [
        html.Div(
            [
                html.H4("3 Change the activations below"),
                html.P(words, className="quiet"),
                table(["activation of", "weight", "this digit"], rows, name="The activations below"),
            ]
        )
    ]


def class_table(unit: UnitScene, depth: int, side: int) -> html.Div:
    """What each class of the mini-batch asks, and the average, which is the step that is taken."""
    head = ["digits", "how many", "bias", *(unit_name(unit.layer - 1, one, depth, side) for one in unit.shown)]
    rows = [class_row(one, len(unit.shown)) for one in unit.classes]
    return table(head, rows, name="What the classes of the mini-batch ask", marked=len(rows) - 1)


def class_row(one: ClassAsk, width: int) -> list[Any]:
    """One class; the last row is the average."""
    name = "average" if one.label is None else str(one.label)
    if one.bias is None:
        return [name, "0", *["–"] * (width + 1)]
    return [name, str(one.count), signed(one.bias), *map(signed, one.weights)]
