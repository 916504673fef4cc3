"""The heat map of levels: every layer at every full measurement."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradiometer.schema import FloatArray, Run
from gradiometer.showing.figures.parts import (
    FigureParts,
    axis,
    colour_bar,
    draw,
    empty_parts,
    evenly_chosen,
    layout,
    named_rows,
    shown_name,
    spread_chosen,
)
from gradiometer.showing.palette import LEVEL_SCALE, MARK_COLOUR
from gradiometer.units import format_db

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

HOW_TO_READ = (
    "One column per full measurement, one row per layer, the loss at the top: pale is a gradient as strong as at the "
    "output, blue one that got lost on the way, orange one that grew; a cross marks a gradient of exactly zero."
)

MAX_COLUMNS = 120
"""Measurements shown: more than this can't be told apart, and 500 layers of them must fit into the page."""

MAX_TICKS = 10
"""Steps named along the axis: more would not fit at phone width."""


def describe_layer_heatmap(run: Run, *, frontier: str | None = None) -> FigureParts:
    """Describe the heat map of levels as plain dictionaries.

    Args:
        run: The run.
        frontier: The layer whose name is set in bold.

    Returns:
        The figure's parts; a figure that says so where no level was measured. Layers whose level was never measured
        have no row. The colours reach from minus to plus the largest finite level, at least 40 dB.
    """
    levels = run.layer_columns.get("level_db")
    if levels is None or not levels.size or np.isnan(levels).all():
        return empty_parts("No level was measured: no heat map to draw.")
    rows = [column for column in range(len(run.layers)) if not np.isnan(levels[:, column]).all()]
    columns = spread_chosen(run.snapshot_steps, MAX_COLUMNS)
    shown = levels[np.ix_(columns, rows)].T
    names = [run.layers[row].name for row in rows]
    chosen, texts, height = named_rows(names, always=names.index(frontier) if frontier in names else None)
    ticks = evenly_chosen(len(columns), MAX_TICKS)
    steps = [int(run.snapshot_steps[column]) for column in columns]
    axes = {
        "xaxis": axis(
            "step of the measurement",
            tickvals=ticks,
            ticktext=[str(steps[i]) for i in ticks],
            showgrid=False,
        ),
        "yaxis": axis("input → layer → output", tickvals=chosen, ticktext=texts, showgrid=False),
    }
    data = [heat_of(shown, names, steps), *zeros_of(shown)]
    return {"data": data, "layout": layout(height + 150, **axes)}


def draw_layer_heatmap(run: Run, *, frontier: str | None = None) -> "Figure":
    """Draw the heat map of levels as a plotly figure; arguments as for `describe_layer_heatmap`."""
    return draw(describe_layer_heatmap(run, frontier=frontier))


def heat_of(levels: FloatArray, names: list[str], steps: list[int]) -> dict[str, Any]:
    """The coloured cells, a gap for what was not measured; -inf takes the colour of the lowest level."""
    finite = np.abs(levels[np.isfinite(levels)])
    reach = float(np.ceil(max(40.0, finite.max(initial=0.0)) / 10.0) * 10.0)
    cells = [[None if math.isnan(v) else round(min(max(v, -reach), reach), 1) for v in row] for row in levels.tolist()]
    return {
        "type": "heatmap",
        "z": cells,
        "x": list(range(len(steps))),
        "y": list(range(len(names))),
        "text": [[shown_name(name)] * len(steps) for name in names] if levels.size <= 4000 else None,
        "zmin": -reach,
        "zmax": reach,
        "colorscale": [list(stop) for stop in LEVEL_SCALE],
        "xgap": 1 if len(steps) <= 60 else 0,
        "ygap": 1 if len(names) <= 60 else 0,
        "hovertemplate": "%{text} level %{z} dB<extra></extra>" if levels.size <= 4000 else "%{z} dB<extra></extra>",
        "colorbar": colour_bar(ticksuffix=" dB"),
    }


def zeros_of(levels: FloatArray) -> list[dict[str, Any]]:
    """A cross on every cell whose gradient was exactly zero; no trace where there is none."""
    rows, columns = np.nonzero(np.isneginf(levels))
    if not len(rows):
        return []
    # A cross per cell is legible up to some thousand cells only, and a page of half a million can't be opened.
    chosen = evenly_chosen(len(rows), 2000)
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [int(columns[i]) for i in chosen],
            "y": [int(rows[i]) for i in chosen],
            "marker": {"symbol": "x-thin", "size": 6, "line": {"width": 1.5, "color": MARK_COLOUR}},
            "name": f"exactly zero ({format_db(-math.inf)})",
            "showlegend": False,
            "hovertext": f"exactly zero ({format_db(-math.inf)})",
            "hoverinfo": "text",
        }
    ]
