"""Compares a cure with the control by what is no loss: balance of the levels, whether the fault is gone, accuracy.

None of them changes the verdict, which is about the loss; they say whether the loss came down for the reason that the
diagnosis gave. An endpoint is `better` or `worse` where the whole interval of the paired differences lies on one side
of zero and the mean difference is large enough to matter: a factor of two in balance, two right answers in a hundred.
Whether the fault is gone is a yes or no of each training, of which three to five pairs give no interval: it is
`better` where the fault is gone in every treated training and there in most of the control's, `worse` where it is the
other way round.

A treated training whose gradients were not finite at its end counts with the worst balance there is; such a pair's
control has no balance to compare, and the pair is left out of it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradiometer.curing.trials.contrasting import Match
from gradiometer.curing.trials.faults import serious, share_a_fault
from gradiometer.curing.trials.pairing import FINAL_SHARE, Reading
from gradiometer.curing.trials.strain import CLEAR_DB, MOST_RANGE_DB, range_db
from gradiometer.curing.trials.verdict import CONFIDENCE, paired_interval, welch_interval
from gradiometer.diagnosing import diagnose
from gradiometer.schema import Diagnosis, Endpoint, Finding, OutcomeVerdict, Run

CLEAR_ACCURACY = 0.02
"""Difference in accuracy below which it is none, as for the loss."""

FEWEST_MEASUREMENTS = 3
"""Full measurements that the end of a training has at least, where there are as many: one may be a freak."""


def endpoints_of(match: Match, findings: Sequence[Finding]) -> tuple[Endpoint, ...]:
    """Compare by all endpoints that the trials give.

    Args:
        match: Control and treated readings.
        findings: What was diagnosed in the untouched script.

    Returns:
        Those that at least one pair has; empty without pairs.
    """
    known = (balance(match), fault_gone(match, findings), accuracy(match))
    return tuple(endpoint for endpoint in known if endpoint is not None)


def balance(match: Match) -> Endpoint | None:
    """Compare the range of the levels on the trunk at the end of the trainings, dB; less is better.

    Returns:
        The endpoint; None where no pair has a trunk with levels.
    """
    rows = [(end_range_db(control.run), end_range_db(treated.run)) for control, treated in match.pairs]
    kept = [
        (before, MOST_RANGE_DB if math.isinf(after) else after)
        for before, after in rows
        if math.isfinite(before) and not math.isnan(after)
    ]
    if not kept:
        return None
    control, treated = [before for before, _ in kept], [after for _, after in kept]
    words = "At the end the levels on the trunk ranged over"
    text = f"{words} {middle(control):.1f} dB without it, {middle(treated):.1f} dB with it"
    return compared("balance", match, control, treated, text, clear=CLEAR_DB, better_sign=-1)


def accuracy(match: Match) -> Endpoint | None:
    """Compare the share of right answers on the training batches of the last fifth of the steps; more is better.

    Returns:
        The endpoint; None where no pair has an accuracy on both sides.
    """
    rows = [(end_accuracy(control.run), end_accuracy(treated.run)) for control, treated in match.pairs]
    kept = [row for row in rows if not any(map(math.isnan, row))]
    if not kept:
        return None
    control, treated = [before for before, _ in kept], [after for _, after in kept]
    words = "Accuracy on the training batches of the last steps"
    text = f"{words}: {middle(control):.1%} without it, {middle(treated):.1%} with it"
    return compared("accuracy", match, control, treated, text, clear=CLEAR_ACCURACY, better_sign=1)


def fault_gone(match: Match, findings: Sequence[Finding]) -> Endpoint | None:
    """Count the trainings in which the diagnosed conditions and causes are not found any more.

    Returns:
        The endpoint; None without findings, or where too little was measured in every pair to tell.
    """
    judged = [(judge(control), judge(treated)) for control, treated in match.pairs]
    shown = [(before, after) for before, after in judged if before is not None and after is not None]
    if not shown or not findings:
        return None
    control = [float(not before.has(findings)) for before, _ in shown]
    treated = [float(not after.has(findings)) for _, after in shown]
    counts = f"{sum(treated):.0f} of {len(shown)} trainings with it, in {sum(control):.0f} without it"
    instead = found_instead([after for _, after in shown], findings)
    return Endpoint(
        "fault_gone",
        tuple(control),
        tuple(treated),
        middle(treated) - middle(control),
        None,
        all_against_most(control, treated),
        f"The fault was gone in {counts}{f'; found instead: {instead}' if instead else ''}.",
    )


@dataclass(frozen=True, slots=True)
class Shown:
    """What a trial shows.

    Attributes:
        findings: Findings at warning or above.
        has_failed: It ended with an error, which is a fault whatever its run file says.
    """

    findings: tuple[Finding, ...]
    has_failed: bool

    def has(self, diagnosed: Sequence[Finding]) -> bool:
        """Whether a diagnosed condition or cause is among it."""
        return self.has_failed or share_a_fault(self.findings, diagnosed)


def judge(reading: Reading) -> Shown | None:
    """Diagnose a trial; None where too little was measured to tell."""
    has_failed = reading.trial.status == "failed"
    diagnosis = Diagnosis("unknown") if reading.run is None else diagnose(reading.run)
    if diagnosis.verdict == "unknown" and not has_failed:
        return None
    return Shown(serious(diagnosis.findings), has_failed)


def found_instead(shown: Sequence[Shown], diagnosed: Sequence[Finding]) -> str:
    """Conditions that most treated trainings show and the untouched script did not, in words."""
    old = {finding.condition for finding in diagnosed}
    new = [{finding.condition for finding in one.findings} - old for one in shown]
    names = sorted(set().union(*new))
    return ", ".join(name for name in names if 2 * sum(name in conditions for conditions in new) > len(shown))


def all_against_most(control: Sequence[float], treated: Sequence[float]) -> OutcomeVerdict:
    """Judge a yes or no of each training.

    Example:
        >>> all_against_most([0.0, 0.0, 1.0], [1.0, 1.0, 1.0]), all_against_most([0.0, 0.0], [1.0, 0.0])
        ('better', 'not shown')
    """
    if min(treated) == 1.0 and middle(control) < 0.5:
        return "better"
    if max(treated) == 0.0 and middle(control) > 0.5:
        return "worse"
    return "not shown"


def compared(
    name: str,
    match: Match,
    control: Sequence[float],
    treated: Sequence[float],
    text: str,
    *,
    clear: float,
    better_sign: int,
) -> Endpoint:
    """An endpoint with its interval.

    Args:
        name: Its name.
        match: Whether the trials are paired, and how many cures were compared with this control.
        control: Its value for the control in each pair that has it.
        treated: Its value under the cure.
        text: The values in words.
        clear: Difference below which it is none.
        better_sign: 1 where more is better, -1 where less is.
    """
    before, after = np.array(control), np.array(treated)
    differences = after - before
    mean, interval = float(differences.mean()), None
    confidence = 1.0 - (1.0 - CONFIDENCE) / max(match.comparison_count, 1)
    verdict: OutcomeVerdict = "not shown"
    if len(differences) > 1:
        paired = match.is_paired
        interval = paired_interval(differences, confidence) if paired else welch_interval(after, before, confidence)
        low, high = sorted((better_sign * interval[0], better_sign * interval[1]))
        if abs(mean) >= clear:
            verdict = "better" if low > 0.0 else "worse" if high < 0.0 else verdict
    return Endpoint(name, tuple(control), tuple(treated), mean, interval, verdict, f"{text}.", confidence)


def end_of(run: Run) -> slice:
    """The full measurements of the last fifth of the steps, or the last few."""
    first = run.step_count - max(1, math.ceil(FINAL_SHARE * run.step_count))
    late_count = int((run.snapshot_steps >= first).sum())
    return slice(max(run.snapshot_count - max(late_count, FEWEST_MEASUREMENTS), 0), None)


def end_range_db(run: Run | None) -> float:
    """Range of the levels on the trunk at the end; nan where there is none, inf where gradients were not finite."""
    if run is None or run.snapshot_count == 0:
        return math.nan
    part = end_of(run)
    if np.nansum(run.layer_column("gradient_nonfinite_count")[part]) > 0.0:
        return math.inf
    levels = run.layer_column("level_db")[part]
    has_trunk = ~np.isnan(levels) & ~np.isnan(run.layer_column("trunk_position")[part])
    return range_db(run, part) if has_trunk.any() else math.nan


def end_accuracy(run: Run | None) -> float:
    """Mean share of right answers at the end; nan where it was not measured."""
    if run is None or run.snapshot_count == 0:
        return math.nan
    shares = run.snapshot_columns.get("batch_accuracy", np.full(run.snapshot_count, np.nan))[end_of(run)]
    shares = shares[~np.isnan(shares)]
    return float(shares.mean()) if len(shares) else math.nan


def middle(values: Sequence[float]) -> float:
    """Mean of some values."""
    return sum(values) / len(values)
