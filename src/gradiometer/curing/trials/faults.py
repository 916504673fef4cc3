"""What counts as a fault of a training, and whether another training shows the same one."""

from collections.abc import Iterable, Sequence

from gradiometer.schema import Finding

SERIOUS_SEVERITIES = ("critical", "warning")
"""Findings that are worth a cure."""


def serious(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those at warning or above, in their order."""
    return tuple(finding for finding in findings if finding.severity in SERIOUS_SEVERITIES)


def share_a_fault(found: Sequence[Finding], diagnosed: Sequence[Finding]) -> bool:
    """Whether a condition or a known cause of what was diagnosed is among what was found.

    A loss that is no number again is the same fault, whatever it was put down to: with another seed it may come before
    there is anything else to see.
    """
    conditions = {finding.condition for finding in diagnosed}
    causes = {finding.cause.name for finding in diagnosed} - {"unknown"}
    is_same = any(one.condition in conditions or one.cause.name in causes for one in serious(found))
    return is_same or (is_without_number(found) and is_without_number(diagnosed))


def is_without_number(findings: Sequence[Finding]) -> bool:
    """Whether NaN or infinity is among some serious findings, or follows from one of them."""
    return any(
        one.condition == "non_finite" for finding in serious(findings) for one in (finding, *finding.consequences)
    )
