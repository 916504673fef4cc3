"""Histograms of gradients by powers of two, over the steps: one ridge per step, one panel per layer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gradiometer.schema import FloatArray, OctaveHistogram, Run
from gradiometer.showing.figures.magnitudes import octave_axis, shares_of
from gradiometer.showing.figures.parts import (
    FigureParts,
    axis,
    axis_name,
    draw,
    empty_parts,
    evenly_chosen,
    layout,
    numbers,
    panel_title,
    shown_name,
    stacked,
)
from gradiometer.showing.palette import GRADIENT_COLOUR, MARK_COLOUR
from gradiometer.units import format_share

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

HOW_TO_READ = (
    "One panel per layer, the loss at the top; in it one hill per measured step, the first at the top: where it stands "
    "is how large the elements of the layer's gradient are, how high it is how many of them are that large. Hills that "
    "wander to the left are a gradient that shrinks as the training goes on. Left of the dashed line numbers are below "
    "the format's normal range: they lose their digits, then become zero."
)

NORMAL_EXPONENTS: dict[str, int] = {"float16": -14, "bfloat16": -126, "float32": -126, "float64": -1022}
"""Exponent of the smallest normal number, by format. Source: IEEE 754-2019, table 3.5; bfloat16 shares float32's."""

MAX_PANELS = 6
"""Layers shown, evenly chosen along the depth."""

MAX_HILLS = 12
"""Steps shown per layer."""

MAX_OCTAVES = 64
"""Columns shown; what is smaller counts in the first one."""

HILL_HEIGHT = 1.8
"""Height of the highest hill, in the distance from one to the next: more would hide the ones behind it."""

NEAR_OCTAVES = 24
"""A format's floor no further than this from the smallest gradient is brought into the picture."""


def ridges_of(run: Run) -> dict[str, list[tuple[int, OctaveHistogram]]]:
    """Gradient histograms by parameter, each with its step, ascending; of each layer its largest parameter's.

    Parameters stand in the order of the layers, the input's first; histograms without any element are left out.
    """
    positions = {layer.name: layer.position for layer in run.layers}
    sizes = {one.name: (positions.get(one.layer or "", len(positions)), one.element_count) for one in run.parameters}
    found: dict[str, list[tuple[int, OctaveHistogram]]] = {}
    for step, entries in sorted(run.histograms.items()):
        for entry in entries:
            if entry.quantity == "gradient" and any(entry.counts) and entry.parameter in sizes:
                found.setdefault(entry.parameter, []).append((step, entry))
    largest = {sizes[name][0]: name for name in sorted(found, key=lambda name: sizes[name][1])}
    return {largest[position]: found[largest[position]] for position in sorted(largest)}


def describe_gradient_ridge(run: Run) -> FigureParts:
    """Describe the histograms of gradients over the steps as plain dictionaries.

    Args:
        run: The run.

    Returns:
        The figure's parts; a figure that says so where none was measured. Zeros have no place on the axis; a hill's
        share counts them in its whole, and pointing at it tells how many there are.
    """
    ridges = ridges_of(run)
    if not ridges:
        return empty_parts("No gradient's values were counted: no ridge to draw.")
    names = list(ridges)
    shown = [names[place] for place in reversed(evenly_chosen(len(names), MAX_PANELS))]
    hills = {name: [ridges[name][i] for i in evenly_chosen(len(ridges[name]), MAX_HILLS)] for name in shown}
    formats = {parameter.name: parameter.dtype for parameter in run.parameters}
    low, high = reach_of([entry for found in hills.values() for _, entry in found], set(map(formats.get, shown)))
    most = max(len(found) for found in hills.values())
    domains, height = stacked(len(shown), 40 + 14 * most)
    axes: dict[str, Any] = {"xaxis": octave_axis(low, high, anchor=axis_name("y", len(shown) - 1))}
    data, shapes, titles = [], [], []
    for place, name in enumerate(shown):
        data += hills_of(hills[name], low, high, place)
        axes[axis_name("yaxis", place)] = hill_axis([step for step, _ in hills[name]], domains[place])
        titles.append(panel_title(shown_name(name, width=60), domains[place][1]))
        shapes += floor_shape(formats[name], low, high, place)
    figure = layout(height + 110, annotations=titles, shapes=shapes, showlegend=False, **axes)
    return {"data": data, "layout": figure}


def draw_gradient_ridge(run: Run) -> "Figure":
    """Draw the histograms of gradients over the steps as a plotly figure."""
    return draw(describe_gradient_ridge(run))


def caption_of_gradient_ridge(run: Run) -> str:
    """How the middle of the gradients moved at both ends of the network; empty for fewer than two measured steps."""
    ridges = {name: found for name, found in ridges_of(run).items() if len(found) > 1}
    if not ridges:
        return ""
    names = list(ridges)
    told = [moved_in_words(name, ridges[name]) for name in dict.fromkeys((names[0], names[-1]))]
    floors = {one.dtype for one in run.parameters if one.name in ridges and one.dtype in NORMAL_EXPONENTS}
    normal = [f"{name}'s smallest normal number is 2^{NORMAL_EXPONENTS[name]}" for name in sorted(floors)]
    return f"Half of the gradient's elements are smaller than {'; '.join(told)}. {'; '.join(normal).capitalize()}."


def moved_in_words(name: str, found: Sequence[tuple[int, OctaveHistogram]]) -> str:
    """The middle of one parameter's gradient in the first and the last measured step."""
    (first_step, first), (last_step, last) = found[0], found[-1]
    middles = f"2^{middle_of(first)} at step {first_step} and 2^{middle_of(last)} at step {last_step}"
    return f"{middles} in {name}"


def middle_of(entry: OctaveHistogram) -> int:
    """Exponent of the power of two above which half of the elements other than zero lie."""
    counts = np.cumsum(entry.counts)
    return entry.first_exponent + int(np.searchsorted(counts, counts[-1] / 2.0)) + 1


def reach_of(entries: Sequence[OctaveHistogram], formats: set[str | None]) -> tuple[int, int]:
    """First exponent shown and the one after the last; a format's floor that is near is within."""
    high = max(entry.first_exponent + len(entry.counts) for entry in entries)
    low = min(entry.first_exponent for entry in entries)
    floors = [NORMAL_EXPONENTS[name] for name in formats if name in NORMAL_EXPONENTS]
    near = [floor - 1 for floor in floors if low - NEAR_OCTAVES <= floor]
    return max(min([low, *near]), high - MAX_OCTAVES), high


def hills_of(found: Sequence[tuple[int, OctaveHistogram]], low: int, high: int, place: int) -> list[dict[str, Any]]:
    """One closed line per step, the first at the top and behind the later ones."""
    shares = [np.array([share or 0.0 for share in shares_of(entry, low, high)]) for _, entry in found]
    highest = max(float(share.max()) for share in shares)
    return [
        hill_of(step, entry, share, (len(found) - 1.0 - rank, HILL_HEIGHT / highest), low, place)
        for rank, ((step, entry), share) in enumerate(zip(found, shares, strict=True))
    ]


def hill_of(
    step: int, entry: OctaveHistogram, shares: FloatArray, scale: tuple[float, float], low: int, place: int
) -> dict[str, Any]:
    """One step's hill: shares in percent by octave, on its own ground."""
    ground, per_percent = scale
    held = np.flatnonzero(shares)
    first, last = int(held[0]), int(held[-1])
    zeros = entry.zero_count / entry.sample_size if entry.sample_size else 0.0
    return {
        "type": "scatter",
        "mode": "lines",
        "name": f"step {step}",
        "x": [low + first, *(low + place + 0.5 for place in range(first, last + 1)), low + last + 1],
        "y": [ground, *numbers(ground + per_percent * shares[first : last + 1], digits=4), ground],
        "customdata": [0, *numbers(shares[first : last + 1], digits=3), 0],
        "yaxis": axis_name("y", place),
        "xaxis": "x",
        "fill": "toself",
        "fillcolor": "rgba(213,94,0,0.28)",
        "line": {"color": GRADIENT_COLOUR, "width": 1.2, "shape": "spline", "smoothing": 0.5},
        "hoveron": "points",
        "hovertemplate": f"step {step}: %{{customdata}} % around 2<sup>%{{x}}</sup>, {format_share(zeros)} zero"
        "<extra></extra>",
    }


def hill_axis(steps: Sequence[int], domain: tuple[float, float]) -> dict[str, Any]:
    """The grounds of the hills, named by their steps."""
    named = evenly_chosen(len(steps), 6)
    return axis(
        "step",
        domain=domain,
        tickvals=[len(steps) - 1 - rank for rank in named],
        ticktext=[str(steps[rank]) for rank in named],
        range=[-0.2, len(steps) - 1 + HILL_HEIGHT + 0.2],
        showgrid=False,
    )


def floor_shape(dtype: str, low: int, high: int, place: int) -> list[dict[str, Any]]:
    """A dashed line at a format's smallest normal number, with its name; nothing where that is out of the picture."""
    floor = NORMAL_EXPONENTS.get(dtype)
    if floor is None or not low <= floor <= high:
        return []
    return [
        {
            "type": "line",
            "xref": "x",
            "x0": floor,
            "x1": floor,
            "yref": f"{axis_name('y', place)} domain",
            "y0": 0,
            "y1": 1,
            "line": {"color": MARK_COLOUR, "width": 1.5, "dash": "dash"},
            "label": {
                "text": f"{dtype}'s floor" if place == 0 else "",
                "textposition": "end",
                "textangle": 0,
                "font": {"size": 11},
            },
        }
    ]
