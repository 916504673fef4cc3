"""One chain of causes is one finding, at its root; what follows from it is listed under it.

What a condition can bring about is a literal table. A finding belongs under another where that one can have brought
it about and did not set in later. What is at fault in the program itself was there before the first step, however late
it can be told. Of two findings that set in at the same step the one that is a state of the network comes before the
one that is a move of the optimizer, and both before what the loss does: the state was there before the step.

The damage is counted once, at the root: what follows from it names its cause without decibels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from types import MappingProxyType

from gradiometer.schema import SEVERITIES, Finding

PROGRAM_FAULTS: tuple[str, ...] = (
    "disconnected",
    "accumulating",
    "mismatched_loss",
    "linear",
    "over_regularised",
    "unscaled_input",
    "symmetric",
)
"""What program, data and drawn weights show by themselves; nothing that happens in training brings it about."""

STATES: tuple[str, ...] = (
    "exploding_memory",
    "exploding",
    "saturated",
    "dead",
    "underflowing",
    "fading_memory",
    "vanishing",
    "collapsed",
    "uneven",
)
"""How the network stands before a step is taken."""

MOVES: tuple[str, ...] = ("thrashing", "stuck")
"""What the optimizer does."""

LOSSES: tuple[str, ...] = ("non_finite", "diverging", "oscillating", "noisy", "stalled")
"""What comes out of it."""

STATES_FIRST: tuple[str, ...] = tuple(chain(PROGRAM_FAULTS, STATES, MOVES, LOSSES))
"""Order of conditions that set in at the same step."""

FOLLOWS_FROM: dict[str, frozenset[str]] = {
    # A short memory is a finding only where nothing is learned, which a fault of the program or of the rate explains.
    "disconnected": frozenset(
        {"vanishing", "dead", "fading_memory", "collapsed", "uneven", "stuck", "noisy", "stalled"}
    ),
    "accumulating": frozenset({*STATES, *MOVES, *LOSSES}),
    "mismatched_loss": frozenset({*STATES, *MOVES, *LOSSES} - {"exploding_memory"}),
    "linear": frozenset({"vanishing", "exploding", "collapsed", "uneven", "diverging", "stalled"}),
    "over_regularised": frozenset({*STATES, *MOVES, *LOSSES} - {"exploding", "exploding_memory", "non_finite"}),
    "unscaled_input": frozenset({*STATES, *MOVES, *LOSSES}),
    "symmetric": frozenset({*STATES, *MOVES, *LOSSES} - {"exploding_memory", "fading_memory", "underflowing"}),
    "exploding": frozenset({*STATES, *MOVES, *LOSSES} - {"exploding", "exploding_memory", "fading_memory"}),
    "exploding_memory": frozenset({*STATES, *MOVES, *LOSSES} - {"exploding_memory"}),
    "saturated": frozenset(
        {"dead", "vanishing", "fading_memory", "collapsed", "uneven", "stuck", "oscillating", "noisy", "stalled"}
    ),
    "dead": frozenset({"vanishing", "collapsed", "uneven", "thrashing", "stuck", "oscillating", "noisy", "stalled"}),
    "underflowing": frozenset({*STATES, *MOVES, *LOSSES} - {"underflowing", "exploding_memory"}),
    "vanishing": frozenset(
        {"saturated", "dead", "underflowing", "collapsed", "uneven", "stuck", "oscillating", "noisy", "stalled"}
    ),
    "fading_memory": frozenset({"vanishing", "collapsed", "uneven", "stuck", "noisy", "stalled"}),
    "collapsed": frozenset({"vanishing", "dead", "saturated", "uneven", "stuck", "oscillating", "noisy", "stalled"}),
    "uneven": frozenset({"stuck", "oscillating", "noisy", "stalled"}),
    "thrashing": frozenset({*STATES, "stuck", *LOSSES}),
    "stuck": frozenset({"vanishing", "fading_memory", "uneven", "noisy", "stalled"}),
    "non_finite": frozenset({*STATES, *MOVES, *LOSSES} - {"non_finite"}),
    "diverging": frozenset({*STATES, *MOVES, *LOSSES} - {"diverging", "fading_memory"}),
    "oscillating": frozenset({"saturated", "dead", "collapsed", "noisy", "stalled"}),
    "noisy": frozenset({"collapsed", "uneven", "oscillating", "stalled"}),
    "stalled": frozenset(),
}
"""Condition to the conditions that it brings about."""

ACTS_BACKWARD: dict[str, frozenset[str]] = {
    "saturated": frozenset({"vanishing"}),
    "dead": frozenset({"vanishing"}),
}
"""Condition to what it brings about only in layers on its own input side."""


def join_chains(
    findings: Sequence[Finding], positions: Mapping[str, int] = MappingProxyType({})
) -> tuple[Finding, ...]:
    """Put each finding under the root that it follows from.

    Args:
        findings: All findings, each on its own.
        positions: Rank of every layer in the order of execution, by name; of layers that it lacks it is taken that
            one can lie behind another.

    Returns:
        The roots, worst first; a root is as severe as the worst that follows from it. A finding of severity `info` is
        never a root of others, but may follow from one.
    """
    ordered = sorted(findings, key=order_of)
    roots: list[Finding] = []
    for finding in ordered:
        index = next((i for i, root in enumerate(roots) if brings_about(root, finding, positions)), None)
        if index is None:
            roots.append(finding)
        else:
            roots[index] = under(roots[index], finding)
    return tuple(sorted(roots, key=lambda finding: (SEVERITIES.index(finding.severity), finding.step)))


def order_of(finding: Finding) -> tuple[bool, int, int]:
    """What sorts findings by which can have brought about which: notes last, then by when they set in, then by rank."""
    began = -1 if finding.condition in PROGRAM_FAULTS else finding.step
    return finding.severity == "info", began, rank_of(finding)


def rank_of(finding: Finding) -> int:
    """Place of a finding among those that set in at the same step."""
    return STATES_FIRST.index(finding.condition)


def brings_about(root: Finding, finding: Finding, positions: Mapping[str, int]) -> bool:
    """Whether a finding follows from a root, or from what already follows from it."""
    if root.severity == "info":
        return False
    links = [link for link in (root, *root.consequences) if link.severity != "info"]
    return any(
        finding.condition in FOLLOWS_FROM[link.condition] and reaches(link, finding, positions) for link in links
    )


def reaches(link: Finding, finding: Finding, positions: Mapping[str, int]) -> bool:
    """Whether a finding lies where another acts: what acts backward acts on layers before it alone."""
    if finding.condition not in ACTS_BACKWARD.get(link.condition, ()):
        return True
    acting = [positions[layer] for layer in link.layers if layer in positions]
    frontier = positions.get(finding.layers[0]) if finding.layers else None
    return not acting or frontier is None or frontier <= max(acting)


def under(root: Finding, finding: Finding) -> Finding:
    """A root with one more consequence, whose share of the damage is the root's."""
    severity = min(root.severity, finding.severity, key=SEVERITIES.index)
    following = replace(finding, cause=replace(finding.cause, share_db=None))
    return replace(root, severity=severity, consequences=(*root.consequences, following))
