"""A diagnosis as a short page of Markdown, for the summary of a job or a comment: verdict, findings, what to try next.

Markdown of others is HTML too, so every letter of a name or a text that means something in either is escaped.
"""

import re

from gradiometer.schema import Diagnosis, Finding, Run, Severity
from gradiometer.showing.condition_results import condition_results
from gradiometer.showing.wording import (
    VERDICT_WORDS,
    command_of,
    condition_in_words,
    cure_in_words,
    layers_in_words,
    next_command,
    number_beside,
    sentence,
    verdict_sentence,
)

ESCAPES: dict[str, str] = {
    **{letter: f"\\{letter}" for letter in "\\`*_[]#|~@$"},
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
}
"""Letters that Markdown, HTML, a mention of somebody or a formula is made of, and how they are written."""


def markdown_text(run: Run, diagnosis: Diagnosis, threshold: Severity | None = None) -> str:
    """Write a diagnosis as Markdown.

    Args:
        run: The run.
        diagnosis: What is wrong with it.
        threshold: Severity from which on a finding is a failure; `warning` where None.
    """
    name = command_of(run) or str(run.facts.get("script") or "run")
    results = condition_results(run, diagnosis, threshold)
    counts = [f"{sum(one.status == status for one in results)} {status}" for status in ("failed", "passed", "skipped")]
    lines = [
        f"## gradiometer: {VERDICT_WORDS[diagnosis.verdict][0].lower()}",
        "",
        f"{code(name)}: {escaped(verdict_sentence(diagnosis))}",
        "",
    ]
    if diagnosis.findings:
        lines += ["| severity | what | where | why |", "|---|---|---|---|"]
        lines += [row_of(finding) for finding in diagnosis.findings]
        lines.append("")
        lines += [part for finding in diagnosis.findings for part in details_of(finding)]
    facts = [f"{run.step_count} steps", escaped(diagnosis.coverage.line), f"conditions: {', '.join(counts)}"]
    lines.append(f"{'; '.join(facts)}.")
    command = next_command(run, diagnosis, None)
    if command:
        lines += ["", f"Next: {code(command)}"]
    return "\n".join(lines) + "\n\n"


def row_of(finding: Finding) -> str:
    """A finding as a row of a table."""
    share = number_beside(finding.cause.text, finding.cause.share_db, "dB")
    why = f"{finding.cause.text} {share}".strip()
    cells = (finding.severity, condition_in_words(finding.condition), layers_in_words(finding.layers), why)
    return f"| {' | '.join(escaped(cell) for cell in cells)} |"


def details_of(finding: Finding) -> list[str]:
    """A finding's sentence, its numbers and what to try."""
    numbers = [f"{one.text} {number_beside(one.text, one.value, one.unit)}".strip() for one in finding.evidence[:4]]
    cures = "; ".join(cure_in_words(label) for label in finding.cures[:3])
    follows = ", ".join(condition_in_words(one.condition) for one in finding.consequences)
    points = [
        *numbers,
        *([f"What to try: {cures}"] if cures else []),
        *([f"What follows: {follows}"] if follows else []),
    ]
    return [
        f"**{escaped(condition_in_words(finding.condition))}**: {escaped(sentence(finding.summary))}",
        "",
        *(f"- {escaped(point)}" for point in points),
        "",
    ]


def escaped(text: str) -> str:
    r"""A text that is shown as it is, in one line.

    Example:
        >>> print(escaped("<b> a_b | c"))
        &lt;b&gt; a\_b \| c
    """
    shown = "".join(ESCAPES.get(letter, letter) if letter.isprintable() else " " for letter in text)
    return shown.replace("://", ":&#47;&#47;")  # what looks like an address becomes a link by itself


def code(text: str) -> str:
    """A text as code in a line, whatever backticks it holds.

    Example:
        >>> code("train.py"), code("a`b")
        ('`train.py`', '`` a`b ``')
    """
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    longest = max((len(ticks) for ticks in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {shown} {fence}" if longest else f"`{shown}`"
