"""The gradient's way back through the time steps of every recurrent layer."""

import math
from typing import TYPE_CHECKING, Any

from gradiometer.schema import Run, TimeFade
from gradiometer.showing.figures.parts import (
    LEGEND_BELOW,
    FigureParts,
    axis,
    draw,
    empty_parts,
    evenly_chosen,
    layout,
    shown_words,
)
from gradiometer.showing.newest_turns import names_of_fades, newest
from gradiometer.showing.palette import LINE_COLOURS, LINE_MARKS, MARK_COLOUR
from gradiometer.showing.turn_words import fade_db, half_life_in_words
from gradiometer.units import decibels

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

HOW_TO_READ = (
    "One line per recurrent layer, direction and state: the loss gradient so many time steps back, relative to the "
    "last one (in a reverse direction the first). A straight line down is a memory that fades, one up a gradient that "
    "explodes; what reaches a state through its own output counts too."
)

MAX_LINES = 16
"""Ways through time that are shown: more can't be told apart."""

MAX_SAID = 4
"""Half-lives that the caption tells."""

MAX_MARKS = 12
"""Marks on a line: they tell lines of one colour apart."""

MAX_POINTS = 160
"""Time steps shown per line."""


def describe_through_time(run: Run) -> FigureParts:
    """Describe the newest gradients through time as plain dictionaries.

    Args:
        run: The run.

    Returns:
        The figure's parts; a figure that says so where none was measured. A gain of exactly zero is marked on a
        floor, for it has no level; one that is not known is a gap.
    """
    found = newest(run.fades)
    if found is None:
        return empty_parts("No recurrent layer was measured: no gradient through time to draw.")
    names = names_of_fades(found[1])
    chosen = evenly_chosen(len(names), MAX_LINES)
    lines = [line_of(names[i], found[1][i], rank) for rank, i in enumerate(chosen)]
    axes = {
        "xaxis": axis("time steps back from the last", rangemode="tozero"),
        "yaxis": axis("gradient relative to the last<br>time step (dB)", ticksuffix=" dB", nticks=7),
    }
    data = [*lines, *zeros_of([found[1][i] for i in chosen])]
    return {"data": data, "layout": layout(330 + 22 * len(data), legend=LEGEND_BELOW, **axes)}


def draw_through_time(run: Run) -> "Figure":
    """Draw the gradients through time as a plotly figure; arguments as for `describe_through_time`."""
    return draw(describe_through_time(run))


def caption_of_through_time(run: Run) -> str:
    """Step, and the half-lives of the hidden states that change most, in words; empty where none was measured."""
    found = newest(run.fades)
    if found is None:
        return ""
    pairs = [pair for pair in zip(names_of_fades(found[1]), found[1], strict=True) if pair[1].state == "hidden"]
    pairs.sort(key=lambda pair: -abs(fade_db(pair[1])))
    said = [f"of {name} {half_life_in_words(fade)}" for name, fade in pairs if half_life_in_words(fade)]
    if not said:
        return f"Step {found[0]}."
    more = f" (and {len(said) - MAX_SAID} more)" if len(said) > MAX_SAID else ""
    return f"Step {found[0]}. On its way back the gradient {'; '.join(said[:MAX_SAID])}{more}."


def levels_of(fade: TimeFade) -> list[float | None]:
    """The gains in dB; None for zero and for what is not known."""
    return [None if not gain else round(decibels(gain), 2) for gain in fade.gains]


def line_of(name: str, fade: TimeFade, rank: int) -> dict[str, Any]:
    """One line with its half-life; an LSTM's cell state is dashed, a reverse direction dotted."""
    levels = levels_of(fade)
    chosen = evenly_chosen(len(levels), MAX_POINTS)
    half_life = half_life_in_words(fade)
    dash = "dot" if fade.is_reverse else "dash" if fade.state == "cell" else "solid"
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": shown_words(f"{name}: {half_life}" if half_life else name, width=40),
        "x": [place * fade.stride for place in chosen],
        "y": [levels[place] for place in chosen],
        "line": {"color": LINE_COLOURS[rank % len(LINE_COLOURS)], "width": 1.8, "dash": dash},
        "marker": {"size": 6, "symbol": LINE_MARKS[rank % len(LINE_MARKS)], "maxdisplayed": MAX_MARKS},
        "hovertemplate": "%{x} steps back: %{y} dB",
    }


def zeros_of(fades: list[TimeFade]) -> list[dict[str, Any]]:
    """Marks on a floor where a gain is exactly zero; no trace where there is none."""
    places = sorted({place * fade.stride for fade in fades for place, gain in enumerate(fade.gains) if gain == 0.0})
    if not places:
        return []
    levels = [level for fade in fades for level in levels_of(fade) if level is not None and math.isfinite(level)]
    shown = [places[i] for i in evenly_chosen(len(places), MAX_POINTS)]
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "exactly zero",
            "x": shown,
            "y": [min(levels, default=0.0) - 10.0] * len(shown),
            "marker": {"symbol": "x", "size": 6, "color": MARK_COLOUR},
            "hovertemplate": "%{x} steps back: a gradient is exactly zero<extra></extra>",
        }
    ]
