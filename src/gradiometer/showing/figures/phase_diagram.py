"""The phase diagram: what a layer does to a gradient at every scale of weights and biases, and one network's place."""

from typing import TYPE_CHECKING, Any

import numpy as np

from gradiometer.schema import FloatArray
from gradiometer.showing.figures.parts import LEGEND_BELOW, FigureParts, axis, colour_bar, draw, layout, numbers
from gradiometer.showing.palette import LEVEL_SCALE, MARK_COLOUR, TEXT_COLOUR
from gradiometer.theory.expectation import Expectation
from gradiometer.theory.phase_map import PhaseMap

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

HOW_TO_READ = (
    "Colour is what one layer does to a gradient's norm: blue, it shrinks (ordered phase); orange, it grows (chaotic "
    "phase). On the thick line it is kept, and the nearer a network stands to that line, the deeper it may be. The "
    "thin lines enclose where a gradient changes by less than a factor of 20 over 30 and over 100 layers. The star is "
    "this network."
)

GREATEST_DB = 3.0
"""Gains beyond it have the scale's last colour: such a layer ruins any deep network."""

FACTOR_DB = 20.0 * np.log10(20.0)
"""A gradient that changed by more than a factor of 20 is the field's vanishing: that of 6 depth scales, e³."""

LINES: dict[str, tuple[float, dict[str, Any]]] = {
    "edge of chaos": (0.0, {"width": 3.5}),
    "a factor of 20 in 100 layers": (FACTOR_DB / 100.0, {"width": 1.5, "dash": "dash"}),
    "a factor of 20 in 30 layers": (FACTOR_DB / 30.0, {"width": 1.5, "dash": "dot"}),
}
"""Lines of equal gain: name, gain either way in dB, style."""

LINE_COLOUR = "#15181d"
"""Lines lie where the map itself is light, on every page."""


def describe_phase_diagram(phases: PhaseMap, expected: Expectation) -> FigureParts:
    """Describe the phase diagram as plain dictionaries.

    Args:
        phases: The map.
        expected: The network whose place is marked.

    Returns:
        The figure's parts.
    """
    gains_db = 10.0 * np.log10(np.maximum(phases.chi_1, 1e-12))
    data = [heat_trace(phases, gains_db)]
    for name, (gain_db, style) in LINES.items():
        data += [line_trace(phases, gains_db, level, style) for level in sorted({gain_db, -gain_db})]
        data.append(legend_entry(name, style))
    data.append(own_point(expected))
    axes = {
        "xaxis": axis("sigma_w (scale of the weights)", showgrid=False, range=ends_of(phases.sigma_w)),
        "yaxis": axis("sigma_b (scale of the biases)", showgrid=False, range=ends_of(phases.sigma_b)),
    }
    return {
        "data": data,
        "layout": layout(560, annotations=phase_names(phases), legend=LEGEND_BELOW, **axes),
    }


def ends_of(scales: FloatArray) -> list[float]:
    """Where an axis begins and ends."""
    return [float(scales[0]), float(scales[-1])]


def draw_phase_diagram(phases: PhaseMap, expected: Expectation) -> "Figure":
    """Draw the phase diagram as a plotly figure; arguments as for `describe_phase_diagram`."""
    return draw(describe_phase_diagram(phases, expected))


def rounded_rows(values: FloatArray) -> list[list[float | None]]:
    """A table for plotly."""
    return [numbers(row, digits=3) for row in values]


def heat_trace(phases: PhaseMap, gains_db: FloatArray) -> dict[str, Any]:
    """The gain of a layer as colour."""
    return {
        "type": "heatmap",
        "x": numbers(phases.sigma_w),
        "y": numbers(phases.sigma_b),
        "z": rounded_rows(np.clip(gains_db, -GREATEST_DB, GREATEST_DB)),
        "customdata": rounded_rows(gains_db),
        "zmin": -GREATEST_DB,
        "zmax": GREATEST_DB,
        "zsmooth": "best",
        "colorscale": [list(stop) for stop in LEVEL_SCALE],
        "colorbar": colour_bar(title={"text": "gain of a layer, dB", "font": {"size": 12}}),
        "hovertemplate": "sigma_w %{x:.3g}, sigma_b %{y:.3g}<br>a layer: %{customdata:+.2f} dB<extra></extra>",
        "showlegend": False,
    }


def line_trace(phases: PhaseMap, gains_db: FloatArray, level_db: float, style: dict[str, Any]) -> dict[str, Any]:
    """The line of one gain."""
    return {
        "type": "contour",
        "x": numbers(phases.sigma_w),
        "y": numbers(phases.sigma_b),
        "z": rounded_rows(np.clip(gains_db, -60.0, 60.0)),
        "contours": {"start": level_db, "end": level_db, "size": 1.0, "coloring": "none"},
        "line": {"color": LINE_COLOUR, **style},
        "showscale": False,
        "showlegend": False,
        "hoverinfo": "skip",
    }


def legend_entry(name: str, style: dict[str, Any]) -> dict[str, Any]:
    """A line's name in the legend, in a colour that can be read on light and on dark pages."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": [None],
        "y": [None],
        "line": {"color": TEXT_COLOUR, **style},
        "hoverinfo": "skip",
    }


def own_point(expected: Expectation) -> dict[str, Any]:
    """Where this network stands."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "this network",
        "x": [expected.sigma_w],
        "y": [expected.sigma_b],
        "marker": {"symbol": "star", "size": 17, "color": MARK_COLOUR, "line": {"color": "#ffffff", "width": 2}},
        "hovertext": [f"this network: sigma_w {expected.sigma_w:.4g}, sigma_b {expected.sigma_b:.4g}"],
        "hoverinfo": "text",
        "cliponaxis": False,
    }


def phase_names(phases: PhaseMap) -> list[dict[str, Any]]:
    """The name of each phase that the map holds, in a corner that lies in it: top left, or bottom right."""
    corners = [("left", "top", phases.chi_1[-1, 0]), ("right", "bottom", phases.chi_1[0, -1])]
    if (corners[0][2] < 1.0) == (corners[1][2] < 1.0):
        corners.pop()
    return [
        {
            "text": "<b>ordered</b>: gradients vanish" if factor < 1.0 else "<b>chaotic</b>: gradients explode",
            "xref": "paper",
            "yref": "paper",
            "x": 0.02 if side == "left" else 0.98,
            "y": 0.97 if end == "top" else 0.03,
            "xanchor": side,
            "yanchor": end,
            "showarrow": False,
            "font": {"size": 13, "color": "#15181d"},
            "bgcolor": "rgba(255,255,255,0.85)",
            "borderpad": 4,
        }
        for side, end, factor in corners
    ]
