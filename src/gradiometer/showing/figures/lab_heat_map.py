"""A heat map of the lab: a table of numbers as colours, with a way drawn upon it where there is one.

Columns and rows that are numbers at equal distances stand on an axis of numbers; words, and numbers at unequal
distances, have cells of equal size and are named.
"""

import html
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gradiometer.schema import FloatArray, HeatMap
from gradiometer.showing.figures.lab_chart import TITLE_WIDTH
from gradiometer.showing.figures.parts import (
    FigureParts,
    axis,
    colour_bar,
    draw,
    empty_parts,
    evenly_chosen,
    layout,
    numbers,
    shown_words,
)
from gradiometer.showing.palette import AMOUNT_SCALE, LEVEL_SCALE
from gradiometer.units import format_number

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MAX_CELLS = 100
"""Columns and rows drawn at most, evenly chosen: more can't be told apart, and a page stays small."""

MAX_TICKS = 10
"""Columns that are named: more would not fit at phone width."""

TITLE_DISTANCE = 16
"""From an axis to its title, pixels: beside a colour bar plotly leaves less room than elsewhere."""

WRITTEN_COLUMNS = 8
WRITTEN_ROWS = 16
"""Up to this many columns and rows each cell shows its number, where no way covers it."""

PATH_POINTS = 400
"""Points of a way that are drawn."""

RIM_COLOUR = "#15181d"
"""The rim of a way, dark on every page: it lies on the map and not on the ground."""


def describe_lab_heat_map(heat: HeatMap) -> FigureParts:
    """Describe a heat map as plain dictionaries; one that says so where there is nothing to draw."""
    values = np.asarray(heat.values, dtype=float)
    if not values.size or not np.isfinite(values).any():
        return empty_parts("Nothing was measured that could be drawn here.")
    columns, rows = (evenly_chosen(count, MAX_CELLS) for count in (len(heat.x), len(heat.y)))
    x, y = [heat.x[i] for i in columns], [heat.y[i] for i in rows]
    data = [cells_of(heat, x, y, values[np.ix_(rows, columns)]), *path_traces(heat, x, y)]
    axes = {
        "xaxis": axis_of(heat.x_title, x, MAX_TICKS),
        "yaxis": axis_of(heat.y_title, y, 2 * MAX_TICKS),
    }
    height = 150 + min(max(24 * len(rows), 160), 380)
    return {"data": data, "layout": layout(height, showlegend=False, **axes)}


def draw_lab_heat_map(heat: HeatMap) -> "Figure":
    """Draw a heat map as a plotly figure."""
    return draw(describe_lab_heat_map(heat))


def is_even(names: Sequence[float | str]) -> bool:
    """Whether these are numbers at equal distances, to a thousandth.

    Example:
        >>> is_even((0.0, 0.5, 1.0)), is_even((0.1, 1.0, 10.0)), is_even(("a", "b")), is_even((3.0,))
        (True, False, False, False)
    """
    if len(names) < 2 or any(isinstance(name, str) for name in names):
        return False
    steps = np.diff(np.array(names, dtype=float))
    return bool(np.isfinite(steps).all() and steps[0] != 0.0 and np.allclose(steps, steps[0], rtol=1e-3))


def positions_of(names: Sequence[float | str]) -> list[float | None]:
    """Where cells stand on their axis: at their numbers, or one after another."""
    return numbers([float(name) for name in names] if is_even(names) else range(len(names)), digits=7)


def axis_of(title: str, names: Sequence[float | str], most: int) -> dict[str, Any]:
    """An axis that ends where its cells end, and names them where they stand one after another."""
    positions = [float(position or 0.0) for position in positions_of(names)]
    half = (positions[1] - positions[0]) / 2.0 if len(positions) > 1 else 0.5
    settings: dict[str, Any] = {"showgrid": False, "range": [positions[0] - half, positions[-1] + half]}
    if not is_even(names):
        chosen = range(0, len(names), math.ceil(len(names) / most))
        settings |= {"tickvals": [positions[i] for i in chosen], "ticktext": [named(names[i]) for i in chosen]}
    words = {"text": shown_words(title, width=TITLE_WIDTH), "font": {"size": 12}, "standoff": TITLE_DISTANCE}
    return axis("", **settings) | {"title": words}


def named(name: float | str) -> str:
    """The name of a column or row."""
    return shown_words(name, width=16) if isinstance(name, str) else whole_or_short(float(name))


def whole_or_short(number: float) -> str:
    """A number as an axis names it: whole ones in full.

    Example:
        >>> whole_or_short(1000.0), whole_or_short(0.0003)
        ('1000', '3.00e-04')
    """
    return f"{number:.0f}" if number.is_integer() and abs(number) < 1e6 else format_number(number)


def cells_of(heat: HeatMap, x: Sequence[float | str], y: Sequence[float | str], values: FloatArray) -> dict[str, Any]:
    """The coloured cells, a gap for what is not finite; those of a small map show their numbers."""
    finite = values[np.isfinite(values)]
    reach = float(np.abs(finite).max()) or 1.0
    least, greatest = (-reach, reach) if heat.is_diverging else (float(finite.min()), float(finite.max()))
    unit = html.escape(f" {heat.unit}" if heat.unit else "")
    where = "%{x:.4g}, %{y:.4g}" if is_even(x) and is_even(y) else "%{text}"
    is_written = len(x) <= WRITTEN_COLUMNS and len(y) <= WRITTEN_ROWS and not heat.path
    return {
        "type": "heatmap",
        "x": positions_of(x),
        "y": positions_of(y),
        "z": [numbers(row, digits=4) for row in values],
        "text": None if where != "%{text}" else [[f"{named(column)}, {named(row)}" for column in x] for row in y],
        "zmin": least,
        "zmax": greatest if greatest > least else least + 1.0,
        "colorscale": [list(stop) for stop in (LEVEL_SCALE if heat.is_diverging else AMOUNT_SCALE)],
        "xgap": 1 if len(x) <= 40 else 0,
        "ygap": 1 if len(y) <= 40 else 0,
        "hovertemplate": f"{where}: <b>%{{z:.4g}}{unit}</b><extra></extra>",
        "colorbar": colour_bar(ticksuffix=unit),
        **({"texttemplate": "%{z:.3g}", "textfont": {"size": 11}} if is_written else {}),
    }


def path_traces(heat: HeatMap, x: Sequence[float | str], y: Sequence[float | str]) -> list[dict[str, Any]]:
    """The way: white with a dark rim, so that it is seen on every colour, with its start and its end named."""
    points = [point for point in heat.path if all(map(math.isfinite, point))]
    if not points:
        return []
    chosen = [points[i] for i in evenly_chosen(len(points), PATH_POINTS)]
    across = numbers(placed([point[0] for point in chosen], x))
    up = numbers(placed([point[1] for point in chosen], y))
    shared = {"type": "scatter", "x": across, "y": up, "mode": "lines", "showlegend": False, "hoverinfo": "skip"}
    ends = {
        "type": "scatter",
        "mode": "markers",
        "x": [across[0], across[-1]],
        "y": [up[0], up[-1]],
        "marker": {
            "symbol": ["circle", "star"],
            "size": [11, 15],
            "color": "#ffffff",
            "line": {"color": RIM_COLOUR, "width": 2},
        },
        "hovertext": ["start", "end"],
        "hoverinfo": "text",
        "showlegend": False,
    }
    return [
        shared | {"line": {"color": RIM_COLOUR, "width": 4}},
        shared | {"line": {"color": "#ffffff", "width": 2}},
        ends,
    ]


def placed(points: list[float], names: Sequence[float | str]) -> list[float]:
    """Where points stand on an axis: numbers between the cells of a named axis stand between them.

    Example:
        >>> placed([5.5], (1.0, 10.0, 100.0)), placed([1.0], ("a", "b")), placed([0.25], (0.0, 1.0))
        ([0.5], [1.0], [0.25])
    """
    if is_even(names) or any(isinstance(name, str) for name in names):
        return points
    numbered = np.array(names, dtype=float)
    order = np.argsort(numbered)
    return [float(place) for place in np.interp(points, numbered[order], np.arange(len(numbered))[order])]
