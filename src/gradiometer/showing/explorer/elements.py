"""Elements that several parts of the explorer's page are made of."""

from collections.abc import Sequence
from typing import Any

from dash import html

from gradiometer.showing.dashed_attributes import attributes


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], *, name: str, marked: int | None = None) -> html.Div:
    """A table that scrolls sideways on its own; the first cell of a row is its heading."""
    body = [
        html.Tr(
            [html.Th(row[0], scope="row"), *(html.Td(cell) for cell in row[1:])],
            className="marked" if rank == marked else None,
        )
        for rank, row in enumerate(rows)
    ]
    header = html.Thead(html.Tr([html.Th(word, scope="col") for word in head]))
    return html.Div(
        html.Table([html.Caption(name, className="unseen"), header, html.Tbody(body)]),
        className="scroll",
        tabIndex=0,
        role="region",
        **attributes("aria", label=name),
    )


def pick_button(
    words: str, layer: int, unit: int, source: int | None = None, *, name: str | None = None
) -> html.Button:
    """A button that picks a unit, or a weight; `assets/strips.js` listens to it."""
    place = attributes("data", layer=layer, unit=unit, source="" if source is None else source)
    label = {} if name is None else attributes("aria", label=f"look at {name}")
    return html.Button(words, className="pick", type="button", **place, **label)
