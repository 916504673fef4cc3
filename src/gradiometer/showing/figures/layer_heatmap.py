"""Heat maps of layers by steps: level, update ratio, saturated and dead units, deep networks by blocks."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from gradiometer.schema import FloatArray, Run
from gradiometer.showing.figures.layer_tree import (
    Block,
    all_open,
    layer_tree,
    openness_for,
    rows_at,
    values_of,
)
from gradiometer.showing.figures.parts import (
    FigureParts,
    axis,
    colour_bar,
    draw,
    empty_parts,
    evenly_chosen,
    layout,
    name_axis,
    named_rows,
    row_keys,
    spread_chosen,
)
from gradiometer.showing.palette import DEAD_SCALE, LEVEL_SCALE, MARK_COLOUR, SATURATED_SCALE
from gradiometer.units import format_db, format_number, format_share

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

HOW_TO_READ_ROWS = (
    "One column per full measurement, one row per layer, the loss at the top; layers of a deep network are taken "
    "together as blocks (“body.0 … 9”, or “encoder.*” for all of encoder)."
)

MAX_COLUMNS = 80
"""Measurements shown: more than this can't be told apart."""

MAX_TICKS = 12
"""Steps named along the axis where that is all of them; half as many where it is not: they have more digits."""

MOST_CROSSES = 600
"""Cells that get a cross at most: beyond some hundred they are not legible."""


@dataclass(frozen=True, slots=True)
class HeatKind:
    """How one quantity is coloured.

    Attributes:
        title: Heading of its map.
        how_to_read: What its colours say.
        scale: Its colours.
        cells: From what was measured [moment row] to the coloured numbers, nan for a gap.
        ends: From these numbers to those of the first and the last colour.
        said: From what was measured [snapshot layer], names and steps to a sentence on it; empty for no map.
        bar: What its colour bar has of its own.
        hover: What is said of a cell, as plotly's template.
        zero: What a cross on a cell says; crosses stand where `zero_value` was measured. Empty for no crosses.
        zero_value: The value that is crossed out.
    """

    title: str
    how_to_read: str
    scale: Sequence[tuple[float, str]]
    cells: Callable[[FloatArray], FloatArray]
    ends: Callable[[FloatArray], tuple[float, float]]
    said: Callable[[FloatArray, Sequence[str], Sequence[int]], str]
    bar: Mapping[str, Any]
    hover: str
    zero: str = ""
    zero_value: float = math.nan


def reach_of(levels: FloatArray) -> tuple[float, float]:
    """From minus to plus the largest finite level, at least 40 dB."""
    finite = np.abs(levels[np.isfinite(levels)])
    reach = float(np.ceil(max(40.0, finite.max(initial=0.0)) / 10.0) * 10.0)
    return -reach, reach


def exponents(ratios: FloatArray) -> FloatArray:
    """Powers of ten; -inf for zero."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log10(ratios))


def ends_in_words(values: FloatArray, names: Sequence[str], steps: Sequence[int], form: Callable[[float], str]) -> str:
    """The least and the greatest of the newest measurement, and of which layers they are."""
    moment = int(np.flatnonzero(~np.isnan(values).all(axis=1))[-1])
    least, most = int(np.nanargmin(values[moment])), int(np.nanargmax(values[moment]))
    low, high = (f"{form(float(values[moment, place]))} ({names[place]})" for place in (least, most))
    return f"Step {steps[moment]}: from {low} to {high}." if least != most else f"Step {steps[moment]}: {low}."


def most_in_words(values: FloatArray, names: Sequence[str], steps: Sequence[int]) -> str:
    """The greatest share, when it was first reached, and of which layer; empty where all are zero."""
    moment, place = divmod(int(np.nanargmax(values)), values.shape[1])
    share = float(values[moment, place])
    return f"Most: {format_share(share)} of {names[place]}, first at step {steps[moment]}." if share else ""


HEAT_KINDS: Mapping[str, HeatKind] = {
    "level_db": HeatKind(
        "Levels, layer by step",
        "Pale is a gradient as strong as at the output, blue one that got lost on the way, orange one that grew; a "
        "cross marks a gradient of exactly zero.",
        LEVEL_SCALE,
        lambda levels: levels,
        reach_of,
        partial(ends_in_words, form=format_db),
        {"ticksuffix": " dB"},
        "level %{z} dB",
        f"exactly zero ({format_db(-math.inf)})",
        -math.inf,
    ),
    "update_ratio": HeatKind(
        "Update ratios, layer by step",
        "How far a step moves a layer's weights, as a share of their size: pale is the usual thousandth, blue are "
        "layers that hardly learn, orange are steps that overshoot; a cross marks weights that do not move at all.",
        LEVEL_SCALE,
        exponents,
        lambda _: (-6.0, 0.0),
        partial(ends_in_words, form=format_number),
        {"tickvals": [-6, -3, 0], "ticktext": [f"10<sup>{power}</sup>" for power in (-6, -3, 0)]},
        "update ratio 10<sup>%{z}</sup>",
        "does not move at all",
        0.0,
    ),
    "saturated_share": HeatKind(
        "Saturated units, layer by step",
        "The share of a layer's units that sit where the activation is flat, so that hardly any gradient passes: grey "
        "is none, full colour all. Layers in which that is not judged have no row.",
        SATURATED_SCALE,
        lambda shares: 100.0 * shares,
        lambda _: (0.0, 100.0),
        most_in_words,
        {"ticksuffix": " %"},
        "%{z} % saturated",
    ),
    "dead_share": HeatKind(
        "Dead units, layer by step",
        "The share of a layer's units that answer no example at all: grey is none, full colour all. Layers in which "
        "that is not judged have no row.",
        DEAD_SCALE,
        lambda shares: 100.0 * shares,
        lambda _: (0.0, 100.0),
        most_in_words,
        {"ticksuffix": " %"},
        "%{z} % dead",
    ),
}
"""By the name of the quantity in `BLOCK_QUANTITIES`."""


HOW_TO_READ: Mapping[str, str] = {name: f"{HOW_TO_READ_ROWS} {kind.how_to_read}" for name, kind in HEAT_KINDS.items()}
"""How to read the map of each quantity."""


def describe_layer_heatmap(
    run: Run,
    *,
    quantity: str = "level_db",
    frontier: str | None = None,
    open_names: Collection[str] | None = None,
) -> FigureParts:
    """Describe the heat map of one quantity as plain dictionaries.

    Args:
        run: The run.
        quantity: One of `HEAT_KINDS`.
        frontier: The layer whose name is set in bold; it always has a row of its own.
        open_names: Names of the blocks of the run's `layer_tree` that are open; None for as many as a screen holds.

    Returns:
        The figure's parts; a figure that says so where the quantity was not measured. Rows in which it was never
        measured are left out.
    """
    tree = layer_tree(run.layers)
    moments = spread_chosen(run.snapshot_steps, MAX_COLUMNS)
    rows = rows_at(tree, openness_for(run, tree, frontier) if open_names is None else open_names)
    steps = run.snapshot_steps[moments].tolist()
    return describe_rows(values_of(run, rows, quantity, moments), rows, steps, quantity, frontier=frontier)


def describe_rows(
    values: FloatArray, rows: Sequence[Block], steps: Sequence[int], quantity: str, *, frontier: str | None = None
) -> FigureParts:
    """Describe a heat map of what `values_of` gave; the other arguments as for `describe_layer_heatmap`."""
    kind = HEAT_KINDS[quantity]
    known = [place for place in range(len(rows)) if not np.isnan(values[:, place]).all()]
    if not known:
        return empty_parts(f"{kind.title.partition(',')[0]}: not measured, no heat map to draw.")
    names, shown = [rows[place].name for place in known], values[:, known].T
    chosen, texts, height = named_rows(names, always=names.index(frontier) if frontier in names else None)
    columns = [str(step) for step in steps]
    most_ticks = MAX_TICKS if len(columns) <= MAX_TICKS else MAX_TICKS // 2
    ticks = [columns[place] for place in evenly_chosen(len(columns), most_ticks)]
    keys = row_keys(names)
    axes = {
        "xaxis": axis("step of the measurement", type="category", tickvals=ticks, ticktext=ticks, showgrid=False),
        "yaxis": name_axis("input → layer → output", keys, chosen, texts),
    }
    data = [heat_of(shown, keys, columns, kind), *crosses_of(shown, keys, columns, kind)]
    return {"data": data, "layout": layout(max(height, 90) + 150, **axes)}


def draw_layer_heatmap(
    run: Run,
    *,
    quantity: str = "level_db",
    frontier: str | None = None,
    open_names: Collection[str] | None = None,
) -> "Figure":
    """Draw a heat map as a plotly figure; arguments as for `describe_layer_heatmap`."""
    return draw(describe_layer_heatmap(run, quantity=quantity, frontier=frontier, open_names=open_names))


def caption_of_layer_heatmap(run: Run, *, quantity: str) -> str:
    """What stands out in a map, in words; empty where there is nothing to see: not measured, or no unit at all."""
    tree = layer_tree(run.layers)
    rows = rows_at(tree, all_open(tree))
    values = values_of(run, rows, quantity)
    if np.isnan(values).all():
        return ""
    return HEAT_KINDS[quantity].said(values, [row.name for row in rows], run.snapshot_steps.tolist())


def heat_of(values: FloatArray, keys: list[str], steps: list[str], kind: HeatKind) -> dict[str, Any]:
    """The coloured cells, a gap for what was not measured; what lies beyond the scale takes its last colour."""
    cells = kind.cells(values)
    least, greatest = kind.ends(cells)
    bounded = [
        [None if math.isnan(value) else short(min(max(value, least), greatest)) for value in row]
        for row in cells.tolist()
    ]
    return {
        "type": "heatmap",
        "z": bounded,
        "x": steps,
        "y": keys,
        "zmin": least,
        "zmax": greatest,
        "colorscale": [list(stop) for stop in kind.scale],
        "xgap": 1 if len(steps) <= 60 else 0,
        "ygap": 1 if len(keys) <= 60 else 0,
        "hoverongaps": False,
        "hovertemplate": "%{y}<br>step %{x}: " + kind.hover + "<extra></extra>",
        "colorbar": colour_bar(**kind.bar),
    }


def short(value: float) -> float | int:
    """A number with one digit behind the point, without it where it is zero: a page holds thousands of them.

    Example:
        >>> short(-12.04), short(40.0)
        (-12, 40)
        >>> short(-3.16)
        -3.2
    """
    rounded = round(value, 1)
    return int(rounded) if rounded == int(rounded) else rounded


def crosses_of(values: FloatArray, keys: list[str], steps: list[str], kind: HeatKind) -> list[dict[str, Any]]:
    """A cross on every cell whose gradient or change was exactly zero; no trace where there is none."""
    rows, columns = np.nonzero(values == kind.zero_value)
    if not len(rows):
        return []
    chosen = evenly_chosen(len(rows), MOST_CROSSES)
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [steps[columns[i]] for i in chosen],
            "y": [keys[rows[i]] for i in chosen],
            "marker": {"symbol": "x-thin", "size": 6, "line": {"width": 1.5, "color": MARK_COLOUR}},
            "name": kind.zero,
            "showlegend": False,
            "hovertemplate": "%{y}<br>step %{x}: " + kind.zero + "<extra></extra>",
        }
    ]
