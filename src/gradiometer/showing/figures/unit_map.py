"""Which units of each layer are saturated, and which are dead."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gradiometer.schema import Run, UnitMarks
from gradiometer.showing.figures.parts import (
    FigureParts,
    axis,
    axis_name,
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
from gradiometer.showing.palette import DEAD_SCALE, SATURATED_SCALE

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

HOW_TO_READ = (
    "One row per layer, the loss at the top; its units from left to right, in the order of their index. Coloured are "
    "those that sit where the activation is flat (saturated) or never answer any example (dead); where a layer has "
    "many units, a cell stands for neighbours, coloured the more strongly the more of them are."
)

CELLS = 64
"""Cells of a row."""

MAX_ROWS = 40
"""Layers shown in each panel."""

MAX_NAMES = 24
"""Layers named in each panel."""

PANELS = (("saturated", SATURATED_SCALE), ("dead", DEAD_SCALE))
"""Panels from the top, with their colours."""


def describe_unit_map(run: Run) -> FigureParts:
    """Describe the newest lists of units as plain dictionaries.

    Args:
        run: The run.

    Returns:
        The figure's parts; a figure that says so where none was judged. Layers that were not judged for a panel have
        no row in it; cells beyond the last unit that is listed of a layer with too many are gaps.
    """
    found = newest(run.unit_marks)
    judged = [(kind, scale, rows_for(run, found[1] if found else (), kind)) for kind, scale in PANELS]
    panels = [(kind, scale, rows) for kind, scale, rows in judged if rows]
    if not panels:
        return empty_parts("No layer's units were judged: no map to draw.")
    named = [named_rows([marks.layer for marks in rows], most=MAX_NAMES) for _, _, rows in panels]
    domains, height = stacked(len(panels), max(panel_height for _, _, panel_height in named))
    ticks = {"tickvals": [0.5, CELLS - 0.5], "ticktext": ["first unit", "last"], "showgrid": False}
    axes: dict[str, Any] = {
        "xaxis": axis("units of the layer", anchor=axis_name("y", len(panels) - 1), range=[0, CELLS], **ticks)
    }
    data, titles = [], []
    for place, ((kind, scale, rows), (chosen, texts, _)) in enumerate(zip(panels, named, strict=True)):
        data.append(heat_of(rows, kind, scale, place))
        titles.append(panel_title(kind, domains[place][1]))
        keys = row_keys([marks.layer for marks in rows])
        axes[axis_name("yaxis", place)] = name_axis("", keys, chosen, texts) | {"domain": domains[place]}
    return {"data": data, "layout": layout(height + 60, annotations=titles, showlegend=False, **axes)}


def draw_unit_map(run: Run) -> "Figure":
    """Draw the map of units as a plotly figure; arguments as for `describe_unit_map`."""
    return draw(describe_unit_map(run))


def caption_of_unit_map(run: Run) -> str:
    """Step and the layers with most marked units, in words; empty where nothing was judged."""
    found = newest(run.unit_marks)
    if found is None:
        return ""
    parts = [f"Step {found[0]}."]
    for kind, _ in PANELS:
        counts = [(count, marks) for marks in found[1] if (count := count_of(marks, kind)) is not None]
        worst = sorted((pair for pair in counts if pair[0]), key=lambda pair: -pair[0] / max(pair[1].unit_count, 1))
        said = [f"{count} of {marks.unit_count} in {marks.layer}" for count, marks in worst[:3]]
        more = f" and in {len(worst) - 3} more" if len(worst) > 3 else ""
        parts += [f"{kind.capitalize()}: {', '.join(said) or 'none'}{more}."] if counts else []
    return " ".join(parts)


def count_of(marks: UnitMarks, kind: str) -> int | None:
    """Units of a kind, None where they were not judged."""
    return marks.saturated_count if kind == "saturated" else marks.dead_count


def rows_for(run: Run, found: Sequence[UnitMarks], kind: str) -> list[UnitMarks]:
    """At most `MAX_ROWS` layers that were judged for a kind, the input's first."""
    positions = {layer.name: layer.position for layer in run.layers}
    judged = [marks for marks in found if count_of(marks, kind) is not None and marks.unit_count]
    judged.sort(key=lambda marks: positions.get(marks.layer, len(positions)))
    return [judged[i] for i in evenly_chosen(len(judged), MAX_ROWS)]


def heat_of(rows: Sequence[UnitMarks], kind: str, scale: Sequence[tuple[float, str]], place: int) -> dict[str, Any]:
    """One panel: the share of each cell's units that are marked, in percent."""
    return {
        "type": "heatmap",
        "z": [cells_of(marks, kind) for marks in rows],
        "x": [cell + 0.5 for cell in range(CELLS)],
        "y": row_keys([marks.layer for marks in rows]),
        "yaxis": axis_name("y", place),
        "xaxis": "x",
        "zmin": 0,
        "zmax": 100,
        "colorscale": [list(stop) for stop in scale],
        "showscale": False,
        "ygap": 2,
        "customdata": [[units_of(marks, cell) for cell in range(CELLS)] for marks in rows],
        "hovertemplate": "%{y}, %{customdata}: %{z} % " + kind + "<extra></extra>",
    }


def bounds_of(unit_count: int, cell: int) -> tuple[int, int]:
    """First unit of a cell and the one after its last; a layer with few units has several cells for each.

    Example:
        >>> bounds_of(128, 1), bounds_of(2, 63)
        ((2, 4), (1, 2))
    """
    first = cell * unit_count // CELLS
    return first, max((cell + 1) * unit_count // CELLS, first + 1)


def units_of(marks: UnitMarks, cell: int) -> str:
    """Name a cell's units."""
    first, end = bounds_of(marks.unit_count, cell)
    return f"unit {first}" if end == first + 1 else f"units {first}-{end - 1}"


def cells_of(marks: UnitMarks, kind: str) -> list[float | None]:
    """Percent of each cell's units that are marked; None beyond the last that is listed where some are not."""
    listed = marks.saturated if kind == "saturated" else marks.dead
    marked = set(listed)
    is_cut = len(listed) < (count_of(marks, kind) or 0)
    known_end = (max(listed, default=-1) + 1) if is_cut else marks.unit_count
    cells: list[float | None] = []
    for cell in range(CELLS):
        first, end = bounds_of(marks.unit_count, cell)
        share = 100.0 * sum(unit in marked for unit in range(first, end)) / (end - first)
        cells.append(round(share, 1) if end <= known_end else None)
    return cells
