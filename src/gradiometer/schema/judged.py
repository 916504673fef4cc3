"""What is concluded from a run: findings with evidence and cause, and the diagnosis."""

from dataclasses import dataclass, field
from typing import Literal

from gradiometer.schema.measured import Coverage

Severity = Literal["critical", "warning", "info"]
Verdict = Literal["healthy", "at_risk", "broken", "unknown"]
WayOut = Literal["", "more_steps", "open_compiled", "watch"]

SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info")
"""Severities, worst first."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One number behind a finding.

    Attributes:
        name: What was measured, in words.
        value: The number; None where the words say it all.
        unit: Its unit, empty for a bare ratio.
        text: The sentence people read.
    """

    name: str
    value: float | None
    unit: str
    text: str


@dataclass(frozen=True, slots=True)
class Cause:
    """Why, with its share of the damage.

    Attributes:
        name: A key of `gradiometer.prescribing.PRESCRIPTIONS`.
        share_db: Its share of the damage, dB, where it has one.
        text: The reason in words.
    """

    name: str
    share_db: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one change would make of the network, foretold before it is tried.

    Attributes:
        cure: Label of the change.
        quantity: `level` (at the trunk's far end, dB) or `update_ratio`.
        layer: Layer that it is foretold of.
        now: The quantity as it is.
        foretold: What it would be.
        text: The same in words, without the change.
    """

    cure: str
    quantity: Literal["level", "update_ratio"]
    layer: str
    now: float
    foretold: float
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A condition found.

    Attributes:
        condition: A key of `gradiometer.diagnosing.CONDITIONS`.
        severity: `critical`, `warning` or `info`.
        layers: Layers concerned, the frontier first.
        cause: The main cause.
        evidence: The numbers, most telling first.
        cures: Labels of the cures that fit, best first.
        summary: What, where and why, in one or two sentences.
        prognosis: What happens if nothing is done.
        step: First step at which it could be told.
        consequences: Findings that follow from this one.
        other_causes: What else contributes, largest share first.
        prediction: One change that would balance what is out of balance, and what it would give; None where none is
            known.
    """

    condition: str
    severity: Severity
    layers: tuple[str, ...]
    cause: Cause
    evidence: tuple[Evidence, ...]
    cures: tuple[str, ...]
    summary: str
    prognosis: str = ""
    step: int = 0
    consequences: tuple["Finding", ...] = ()
    other_causes: tuple[Cause, ...] = ()
    prediction: Prediction | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong with a run.

    Attributes:
        verdict: `healthy`, `at_risk`, `broken` or `unknown`.
        findings: Worst first.
        coverage: What was seen.
        reason: Why the verdict is `unknown`, or what is too early to tell of a healthy run; empty otherwise.
        ignored: Findings that the settings' ignore list took out, each with its reason.
        way_out: What would show more where the verdict is `unknown`: `more_steps`, `open_compiled` (measure the layers
            of a compiled model), `watch` (`gradiometer.watch` around the training loop); empty otherwise.
    """

    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    coverage: Coverage = field(default_factory=Coverage)
    reason: str = ""
    ignored: tuple[tuple[Finding, str], ...] = ()
    way_out: WayOut = ""

    def reaches(self, severity: Severity) -> bool:
        """Whether a finding is as severe as this, or more."""
        worst = SEVERITIES.index(severity)
        return any(SEVERITIES.index(finding.severity) <= worst for finding in self.findings)
