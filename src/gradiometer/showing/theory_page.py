"""The phase diagram as a page of its own, in the frame of the report."""

import html
from pathlib import Path
from string import Template

from gradiometer.errors import SettingsError
from gradiometer.showing.figures import describe_phase_diagram, phase_diagram
from gradiometer.showing.json_output import json_for_html
from gradiometer.showing.report import TEMPLATE, last_script, plotly_source, policy_of
from gradiometer.showing.theory_words import PHASE_WORDS, verdict_of
from gradiometer.theory.expectation import Expectation
from gradiometer.theory.phase_map import PhaseMap

PHASE_VERDICTS: dict[str, str] = {"ordered": "at_risk", "critical": "healthy", "chaotic": "broken"}
"""Phase to the verdict whose colours the page takes."""


def write_theory_page(expected: Expectation, phases: PhaseMap, path: Path) -> Path:
    """Write the page.

    Args:
        expected: What theory expects of the network.
        phases: The map that it stands in.
        path: Where the page goes; an older one is replaced.

    Returns:
        The path.

    Raises:
        SettingsError: The page can't be written there; the message says why.
    """
    page = render_theory_page(expected, phases)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as fault:
        reason = fault.strerror or str(fault)
        raise SettingsError(
            f"the page can't be written to {path}: {reason}; choose another place with --output FILE"
        ) from fault
    return path


def render_theory_page(expected: Expectation, phases: PhaseMap) -> str:
    """Render the page as HTML; it loads nothing from anywhere."""
    template, plotly_script = TEMPLATE.read_text(encoding="utf-8"), plotly_source()
    place = (
        f'<section class="figure"><h2>Phase diagram</h2><p class="how">{html.escape(phase_diagram.HOW_TO_READ)}</p>'
        '<div class="plot" id="phase_diagram" data-figure="phase_diagram" role="img" aria-label="Phase diagram"></div>'
        "</section>"
    )
    fields = {
        "policy": policy_of(plotly_script, last_script(template)),
        "subject": html.escape(expected.activation),
        "verdict": PHASE_VERDICTS[expected.phase],
        "verdict_title": expected.phase.capitalize(),
        "verdict_sentence": f"{PHASE_WORDS[expected.phase].capitalize()}.",
        "headline": html.escape(verdict_of(expected)),
        "figures": place,
        "figure_data": json_for_html({"phase_diagram": describe_phase_diagram(phases, expected)}),
        "plotly_script": plotly_script,
    }
    return Template(template).substitute(
        fields, **dict.fromkeys(("next_command", "findings", "outcome", "layers", "measured"), "")
    )
