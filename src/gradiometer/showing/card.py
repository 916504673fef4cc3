"""A noun as a small page in a notebook, and as a few lines of text in a terminal: HTML alone, without a script."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

from gradiometer.units import format_db

EDGE_COLOURS: dict[str, str] = {
    "healthy": "#4ba569",
    "better": "#4ba569",
    "info": "#2f83c7",
    "same": "#2f83c7",
    "unknown": "#2f83c7",
    "at_risk": "#b7791f",
    "warning": "#b7791f",
    "not shown": "#b7791f",
    "not comparable": "#b7791f",
    "broken": "#d55e00",
    "critical": "#d55e00",
    "worse": "#d55e00",
    "done": "#4ba569",
    "refused": "#b7791f",
    "stopped": "#b7791f",
    "failed": "#d55e00",
}
"""Verdict, severity or status of a trial to the colour of the edge; the word stands beside it."""

MOST_ROWS = 20
"""Layers in the small ladder of a run, findings of a diagnosis, changes of a comparison, rows of a chart."""


@dataclass(frozen=True, slots=True)
class Chart:
    """Numbers drawn as bars from the middle: to the left what is negative.

    Attributes:
        heading: What they are.
        rows: Name, number and how it is written.
        reach: The number whose bar is full.
    """

    heading: str
    rows: tuple[tuple[str, float, str], ...]
    reach: float


@dataclass(frozen=True, slots=True)
class Card:
    """What is shown of a noun.

    Attributes:
        mood: A key of `EDGE_COLOURS`.
        title: Verdict or condition.
        lines: Sentences below it.
        points: A list below these: what it is called, what is said of it.
        charts: Numbers drawn as bars.
        pictures: Address of each picture, and what it shows.
        code: Code to paste.
    """

    mood: str
    title: str
    lines: tuple[str, ...] = ()
    points: tuple[tuple[str, str], ...] = ()
    charts: tuple[Chart, ...] = ()
    pictures: tuple[tuple[str, str], ...] = ()
    code: str = ""


def level_chart(levels: Sequence[tuple[str, float]], heading: str) -> Chart:
    """Levels as bars, at most `MOST_ROWS` of the layers, evenly, the last first.

    Args:
        levels: Name and level of each layer, dB, in the order of execution.
        heading: What they are.
    """
    from gradiometer.showing.figures.parts import evenly_chosen

    chosen = [levels[place] for place in reversed(evenly_chosen(len(levels), MOST_ROWS))]
    finite = [abs(level) for _, level in chosen if math.isfinite(level)]
    rows = tuple((name, level, format_db(level)) for name, level in chosen) if finite else ()
    return Chart(heading, rows, max([*finite, 40.0]))


def html_of_card(card: Card) -> str:
    """A card as HTML without scripts; text is escaped, colours suit light and dark pages."""
    colour = EDGE_COLOURS[card.mood]
    lines = "".join(f"<p style='margin:.3em 0'>{html.escape(line)}</p>" for line in card.lines)
    charts = "".join(chart_html(chart) for chart in card.charts)
    code = f"<pre style='overflow-x:auto'>{html.escape(card.code)}</pre>" if card.code else ""
    return (
        f"<div style='border-left:5px solid {colour};padding:.2em 0 .2em .8em;max-width:60em'>"
        f"<b style='font-size:1.15em'>{html.escape(card.title)}</b>{lines}"
        f"{pictures_html(card.pictures)}{points_html(card)}{charts}{code}</div>"
    )


def pictures_html(pictures: tuple[tuple[str, str], ...]) -> str:
    """Small pictures side by side, each with what it shows; nothing where there are none."""
    shown = "".join(
        "<figure style='margin:0 .8em .4em 0;display:inline-block;text-align:center'>"
        f"<img src='{html.escape(address)}' alt='{html.escape(words)}' "
        "style='width:6em;height:6em;object-fit:contain;image-rendering:pixelated;"
        "border:1px solid rgba(128,136,148,.5)' />"
        f"<figcaption style='font-size:.85em'>{html.escape(words)}</figcaption></figure>"
        for address, words in pictures
    )
    return f"<div style='margin:.4em 0'>{shown}</div>" if shown else ""


def points_html(card: Card) -> str:
    """The list of a card; what is beyond `MOST_ROWS` is counted."""
    if not card.points:
        return ""
    rows = "".join(
        f"<dt style='opacity:.75'>{html.escape(name)}</dt><dd style='margin:0'>{html.escape(text)}</dd>"
        for name, text in card.points[:MOST_ROWS]
    )
    grid = "display:grid;grid-template-columns:fit-content(45%) minmax(0,1fr);gap:.25em 1em"
    return f"<dl style='margin:.4em 0;{grid}'>{rows}</dl>{html.escape(beyond(card))}"


def beyond(card: Card) -> str:
    """How many points are not shown; empty where all are."""
    rest_count = len(card.points) - MOST_ROWS
    return f"and {rest_count} more" if rest_count > 0 else ""


def chart_html(chart: Chart) -> str:
    """A chart's heading and bars; nothing for one without rows."""
    if not chart.rows:
        return ""
    rows = "".join(bar_html(name, value / (chart.reach or 1.0), text) for name, value, text in chart.rows)
    heading = f"<p style='margin:.5em 0 .2em'>{html.escape(chart.heading)}</p>"
    return f"{heading}<div style='font-size:.85em'>{rows}</div>"


def bar_html(name: str, share: float, text: str) -> str:
    """One bar with its name and number.

    Args:
        name: Its name.
        share: Its length and direction, from -1 to 1; more is cut off, nan is no bar.
        text: The number as it is written.
    """
    bounded = 0.0 if math.isnan(share) else min(max(share, -1.0), 1.0)
    width, start = 50.0 * abs(bounded), 50.0 + 50.0 * min(bounded, 0.0)
    colour = "#2f7fbf" if bounded < 0.0 else "#dd7d1d"
    return (
        "<div style='display:flex;gap:.6em;align-items:center'>"
        "<span style='flex:0 1 14em;min-width:4em;overflow:hidden;text-overflow:ellipsis;white-space:nowrap'>"
        f"{html.escape(name)}</span>"
        "<span style='position:relative;flex:1 1 8em;height:.8em;background:rgba(128,136,148,.14)'>"
        f"<span style='position:absolute;top:0;bottom:0;left:{start:.1f}%;width:{width:.1f}%;background:{colour}'>"
        f"</span></span><span style='flex:0 0 5.5em;text-align:right'>{html.escape(text)}</span></div>"
    )


def text_of_card(card: Card) -> str:
    """A card as text for a terminal."""
    points = [f"  {name}: {text}" for name, text in card.points[:MOST_ROWS]]
    rest = [f"  {beyond(card)}"] if beyond(card) else []
    return "\n".join([card.title.upper(), *card.lines, *points, *rest, *([card.code] if card.code else [])])
