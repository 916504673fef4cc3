"""The report: one self-contained HTML file with verdict, findings, figures, layers, trials and how it was measured.

It stands in the frame of all pages, which load nothing. Every text that comes from a run is escaped.
"""

import html
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from gradiometer.errors import RunFileError
from gradiometer.schema import Diagnosis, Run
from gradiometer.showing import report_parts
from gradiometer.showing.block_rows import rows_or_blocks
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
from gradiometer.showing.layer_rows import snapshot_to_show
from gradiometer.showing.main_captions import MAIN_CAPTIONS
from gradiometer.showing.outcome_parts import outcome_section
from gradiometer.showing.page_frame import figure_place, framed
from gradiometer.showing.page_terms import FIRST_MET, terms_line
from gradiometer.showing.report_details import details_of
from gradiometer.showing.summary_parts import contents_block, summary_block
from gradiometer.showing.turn_figures import TURN_FIGURES
from gradiometer.showing.wording import VERDICT_WORDS, frontier_of, verdict_sentence, worst_finding

FIGURE_TEXTS: dict[str, tuple[str, str]] = {
    "gain_ladder": ("Gain ladder", gain_ladder.HOW_TO_READ),
    "layer_heatmap": ("Levels, layer by step", layer_heatmap.HOW_TO_READ["level_db"]),
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
    if run_file is not None and os.path.realpath(path) == os.path.realpath(run_file):
        raise RunFileError(
            f"The report would replace the run file {run_file}. Choose another place with --output FILE."
        )
    page = render_report(run, diagnosis, run_file=run_file)
    try:
        path.write_text(page, encoding="utf-8", errors="backslashreplace")
    except OSError as fault:
        reason = fault.strerror or str(fault)
        raise RunFileError(
            f"The report can't be written to {path}: {reason}. Choose another place with --output FILE."
        ) from fault
    return path


def render_report(run: Run, diagnosis: Diagnosis, *, run_file: Path | None = None) -> str:
    """Render the report as HTML; arguments as for `write_report`. Works for a run without layers or measurements."""
    finding = worst_finding(diagnosis)
    index = snapshot_to_show(run, finding.step if finding else None)
    rows = rows_or_blocks(run, index, frontier_of(finding))
    captions = captions_of(run)
    figures = describe_figures(run, diagnosis, captions)
    captions |= {name: caption_of(run, index) for name, caption_of in MAIN_CAPTIONS.items()}
    choices, details = details_of(run, diagnosis, {name: FIGURE_TEXTS[name][0] for name in figures})
    drawn = [
        figure_section(name, parts, captions.get(name, ""), choice=choices[name]) for name, parts in figures.items()
    ]
    sections = {
        "findings": ("Findings", report_parts.findings_section(diagnosis)),
        "cure": ("Cure", outcome_section(run)),
        "figures": ("Figures", "\n".join([*drawn, details])),
        "layers": ("Layers", report_parts.layers_section(run, rows, index, finding)),
        "measured": ("How it was measured", report_parts.measured_section(run, diagnosis, run_file)),
    }
    shown = {place: section for place, section in sections.items() if section[1]}
    links = contents_block({place: heading for place, (heading, _) in shown.items()})
    return framed(
        title=VERDICT_WORDS[diagnosis.verdict][0],
        subject=str(run.facts.get("script") or (run_file.name if run_file else "run")),
        colour=diagnosis.verdict,
        headline=html.escape(verdict_sentence(diagnosis)),
        text="",
        below=summary_block(run, diagnosis, run_file) + links,
        body="\n".join(f'<div id="{place}">{body}</div>' for place, (_, body) in shown.items()),
        figures=figures,
    )


def describe_figures(run: Run, diagnosis: Diagnosis, captions: Mapping[str, str]) -> dict[str, FigureParts]:
    """Describe the figures that this run has, by name, in the order of the page; `captions` as `captions_of` says."""
    finding = worst_finding(diagnosis)
    frontier = frontier_of(finding)
    index = snapshot_to_show(run, finding.step if finding else None)
    described: dict[str, Callable[[], FigureParts]] = {
        "gain_ladder": lambda: describe_gain_ladder(
            run, snapshot_index=index, frontier=frontier, findings=diagnosis.findings
        ),
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


def figure_section(name: str, parts: FigureParts, caption: str, *, choice: str = "") -> str:
    """One figure with a sentence on how to read it, the words first met there, what it shows, what to look into."""
    title, how_to_read = FIGURE_TEXTS[name]
    said = f"<p>{html.escape(caption)}</p>" if caption else ""
    return (
        f'<section class="figure"><h2>{html.escape(title)}</h2><p class="how">{html.escape(how_to_read)}</p>'
        f"{terms_line(FIRST_MET.get(name, ()))}{said}{choice}"
        f"{figure_place(name, title, parts, said=caption)}</section>"
    )


def page_beside(run_file: Path) -> Path:
    """Where a run's page goes if nothing else is said: beside the run file, with `.html` for its ending.

    Example:
        >>> page_beside(Path("runs/ten.grad")).as_posix()
        'runs/ten.html'
    """
    page = run_file.with_suffix(".html")
    return page if page != run_file else run_file.with_name(f"{run_file.name}.report.html")
