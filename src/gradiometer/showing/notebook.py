"""How nouns display themselves in Jupyter and IPython: as a small page, and as a few lines of text in a terminal.

The nouns know nothing of this: IPython's formatters are told which function shows which class, by name, so that
nothing is imported before something is shown. It happens on the first use of a public name of `gradiometer` while
IPython runs, or by `%load_ext gradiometer`.
"""

import html
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gradiometer.schema import Comparison, Diagnosis, Finding, Outcome, Run
from gradiometer.showing.outcome_words import contrast_sentences, outcome_numbers, outcome_warnings
from gradiometer.showing.wording import (
    OUTCOME_WORDS,
    VERDICT_WORDS,
    condition_in_words,
    cure_in_words,
    cures_in_words,
    layers_in_words,
    number_beside,
    sentence,
    verdict_sentence,
)
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
}
"""Verdict or severity to the colour of the edge; the word stands beside it."""

MOST_ROWS = 20
"""Layers in the small ladder of a run, findings of a diagnosis, changes of a comparison."""


@dataclass(frozen=True, slots=True)
class Card:
    """What is shown of a noun.

    Attributes:
        mood: A key of `EDGE_COLOURS`.
        title: Verdict or condition.
        lines: Sentences below it.
        points: A list below these: what it is called, what is said of it.
        bars: A list of layers with a number in dB each, drawn as bars.
        code: Code to paste.
    """

    mood: str
    title: str
    lines: tuple[str, ...] = ()
    points: tuple[tuple[str, str], ...] = ()
    bars: tuple[tuple[str, float], ...] = ()
    code: str = ""


def card_of_run(run: Run) -> Card:
    """A run: what was run, its verdict, what happened, the level at each layer."""
    from gradiometer.diagnosing import diagnose
    from gradiometer.explaining.story import tell_story
    from gradiometer.showing.layer_rows import rows_of_run, snapshot_to_show

    diagnosis = diagnose(run)
    index = snapshot_to_show(run, diagnosis.findings[0].step if diagnosis.findings else None)
    story = tell_story(run, diagnosis, index)
    levels = [(row.name, row.level_db) for row in rows_of_run(run, index) if row.level_db is not None]
    return Card(
        mood=diagnosis.verdict,
        title=VERDICT_WORDS[diagnosis.verdict][0],
        lines=tuple(text for text in (*story.opening, story.headline or verdict_sentence(diagnosis)) if text),
        points=tuple((f"step {moment.step}", moment.text) for moment in story.moments),
        bars=tuple((name, level) for name, level in chosen_levels(levels)),
    )


def chosen_levels(levels: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """At most `MOST_ROWS` of the layers, evenly, the output first."""
    from gradiometer.showing.figures.parts import evenly_chosen

    return [levels[place] for place in reversed(evenly_chosen(len(levels), MOST_ROWS))]


def card_of_diagnosis(diagnosis: Diagnosis) -> Card:
    """A diagnosis: verdict, findings in a line each, coverage."""
    findings = [(condition_in_words(one.condition), f"({one.severity}) {one.summary}") for one in diagnosis.findings]
    coverage = (sentence(diagnosis.coverage.line),) if diagnosis.coverage.total_count else ()
    return Card(
        mood=diagnosis.verdict,
        title=VERDICT_WORDS[diagnosis.verdict][0],
        lines=(verdict_sentence(diagnosis), *coverage),
        points=tuple(findings),
    )


def card_of_finding(finding: Finding) -> Card:
    """A finding: what, where, why with numbers, what to try."""
    evidence = [
        f"{entry.text} {number_beside(entry.text, entry.value, entry.unit)}".strip() for entry in finding.evidence
    ]
    share = number_beside(finding.cause.text, finding.cause.share_db, "dB")
    points = [
        ("where", f"{layers_in_words(finding.layers)}, first told at step {finding.step}"),
        ("why", f"{finding.cause.text} {share}".strip()),
        *(("numbers", text) for text in evidence),
        ("if nothing is done", finding.prognosis),
        *(("what to try", f"{cure_in_words(label)} [{label}]") for label in finding.cures[:3]),
    ]
    return Card(
        mood=finding.severity,
        title=f"{finding.severity}: {condition_in_words(finding.condition)}",
        lines=(sentence(finding.summary),),
        points=tuple((name, text) for name, text in points if text),
    )


def card_of_comparison(comparison: Comparison) -> Card:
    """A comparison: verdict, what decided, what changed."""
    verdicts = " → ".join(VERDICT_WORDS[verdict][0].lower() for verdict in (comparison.before, comparison.after))
    return Card(
        mood=comparison.verdict,
        title=comparison.verdict.capitalize(),
        lines=(verdicts, sentence(comparison.reason)),
        points=tuple((change.direction, change.text) for change in comparison.changes),
    )


def card_of_outcome(outcome: Outcome) -> Card:
    """An outcome of trials: verdict, numbers, ranking, the change as code."""
    cured = f"Cure: {cures_in_words(outcome.cures)}." if outcome.cures else ""
    lines = (
        OUTCOME_WORDS[outcome.verdict],
        cured,
        *outcome_warnings(outcome),
        sentence(outcome.detail),
        outcome_numbers(outcome),
        *contrast_sentences(outcome),
    )
    ranking = [
        (cures_in_words(one.cures), one.verdict or f"{one.sieve}: {one.detail}".strip()) for one in outcome.ranking
    ]
    return Card(
        mood=outcome.verdict,
        title=outcome.verdict.capitalize(),
        lines=tuple(line for line in lines if line),
        points=tuple(ranking),
        code=outcome.snippet,
    )


CARDS: Mapping[tuple[str, str], Callable[[Any], Card]] = {
    (noun.__module__, noun.__name__): make
    for noun, make in (
        (Run, card_of_run),
        (Diagnosis, card_of_diagnosis),
        (Finding, card_of_finding),
        (Comparison, card_of_comparison),
        (Outcome, card_of_outcome),
    )
}
"""Module and class of a noun to its card."""


def card_of(noun: Any) -> Card:
    """The card of a noun.

    Raises:
        KeyError: It is none of `CARDS`.
    """
    return CARDS[type(noun).__module__, type(noun).__name__](noun)


def html_of(noun: Any) -> str:
    """A noun as HTML without scripts; text is escaped, colours suit light and dark pages."""
    card = card_of(noun)
    colour = EDGE_COLOURS[card.mood]
    lines = "".join(f"<p style='margin:.3em 0'>{html.escape(line)}</p>" for line in card.lines)
    code = f"<pre style='overflow-x:auto'>{html.escape(card.code)}</pre>" if card.code else ""
    return (
        f"<div style='border-left:5px solid {colour};padding:.2em 0 .2em .8em;max-width:60em'>"
        f"<b style='font-size:1.15em'>{html.escape(card.title)}</b>{lines}"
        f"{points_html(card)}{bars_html(card.bars)}{code}</div>"
    )


def points_html(card: Card) -> str:
    """The list of a card; what is beyond `MOST_ROWS` is counted."""
    if not card.points:
        return ""
    rows = "".join(
        f"<dt style='float:left;clear:left;min-width:5em;opacity:.75'>{html.escape(name)}</dt>"
        f"<dd style='margin:0 0 .25em 6.5em'>{html.escape(text)}</dd>"
        for name, text in card.points[:MOST_ROWS]
    )
    return f"<dl style='margin:.4em 0'>{rows}</dl>{html.escape(beyond(card))}"


def beyond(card: Card) -> str:
    """How many points are not shown; empty where all are."""
    rest_count = len(card.points) - MOST_ROWS
    return f"and {rest_count} more" if rest_count > 0 else ""


def bars_html(bars: tuple[tuple[str, float], ...]) -> str:
    """Levels as bars from the output to the input: to the left what got lost, to the right what grew."""
    finite = [abs(level) for _, level in bars if math.isfinite(level)]
    reach = max([*finite, 40.0])
    if not finite:
        return ""
    rows = "".join(bar_html(name, level, reach) for name, level in bars)
    heading = "<p style='margin:.5em 0 .2em'>Level of the gradient at each layer, relative to the output (top)</p>"
    return f"{heading}<div style='font-size:.85em'>{rows}</div>"


def bar_html(name: str, level_db: float, reach_db: float) -> str:
    """One bar with its name and number."""
    bounded = min(max(level_db, -reach_db), reach_db)
    width, start = 50.0 * abs(bounded) / reach_db, 50.0 + 50.0 * min(bounded, 0.0) / reach_db
    colour = "#2f7fbf" if bounded < 0.0 else "#dd7d1d"
    return (
        "<div style='display:flex;gap:.6em;align-items:center'>"
        "<span style='flex:0 1 14em;min-width:4em;overflow:hidden;text-overflow:ellipsis;white-space:nowrap'>"
        f"{html.escape(name)}</span>"
        "<span style='position:relative;flex:1 1 8em;height:.8em;background:rgba(128,136,148,.14)'>"
        f"<span style='position:absolute;top:0;bottom:0;left:{start:.1f}%;width:{width:.1f}%;background:{colour}'>"
        f"</span></span><span style='flex:0 0 5.5em;text-align:right'>{format_db(level_db)}</span></div>"
    )


def text_of(noun: Any) -> str:
    """A noun as text for a terminal."""
    card = card_of(noun)
    points = [f"  {name}: {text}" for name, text in card.points[:MOST_ROWS]]
    rest = [f"  {beyond(card)}"] if beyond(card) else []
    return "\n".join([card.title.upper(), *card.lines, *points, *rest, *([card.code] if card.code else [])])


def load_ipython_extension(shell: Any) -> None:
    """Tell an IPython shell how nouns are shown; a second time does nothing new."""
    formatters = shell.display_formatter.formatters
    for module, name in CARDS:
        formatters["text/html"].for_type_by_name(module, name, html_of)
        formatters["text/plain"].for_type_by_name(module, name, print_noun)


def print_noun(noun: Any, printer: Any, is_cycle: bool) -> None:  # noqa: FBT001 - IPython calls it so
    """Print a noun through IPython's printer of text."""
    printer.text(repr(type(noun)) if is_cycle else text_of(noun))


def show_nouns_where_ipython_runs() -> None:
    """Tell the running IPython shell how nouns are shown; nothing where none runs."""
    python = sys.modules.get("IPython")
    shell = python.get_ipython() if python is not None and hasattr(python, "get_ipython") else None
    if shell is not None:
        load_ipython_extension(shell)
