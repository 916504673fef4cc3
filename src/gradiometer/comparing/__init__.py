"""What changed between two runs, and whether for better or worse.

The verdict of a diagnosis goes first: a run that is broken is worse than one at risk, whatever their losses say. Of two
with the same verdict the one with fewer findings, or milder ones, is better; of two with the same findings the one
whose loss is lower by more than noise, at the last step that both reached. Two runs are one pair: what the seed does is
in the difference too, and only `gradiometer cure` tells it apart.
"""

from collections.abc import Sequence

from gradiometer.comparing.figures import figure_changes, loss_change
from gradiometer.comparing.setup import setting_changes
from gradiometer.diagnosing import diagnose
from gradiometer.schema import (
    SEVERITIES,
    Change,
    Comparison,
    ComparisonVerdict,
    Diagnosis,
    Direction,
    Finding,
    Run,
    Verdict,
)
from gradiometer.settings import Ignored

VERDICT_RANKS: dict[Verdict, int] = {"healthy": 0, "at_risk": 1, "broken": 2}
"""Verdicts that can be compared, best first; `unknown` is neither better nor worse than another."""


def compare(before: Run, after: Run, *, ignore: Sequence[Ignored] = ()) -> Comparison:
    """Say what changed from one run to another.

    Args:
        before: The first run.
        after: The second run.
        ignore: Findings to leave out on both sides; the settings' ignore list.

    Returns:
        The comparison. It is `not comparable` where one of the two verdicts is unknown and neither findings nor losses
        tell them apart.

    Example:
        >>> compare(Run(), Run()).verdict
        'not comparable'
    """
    diagnoses = diagnose(before, ignore=ignore), diagnose(after, ignore=ignore)
    verdicts = verdict_changes(*diagnoses)
    findings = finding_changes(*diagnoses)
    loss = loss_change(before, after)
    is_known = "unknown" not in (diagnoses[0].verdict, diagnoses[1].verdict)
    verdict, reason = decided((verdicts, findings, loss)) or undecided(is_known=is_known, has_loss=bool(loss))
    changes = (*verdicts, *findings, *loss, *figure_changes(before, after), *setting_changes(before, after))
    return Comparison(verdict, reason, diagnoses[0].verdict, diagnoses[1].verdict, changes)


def decided(stages: Sequence[Sequence[Change]]) -> tuple[ComparisonVerdict, str] | None:
    """Verdict and reason by the first of several kinds of changes that leads anywhere; None where none does."""
    for changes in stages:
        direction = direction_of(changes)
        if direction != "other":
            return direction, next(change.text for change in changes if change.direction == direction)
    return None


def undecided(*, is_known: bool, has_loss: bool) -> tuple[ComparisonVerdict, str]:
    """Verdict and reason where nothing tells two runs apart."""
    if is_known:
        loss = ", and the losses do not differ by more than noise" if has_loss else ""
        return "same", f"both runs have the same verdict and findings{loss}"
    return "not comparable", "too little was seen of one of the two for a verdict"


def direction_of(changes: Sequence[Change]) -> Direction:
    """Where several changes lead together: `worse` if any is, else `better` if any is."""
    directions = {change.direction for change in changes}
    if "worse" in directions:
        return "worse"
    return "better" if "better" in directions else "other"


def verdict_changes(before: Diagnosis, after: Diagnosis) -> list[Change]:
    """The change of the verdict; none where it is the same."""
    if before.verdict == after.verdict:
        return []
    text = f"the verdict was {in_words(before.verdict)} and is {in_words(after.verdict)}"
    ranks = VERDICT_RANKS.get(before.verdict), VERDICT_RANKS.get(after.verdict)
    direction: Direction = "other"
    if ranks[0] is not None and ranks[1] is not None:
        direction = "worse" if ranks[1] > ranks[0] else "better"
    return [Change("verdict", "", direction, text, before.verdict, after.verdict)]


def in_words(verdict: Verdict) -> str:
    """A verdict as people say it."""
    return verdict.replace("_", " ")


def finding_changes(before: Diagnosis, after: Diagnosis) -> list[Change]:
    """Conditions that came, went, or are more or less severe now, roots and consequences alike; `info` left out."""
    old, new = worst_by_condition(before), worst_by_condition(after)
    changes = []
    for condition in (*new, *(name for name in old if name not in new)):
        was, now = old.get(condition), new.get(condition)
        if was is None or now is None or was.severity != now.severity:
            changes.append(finding_change(condition, was, now))
    return sorted(changes, key=lambda change: change.direction != "worse")


def finding_change(condition: str, was: Finding | None, now: Finding | None) -> Change:
    """One condition that differs; at least one of the two runs has it."""
    name = condition.replace("_", " ")
    severities = was.severity if was else None, now.severity if now else None
    if now is None:
        return Change("finding", condition, "better", f"{name} is gone", *severities)
    if was is None:
        where = f" at {now.layers[0]}" if now.layers else ""
        return Change("finding", condition, "worse", f"{name} is new{where}: {now.severity}", *severities)
    is_milder = SEVERITIES.index(now.severity) > SEVERITIES.index(was.severity)
    text = f"{name} was {was.severity} and is {now.severity}"
    return Change("finding", condition, "better" if is_milder else "worse", text, *severities)


def worst_by_condition(diagnosis: Diagnosis) -> dict[str, Finding]:
    """The most severe finding of each condition at or above `warning`, consequences included."""
    flat = [link for root in diagnosis.findings for link in (root, *root.consequences)]
    flat.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    worst: dict[str, Finding] = {}
    for finding in flat:
        if finding.severity != "info":
            worst.setdefault(finding.condition, finding)
    return worst
