"""From a `Run` to what is wrong with it: one condition per file, and one finding per chain of causes."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from gradiometer.diagnosing.accumulating import find_accumulating
from gradiometer.diagnosing.chains import join_chains
from gradiometer.diagnosing.collapsed import find_collapsed
from gradiometer.diagnosing.dead import find_dead
from gradiometer.diagnosing.disconnected import find_disconnected
from gradiometer.diagnosing.diverging import find_diverging
from gradiometer.diagnosing.exploding import find_exploding
from gradiometer.diagnosing.exploding_memory import find_exploding_memory
from gradiometer.diagnosing.fading_memory import find_fading_memory
from gradiometer.diagnosing.linear import find_linear
from gradiometer.diagnosing.mismatched_loss import find_mismatched_loss
from gradiometer.diagnosing.noisy import find_noisy
from gradiometer.diagnosing.non_finite import find_non_finite
from gradiometer.diagnosing.oscillating import find_oscillating
from gradiometer.diagnosing.over_regularised import find_over_regularised
from gradiometer.diagnosing.saturated import find_saturated
from gradiometer.diagnosing.seen import Doubt, reason_to_doubt, what_is_open
from gradiometer.diagnosing.stalled import find_stalled
from gradiometer.diagnosing.stuck import find_stuck
from gradiometer.diagnosing.symmetric import find_symmetric
from gradiometer.diagnosing.thrashing import find_thrashing
from gradiometer.diagnosing.underflowing import find_underflowing
from gradiometer.diagnosing.uneven import find_uneven
from gradiometer.diagnosing.unopened import NOTE, is_unopened
from gradiometer.diagnosing.unscaled_input import find_unscaled_input
from gradiometer.diagnosing.vanishing import find_vanishing
from gradiometer.schema import Diagnosis, Finding, Run, Verdict
from gradiometer.settings import Ignored

CONDITIONS: dict[str, Callable[[Run], list[Finding]]] = {
    "vanishing": find_vanishing,
    "exploding": find_exploding,
    "saturated": find_saturated,
    "dead": find_dead,
    "stuck": find_stuck,
    "non_finite": find_non_finite,
    "stalled": find_stalled,
    "thrashing": find_thrashing,
    "disconnected": find_disconnected,
    "accumulating": find_accumulating,
    "mismatched_loss": find_mismatched_loss,
    "linear": find_linear,
    "over_regularised": find_over_regularised,
    "unscaled_input": find_unscaled_input,
    "symmetric": find_symmetric,
    "underflowing": find_underflowing,
    "diverging": find_diverging,
    "oscillating": find_oscillating,
    "noisy": find_noisy,
    "uneven": find_uneven,
    "collapsed": find_collapsed,
    "fading_memory": find_fading_memory,
    "exploding_memory": find_exploding_memory,
}
"""All conditions by name; each has a file of that name, whose docstring is its page in the docs."""


def diagnose(run: Run, *, ignore: Sequence[Ignored] = ()) -> Diagnosis:
    """Say what is wrong with a run.

    Args:
        run: The run, finished or not.
        ignore: Findings to leave out: condition, layer and reason; the settings' ignore list.

    Returns:
        The diagnosis: `broken` with a critical finding, `at_risk` with a warning, `unknown` where too little was seen
        to say so and nothing was found, else `healthy`. A finding that was brought about by another is listed under
        it; one that the ignore list names is kept aside with its reason, and then its consequences stand alone.
    """
    if run.snapshot_count == 0 and run.loss is None:
        return unknown(run, (), (), reason_to_doubt(run))
    kept: list[Finding] = []
    ignored: list[tuple[Finding, str]] = []
    for find in CONDITIONS.values():
        for finding in noted(run, find(run)):
            rule = next((rule for rule in ignore if rule.matches(finding.condition, finding.layers)), None)
            if rule is None:
                kept.append(finding)
            else:
                ignored.append((finding, rule.reason))
    findings = join_chains(kept, {layer.name: layer.position for layer in run.layers})
    doubt = reason_to_doubt(run)
    verdict = verdict_of(findings, is_doubted=doubt is not None)
    if verdict == "unknown":
        return unknown(run, findings, tuple(ignored), doubt)
    still_open = what_is_open(run) if verdict == "healthy" else ""
    return Diagnosis(verdict, findings, run.coverage, still_open, tuple(ignored))


def unknown(
    run: Run, findings: tuple[Finding, ...], ignored: tuple[tuple[Finding, str], ...], doubt: Doubt | None
) -> Diagnosis:
    """The diagnosis of a run of which too little was seen, with what would show more."""
    if doubt is None:
        return Diagnosis("unknown", findings, run.coverage, ignored=ignored, way_out="more_steps")
    return Diagnosis("unknown", findings, run.coverage, doubt.reason, ignored, doubt.way_out)


def noted(run: Run, findings: Sequence[Finding]) -> list[Finding]:
    """Findings as they are; where parameters alone were seen, each says so among its first lines of evidence."""
    if not is_unopened(run):
        return list(findings)
    return [replace(found, evidence=(*found.evidence[:3], NOTE, *found.evidence[3:])) for found in findings]


def verdict_of(findings: Sequence[Finding], *, is_doubted: bool) -> Verdict:
    """The verdict: the worst finding's, or `unknown` where there is a reason to doubt and nothing was found."""
    severities = {finding.severity for finding in findings}
    if "critical" in severities:
        return "broken"
    if "warning" in severities:
        return "at_risk"
    return "unknown" if is_doubted else "healthy"
