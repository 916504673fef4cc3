"""One chain of causes is one finding, at its root; what follows from it is listed under it.

What a condition can bring about is a literal table. A finding belongs under another where that one can have brought
it about and did not set in later. Of two that set in at the same step the one that is a state of the network comes
before the one that is a move of the optimizer: the state was there before the step.
"""

from collections.abc import Sequence
from dataclasses import replace

from gradiometer.schema import SEVERITIES, Finding

FOLLOWS_FROM: dict[str, frozenset[str]] = {
    "exploding": frozenset({"thrashing", "saturated", "dead", "non_finite", "vanishing", "stuck", "stalled"}),
    "thrashing": frozenset({"exploding", "saturated", "dead", "non_finite", "vanishing", "stuck", "stalled"}),
    "dead": frozenset({"vanishing", "stuck", "stalled", "thrashing"}),
    "saturated": frozenset({"vanishing", "stuck", "stalled", "dead"}),
    "vanishing": frozenset({"stuck", "stalled", "saturated", "dead"}),
    "stuck": frozenset({"stalled", "vanishing"}),
    "non_finite": frozenset({"stuck", "stalled", "dead", "vanishing", "thrashing", "exploding", "saturated"}),
    "stalled": frozenset(),
}
"""Condition to the conditions that it brings about."""

STATES_FIRST: tuple[str, ...] = (
    "exploding",
    "saturated",
    "dead",
    "vanishing",
    "thrashing",
    "stuck",
    "non_finite",
    "stalled",
)
"""Order of conditions that set in at the same step: states of the network, then moves, then what the loss does."""


def join_chains(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Put each finding under the root that it follows from.

    Args:
        findings: All findings, each on its own.

    Returns:
        The roots, worst first; a root is as severe as the worst that follows from it. A finding of severity `info` is
        never a root of others, but may follow from one.
    """
    ordered = sorted(findings, key=lambda finding: (finding.severity == "info", finding.step, rank_of(finding)))
    roots: list[Finding] = []
    for finding in ordered:
        index = next((i for i, root in enumerate(roots) if brings_about(root, finding)), None)
        if index is None:
            roots.append(finding)
        else:
            roots[index] = under(roots[index], finding)
    return tuple(sorted(roots, key=lambda finding: (SEVERITIES.index(finding.severity), finding.step)))


def rank_of(finding: Finding) -> int:
    """Place of a finding among those that set in at the same step."""
    return STATES_FIRST.index(finding.condition)


def brings_about(root: Finding, finding: Finding) -> bool:
    """Whether a finding follows from a root, or from what already follows from it."""
    if root.severity == "info":
        return False
    chain = [link for link in (root, *root.consequences) if link.severity != "info"]
    return any(finding.condition in FOLLOWS_FROM[link.condition] for link in chain)


def under(root: Finding, finding: Finding) -> Finding:
    """A root with one more consequence."""
    severity = min(root.severity, finding.severity, key=SEVERITIES.index)
    return replace(root, severity=severity, consequences=(*root.consequences, finding))
