"""The report's sections as HTML: findings, the table of layers, how it was measured. All text is escaped."""

import html
from collections.abc import Sequence
from pathlib import Path

from gradiometer.schema import Diagnosis, Finding, Prediction, Run
from gradiometer.showing.cost_words import cost_line
from gradiometer.showing.layer_rows import LayerRow
from gradiometer.showing.page_frame import scrolling
from gradiometer.showing.recorder_text import recorder_line, replay_line
from gradiometer.showing.turn_words import costs_line, left_out_line
from gradiometer.showing.wording import condition_in_words, cure_in_words, layers_in_words, number_beside, sentence
from gradiometer.units import format_bytes, format_db, format_number, format_share


def escaped(value: object) -> str:
    """Escape any value for HTML text and attributes."""
    return html.escape(str(value))


def findings_section(diagnosis: Diagnosis) -> str:
    """The findings as cards, worst first, and below them those that the settings ignore."""
    cards = [finding_card(finding) for finding in diagnosis.findings]
    if not cards:
        return ""
    ignored = [
        f"<li>{escaped(condition_in_words(finding.condition))} at {escaped(layers_in_words(finding.layers))}: "
        f"ignored because {escaped(reason)}</li>"
        for finding, reason in diagnosis.ignored
    ]
    tail = f"<h3>Ignored on request</h3><ul>{''.join(ignored)}</ul>" if ignored else ""
    return f"<section><h2>Findings</h2>{''.join(cards)}{tail}</section>"


FRONTIER_NOTE = (
    '<br><span class="quiet">The first one named is the frontier: counted from the loss, it sets in there.</span>'
)


def finding_card(finding: Finding) -> str:
    """One finding: what, where, why with its numbers, what happens if nothing is done, what to try."""
    causes = [finding.cause, *finding.other_causes]
    reasons = "".join(line_with_number(sentence(cause.text), cause.share_db, "dB") for cause in causes)
    parts = [
        f'<article class="card {escaped(finding.severity)}">',
        f'<h3><span class="badge">{escaped(finding.severity)}</span> ',
        f"{escaped(condition_in_words(finding.condition))}</h3>",
        f"<p>{escaped(finding.summary)}</p><dl>",
        term("Where", place_of(finding)),
        term("Why", f"<ul>{reasons}</ul>"),
        term("Numbers", evidence_list(finding)),
        term("If nothing is done", escaped(sentence(finding.prognosis))) if finding.prognosis else "",
        term("What to try", cure_list(finding)),
        term("What it would give", prediction_text(finding.prediction)) if finding.prediction else "",
        term("Consequences", consequence_list(finding)) if finding.consequences else "",
        "</dl></article>",
    ]
    return "".join(parts)


def place_of(finding: Finding) -> str:
    """Layers and step at which a finding was made; where it names several, what the first of them is."""
    note = FRONTIER_NOTE if len(finding.layers) > 1 else ""
    return f"{layer_names(finding.layers)}, first told at step {finding.step}{note}"


def term(name: str, body: str) -> str:
    """One line of a card, its body already HTML."""
    return f"<dt>{name}</dt><dd>{body}</dd>" if body else ""


def layer_names(layers: tuple[str, ...], *, shown_count: int = 6) -> str:
    """The layers' names, the frontier first; the rest are counted."""
    names = ", ".join(f"<code>{escaped(name)}</code>" for name in layers[:shown_count])
    rest_count = len(layers) - shown_count
    return (names or "the whole network") + (f" and {rest_count} more" if rest_count > 0 else "")


def evidence_list(finding: Finding) -> str:
    """The numbers behind a finding, each with its unit."""
    rows = [line_with_number(evidence.text, evidence.value, evidence.unit) for evidence in finding.evidence]
    return f"<ul>{''.join(rows)}</ul>" if rows else ""


def line_with_number(text: str, value: float | None, unit: str) -> str:
    """One line of a list, with its number where the words do not name it."""
    number = escaped(number_beside(text, value, unit))
    return f"<li>{escaped(text)}" + (f" <b>{number}</b>" if number else "") + "</li>"


def cure_list(finding: Finding) -> str:
    """The cures that fit, best first."""
    rows = [f"<li>{escaped(cure_in_words(cure))} <code>{escaped(cure)}</code></li>" for cure in finding.cures]
    return f"<ol>{''.join(rows)}</ol>" if rows else ""


def prediction_text(prediction: Prediction) -> str:
    """What one of the cures would give."""
    change = f"{escaped(cure_in_words(prediction.cure))} <code>{escaped(prediction.cure)}</code>"
    return f"{change}: {escaped(sentence(prediction.text))}"


def consequence_list(finding: Finding) -> str:
    """What follows from a finding."""
    rows = [f"<li>{escaped(entry.summary)}</li>" for entry in finding.consequences]
    return f"<ul>{''.join(rows)}</ul>"


LAYER_HEADINGS = ("layer", "kind", "level", "gain", "slope", "saturated", "dead", "update ratio", "called at")


def layers_section(run: Run, rows: Sequence[LayerRow], snapshot_index: int | None, finding: Finding | None) -> str:
    """The table of layers, output first as in the figures; the worst finding's layers are marked."""
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{name}</th>' for name in LAYER_HEADINGS)
    marked = frozenset(finding.layers) if finding is not None else frozenset()
    body = "".join(layer_row(row, is_marked=row.name in marked) for row in reversed(rows))
    moment = "" if snapshot_index is None else f", step {int(run.snapshot_steps[snapshot_index])}"
    is_cut = len(rows) < len(run.layers)
    blocks = " Many layers in a row are one block; <code>gradiometer export</code> writes each." if is_cut else ""
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return (
        f"<section><h2>Layers{moment}</h2>"
        '<p class="how">From the output (top) to the input; the layers of the worst finding are shaded. Slope: how '
        f"steep an activation was where the gradient met it; it and the update ratio are bare ratios.{blocks}</p>"
        f"{scrolling(table, 'Table of layers')}</section>"
    )


def layer_row(row: LayerRow, *, is_marked: bool) -> str:
    """One line of the table of layers."""
    numbers = (
        format_db(row.level_db),
        format_db(row.gain_db),
        format_number(row.slope),
        format_share(row.saturated_share),
        format_share(row.dead_share),
        format_number(row.update_ratio),
    )
    cells = "".join(f'<td class="number">{escaped(number)}</td>' for number in numbers)
    start = '<tr class="marked">' if is_marked else "<tr>"
    names = f'<th scope="row"><code>{escaped(row.name)}</code></th><td>{escaped(row.kind)}</td>'
    return f"{start}{names}{cells}<td>{escaped(row.call_site or '')}</td></tr>"


def measured_section(run: Run, diagnosis: Diagnosis, run_file: Path | None) -> str:
    """How it was measured: coverage, cost, versions."""
    facts = run.facts
    lines = [
        ("Coverage", diagnosis.coverage.line if diagnosis.coverage.total_count else run.coverage.line),
        ("Cost of measuring", cost_line(run)),
        ("Dear measurements", costs_line(run)),
        ("Left out", left_out_line(run)),
        ("Flight recorder", recorder_line(run)),
        ("Replay", replay_line(run)),
        ("Full measurements", f"{facts.get('full_measurement_count', run.snapshot_count)} in {run.step_count} steps"),
        ("Status", str(facts.get("status", ""))),
        ("Started", str(facts.get("started_at", ""))),
        ("Optimizer", str(facts.get("optimizer", ""))),
        ("Device", str(facts.get("device", ""))),
        ("Seed", str(facts.get("seed", "") if facts.get("seed") is not None else "")),
        ("Versions", versions_line(run)),
        ("Run file", run_file_line(run_file)),
    ]
    rows = "".join(term(name, escaped(text)) for name, text in lines if text)
    events = "".join(f"<li>step {event.step}: {escaped(event.text)}</li>" for event in run.events[:50])
    notes = f"<h3>What happened</h3><ul>{events}</ul>" if events else ""
    return f"<section><h2>How it was measured</h2><dl>{rows}</dl>{notes}</section>"


def versions_line(run: Run) -> str:
    """Versions of what the run was made with."""
    names = ("gradiometer", "python", "torch")
    return ", ".join(f"{name} {run.facts[name]}" for name in names if run.facts.get(name))


def run_file_line(run_file: Path | None) -> str:
    """Where the run file is and how large."""
    if run_file is None:
        return ""
    size = f" ({format_bytes(run_file.stat().st_size)})" if run_file.is_file() else ""
    return f"{run_file}{size}"
