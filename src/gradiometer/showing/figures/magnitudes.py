"""Histograms of gradients, updates and weights by powers of two: one row per parameter."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gradiometer.schema import OctaveHistogram, Run
from gradiometer.showing.figures.parts import (
    FigureParts,
    axis,
    axis_name,
    colour_bar,
    draw,
    empty_parts,
    evenly_chosen,
    layout,
    name_axis,
    named_rows,
    panel_title,
    row_keys,
    stacked,
)
from gradiometer.showing.newest_turns import newest
from gradiometer.showing.palette import SHARE_SCALE
from gradiometer.units import format_share

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

HOW_TO_READ = (
    "One row per parameter, the loss at the top, one column per power of two: which share of its gradient, of the "
    "change that a step makes and of its weights has this absolute value. Updates far to the left of the weights do "
    "not move them, and what lies below the number format's normal range loses its digits or becomes zero."
)

QUANTITIES: dict[str, str] = {"gradient": "gradients", "update": "updates", "weight": "weights"}
"""`OctaveHistogram.quantity` to the title of its panel, from the top."""

MAX_ROWS = 36
"""Parameters shown in each panel."""

MAX_NAMES = 12
"""Parameters named in each panel."""

MAX_OCTAVES = 120
"""Columns shown; what is smaller counts in the first one."""


def describe_magnitudes(run: Run) -> FigureParts:
    """Describe the newest histograms as plain dictionaries.

    Args:
        run: The run.

    Returns:
        The figure's parts; a figure that says so where none was measured. An empty cell is one without any element;
        zeros are left out, and count in the share's whole.
    """
    found = newest(run.histograms)
    filled = [entry for entry in found[1] if any(entry.counts)] if found is not None else []
    if not filled:
        return empty_parts("No parameter's values were counted: no histogram to draw.")
    names = ordered_names(run, filled)
    quantities = [name for name in QUANTITIES if any(entry.quantity == name for entry in filled)]
    chosen, texts, panel_height = named_rows(names, most=MAX_NAMES)
    domains, height = stacked(len(quantities), panel_height)
    low, high = octaves_of(filled)
    axes: dict[str, Any] = {"xaxis": octave_axis(low, high, anchor=axis_name("y", len(quantities) - 1))}
    data = []
    for place, quantity in enumerate(quantities):
        entries = {entry.parameter: entry for entry in filled if entry.quantity == quantity}
        data.append(heat_of([entries.get(name) for name in names], names, low, high, place))
        axes[axis_name("yaxis", place)] = name_axis("", row_keys(names), chosen, texts) | {"domain": domains[place]}
    titles = [panel_title(QUANTITIES[name], top) for name, (_, top) in zip(quantities, domains, strict=True)]
    return {"data": data, "layout": layout(height + 130, annotations=titles, showlegend=False, **axes)}


def draw_magnitudes(run: Run) -> "Figure":
    """Draw the histograms as a plotly figure; arguments as for `describe_magnitudes`."""
    return draw(describe_magnitudes(run))


def caption_of_magnitudes(run: Run) -> str:
    """Step, and where values fall below the format's normal range, in words; empty where nothing was measured."""
    found = newest(run.histograms)
    if found is None:
        return ""
    formats = {parameter.name: parameter.dtype for parameter in run.parameters}
    lost = sorted((entry for entry in found[1] if entry.subnormal_count), key=lambda e: -(e.subnormal_share or 0.0))
    said = [
        f"{format_share(entry.subnormal_share)} of the {QUANTITIES.get(entry.quantity, entry.quantity)} of "
        f"{entry.parameter}{f' ({formats[entry.parameter]})' if entry.parameter in formats else ''}"
        for entry in lost[:4]
    ]
    warning = f" Below the smallest normal number of the format: {'; '.join(said)}." if said else ""
    return f"Step {found[0]}.{warning}"


def ordered_names(run: Run, entries: Sequence[OctaveHistogram]) -> list[str]:
    """At most `MAX_ROWS` parameters that have a histogram, in the order of the layers: the input's first."""
    positions = {layer.name: layer.position for layer in run.layers}
    owners = {parameter.name: positions.get(parameter.layer or "", len(positions)) for parameter in run.parameters}
    names = sorted({entry.parameter for entry in entries}, key=lambda name: (owners.get(name, len(positions)), name))
    return [names[i] for i in evenly_chosen(len(names), MAX_ROWS)]


def octaves_of(entries: Sequence[OctaveHistogram]) -> tuple[int, int]:
    """First exponent shown and the one after the last."""
    high = max(entry.first_exponent + len(entry.counts) for entry in entries)
    low = min(entry.first_exponent for entry in entries if entry.counts)
    return max(low, high - MAX_OCTAVES), high


def octave_axis(low: int, high: int, *, anchor: str) -> dict[str, Any]:
    """The axis of powers of two, its ticks at powers of ten."""
    first, last = math.ceil(low * math.log10(2.0)), math.floor(high * math.log10(2.0))
    powers = range(first, last + 1, max(1, -(-(last - first) // 6)))
    return axis(
        "absolute value",
        tickvals=[round(power / math.log10(2.0), 3) for power in powers],
        ticktext=[f"10<sup>{power}</sup>" for power in powers],
        range=[low, high],
        anchor=anchor,
        showgrid=False,
    )


def heat_of(
    entries: Sequence[OctaveHistogram | None], names: Sequence[str], low: int, high: int, place: int
) -> dict[str, Any]:
    """One panel: the share of each parameter's elements in each octave, in percent."""
    cells = [shares_of(entry, low, high) for entry in entries]
    return {
        "type": "heatmap",
        "z": cells,
        "x": [exponent + 0.5 for exponent in range(low, high)],
        "y": row_keys(names),
        "yaxis": axis_name("y", place),
        "xaxis": "x",
        "zmin": 0,
        "zmax": 50,
        "colorscale": [list(stop) for stop in SHARE_SCALE],
        "showscale": place == 0,
        "colorbar": colour_bar(ticksuffix=" %"),
        "hovertemplate": "%{y}: %{z} % around 2<sup>%{x}</sup><extra></extra>",
        "ygap": 1,
    }


def shares_of(entry: OctaveHistogram | None, low: int, high: int) -> list[float | None]:
    """Percent of the elements read, by octave; None, a gap, where there is none."""
    counts = [0] * (high - low)
    if entry is not None:
        for place, count in enumerate(entry.counts):
            counts[max(entry.first_exponent + place - low, 0)] += count
    whole = max(entry.sample_size if entry is not None else 0, 1)
    return [float(f"{100.0 * count / whole:.3g}") if count else None for count in counts]
