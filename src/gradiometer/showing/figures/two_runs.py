"""Two runs side by side: their losses, and below these the level that each layer's gradient had late in the run."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradiometer.diagnosing.levels import late_levels
from gradiometer.schema import Run
from gradiometer.showing.figures.loss_and_updates import MAX_LOSS_POINTS
from gradiometer.showing.figures.parts import (
    LEGEND_BELOW,
    FigureParts,
    axis,
    draw,
    empty_parts,
    evenly_chosen,
    extremes_chosen,
    layout,
    numbers,
    shown_name,
)
from gradiometer.showing.palette import CONTROL_COLOUR, TREATED_COLOUR

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

HOW_TO_READ = (
    "Grey is the run before, blue the run after. Above the loss of each; below the level of the gradient at each layer "
    "in the later half of each run, from the input to the output: a curve that stays near 0 dB keeps its gradient."
)

MAX_LAYERS = 400
"""Layers along the axis; of more some, evenly."""

MAX_TICKS = 10
"""Layers named along the axis."""

STYLES: tuple[tuple[str, str, str, str], ...] = (
    ("before", CONTROL_COLOUR, "dash", "square"),
    ("after", TREATED_COLOUR, "solid", "circle"),
)
"""Name, colour, dash and mark of each run."""


def describe_two_runs(before: Run, after: Run) -> FigureParts:
    """Describe two runs side by side as plain dictionaries.

    Args:
        before: The run to compare with.
        after: The run to judge.

    Returns:
        The figure's parts; a figure that says so where neither a loss nor a level was measured in any of them. Levels
        of -inf are gaps; layers are matched by name, and stand in the order of each run.
    """
    runs = (before, after)
    levels = [late_levels(run) if run.snapshot_count else {} for run in runs]
    every = merged_names(list(levels[1]), list(levels[0]))
    names = [every[place] for place in evenly_chosen(len(every), MAX_LAYERS)]
    losses = [loss_trace(run, style) for run, style in zip(runs, STYLES, strict=True) if run.loss is not None]
    lines = [level_trace(found, names, style) for found, style in zip(levels, STYLES, strict=True) if has_level(found)]
    if not losses and not lines:
        return empty_parts("Neither a loss nor a level was measured in these runs.")
    ticks = evenly_chosen(len(names), MAX_TICKS)
    axes: dict[str, Any] = {
        "xaxis": axis("step (optimizer steps)", rangemode="tozero", anchor="y"),
        "yaxis": axis("loss<br>(mean of the step)", domain=[0.62, 1.0], **loss_scale(runs)),
        "xaxis2": axis(
            "layer, from the input to the output",
            anchor="y2",
            tickvals=ticks,
            ticktext=[shown_name(names[place]) for place in ticks],
            showgrid=False,
        ),
        "yaxis2": axis("level (dB,<br>relative to the output)", domain=[0.0, 0.42], anchor="x2"),
    }
    return {"data": [*losses, *lines], "layout": layout(620, legend=LEGEND_BELOW, **axes)}


def draw_two_runs(before: Run, after: Run) -> "Figure":
    """Draw two runs side by side as a plotly figure; arguments as for `describe_two_runs`."""
    return draw(describe_two_runs(before, after))


def merged_names(names: list[str], others: list[str]) -> list[str]:
    """Two lists of names as one; what only the second has stands behind what it stands behind there.

    Example:
        >>> merged_names(["first", "head"], ["first", "middle", "head"])
        ['first', 'middle', 'head']
    """
    known = set(names)
    behind: dict[str | None, list[str]] = {}
    last = None
    for name in others:
        if name in known:
            last = name
        else:
            behind.setdefault(last, []).append(name)
    return [*behind.get(None, []), *(one for name in names for one in (name, *behind.get(name, [])))]


def has_level(levels: dict[str, float]) -> bool:
    """Whether any level is a finite number."""
    return any(math.isfinite(level) for level in levels.values())


def loss_scale(runs: tuple[Run, Run]) -> dict[str, Any]:
    """A logarithmic axis where all losses are positive and span more than a factor of 50."""
    series = [run.loss.values for run in runs if run.loss is not None]
    values = np.concatenate(series) if series else np.zeros(0)
    finite = values[np.isfinite(values)]
    if len(finite) and finite.min() > 0.0 and finite.max() > 50.0 * finite.min():
        return {"type": "log", "exponentformat": "power", "nticks": 6}
    return {}


def loss_trace(run: Run, style: tuple[str, str, str, str]) -> dict[str, Any]:
    """The main loss of one run."""
    name, colour, dash, _ = style
    series = run.loss
    assert series is not None
    chosen = extremes_chosen(series.values, MAX_LOSS_POINTS)
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(chosen) == 1 else "lines",
        "name": name,
        "legendgroup": name,
        "x": [int(step) for step in series.steps[chosen]],
        "y": numbers(series.values[chosen]),
        "line": {"width": 1.6, "color": colour, "dash": dash},
        "hovertemplate": "step %{x}: %{y:.4g}",
    }


def level_trace(levels: dict[str, float], names: list[str], style: tuple[str, str, str, str]) -> dict[str, Any]:
    """The late level at each layer of one run."""
    name, colour, dash, mark = style
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "legendgroup": name,
        "showlegend": False,
        "xaxis": "x2",
        "yaxis": "y2",
        "x": list(range(len(names))),
        "y": numbers([levels.get(entry, math.nan) for entry in names]),
        "hovertext": [shown_name(entry) for entry in names],
        "line": {"width": 1.6, "color": colour, "dash": dash},
        "marker": {"size": 6, "symbol": mark, "color": colour},
        "connectgaps": True,
        "hovertemplate": "%{hovertext}: %{y:.1f} dB",
    }
