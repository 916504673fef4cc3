"""How nouns display themselves in Jupyter and IPython: as a small page, and as a few lines of text in a terminal.

The nouns know nothing of this: IPython's formatters are told which function shows which class, by name, so that
nothing is imported before something is shown. It happens on the first use of a public name of `gradiometer` while
IPython runs, or by `%load_ext gradiometer`.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from gradiometer.schema import Comparison, Diagnosis, Finding, Outcome, Run, Trial
from gradiometer.schema.explained import Agreement, Nudges
from gradiometer.showing.card import Card, html_of_card, level_chart, text_of_card
from gradiometer.showing.explained_cards import card_of_agreement, card_of_nudges
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
    written,
)
from gradiometer.units import format_seconds

LEVEL_HEADING = "Level of the gradient at each layer, relative to the output (top)"


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
        charts=(level_chart(levels, LEVEL_HEADING),),
    )


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


def card_of_cure(result: Any) -> Card:
    """What came of curing a function (`CureResult`): the outcome, or why nothing was tried."""
    report = f"gradiometer report {result.file}"
    if result.outcome is None:
        card = card_of_diagnosis(result.diagnosis)
        return replace(card, lines=(*card.lines, "Nothing was tried: nothing is wrong.", f"Everything: {report}"))
    card = card_of_outcome(result.outcome)
    found = [condition_in_words(one.condition) for one in result.diagnosis.findings]
    wrong = (f"Found: {', '.join(found)}.",) if found else ()
    return replace(card, lines=(*wrong, *card.lines, f"Everything: {report}"))


def card_of_trial(trial: Trial) -> Card:
    """A trial: what was tried, how it ended."""
    batches = {True: "those of the control", False: "not those of the control", None: ""}[trial.is_paired]
    points = (
        ("seed", str(trial.seed)),
        ("final loss", "" if trial.final_loss is None else written(trial.final_loss)),
        ("steps", str(trial.step_count)),
        ("time", "" if trial.elapsed_seconds is None else format_seconds(trial.elapsed_seconds)),
        ("batches", batches),
        ("run file", trial.run_file),
        ("why", trial.detail),
    )
    return Card(
        mood=trial.status,
        title=f"{trial.sieve.capitalize()} {trial.status}",
        lines=(sentence(cures_in_words(trial.cures)),),
        points=tuple((name, text) for name, text in points if text),
    )


CARDS: Mapping[tuple[str, str], Callable[[Any], Card]] = {
    (noun.__module__, noun.__name__): make
    for noun, make in (
        (Run, card_of_run),
        (Diagnosis, card_of_diagnosis),
        (Finding, card_of_finding),
        (Comparison, card_of_comparison),
        (Outcome, card_of_outcome),
        (Trial, card_of_trial),
        (Nudges, card_of_nudges),
        (Agreement, card_of_agreement),
    )
} | {("gradiometer.curing.callables", "CureResult"): card_of_cure}
"""Module and class of a noun to its card."""


def card_of(noun: Any) -> Card:
    """The card of a noun.

    Raises:
        KeyError: It is none of `CARDS`.
    """
    return CARDS[type(noun).__module__, type(noun).__name__](noun)


def html_of(noun: Any) -> str:
    """A noun as HTML without scripts; text is escaped, colours suit light and dark pages."""
    return html_of_card(card_of(noun))


def text_of(noun: Any) -> str:
    """A noun as text for a terminal."""
    return text_of_card(card_of(noun))


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
