"""The comparison of two runs as a page of its own: verdict, what changed, both runs in one figure, layers, settings."""

import html
import math
import os
from collections.abc import Sequence
from pathlib import Path

from gradiometer.diagnosing.levels import late_levels
from gradiometer.diagnosing.weight_motion import weight_motions
from gradiometer.errors import RunFileError
from gradiometer.schema import Change, Comparison, Run
from gradiometer.showing.figures import describe_two_runs, two_runs
from gradiometer.showing.page_frame import figure_place, framed, scrolling
from gradiometer.showing.wording import VERDICT_WORDS, sentence
from gradiometer.units import format_db, format_number

PAGE_COLOURS: dict[str, str] = {"better": "healthy", "worse": "broken", "same": "unknown", "not comparable": "at_risk"}
"""Verdict of a comparison to the verdict whose colour the page takes."""

PAGE_TITLES: dict[str, str] = {
    "better": "Better",
    "worse": "Worse",
    "same": "No difference that counts",
    "not comparable": "Not comparable",
}
"""Verdict of a comparison to the page's heading."""

SEVERITY_OF: dict[str, str] = {"better": "healthy", "worse": "critical", "other": ""}
"""Direction of a change to the class of its badge."""

MOST_LAYERS = 20
"""Layers in the table, those whose level changed most."""


def write_comparison_page(
    comparison: Comparison, before: Run, after: Run, path: Path, *, names: tuple[str, str] = ("before", "after")
) -> Path:
    """Write the page.

    Args:
        comparison: What changed.
        before: The run to compare with.
        after: The run to judge.
        path: Where the page goes; an older one is replaced.
        names: What the runs are called, as a rule their files.

    Returns:
        The path.

    Raises:
        RunFileError: The page can't be written there; the message says why and which option names another place.
    """
    page = render_comparison_page(comparison, before, after, names=names)
    try:
        path.write_text(page, encoding="utf-8", errors="backslashreplace")
    except OSError as fault:
        reason = fault.strerror or str(fault)
        raise RunFileError(
            f"The page can't be written to {path}: {reason}. Choose another place with --output FILE."
        ) from fault
    return path


def refuse_replacing_runs(path: Path, run_files: Sequence[Path]) -> None:
    """Refuse to write a page over a run file.

    Raises:
        RunFileError: The page's place is one of the run files.
    """
    for run_file in run_files:
        if os.path.realpath(path) == os.path.realpath(run_file):
            raise RunFileError(
                f"The page would replace the run file {run_file}. Choose another place with --output FILE."
            )


def render_comparison_page(
    comparison: Comparison, before: Run, after: Run, *, names: tuple[str, str] = ("before", "after")
) -> str:
    """Render the page as HTML; arguments as for `write_comparison_page`. Every text of a run is escaped."""
    parts = describe_two_runs(before, after)
    verdicts = " → ".join(VERDICT_WORDS[verdict][0] for verdict in (comparison.before, comparison.after))
    sections = [
        changes_section([change for change in comparison.changes if change.kind != "setting"]),
        '<section class="figure"><h2>Both runs</h2>'
        f'<p class="how">{html.escape(two_runs.HOW_TO_READ)}</p>'
        f"{figure_place('two_runs', 'Both runs', parts)}</section>",
        layers_section(before, after),
        settings_section([change for change in comparison.changes if change.kind == "setting"]),
    ]
    return framed(
        title=PAGE_TITLES[comparison.verdict],
        subject=f"{names[0]} → {names[1]}",
        colour=PAGE_COLOURS[comparison.verdict],
        headline=html.escape(sentence(comparison.reason)),
        text=f"Verdict before and after: {html.escape(verdicts)}. Two runs are one pair: what the seed does is in the "
        "difference too. <code>gradiometer cure</code> proves a change by paired trials.",
        below="",
        body="\n".join(section for section in sections if section),
        figures={"two_runs": parts},
    )


def changes_section(changes: Sequence[Change]) -> str:
    """What was measured and differs, each with its direction; says so where nothing does."""
    if not changes:
        return "<section><h2>What changed</h2><p>Nothing that was measured differs by more than noise.</p></section>"
    rows = "".join(f"<tr><td>{badge(change)}</td><td>{html.escape(change.text)}</td></tr>" for change in changes)
    head = '<tr><th scope="col">direction</th><th scope="col">what</th></tr>'
    table = f'<table class="words"><thead>{head}</thead><tbody>{rows}</tbody></table>'
    return f"<section><h2>What changed</h2>{scrolling(table, 'What changed')}</section>"


def badge(change: Change) -> str:
    """The direction of a change as a word with a colour; `told` where neither better nor worse can be said."""
    word = change.direction if change.direction != "other" else "told"
    return f'<span class="{SEVERITY_OF[change.direction]}"><span class="badge">{word}</span></span>'


def layers_section(before: Run, after: Run) -> str:
    """The layers of both runs whose level changed most, with their update ratios; nothing where none is in both."""
    rows = changed_layers(before, after)
    if not rows:
        return ""
    headings = ("layer", "level before", "level after", "change", "update ratio before", "update ratio after")
    head = "".join(f'<th scope="col">{name}</th>' for name in headings)
    body = "".join(
        f'<tr><th scope="row"><code>{html.escape(name)}</code></th>'
        + "".join(f'<td class="number">{cell}</td>' for cell in cells)
        + "</tr>"
        for name, cells in rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return (
        "<section><h2>Layers that changed most</h2>"
        '<p class="how">The level of the gradient at each layer, and how far a step moved its weights as a share of '
        "their size, in the later half of each run; layers are matched by name.</p>"
        f"{scrolling(table, 'Layers that changed most')}</section>"
    )


def changed_layers(before: Run, after: Run) -> list[tuple[str, tuple[str, ...]]]:
    """Name and cells of at most `MOST_LAYERS` layers of both runs, those with the greatest change of level first."""
    old, new = (late_levels(run) if run.snapshot_count else {} for run in (before, after))
    ratios = [{motion.layer: motion.late_ratio for motion in weight_motions(run)} for run in (before, after)]
    shared = [name for name in new if name in old and not math.isnan(old[name] + new[name])]
    shared.sort(key=lambda name: -abs(new[name] - old[name]))
    return [
        (
            name,
            (
                format_db(old[name]),
                format_db(new[name]),
                format_db(new[name] - old[name]),
                *(format_number(found.get(name)) for found in ratios),
            ),
        )
        for name in shared[:MOST_LAYERS]
        if new[name] != old[name]
    ]


def settings_section(changes: Sequence[Change]) -> str:
    """How the runs were set up, where that differs."""
    if not changes:
        return "<section><h2>Settings</h2><p>All settings that were recorded are the same.</p></section>"
    head = "".join(f'<th scope="col">{name}</th>' for name in ("setting", "before", "after"))
    rows = "".join(
        f'<tr><th scope="row">{html.escape(change.name)}</th>'
        f"<td>{html.escape(str(change.before))}</td><td>{html.escape(str(change.after))}</td></tr>"
        for change in changes
    )
    table = f'<table class="words"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return f"<section><h2>Settings that differ</h2>{scrolling(table, 'Settings that differ')}</section>"
