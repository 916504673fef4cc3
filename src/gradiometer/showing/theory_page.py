"""The phase diagram as a page of its own, in the frame of the report."""

import html
from pathlib import Path

from gradiometer.errors import SettingsError
from gradiometer.showing.figures import describe_phase_diagram, phase_diagram
from gradiometer.showing.page_frame import figure_place, framed
from gradiometer.showing.page_terms import terms_line
from gradiometer.showing.theory_words import PHASE_WORDS, verdict_of
from gradiometer.theory.expectation import Expectation
from gradiometer.theory.phase_map import PhaseMap

PHASE_VERDICTS: dict[str, str] = {"ordered": "at_risk", "critical": "healthy", "chaotic": "broken"}
"""Phase to the verdict whose colours the page takes."""

THEORY_TERMS: dict[str, str] = {
    "sigma_w": "scale of the weights: their standard deviation times the square root of the number of a unit's inputs",
    "sigma_b": "scale of the biases: their standard deviation",
    "ordered": "from layer to layer different inputs become alike, and gradients shrink",
    "chaotic": "from layer to layer similar inputs come apart, and gradients grow",
    "edge of chaos": "where neither happens: the scales with which a plain network may be deep",
    "xi_c": "layers in which the difference between two inputs' likeness and where it ends falls to a third (1/e)",
}
"""Words of the page to what they mean."""


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
        path.write_text(page, encoding="utf-8", errors="backslashreplace")
    except OSError as fault:
        reason = fault.strerror or str(fault)
        raise SettingsError(
            f"the page can't be written to {path}: {reason}; choose another place with --output FILE"
        ) from fault
    return path


def render_theory_page(expected: Expectation, phases: PhaseMap) -> str:
    """Render the page as HTML; it loads nothing from anywhere."""
    parts, said = describe_phase_diagram(phases, expected), verdict_of(expected)
    drawn = figure_place("phase_diagram", "Phase diagram", parts, said=said)
    place = (
        f'<section class="figure"><h2>Phase diagram</h2><p class="how">{html.escape(phase_diagram.HOW_TO_READ)}</p>'
        f"{terms_line(THEORY_TERMS, terms=THEORY_TERMS)}{drawn}</section>"
    )
    return framed(
        title=expected.phase.capitalize(),
        subject=expected.activation,
        colour=PHASE_VERDICTS[expected.phase],
        headline=f"{PHASE_WORDS[expected.phase].capitalize()}.",
        text=html.escape(said),
        below="",
        body=place,
        figures={"phase_diagram": parts},
    )
