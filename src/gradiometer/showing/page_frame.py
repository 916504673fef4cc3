"""The frame that all static pages share: one HTML file that loads nothing, its policy, and the places of its figures.

plotly.js stands in the page once, taken from the plotly package, and a content security policy allows no other script
and no connection.
"""

import base64
import hashlib
import html
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Any

from gradiometer.errors import RunFileError
from gradiometer.showing.figure_words import alternative_of
from gradiometer.showing.figures.parts import FigureParts
from gradiometer.showing.json_output import json_for_html

TEMPLATE = Path(__file__).with_name("report.html")


def framed(
    *,
    title: str,
    subject: str,
    colour: str,
    headline: str,
    text: str,
    below: str,
    body: str,
    figures: Mapping[str, FigureParts],
) -> str:
    """Put a page into the frame.

    Args:
        title: Its heading, as text.
        subject: What it is about, as text.
        colour: The verdict whose colour it takes.
        headline: First sentence, HTML.
        text: What stands below it, HTML; may be empty.
        below: Blocks at the end of the head, HTML.
        body: Sections, HTML.
        figures: Name of each `figure_place` in the body to its parts; without any plotly.js is left out.

    Returns:
        The page.

    Raises:
        RunFileError: plotly is not installed.
    """
    template = TEMPLATE.read_text(encoding="utf-8")
    plotly_script = plotly_source() if figures else ""
    fields = {
        "policy": policy_of(plotly_script, last_script(template)),
        "subject": html.escape(subject),
        "verdict": colour,
        "title": html.escape(title),
        "headline": f'<p class="headline">{headline}</p>' if headline else "",
        "text": f"<p>{text}</p>" if text else "",
        "below": below,
        "body": body,
        "figure_data": json_for_html(dict(figures)),
        "plotly_script": plotly_script,
    }
    return Template(template).substitute(fields)


def figure_place(name: str, title: str, parts: FigureParts, *, said: str = "") -> str:
    """The place of a figure, as high as the figure will be, with what it shows in words for those who can't see it.

    Args:
        name: Its name among the page's figures.
        title: Its title.
        parts: The figure.
        said: What is known of it beside what its parts say.
    """
    words = html.escape(alternative_of(title, parts, said=said))
    height = parts["layout"].get("height", 120)
    return (
        f'<div class="plot" id="{name}" data-figure="{name}" role="img" aria-label="{words}" '
        f'style="min-height:{height}px"></div>'
    )


def scrolling(block: str, label: str, *, kind: str = "") -> str:
    """A block that scrolls where it is wider than the page; a keyboard can come to it and scroll it, too.

    Args:
        block: What scrolls, HTML.
        label: What it is, as text.
        kind: More classes for its style.
    """
    classes = f"scroll {kind}".strip()
    return f'<div class="{classes}" tabindex="0" role="region" aria-label="{html.escape(label)}">{block}</div>'


def plotly_source() -> str:
    """Read plotly.js from the plotly package, without importing it (which would take longer than the page).

    Raises:
        RunFileError: The package or its file is missing; the message says how to install it.
    """
    spec = find_spec("plotly")
    places: list[str] = list(spec.submodule_search_locations or []) if spec is not None else []
    for place in places:
        source = Path(place) / "package_data" / "plotly.min.js"
        if source.is_file():
            return source.read_text(encoding="utf-8")
    raise RunFileError("The page needs plotly, which is not installed here. Install it: pip install plotly")


def last_script(page: str) -> str:
    """The text of a page's last script: the one that draws the figures."""
    return page.rpartition("<script>")[2].partition("</script>")[0]


def policy_of(*scripts: str) -> str:
    """The page's content security policy: these scripts, styles of its own, and no connection anywhere."""
    return (
        f"default-src 'none'; script-src {' '.join(digest_of(script) for script in scripts)}; "
        "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def digest_of(script: str) -> str:
    """A script's hash as a content security policy writes it."""
    digest: Any = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
