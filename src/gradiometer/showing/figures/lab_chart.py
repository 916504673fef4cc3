"""A chart of the lab: curves, points and bars over two axes, with bands, marks, words or numbers along the x axis.

A line takes the colour of an earlier one that is drawn in another style and whose name begins alike up to a comma, as
"tanh, measured" and "tanh, foretold" do; every other one takes the next colour. Names are never told by colour alone:
from the sixth line on, and wherever points are few, each line has marks of its own shape.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradiometer.schema import Chart, FloatArray, Line
from gradiometer.showing.figures.parts import (
    FigureParts,
    axis,
    draw,
    empty_parts,
    evenly_chosen,
    extremes_chosen,
    layout,
    numbers,
    shown_words,
    spread_chosen,
)
from gradiometer.showing.palette import LINE_COLOURS, TEXT_COLOUR, channels

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star", "cross", "triangle-down")
"""Shapes of marks, one after another."""

FEW_POINTS = 25
"""A line of at most this many points shows each of them."""

MAX_POINTS = 500
"""Points drawn of a line or of a row of points: more can't be told apart, and a page stays small."""

PLOT_HEIGHT = 340
"""Height of a chart without its legend, in pixels."""

TITLE_WIDTH = 42
"""Letters in a line of an axis title: what a phone has room for."""


WORDS_MARGIN = 68
"""Room left of a chart over words, pixels: the title and numbers of six letters."""


def describe_lab_chart(chart: Chart) -> FigureParts:
    """Describe a chart as plain dictionaries; one that says so where there is nothing to draw."""
    if not any(len(line.x) for line in chart.lines):
        return empty_parts("Nothing was measured that could be drawn here.")
    places = colour_places(chart.lines)
    data = [
        trace
        for index, line in enumerate(chart.lines)
        for trace in traces_of(chart, line, LINE_COLOURS[places[index] % len(LINE_COLOURS)], index)
    ]
    settings: dict[str, Any] = {
        "xaxis": x_axis(chart),
        "yaxis": axis(shown_words(chart.y_title, width=TITLE_WIDTH), **scale_of(chart.y_scale, heights_of(chart))),
        "shapes": [mark_line(place) for place, _ in marks_of(chart)],
        "annotations": mark_words(chart),
        "barmode": "group",
    }
    parts = layout(PLOT_HEIGHT, **settings) | legend_of([line.name for line in chart.lines])
    if has_words(chart):
        # Words that turn as the room for them shrinks, and room that shrinks as they turn, never settle on a phone.
        parts["yaxis"]["automargin"] = False
        parts["margin"] = parts["margin"] | {"l": WORDS_MARGIN}
    return {"data": data, "layout": parts}


def draw_lab_chart(chart: Chart) -> "Figure":
    """Draw a chart as a plotly figure."""
    return draw(describe_lab_chart(chart))


def colour_places(lines: tuple[Line, ...]) -> list[int]:
    """Which colour each line takes, as its place in the row of colours.

    Example:
        >>> of = lambda name, style="line": Line(name, (), (), style)
        >>> colour_places((of("tanh, measured"), of("relu, measured"), of("tanh, foretold", "dashes"), of("gelu")))
        [0, 1, 0, 2]
    """
    places: list[int] = []
    for index, line in enumerate(lines):
        kin = [
            places[earlier]
            for earlier in range(index)
            if lines[earlier].style != line.style and head_of(lines[earlier].name) == head_of(line.name)
        ]
        places.append(kin[0] if kin else max(places, default=-1) + 1)
    return places


def head_of(name: str) -> str:
    """What stands before a name's first comma."""
    return name.partition(",")[0].strip()


def legend_of(names: list[str]) -> dict[str, Any]:
    """The legend, where there is more than one name, and a height with room for it on a wide page.

    How much room it needs on a narrow one the page reads from `meta`: `count` names of this `width` in pixels, each row
    of them of the height `row`, above a plot of the height `plot`.
    """
    if len(names) < 2:
        return {"showlegend": False}
    width = 48.0 + 6.3 * max(min(len(name), 40) for name in names)
    room = {"count": len(names), "width": width, "row": 20, "plot": PLOT_HEIGHT}
    rows = math.ceil(len(names) / max(1, int(900.0 / width)))
    legend = {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "font": {"size": 11}}
    return {
        "legend": legend | {"tracegroupgap": 0, "maxheight": 0.75},
        "height": PLOT_HEIGHT + 20 * rows,
        "meta": {"legend": room},
    }


def x_axis(chart: Chart) -> dict[str, Any]:
    """The x axis: numbers, or words in the order in which the lines bring them."""
    title = shown_words(chart.x_title, width=TITLE_WIDTH)
    if has_words(chart):
        words = dict.fromkeys(shown_words(str(x), width=16) for line in chart.lines for x in line.x)
        return axis(title, type="category", categoryorder="array", categoryarray=list(words), showgrid=False)
    positions = [float(x) for line in chart.lines for x in line.x]
    return axis(title, **scale_of(chart.x_scale, positions))


def has_words(chart: Chart) -> bool:
    """Whether the x axis is one of words."""
    return any(isinstance(x, str) for line in chart.lines for x in line.x)


def scale_of(scale: str, values: list[float]) -> dict[str, Any]:
    """How an axis is divided: a logarithmic one of more than a decade has ticks at powers of ten, at most nine."""
    if scale == "linear":
        return {"exponentformat": "power", "zeroline": True, "zerolinecolor": "rgba(128,136,148,0.6)"}
    drawable = [value for value in values if math.isfinite(value) and value > 0.0]
    decades = math.log10(max(drawable) / min(drawable)) if drawable else 0.0
    settings: dict[str, Any] = {"type": "log", "exponentformat": "power"}
    return settings | ({"dtick": math.ceil(decades / 8.0)} if decades > 1.0 else {})


def heights_of(chart: Chart) -> list[float]:
    """Every height of a chart, ends of bands included."""
    return [float(y) for line in chart.lines for y in (*line.y, *line.low, *line.high)]


def traces_of(chart: Chart, line: Line, colour: str, index: int) -> list[dict[str, Any]]:
    """The traces of one line: its band where it has one, and itself."""
    chosen = chosen_points(chart, line)
    words = has_words(chart)
    x: list[Any] = (
        [shown_words(str(line.x[i]), width=16) for i in chosen]
        if words
        else numbers([float(line.x[i]) for i in chosen], digits=7)
    )
    y = numbers([line.y[i] for i in chosen])
    low, high = ([ends[i] for i in chosen] if ends else [] for ends in (line.low, line.high))
    shared = {"x": x, "y": y, "name": shown_words(line.name, width=40), "legendgroup": str(index)}
    shared["hovertemplate"] = "%{fullData.name}<br>%{x}: <b>%{y:.4g}</b><extra></extra>"
    if line.style == "bars":
        return [{"type": "bar", **shared, "marker": {"color": colour}, **whiskers(line, y, low, high)}]
    trace = {"type": "scatter", **shared, **look_of(chart, line, colour, index, len(chosen))}
    if line.style == "points":
        return [trace | whiskers(line, y, low, high)]
    return [*band_traces(x, low, high, colour, index), trace]


def chosen_points(chart: Chart, line: Line) -> list[int]:
    """Which points are drawn: all, or where there are very many those that keep a line's shape on its scale."""
    count = len(line.x)
    if count <= MAX_POINTS:
        return list(range(count))
    if line.style in {"points", "bars"}:
        return evenly_chosen(count, MAX_POINTS)
    chosen = set(extremes_chosen(np.asarray(line.y, dtype=float), MAX_POINTS // 2))
    by_ratio = chart.x_scale == "log"
    chosen |= set(
        spread_chosen(np.arange(count), MAX_POINTS // 2) if by_ratio else evenly_chosen(count, MAX_POINTS // 2)
    )
    return sorted(chosen)


def look_of(chart: Chart, line: Line, colour: str, index: int, point_count: int) -> dict[str, Any]:
    """How a line or a row of points looks."""
    marker = {"symbol": SYMBOLS[index % len(SYMBOLS)], "color": colour, "size": 7}
    if line.style == "points":
        size = 9 if point_count <= FEW_POINTS else 5
        return {"mode": "markers", "marker": marker | {"size": size, "opacity": 1.0 if point_count <= 200 else 0.6}}
    stroke = {"color": colour, "width": 2, "dash": "dash" if line.style == "dashes" else "solid"}
    if point_count <= FEW_POINTS and line.style == "line":
        return {"mode": "lines+markers", "line": stroke, "marker": marker}
    if len(chart.lines) > len(LINE_COLOURS):
        return {"mode": "lines+markers", "line": stroke, "marker": marker | {"maxdisplayed": 8}}
    return {"mode": "lines", "line": stroke}


def whiskers(line: Line, y: list[float | None], low: list[float], high: list[float]) -> dict[str, Any]:
    """The band of a bar or of a point, as a whisker; nothing where it has none."""
    if not (low and high):
        return {}
    above = numbers([end - (middle or 0.0) for end, middle in zip(high, y, strict=True)])
    below = numbers([(middle or 0.0) - end for end, middle in zip(low, y, strict=True)])
    look = {"type": "data", "symmetric": False, "thickness": 1.5, "width": 4, "color": TEXT_COLOUR}
    return {"error_y": look | {"array": above, "arrayminus": below}}


def band_traces(x: list[Any], low: list[float], high: list[float], colour: str, index: int) -> list[dict[str, Any]]:
    """The band around a line as one closed shape for each stretch without a gap; nothing where it has none."""
    if not (low and high):
        return []
    bottoms, tops = numbers(low), numbers(high)
    edge_x: list[Any] = []
    edge_y: list[float | None] = []
    for stretch in stretches(bottoms, tops):
        back = stretch[::-1]
        edge_x += [*(x[i] for i in stretch), *(x[i] for i in back), None]
        edge_y += [*(tops[i] for i in stretch), *(bottoms[i] for i in back), None]
    red, green, blue = channels(colour)
    shape = {"mode": "lines", "line": {"width": 0}, "fill": "toself", "fillcolor": f"rgba({red},{green},{blue},0.18)"}
    about = {"legendgroup": str(index), "showlegend": False, "hoverinfo": "skip"}
    return [{"type": "scatter", "x": edge_x, "y": edge_y, **shape, **about}]


def stretches(bottoms: list[float | None], tops: list[float | None]) -> list[list[int]]:
    """Runs of neighbouring points at which both ends of a band are known.

    Example:
        >>> stretches([1.0, 1.0, None, 2.0], [2.0, 3.0, 4.0, 5.0])
        [[0, 1], [3]]
    """
    runs: list[list[int]] = [[]]
    for index, (bottom, top) in enumerate(zip(bottoms, tops, strict=True)):
        if bottom is None or top is None:
            runs.append([])
        else:
            runs[-1].append(index)
    return [run for run in runs if run]


def marks_of(chart: Chart) -> list[tuple[float, str]]:
    """The marks that have a place on the x axis."""
    return [
        (place, word)
        for place, word in chart.marks
        if math.isfinite(place) and (place > 0.0 or chart.x_scale == "linear")
    ]


def mark_line(place: float) -> dict[str, Any]:
    """A mark: a dotted line from the bottom to the top."""
    line = {"color": TEXT_COLOUR, "width": 1.5, "dash": "dot"}
    return {"type": "line", "x0": place, "x1": place, "yref": "y domain", "y0": 0, "y1": 1, "line": line}


def mark_words(chart: Chart) -> list[dict[str, Any]]:
    """The word of each mark, written along its line, on the side where there is more room."""
    is_log = chart.x_scale == "log" and not has_words(chart)
    scaled = math.log10 if is_log else float
    ends = [0.0, 1.0] if has_words(chart) else [float(x) for line in chart.lines for x in line.x]
    known = [scaled(x) for x in ends if math.isfinite(x) and (x > 0.0 or not is_log)]
    middle = (min(known) + max(known)) / 2.0 if known else 0.0
    return [
        {
            "text": shown_words(word, width=40),
            # Plotly takes the logarithm for a text on a logarithmic axis, and the number itself for a shape.
            "x": scaled(place),
            "yref": "y domain",
            "y": 1,
            "xanchor": "left" if scaled(place) <= middle else "right",
            "yanchor": "top",
            "textangle": -90,
            "showarrow": False,
            "font": {"size": 11},
        }
        for place, word in marks_of(chart)
    ]


def not_drawn_words(chart: Chart) -> str:
    """How many heights a chart can't show: what is infinite, and on a logarithmic axis what is not above zero.

    Example:
        >>> not_drawn_words(Chart("", "", "", "", (Line("", (1.0, 2.0), (0.0, 1.0)),), y_scale="log"))
        '1 value of 0 or below is not drawn: the axis is logarithmic.'
    """
    heights: FloatArray = np.array([y for line in chart.lines for y in line.y], dtype=float)
    infinite = int(np.isinf(heights).sum())
    lost = int((heights[np.isfinite(heights)] <= 0.0).sum()) if chart.y_scale == "log" else 0
    said = [
        f"{value_count(lost)} of 0 or below {verb(lost)} not drawn: the axis is logarithmic." if lost else "",
        f"{value_count(infinite)} {verb(infinite)} infinite and not drawn." if infinite else "",
    ]
    return " ".join(words for words in said if words)


def value_count(count: int) -> str:
    """A number of values."""
    return f"{count} value{'s' if count > 1 else ''}"


def verb(count: int) -> str:
    """The verb that goes with it."""
    return "are" if count > 1 else "is"
