"""The learning speed of every layer over the steps: the norm of the gradient of its bias, or of its weight."""

from typing import TYPE_CHECKING, Any

import numpy as np

from gradiometer.schema import FloatArray, Run
from gradiometer.showing.figures.parts import (
    LEGEND_BELOW,
    FigureParts,
    axis,
    depth_bar,
    draw,
    empty_parts,
    layout,
    learner_at,
    numbers,
    shown_name,
    spread_chosen,
    trainable_columns,
    uses_bias,
)
from gradiometer.showing.palette import FRONTIER_COLOUR, LINE_MARKS, MARK_COLOUR, depth_colour

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

HOW_TO_READ = (
    "One line per layer, blue at the input, orange at the output: lines close together learn at the same speed, and "
    "a fan that opens downwards at the blue end is a vanishing gradient (the scale is logarithmic)."
)

MOST_NAMED = 6
"""Layers that all stand in the legend; of more the colour says where they are."""

MAX_POINTS = 72
"""Measurements shown per layer, so that 60 layers stay small."""


def learning_speeds(run: Run, parameter_index: int) -> FloatArray:
    """Norm of a parameter's gradient at every full measurement; nan where it was not measured.

    Source:
        Michael Nielsen, "Neural Networks and Deep Learning", 2015, chapter 5: the speed at which a layer learns is
        the norm of the gradient of its biases.
    """
    rms = run.parameter_columns["gradient_rms"][:, parameter_index]
    return np.asarray(rms * np.sqrt(run.parameters[parameter_index].element_count), dtype=np.float64)


def describe_learning_speed(run: Run, *, frontier: str | None = None) -> FigureParts:
    """Describe the learning speeds as plain dictionaries.

    Args:
        run: The run.
        frontier: The layer whose line is drawn thick, with its name in the legend.

    Returns:
        The figure's parts; a figure that says so where no gradient was measured. A gradient of exactly zero is
        marked on a floor, since a logarithmic axis has no zero.
    """
    learner = learner_at(run, frontier)
    chosen = trainable_columns(run, always=learner) if "gradient_rms" in run.parameter_columns else []
    moments = spread_chosen(run.snapshot_steps, MAX_POINTS)
    steps = [int(run.snapshot_steps[moment]) for moment in moments]
    speeds = {name: learning_speeds(run, index)[moments] for name, index, _ in chosen}
    positive = [float(v) for series in speeds.values() for v in series if np.isfinite(v) and v > 0]
    if not positive:
        return empty_parts("No layer's gradient was measured: no learning speed to draw.")
    data = [
        line_of(
            name,
            steps,
            speeds[name],
            depth_colour(depth),
            rank=rank,
            is_frontier=name == learner,
            is_named=len(chosen) <= MOST_NAMED,
        )
        for rank, (name, _, depth) in enumerate(chosen)
    ]
    data += [*zero_marks(steps, list(speeds.values()), min(positive) / 10.0), depth_bar()]
    what = "bias" if uses_bias(run) else "weight"
    axes = {
        "xaxis": axis("step (optimizer steps)", rangemode="tozero"),
        "yaxis": axis(f"gradient norm of the {what}<br>(loss per unit of {what})", type="log", **log_ticks()),
    }
    return {"data": data, "layout": layout(420, legend=LEGEND_BELOW, **axes)}


def draw_learning_speed(run: Run, *, frontier: str | None = None) -> "Figure":
    """Draw the learning speeds as a plotly figure; arguments as for `describe_learning_speed`."""
    return draw(describe_learning_speed(run, frontier=frontier))


def log_ticks() -> dict[str, Any]:
    """Ticks of a logarithmic axis: whole powers of ten only."""
    return {"exponentformat": "power", "dtick": None, "nticks": 7}


def line_of(
    name: str,
    steps: list[int],
    values: FloatArray,
    colour: str,
    *,
    rank: int = 0,
    is_frontier: bool = False,
    is_named: bool = False,
) -> dict[str, Any]:
    """One layer's line; a value of zero or nan is a gap.

    Args:
        name: The layer.
        steps: Steps of the values.
        values: What is drawn.
        colour: The line's colour.
        rank: Its place among the lines: neighbours have different marks.
        is_frontier: It is drawn thick.
        is_named: It stands in the legend.
    """
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(steps) <= 40 or is_named else "lines",
        "name": f"{shown_name(name)} (worst finding)" if is_frontier else shown_name(name),
        "x": steps,
        "y": numbers(np.where(values > 0, values, np.nan)),
        "line": {"color": FRONTIER_COLOUR if is_frontier else colour, "width": 3.5 if is_frontier else 1.4},
        "marker": {"size": 5, "symbol": LINE_MARKS[rank % len(LINE_MARKS)], "maxdisplayed": 16},
        "showlegend": is_frontier or is_named,
        "hovertemplate": "step %{x}: %{y:.3g}",
    }


def zero_marks(steps: list[int], series: list[FloatArray], floor: float) -> list[dict[str, Any]]:
    """Marks on a floor at the steps where a layer's gradient was exactly zero; no trace where there is none."""
    moments = [step for values in series for step, value in zip(steps, values, strict=True) if value == 0.0]
    if not moments:
        return []
    shown = sorted(set(moments))
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "exactly zero",
            "x": shown,
            "y": [floor] * len(shown),
            "marker": {"symbol": "x", "size": 7, "color": MARK_COLOUR},
            "hovertemplate": "step %{x}: a layer's gradient is exactly zero<extra></extra>",
        }
    ]
