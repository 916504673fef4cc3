"""What a figure shows, in words: for those who can't see it, made from the very numbers that are drawn."""

import html
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from gradiometer.showing.figures.parts import FigureParts
from gradiometer.units import format_number

MOST_SERIES = 6
"""Series that are told one by one; a listener has lost the first by the seventh."""


def alternative_of(title: str, parts: FigureParts, *, said: str = "") -> str:
    """Say what a figure shows: its title, its axes, and the course of each series.

    Args:
        title: Its title.
        parts: The figure.
        said: What is known of it beside what its parts say, in sentences.

    Example:
        >>> line = {"type": "scatter", "name": "loss", "x": [0, 1, 2], "y": [2.0, None, 0.5]}
        >>> alternative_of("Loss", {"data": [line], "layout": {"xaxis": {"title": {"text": "step"}}}})
        'Loss. Across: step. loss: from 2 to 0.5.'
    """
    told = [words for trace in parts["data"] if (words := trace_words(trace))]
    more = len(told) - MOST_SERIES
    rest = [f"{more} more series"] if more > 0 else []
    notes = [] if parts["data"] else [plain(note.get("text", "")) for note in parts["layout"].get("annotations", ())]
    pieces = [title, *([said] if said else []), *axes_words(parts["layout"]), *told[:MOST_SERIES], *rest, *notes]
    return " ".join(piece if piece.endswith((".", "!", "?")) else f"{piece}." for piece in pieces if piece)


def axes_words(layout: dict[str, Any]) -> Iterable[str]:
    """What the axes stand for; panels that share a title are told once."""
    for letter, way in (("x", "Across"), ("y", "Upwards")):
        named = [layout[name] for name in sorted(layout) if re.fullmatch(rf"{letter}axis\d*", name)]
        titles = dict.fromkeys(plain((axis.get("title") or {}).get("text", "")) for axis in named)
        shown = [title for title in titles if title]
        if shown:
            yield f"{way}: {', '.join(shown)}"


def trace_words(trace: dict[str, Any]) -> str:
    """The course of one series; empty for what is drawn without data of its own, such as a colour bar."""
    name = plain(str(trace.get("name") or ""))
    if "z" in trace:
        field = finite_numbers(value for row in trace["z"] if row is not None for value in row)
        return f"{name or 'colours'}: {span(field)}" if len(field) else ""
    along = trace.get("x") if trace.get("orientation") == "h" or not has_numbers(trace.get("y")) else trace.get("y")
    values = finite_numbers(along if along is not None else ())
    if not len(values) or not name:
        return ""
    if trace.get("type") == "bar" or "lines" not in str(trace.get("mode", "lines")):
        return f"{name}: {span(values)}"
    course = f"{name}: from {format_number(float(values[0]))} to {format_number(float(values[-1]))}"
    least, greatest = float(values.min()), float(values.max())
    ends = {float(values[0]), float(values[-1])}
    return course if {least, greatest} <= ends else f"{course}, within {span(values)}"


def span(values: Sequence[float] | np.ndarray[Any, Any]) -> str:
    """The least and the greatest of some numbers, once where they are equal."""
    ends = [format_number(float(np.min(values))), format_number(float(np.max(values)))]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def has_numbers(values: Iterable[Any] | None) -> bool:
    """Whether there is a number among them; no where there are none."""
    return values is not None and len(finite_numbers(values)) > 0


def finite_numbers(values: Iterable[Any]) -> np.ndarray[Any, Any]:
    """The finite numbers among what plotly is handed."""
    kept = [float(value) for value in values if isinstance(value, int | float) and math.isfinite(value)]
    return np.array(kept)


def plain(text: str) -> str:
    """A text of plotly without its markup; a name is broken after a dot, words where a space was.

    Example:
        >>> plain("<b>body.1.<br>relu</b><br>(a &lt;b&gt;)")
        'body.1.relu (a <b>)'
    """
    joined = re.sub(r"(?<=\.)<br>", "", text).replace("<br>", " ")
    return html.unescape(re.sub(r"<[^>]+>", "", joined)).strip()
