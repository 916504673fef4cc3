"""The report's section on cures as HTML: verdict, numbers, ranking, the change as code. All text is escaped."""

from gradiometer.schema import Outcome, Ranking, Run
from gradiometer.showing.outcome_words import contrast_sentences, outcome_numbers, outcome_warnings
from gradiometer.showing.page_frame import scrolling
from gradiometer.showing.page_terms import terms_line
from gradiometer.showing.report_parts import escaped
from gradiometer.showing.wording import OUTCOME_WORDS, cures_in_words, sentence, written

RANKING_HEADINGS = ("cure", "got as far as", "result", "final loss", "difference", "why")


def outcome_section(run: Run) -> str:
    """What the trials proved: verdict, interval, the change as code, all that was tried; nothing without trials."""
    outcome = run.outcome
    if outcome is None:
        return ""
    snippet = (
        f'<h3 id="code">The change as code</h3><pre tabindex="0"><code>{escaped(outcome.snippet)}</code></pre>'
        if outcome.snippet
        else ""
    )
    cured = f"<p>Cure: <b>{escaped(cures_in_words(outcome.cures))}</b></p>" if outcome.cures else ""
    detail = f"<p>{escaped(sentence(outcome.detail))}</p>" if outcome.detail else ""
    warnings = "".join(f"<p><b>{escaped(text)}</b></p>" for text in outcome_warnings(outcome))
    beside = "".join(f"<p>{escaped(text)}</p>" for text in contrast_sentences(outcome))
    return (
        f'<section class="outcome"><h2>Cure</h2><p class="headline">{escaped(OUTCOME_WORDS[outcome.verdict])}</p>'
        f"{terms_line(('control', 'interval', 'race', 'trunk'))}"
        f"{cured}{warnings}{detail}<p>{escaped(outcome_numbers(outcome))}</p>{beside}"
        f"{ranking_table(outcome)}{snippet}</section>"
    )


def ranking_table(outcome: Outcome) -> str:
    """All that was tried, best first."""
    if not outcome.ranking:
        return ""
    head = "".join(f'<th scope="col">{name}</th>' for name in RANKING_HEADINGS)
    rows = "".join(ranking_row(ranking) for ranking in outcome.ranking)
    table = f'<table class="words"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return f"<h3>All that was tried</h3>{scrolling(table, 'All cures that were tried', kind='stacked')}"


def ranking_row(ranking: Ranking) -> str:
    """One line of the ranking."""
    difference = "" if ranking.difference is None else f"{ranking.difference:+.4g}"
    if ranking.interval is not None:
        difference += f" ({ranking.interval[0]:+.4g} to {ranking.interval[1]:+.4g})"
    final_loss = "–" if ranking.final_loss is None else written(ranking.final_loss)
    cells = (
        cures_in_words(ranking.cures),
        ranking.sieve,
        ranking.verdict or "",
        final_loss,
        difference,
        ranking.detail,
    )
    first, *others = (
        f'data-label="{name}">{escaped(cell)}' for name, cell in zip(RANKING_HEADINGS, cells, strict=True)
    )
    return f'<tr><th scope="row" {first}</th>' + "".join(f"<td {cell}</td>" for cell in others) + "</tr>"
