"""Similarity and effective rank of the batch along the depth, forward and backward."""

from typing import TYPE_CHECKING, Any

import numpy as np

from gradiometer.schema import FloatArray, Run
from gradiometer.showing.figures.parts import (
    LEGEND_BELOW,
    FigureParts,
    axis,
    draw,
    empty_parts,
    evenly_chosen,
    layout,
    named_rows,
    numbers,
    shown_name,
)
from gradiometer.showing.newest_turns import SIMILARITY_COLUMNS, newest_similarity
from gradiometer.showing.palette import GRADIENT_COLOUR, OUTPUT_COLOUR

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

HOW_TO_READ = (
    "One row per layer, the loss at the top; blue is what layers give, orange the gradient that comes back. Left: mean "
    "cosine between two examples, 1 where the layer can't tell them apart. Right: effective rank, in how many "
    "directions the batch is spread, 1 where all examples lie on one line."
)

MAX_ROWS = 120
"""Layers shown."""


def describe_similarity(run: Run) -> FigureParts:
    """Describe the newest similarities and ranks as plain dictionaries.

    Args:
        run: The run.

    Returns:
        The figure's parts; a figure that says so where none was measured. Layers without any of the four numbers have
        no row.
    """
    row = newest_similarity(run)
    if row is None:
        return empty_parts("No layer's batch was compared: no similarity to draw.")
    grids = {name: run.layer_columns[name][row] for name in SIMILARITY_COLUMNS}
    known = np.flatnonzero(~np.isnan(np.array(list(grids.values()))).all(axis=0))
    shown = known[evenly_chosen(len(known), MAX_ROWS)]
    names = [run.layers[column].name for column in shown]
    chosen, texts, height = named_rows(names)
    data = [
        line_of(names, grids["output_similarity"][shown], "outputs (forward)", OUTPUT_COLOUR, is_rank=False),
        line_of(names, grids["gradient_similarity"][shown], "gradients (backward)", GRADIENT_COLOUR, is_rank=False),
        line_of(names, grids["output_rank"][shown], "outputs (forward)", OUTPUT_COLOUR, is_rank=True),
        line_of(names, grids["gradient_rank"][shown], "gradients (backward)", GRADIENT_COLOUR, is_rank=True),
    ]
    axes = {
        "xaxis": axis("mean cosine", domain=[0.0, 0.47], nticks=4),
        "xaxis2": axis("effective rank", domain=[0.53, 1.0], type="log", dtick="D2"),
        "yaxis": axis("input → layer → output", tickvals=chosen, ticktext=texts, range=[-0.5, len(names) - 0.5]),
    }
    return {"data": data, "layout": layout(height + 140, legend=LEGEND_BELOW, **axes)}


def draw_similarity(run: Run) -> "Figure":
    """Draw similarity and rank as a plotly figure; arguments as for `describe_similarity`."""
    return draw(describe_similarity(run))


def caption_of_similarity(run: Run) -> str:
    """Step and number of examples compared, in words; empty where nothing was measured."""
    row = newest_similarity(run)
    if row is None:
        return ""
    counts = run.layer_columns["similarity_example_count"][row]
    most = f" {int(np.nanmax(counts))} examples were compared." if not np.isnan(counts).all() else ""
    return f"Step {int(run.snapshot_steps[row])}.{most}"


def line_of(names: list[str], values: FloatArray, what: str, colour: str, *, is_rank: bool) -> dict[str, Any]:
    """One line along the depth, in the left half or (a rank) in the right; a gap for what was not measured."""
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": what,
        "legendgroup": what,
        "showlegend": not is_rank,
        "x": numbers(values, digits=4),
        "y": list(range(len(names))),
        "xaxis": "x2" if is_rank else "x",
        "line": {"color": colour, "width": 1.6},
        "marker": {"size": 6, "symbol": "circle" if colour == OUTPUT_COLOUR else "diamond"},
        "text": [shown_name(name) for name in names],
        "hovertemplate": "%{text}: " + ("effective rank" if is_rank else "mean cosine") + " %{x}",
    }
