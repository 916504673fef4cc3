"""A diagnosis as a list of results, one for each condition: what continuous integration counts."""

from dataclasses import dataclass
from typing import Literal

from gradiometer.diagnosing import CONDITIONS
from gradiometer.diagnosing.judgeable import what_is_missing
from gradiometer.schema import SEVERITIES, Diagnosis, Finding, Run, Severity

Status = Literal["passed", "failed", "skipped"]

USUAL_THRESHOLD: Severity = "warning"
"""Severity that counts as a failure where nobody says: below it a run is called healthy."""


@dataclass(frozen=True, slots=True)
class Found:
    """A finding, and what it follows from.

    Attributes:
        finding: The finding.
        root: Condition of the finding that brought it about; empty for one that stands for itself.
        is_counted: It and its root are as severe as what counts as a failure.
    """

    finding: Finding
    root: str
    is_counted: bool


@dataclass(frozen=True, slots=True)
class ConditionResult:
    """What came of one condition.

    Attributes:
        condition: A key of `gradiometer.diagnosing.CONDITIONS`.
        status: `failed` where a finding counts, `skipped` where it was not judged, else `passed`.
        found: What was found of it, also where that is not severe enough to count.
        reason: Why it was skipped; empty otherwise.
    """

    condition: str
    status: Status
    found: tuple[Found, ...] = ()
    reason: str = ""


def condition_results(run: Run, diagnosis: Diagnosis, threshold: Severity | None = None) -> tuple[ConditionResult, ...]:
    """Tell what came of every condition.

    Args:
        run: The run.
        diagnosis: What is wrong with it.
        threshold: Severity from which on a finding counts; `USUAL_THRESHOLD` where None.

    Returns:
        One entry for each of `CONDITIONS`, in its order. A condition counts as passed only where the run holds what
        it is judged by and the run's verdict is known.
    """
    counted = SEVERITIES[: SEVERITIES.index(threshold or USUAL_THRESHOLD) + 1]
    found: dict[str, list[Found]] = {name: [] for name in CONDITIONS}
    for root in diagnosis.findings:
        is_counted = root.severity in counted
        found[root.condition].append(Found(root, "", is_counted))
        for finding in root.consequences:
            found[finding.condition].append(Found(finding, root.condition, is_counted and finding.severity in counted))
    ignored = {finding.condition: reason for finding, reason in diagnosis.ignored}
    return tuple(result_of(run, diagnosis, name, tuple(found[name]), ignored.get(name, "")) for name in CONDITIONS)


def result_of(
    run: Run, diagnosis: Diagnosis, condition: str, found: tuple[Found, ...], ignored: str
) -> ConditionResult:
    """What came of one condition; a finding is told before what was not measured."""
    if any(one.is_counted for one in found):
        return ConditionResult(condition, "failed", found)
    reason = f"ignored: {ignored}" if ignored else ""
    if not found and not reason:
        reason = what_is_missing(run, condition)
        reason = f"not measured: {reason}" if reason else ""
        if not reason and diagnosis.verdict == "unknown":
            reason = f"not judged: {diagnosis.reason or 'too little was seen for a verdict'}"
    return ConditionResult(condition, "skipped" if reason else "passed", found, reason)
