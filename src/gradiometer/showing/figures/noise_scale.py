"""The gradient noise scale over the steps, beside the size of the batch."""

import math
from typing import TYPE_CHECKING, Any

from gradiometer.noise_scale import NoiseScale, noise_scale_of
from gradiometer.schema import Run
from gradiometer.showing.figures.parts import (
    LEGEND_BELOW,
    FigureParts,
    axis,
    draw,
    empty_parts,
    evenly_chosen,
    layout,
    numbers,
)
from gradiometer.showing.palette import CONTROL_COLOUR, TREATED_COLOUR
from gradiometer.showing.turn_words import noise_scale_in_words

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

HOW_TO_READ = (
    "How many examples a batch needs before averaging over more of them stops paying: where the curve lies above the "
    "dashed line, larger batches would pay; far below it, smaller ones would do as well. It grows as a training goes "
    "on. Bars are standard errors (McCandlish and others, 2018)."
)

JOINED_TURNS = 8
"""Turns that a point is made of at most: a single step says little, and the true gradient changes with time."""

LEAST_TURNS = 3
"""Turns that a point is made of at least."""

MAX_POINTS = 40
"""Points shown."""


def scales_over(run: Run) -> list[tuple[int, NoiseScale]]:
    """The noise scale at each turn, from it and the turns before; those that noise hides are left out."""
    steps = sorted(run.examples)
    found = []
    for last in range(LEAST_TURNS, len(steps) + 1):
        joined = [run.examples[step] for step in steps[max(last - JOINED_TURNS, 0) : last]]
        scale = noise_scale_of(joined)
        if scale.step_count >= LEAST_TURNS and scale.examples > 0.0:
            found.append((steps[last - 1], scale))
    return [found[place] for place in evenly_chosen(len(found), MAX_POINTS)]


def describe_noise_scale(run: Run) -> FigureParts:
    """Describe the noise scale as plain dictionaries.

    Args:
        run: The run.

    Returns:
        The figure's parts; a figure that says so where no two points are known.
    """
    scales = scales_over(run)
    if len(scales) < 2:
        return empty_parts("Too few turns tell the noise scale: no curve to draw.")
    axes = {
        "xaxis": axis("step (optimizer steps)", rangemode="tozero"),
        "yaxis": axis("noise scale (examples)", type="log", exponentformat="power", nticks=6),
    }
    return {"data": [curve_of(scales), *batch_line(run, scales)], "layout": layout(340, legend=LEGEND_BELOW, **axes)}


def draw_noise_scale(run: Run) -> "Figure":
    """Draw the noise scale as a plotly figure; arguments as for `describe_noise_scale`."""
    return draw(describe_noise_scale(run))


def caption_of_noise_scale(run: Run) -> str:
    """First and last point with the batch, in words; empty where there is no curve."""
    scales = scales_over(run)
    if len(scales) < 2:
        return ""
    (first_step, first), (last_step, last) = scales[0], scales[-1]
    words = f"{noise_scale_in_words(first)} around step {first_step}, {noise_scale_in_words(last)} around {last_step}"
    size = batch_size(run)
    return f"{words}; batches of {size}." if size else f"{words}."


def batch_size(run: Run) -> int:
    """Examples of the newest measured step."""
    return run.examples[max(run.examples)].example_count if run.examples else 0


def curve_of(scales: list[tuple[int, NoiseScale]]) -> dict[str, Any]:
    """The curve with its errors; a bar that would reach below zero ends at a tenth of its point."""
    values = [scale.examples for _, scale in scales]
    errors = [scale.examples_error if math.isfinite(scale.examples_error) else 0.0 for _, scale in scales]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "noise scale",
        "x": [step for step, _ in scales],
        "y": numbers(values),
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": numbers(errors),
            "arrayminus": numbers([min(error, 0.9 * value) for value, error in zip(values, errors, strict=True)]),
            "thickness": 1,
            "width": 3,
        },
        "line": {"color": TREATED_COLOUR, "width": 2},
        "marker": {"size": 6},
        "hovertemplate": "step %{x}: %{y:.3g} examples<extra></extra>",
    }


def batch_line(run: Run, scales: list[tuple[int, NoiseScale]]) -> list[dict[str, Any]]:
    """The size of the batch; no trace where it is not known."""
    size = batch_size(run)
    if not size:
        return []
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": f"batch of {size}",
            "x": [scales[0][0], scales[-1][0]],
            "y": [size, size],
            "line": {"color": CONTROL_COLOUR, "width": 1.4, "dash": "dash"},
            "hoverinfo": "skip",
        }
    ]
