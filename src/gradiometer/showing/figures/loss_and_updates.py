"""The loss, and below it the update ratio of every layer, over the steps."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradiometer.schema import LossSeries, Run
from gradiometer.showing.figures.learning_speed import line_of, log_ticks
from gradiometer.showing.figures.parts import (
    LEGEND_BELOW,
    FigureParts,
    axis,
    depth_bar,
    draw,
    empty_parts,
    extremes_chosen,
    layout,
    learner_at,
    numbers,
    shown_name,
    shown_words,
    spread_chosen,
    trainable_columns,
)
from gradiometer.showing.palette import (
    BAND_COLOUR,
    FRONTIER_COLOUR,
    LINE_COLOURS,
    LINE_DASHES,
    MARK_COLOUR,
    TEXT_COLOUR,
    depth_colour,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

HOW_TO_READ = (
    "Above the loss, below it how far each step moved each layer's weights: inside the green band is usual, lines far "
    "under it hardly learn, lines over it overshoot."
)

USUAL_RATIOS = (1e-4, 1e-2)
"""Update ratios that are usual, about 1e-3 in the middle."""

SHOWN_EVENTS = frozenset({"jump", "non_finite", "structure", "stopped", "failed", "ranks", "note"})
"""Kinds of events that are marked: what happened to the training, not how it was measured."""

MAX_EVENTS = 40
"""Events marked."""

MAX_LOSS_POINTS = 1200
MAX_POINTS = 72


def describe_loss_and_updates(run: Run, *, frontier: str | None = None) -> FigureParts:
    """Describe loss and update ratios as plain dictionaries.

    Args:
        run: The run.
        frontier: The layer whose line is drawn thick, with its name in the legend.

    Returns:
        The figure's parts; a figure that says so where neither was measured. A loss that was not finite is marked
        at the top of the upper panel.
    """
    losses = [trace for rank, series in enumerate(run.losses) for trace in loss_traces(series, rank)]
    losses += event_marks(run)
    ratios = ratio_traces(run, frontier)
    if not losses and not ratios:
        return empty_parts("Neither a loss nor an update ratio was measured.")
    axes = {
        "xaxis": axis("step (optimizer steps)", rangemode="tozero", anchor="y2"),
        "yaxis": axis("loss<br>(mean of the step)", domain=[0.62, 1.0], **loss_scale(run)),
        "yaxis2": axis("update ratio<br>‖ΔW‖ / ‖W‖ per step", domain=[0.0, 0.44], type="log", **log_ticks()),
    }
    bar = [depth_bar(height=0.46) | {"yaxis": "y2"}] if ratios else []
    return {
        "data": [*losses, *ratios, *bar],
        "layout": layout(600, legend=LEGEND_BELOW, shapes=[usual_band()] if ratios else [], **axes),
    }


def draw_loss_and_updates(run: Run, *, frontier: str | None = None) -> "Figure":
    """Draw loss and update ratios as a plotly figure; arguments as for `describe_loss_and_updates`."""
    return draw(describe_loss_and_updates(run, frontier=frontier))


def loss_scale(run: Run) -> dict[str, Any]:
    """A logarithmic axis where the loss is positive and spans more than a factor of 50."""
    values = [value for series in run.losses for value in series.values.tolist() if math.isfinite(value)]
    if values and min(values) > 0 and max(values) > 50.0 * min(values):
        return {"type": "log", "exponentformat": "power", "nticks": 6}
    return {}


def loss_traces(series: LossSeries, rank: int = 0) -> list[dict[str, Any]]:
    """One loss over the steps, the others in other colours and dashes, and marks where it was not finite."""
    chosen = extremes_chosen(series.values, MAX_LOSS_POINTS)
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines+markers" if len(chosen) == 1 else "lines",
            "name": f"loss at {shown_name(series.site, width=40)}",
            "x": [int(step) for step in series.steps[chosen]],
            "y": numbers(series.values[chosen]),
            "line": {
                "width": 1.6,
                "color": LINE_COLOURS[rank % len(LINE_COLOURS)],
                "dash": LINE_DASHES[rank % len(LINE_DASHES)],
            },
            "hovertemplate": "step %{x}: %{y:.4g}<extra></extra>",
        }
    ]
    broken = np.flatnonzero(series.nonfinite_counts > 0)
    finite = series.values[np.isfinite(series.values)]
    if len(broken):
        shown = broken[extremes_chosen(series.steps[broken].astype(np.float64), 200)]
        height = float(finite.max()) if len(finite) else 1.0
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "loss is NaN or infinite",
                "x": [int(step) for step in series.steps[shown]],
                "y": [height] * len(shown),
                "marker": {"symbol": "x", "size": 7, "color": MARK_COLOUR},
                "hovertemplate": "step %{x}: not finite<extra></extra>",
            }
        )
    return traces


def event_marks(run: Run) -> list[dict[str, Any]]:
    """Marks on the loss where something happened, told on pointing at them; nothing without a loss or an event."""
    shown = [event for event in run.events if event.kind in SHOWN_EVENTS][:MAX_EVENTS]
    series = run.loss
    finite = series.values[np.isfinite(series.values)] if series is not None else np.zeros(0)
    if series is None or not shown or not len(finite):
        return []
    places = np.minimum(np.searchsorted(series.steps, [event.step for event in shown]), len(series.steps) - 1)
    heights = [float(value) if math.isfinite(value) else float(finite.max()) for value in series.values[places]]
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "event",
            "x": [event.step for event in shown],
            "y": numbers(heights),
            "text": [shown_words(event.text, width=40) for event in shown],
            "marker": {"symbol": "triangle-down-open", "size": 14, "color": FRONTIER_COLOUR},
            "hovertemplate": "step %{x}: %{text}<extra></extra>",
        }
    ]


def ratio_traces(run: Run, frontier: str | None) -> list[dict[str, Any]]:
    """One line of update ratios per layer; nothing where none was measured."""
    ratios = run.parameter_columns.get("update_ratio")
    if ratios is None or not ratios.size or np.isnan(ratios).all():
        return []
    learner = learner_at(run, frontier)
    moments = spread_chosen(run.snapshot_steps, MAX_POINTS)
    steps = [int(run.snapshot_steps[moment]) for moment in moments]
    return [
        line_of(name, steps, ratios[moments, index], depth_colour(depth), rank=rank, is_frontier=name == learner)
        | {"yaxis": "y2"}
        for rank, (name, index, depth) in enumerate(trainable_columns(run, always=learner))
    ]


def usual_band() -> dict[str, Any]:
    """The band of usual update ratios."""
    return {
        "type": "rect",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "yref": "y2",
        "y0": USUAL_RATIOS[0],
        "y1": USUAL_RATIOS[1],
        "fillcolor": BAND_COLOUR,
        "line": {"width": 0},
        "layer": "below",
        "label": {"text": "usual", "textposition": "top right", "font": {"size": 11, "color": TEXT_COLOUR}},
    }
