"""The gradient norm of every example of a batch, and those that pull far harder than the rest."""

from typing import TYPE_CHECKING, Any

from gradiometer.schema import ExampleStats, Run
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
from gradiometer.showing.newest_turns import late_noise_scale, median_norm, newest, outliers_of
from gradiometer.showing.palette import CONTROL_COLOUR, MARK_COLOUR, OUTPUT_COLOUR
from gradiometer.showing.turn_words import noise_scale_in_words, outlier_in_words
from gradiometer.showing.wording import sentence
from gradiometer.units import format_number, format_share

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

HOW_TO_READ = (
    "One point per example of the batch: how hard it pulls at the weights. The line is the median; an example far "
    "above it steers the step alone, and is worth a look. The gradient noise scale is the batch size up to which "
    "larger batches pay (McCandlish and others, 2018)."
)

MAX_POINTS = 1024
"""Examples shown."""

MAX_NAMED = 6
"""Outliers that are named."""


def describe_example_norms(run: Run) -> FigureParts:
    """Describe the norms of the newest measured batch as plain dictionaries.

    Args:
        run: The run.

    Returns:
        The figure's parts; a figure that says so where none was measured. Examples whose norm is zero or not finite
        have no point (the scale is logarithmic); the caption names the latter.
    """
    found = newest(run.examples)
    if found is None or not any(found[1].norms):
        return empty_parts("No example's gradient was measured: no norms to draw.")
    stats = found[1]
    reach = max(stats.positions)
    margin = 0.08 * max(reach, 1)
    axes = {
        "xaxis": axis("place in the batch", range=[-margin, reach + margin]),
        "yaxis": axis("gradient norm", type="log", exponentformat="power", nticks=6),
    }
    data = [points_of(stats), *marks_of(stats), line_of(stats)]
    return {"data": data, "layout": layout(360, legend=LEGEND_BELOW, **axes)}


def draw_example_norms(run: Run) -> "Figure":
    """Draw the norms as a plotly figure; arguments as for `describe_example_norms`."""
    return draw(describe_example_norms(run))


def caption_of_example_norms(run: Run) -> str:
    """Step, outliers and noise scale, in words; empty where nothing was measured."""
    found = newest(run.examples)
    if found is None:
        return ""
    step, stats = found
    share = f", over {format_share(stats.measured_share)} of the weights" if stats.measured_share is not None else ""
    parts = [f"Step {step}: {len(stats.norms)} of {stats.example_count} examples{share}."]
    outliers = outliers_of(stats)
    if outliers:
        more = f" and {len(outliers) - MAX_NAMED} more" if len(outliers) > MAX_NAMED else ""
        parts.append(f"Outliers: {', '.join(outlier_in_words(entry) for entry in outliers[:MAX_NAMED])}{more}.")
    scale = late_noise_scale(run)
    words = noise_scale_in_words(scale)
    if words:
        plural = "s" if scale.step_count > 1 else ""
        parts.append(sentence(f"gradient noise scale (from {scale.step_count} step{plural}): {words}"))
    return " ".join(parts)


def index_of(stats: ExampleStats, place: int) -> str:
    """How the hover text names an example."""
    index = stats.data_indices[place] if stats.data_indices is not None else None
    return f"place {stats.positions[place]}" if index is None else f"example {index} of the data set"


def points_of(stats: ExampleStats) -> dict[str, Any]:
    """All examples but the outliers."""
    outliers = set(stats.outliers())
    usual = [place for place, norm in enumerate(stats.norms) if norm and place not in outliers]
    shown = [usual[i] for i in evenly_chosen(len(usual), MAX_POINTS)]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "example",
        "x": [stats.positions[place] for place in shown],
        "y": numbers([stats.norms[place] or 0.0 for place in shown]),
        "text": [index_of(stats, place) for place in shown],
        "marker": {"size": 6, "color": OUTPUT_COLOUR},
        "hovertemplate": "%{text}: %{y:.3g}<extra></extra>",
    }


def marks_of(stats: ExampleStats) -> list[dict[str, Any]]:
    """The outliers, the hardest ones named; no trace where there is none."""
    places = [place for place in stats.outliers() if stats.norms[place] is not None]
    if not places:
        return []
    indices = stats.data_indices or (None,) * len(stats.norms)
    labels = [str(stats.positions[p] if indices[p] is None else indices[p]) for p in places]
    return [
        {
            "type": "scatter",
            "mode": "markers+text",
            "name": "outlier, by its index in the data set" if stats.data_indices else "outlier, by its place",
            "x": [stats.positions[place] for place in places],
            "y": numbers([stats.norms[place] or 0.0 for place in places]),
            "text": [label if rank < MAX_NAMED else "" for rank, label in enumerate(labels)],
            "textposition": "bottom center",
            "textfont": {"size": 11},
            "hovertext": [index_of(stats, place) for place in places],
            "marker": {"size": 10, "symbol": "diamond", "color": MARK_COLOUR},
            "hovertemplate": "%{hovertext}: %{y:.3g}<extra></extra>",
        }
    ]


def line_of(stats: ExampleStats) -> dict[str, Any]:
    """The median."""
    middle = median_norm(stats)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": f"median {format_number(middle)}",
        "x": [0, max(stats.positions)],
        "y": [middle or None] * 2,
        "line": {"color": CONTROL_COLOUR, "width": 1.4, "dash": "dash"},
        "hoverinfo": "skip",
    }
