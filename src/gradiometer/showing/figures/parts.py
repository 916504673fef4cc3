"""What the figures share: parts as plain dictionaries, axes with units, names that fit, data thinned to a page.

A figure is first made as plain dictionaries, the JSON that plotly.js draws. So the report needs no plotly import, and
a notebook's `plotly` figure is the very same picture (`draw`).
"""

import html
import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradiometer.schema import FloatArray, Run
from gradiometer.showing.palette import DEPTH_SCALE, GRID_COLOUR, TEXT_COLOUR

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

FigureParts = dict[str, Any]
"""A figure as plotly.js takes it: `data` (a list of traces) and `layout`."""

MAX_NAMED_ROWS = 48
"""Rows that get a name each and room for it; above, names are thinned and the height stays."""


def draw(parts: FigureParts) -> "Figure":
    """Turn parts into a plotly figure, for notebooks."""
    from plotly.graph_objects import Figure

    return Figure(data=parts["data"], layout=parts["layout"])


def axis(title: str, **settings: Any) -> dict[str, Any]:
    """An axis with its title, which names the unit."""
    return {
        "title": {"text": title, "font": {"size": 12}, "standoff": 8},
        "automargin": True,
        "gridcolor": GRID_COLOUR,
        "zeroline": False,
        "linecolor": GRID_COLOUR,
        "tickfont": {"size": 11},
        **settings,
    }


def layout(height: int, **settings: Any) -> dict[str, Any]:
    """A transparent layout whose text can be read on light and on dark pages."""
    return {
        "height": height,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif", "color": TEXT_COLOUR},
        "margin": {"l": 16, "r": 16, "t": 16, "b": 16},
        "hovermode": "closest",
        "showlegend": True,
        "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "font": {"size": 11}},
        **settings,
    }


def empty_parts(text: str) -> FigureParts:
    """A figure that only says why there is nothing to draw."""
    note = {
        "text": shown_words(text, width=36),
        "xref": "paper",
        "yref": "paper",
        "x": 0.5,
        "y": 0.5,
        "showarrow": False,
    }
    hidden = {"visible": False}
    return {"data": [], "layout": layout(140, annotations=[note], xaxis=hidden, yaxis=hidden, showlegend=False)}


def shown_name(name: str, *, width: int = 20) -> str:
    """A layer's name for plotly: its markup made harmless, and broken after a dot where it is wider than `width`.

    Plotly reads a small HTML in its texts, links among it, so a name is never handed over as it is.

    Example:
        >>> shown_name("encoder.layers.11.self_attention.out")
        'encoder.layers.11.<br>self_attention.out'
        >>> shown_name("<b>")
        '&lt;b&gt;'
    """
    lines = [""]
    for piece in split_name(name, width):
        if lines[-1] and len(lines[-1]) + len(piece) > width:
            lines.append("")
        lines[-1] += piece
    return "<br>".join(html.escape(line, quote=False) for line in lines)


def shown_words(words: str, *, width: int = 24) -> str:
    """Words for plotly: broken between words where they are wider than `width`, their markup made harmless.

    Example:
        >>> shown_words("exchange the activation (relu)", width=16)
        'exchange the<br>activation<br>(relu)'
    """
    return "<br>".join(html.escape(line, quote=False) for line in textwrap.wrap(words, width))


def split_name(name: str, width: int) -> list[str]:
    """Split a name after its dots, and a piece without any after every `width` letters."""
    pieces = [f"{piece}." for piece in name.split(".")]
    pieces[-1] = pieces[-1][:-1]
    return [piece[start : start + width] for piece in pieces for start in range(0, max(len(piece), 1), width)]


def numbers(values: Sequence[float] | FloatArray, *, digits: int = 5) -> list[float | None]:
    """Numbers for plotly, rounded to some significant digits; None, a gap, for NaN and infinity."""
    return [float(f"{value:.{digits}g}") if math.isfinite(value) else None for value in np.asarray(values).tolist()]


def evenly_chosen(count: int, shown_count: int) -> list[int]:
    """Choose at most this many indexes of `range(count)`, evenly, both ends among them.

    Example:
        >>> evenly_chosen(3, 10), evenly_chosen(101, 3)
        ([0, 1, 2], [0, 50, 100])
    """
    if count <= shown_count:
        return list(range(count))
    return sorted({round(index) for index in np.linspace(0, count - 1, shown_count)})


def spread_chosen(steps: NDArray[np.int64], shown_count: int) -> list[int]:
    """Choose at most this many of ascending steps: half of them evenly, half by ratio, so that the start stays seen."""
    if len(steps) <= shown_count:
        return list(range(len(steps)))
    even = set(evenly_chosen(len(steps), shown_count // 2))
    targets = np.geomspace(1.0, float(steps[-1]) + 1.0, shown_count - len(even)) - 1.0
    by_ratio = np.minimum(np.searchsorted(steps, targets), len(steps) - 1)
    return sorted(even | {int(index) for index in by_ratio})


def extremes_chosen(values: FloatArray, shown_count: int) -> list[int]:
    """Choose at most this many points of a long curve so that no spike is lost: least and greatest of each stretch."""
    if len(values) <= shown_count:
        return list(range(len(values)))
    chosen = {0, len(values) - 1}
    for stretch in np.array_split(np.arange(len(values)), max(shown_count // 2 - 1, 1)):
        finite = stretch[np.isfinite(values[stretch])]
        if len(finite):
            chosen |= {int(finite[np.argmin(values[finite])]), int(finite[np.argmax(values[finite])])}
    return sorted(chosen)


def named_rows(
    names: Sequence[str], *, always: int | None = None, most: int = MAX_NAMED_ROWS
) -> tuple[list[int], list[str], int]:
    """Decide which rows are named and how high the whole is.

    Args:
        names: Name of each row, from the first.
        always: A row that is named in bold in any case.
        most: Rows that get a name each.

    Returns:
        Indexes of the named rows, their texts, and the height of all rows in pixels.
    """
    chosen = evenly_chosen(len(names), most)
    if always is not None and always not in chosen:
        # The neighbours give way: two names in the space of one can't be read.
        gap = 0.9 * len(names) / most
        chosen = sorted([always, *(index for index in chosen if abs(index - always) >= gap)])
    texts = [f"<b>{shown_name(names[i])}</b>" if i == always else shown_name(names[i]) for i in chosen]
    line_count = max((text.count("<br>") + 1 for text in texts), default=1)
    return chosen, texts, max(min(len(names), most) * (8 + 13 * line_count), 60)


def row_keys(names: Sequence[str]) -> list[str]:
    """Names of rows as plotly's axis of categories holds them and shows them on pointing at a row."""
    return [shown_name(name, width=40) for name in names]


def name_axis(title: str, keys: Sequence[str], chosen: Sequence[int], texts: Sequence[str]) -> dict[str, Any]:
    """An axis of names, the first at its lower end.

    Args:
        title: Title of the axis.
        keys: One for each row, as `row_keys` gives them.
        chosen: Rows that are named beside the axis.
        texts: What is written there.
    """
    return axis(
        title,
        type="category",
        tickvals=[keys[place] for place in chosen],
        ticktext=list(texts),
        range=[-0.5, len(keys) - 0.5],
        showgrid=False,
    )


LEGEND_BELOW: dict[str, Any] = {
    "orientation": "h",
    "x": 0,
    "yref": "container",
    "y": 0,
    "yanchor": "bottom",
    "font": {"size": 11},
}
"""A legend under the figure, for figures whose colour bar stands above."""


def colour_bar(*, height: float = 1.0, **settings: Any) -> dict[str, Any]:
    """A flat colour bar above the plot.

    Args:
        height: Where it stands, as a share of the height of the plot.
        settings: What else plotly takes, such as the suffix of its ticks.
    """
    return {
        "orientation": "h",
        "x": 0.5,
        "y": height,
        "yanchor": "bottom",
        "thickness": 10,
        "len": 0.9,
        "outlinewidth": 0,
        "nticks": 5,
        "tickangle": 0,
        "tickfont": {"size": 11},
        **settings,
    }


def stacked(panel_count: int, panel_height: int, *, gap: int = 34) -> tuple[list[tuple[float, float]], int]:
    """Stack panels of one height, the first at the top, each with room for its title above.

    Returns:
        Bottom and top of each as shares of the whole, and the height of the whole in pixels.

    Example:
        >>> stacked(2, 66)
        ([(0.5, 0.83), (0.0, 0.33)], 200)
    """
    whole = panel_count * (panel_height + gap)
    bottoms = [(panel_count - 1 - place) * (panel_height + gap) / whole for place in range(panel_count)]
    return [(bottom, round(bottom + panel_height / whole, 6)) for bottom in bottoms], whole


def axis_name(start: str, place: int) -> str:
    """How plotly calls the axis of a panel.

    Example:
        >>> axis_name("y", 0), axis_name("yaxis", 2)
        ('y', 'yaxis3')
    """
    return start if place == 0 else f"{start}{place + 1}"


def panel_title(text: str, top: float) -> dict[str, Any]:
    """The title of a panel that ends at this share of the height."""
    return {
        "text": f"<b>{text}</b>",
        "xref": "paper",
        "yref": "paper",
        "x": 0.0,
        "y": top,
        "xanchor": "left",
        "yanchor": "bottom",
        "yshift": 3,
        "showarrow": False,
        "font": {"size": 12},
    }


def depth_bar(*, height: float = 1.0) -> dict[str, Any]:
    """A trace without points whose colour bar says which colour is near the input and which near the output.

    Args:
        height: Where it stands, as a share of the height of the plot.
    """
    return {
        "type": "scatter",
        "x": [None],
        "y": [None],
        "mode": "markers",
        "showlegend": False,
        "hoverinfo": "skip",
        "marker": {
            "color": [0.0],
            "cmin": 0,
            "cmax": 1,
            "colorscale": [list(stop) for stop in DEPTH_SCALE],
            "showscale": True,
            "colorbar": {
                "orientation": "h",
                "x": 0.5,
                "y": height,
                "yanchor": "bottom",
                "thickness": 8,
                "len": 0.9,
                "outlinewidth": 0,
                "tickvals": [0.02, 0.5, 0.98],
                "ticktext": ["input", "layer", "output"],
                "tickfont": {"size": 11},
            },
        },
    }


def trainable_columns(run: Run, *, shown_count: int = 60, always: str | None = None) -> list[tuple[str, int, float]]:
    """Choose the parameter that stands for each layer, from the input to the output: some layers, and `always`.

    Biases where every layer that owns parameters has one (Nielsen's learning speed), otherwise each layer's largest
    parameter, so that one figure never compares different things.

    Returns:
        Name of the layer, index of its parameter, and the layer's place between input (0) and output (1).
    """
    positions = {layer.name: layer.position for layer in run.layers}
    owned: dict[str, list[int]] = {}
    for index, parameter in enumerate(run.parameters):
        if parameter.layer in positions and parameter.is_trainable:
            owned.setdefault(parameter.layer or "", []).append(index)
    names = sorted(owned, key=lambda name: positions[name])
    if not names:
        return []
    last = max(len(names) - 1, 1)
    chosen = sorted({*evenly_chosen(len(names), shown_count), *([names.index(always)] if always in names else [])})
    is_bias = uses_bias(run)
    return [(names[i], standing_for(run, owned[names[i]], is_bias), i / last) for i in chosen]


def uses_bias(run: Run) -> bool:
    """Whether every layer that owns trainable parameters has a bias among them."""
    layers = {parameter.layer for parameter in run.parameters if parameter.is_trainable and parameter.layer}
    biased = {p.layer for p in run.parameters if p.is_trainable and p.name.rpartition(".")[2] == "bias"}
    return bool(layers) and layers <= biased


def learner_at(run: Run, frontier: str | None) -> str | None:
    """The layer whose learning a frontier first harms: itself, or the next one towards the input that can learn."""
    positions = {layer.name: layer.position for layer in run.layers}
    if frontier not in positions:
        return None
    learners = {p.layer for p in run.parameters if p.is_trainable and p.layer in positions}
    harmed = [name for name in learners if name is not None and positions[name] <= positions[frontier]]
    return max(harmed, key=lambda name: positions[name], default=None)


def standing_for(run: Run, indexes: list[int], is_bias: bool) -> int:  # noqa: FBT001 - one call site, by name there
    """The bias among a layer's parameters, or the largest of them."""
    if is_bias:
        return next(index for index in indexes if run.parameters[index].name.rpartition(".")[2] == "bias")
    return max(indexes, key=lambda index: run.parameters[index].element_count)
