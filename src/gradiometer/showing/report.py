"""The report: one self-contained HTML file with verdict, findings, figures, layers, trials and how it was measured.

The page loads nothing: plotly.js stands in it once, taken from the plotly package, and a content security policy
allows no other script and no connection. Every text that comes from a run is escaped.
"""

import base64
import hashlib
import html
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Any

from gradiometer.errors import RunFileError
from gradiometer.schema import Diagnosis, Run
from gradiometer.showing import report_parts
from gradiometer.showing.figures import (
    describe_gain_ladder,
    describe_layer_heatmap,
    describe_learning_speed,
    describe_loss_and_updates,
    describe_trial_pairs,
    gain_ladder,
    layer_heatmap,
    learning_speed,
    loss_and_updates,
    trial_pairs,
)
from gradiometer.showing.figures.parts import FigureParts
from gradiometer.showing.json_output import json_for_html
from gradiometer.showing.layer_rows import rows_of_run, snapshot_to_show
from gradiometer.showing.outcome_parts import outcome_section
from gradiometer.showing.turn_figures import TURN_FIGURES
from gradiometer.showing.wording import VERDICT_WORDS, frontier_of, next_command, verdict_sentence, worst_finding

TEMPLATE = Path(__file__).with_name("report.html")

FIGURE_TEXTS: dict[str, tuple[str, str]] = {
    "gain_ladder": ("Gain ladder", gain_ladder.HOW_TO_READ),
    "layer_heatmap": ("Levels, layer by step", layer_heatmap.HOW_TO_READ),
    "learning_speed": ("Learning speed of each layer", learning_speed.HOW_TO_READ),
    "loss_and_updates": ("Loss and update ratios", loss_and_updates.HOW_TO_READ),
    **{name: (figure.title, figure.how_to_read) for name, figure in TURN_FIGURES.items()},
    "trial_pairs": ("Trials", trial_pairs.HOW_TO_READ),
}
"""Figures of the report in their order: title and how to read them."""


def write_report(run: Run, diagnosis: Diagnosis, path: Path, *, run_file: Path | None = None) -> Path:
    """Write the report of a run.

    Args:
        run: The run.
        diagnosis: What is wrong with it.
        path: Where the page goes; an older one is replaced.
        run_file: The run file, named in the page and in the command to try next.

    Returns:
        The path.

    Raises:
        RunFileError: The page can't be written there; the message says why and which option names another place.
    """
    if run_file is not None and path.resolve() == run_file.resolve():
        raise RunFileError(
            f"The report would replace the run file {run_file}. Choose another place with --output FILE."
        )
    page = render_report(run, diagnosis, run_file=run_file)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as fault:
        reason = fault.strerror or str(fault)
        raise RunFileError(
            f"The report can't be written to {path}: {reason}. Choose another place with --output FILE."
        ) from fault
    return path


def render_report(run: Run, diagnosis: Diagnosis, *, run_file: Path | None = None) -> str:
    """Render the report as HTML; arguments as for `write_report`. Works for a run without layers or measurements."""
    finding = worst_finding(diagnosis)
    captions = captions_of(run)
    figures = describe_figures(run, diagnosis, captions)
    title, _ = VERDICT_WORDS[diagnosis.verdict]
    template, plotly_script = TEMPLATE.read_text(encoding="utf-8"), plotly_source()
    subject = str(run.facts.get("script") or (run_file.name if run_file else "run"))
    index = snapshot_to_show(run, finding.step if finding else None)
    fields = {
        "policy": policy_of(plotly_script, last_script(template)),
        "subject": html.escape(subject),
        "verdict": diagnosis.verdict,
        "verdict_title": title,
        "verdict_sentence": html.escape(verdict_sentence(diagnosis)),
        "headline": html.escape(finding.summary) if finding and diagnosis.verdict != "healthy" else "",
        "next_command": report_parts.command_block(next_command(run, diagnosis, None)),
        "findings": report_parts.findings_section(diagnosis),
        "outcome": outcome_section(run),
        "figures": "\n".join(figure_section(name, captions.get(name, "")) for name in figures),
        "layers": report_parts.layers_section(run, rows_of_run(run, index), index, finding),
        "measured": report_parts.measured_section(run, diagnosis, run_file),
        "figure_data": json_for_html(figures),
        "plotly_script": plotly_script,
    }
    return Template(template).substitute(fields)


def describe_figures(run: Run, diagnosis: Diagnosis, captions: Mapping[str, str]) -> dict[str, FigureParts]:
    """Describe the figures that this run has, by name, in the order of the page; `captions` as `captions_of` says."""
    finding = worst_finding(diagnosis)
    frontier = frontier_of(finding)
    index = snapshot_to_show(run, finding.step if finding else None)
    described: dict[str, Callable[[], FigureParts]] = {
        "gain_ladder": lambda: describe_gain_ladder(run, snapshot_index=index, frontier=frontier),
        "layer_heatmap": lambda: describe_layer_heatmap(run, frontier=frontier),
        "learning_speed": lambda: describe_learning_speed(run, frontier=frontier),
        "loss_and_updates": lambda: describe_loss_and_updates(run, frontier=frontier),
    }
    described |= {name: partial(TURN_FIGURES[name].describe, run) for name in captions}
    if run.outcome is not None:
        described["trial_pairs"] = lambda: describe_trial_pairs(run)
    return {name: describe() for name, describe in described.items()}


def captions_of(run: Run) -> dict[str, str]:
    """What is said below the heading of each figure of a dear measurement that found something, by name."""
    captions = {name: figure.caption(run) for name, figure in TURN_FIGURES.items()}
    return {name: caption for name, caption in captions.items() if caption}


def figure_section(name: str, caption: str = "") -> str:
    """The place of one figure in the page, with a sentence on how to read it and one on what it shows here."""
    title, how_to_read = (html.escape(text) for text in FIGURE_TEXTS[name])
    said = f"<p>{html.escape(caption)}</p>" if caption else ""
    return (
        f'<section class="figure"><h2>{title}</h2><p class="how">{how_to_read}</p>{said}'
        f'<div class="plot" id="{name}" data-figure="{name}" role="img" aria-label="{title}"></div></section>'
    )


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
    raise RunFileError("The report needs plotly, which is not installed here. Install it: pip install plotly")


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


def page_beside(run_file: Path) -> Path:
    """Where a run's page goes if nothing else is said: beside the run file, with `.html` for its ending.

    Example:
        >>> page_beside(Path("runs/ten.grad")).as_posix()
        'runs/ten.html'
    """
    page = run_file.with_suffix(".html")
    return page if page != run_file else run_file.with_name(f"{run_file.name}.report.html")
