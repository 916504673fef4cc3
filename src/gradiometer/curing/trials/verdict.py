"""Compares a cure with the control: the difference with its interval, and what it proves.

The rule, in full. A cure is `better` when three things hold: the whole confidence interval of the difference in final
loss (treated minus control) lies below zero; the mean improvement is at least 2 % of the control's loss, for less
nobody changes a script; and no treated training ended without a finite loss. It is `worse` when the whole interval
lies above zero, or when it took a finite loss away in every pair. Everything else is `not shown`.

The interval is Student's, of the paired differences where every pair saw the same batches, Welch's of the two groups
where not. Its confidence is 95 % for all cures together that were tried, by Bonferroni's correction: also those that
an earlier sieve dropped count, although the last sieve has seeds of its own. Where more seeds are trained because the
first ones did not show what they point to, there are two looks, and the 5 % are shared out: 4 for the first, 1 for the
second. Student's interval holds for normal differences; with four or five pairs that can't be checked, which is why a
share of the loss is asked for beside it.

A control that came apart, for it ended without a finite loss or ten times above the loss it started from, has no
difference to take: how far out it is thrown varies by powers of ten from seed to seed, and an interval of such numbers
shows nothing. It counts with the loss that it started from, or the least that any such control started from: it has
come to something no better than that, so whatever this proves holds all the more for the truth.

Source:
    Student, "The probable error of a mean", Biometrika 1908; Welch, "The generalization of Student's problem",
    Biometrika 1947; Bonferroni's inequality. The 2 % are chosen by us.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from gradiometer.schema import OutcomeVerdict

CONFIDENCE = 0.95
"""Confidence of all intervals of one comparison together."""

FIRST_LOOK, SECOND_LOOK = 0.96, 0.99
"""The same for each of two looks at the trainings, where more seeds may follow: what they leave to chance adds up."""

LEAST_IMPROVEMENT = 0.02
"""Improvement below which a difference is none, as a share of the control's final loss."""

SUFFICIENT_SHARE = 0.97
"""A smaller change suffices that brings at least this share of what a greater one takes off the control's loss."""

APART_RATIO = 10.0
"""A control that ends this many times above its starting loss came apart."""

FEW_PAIRS = 3
"""Below this the interval of Student's t is so wide that only a very even difference is shown."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Final losses of one seed.

    Attributes:
        control: Final loss of the control; inf where it was not finite.
        treated: Final loss under the cure; inf likewise.
        control_start: The loss that the control started from, or a constant guess's if that is more; None where it
            never had a finite one.
    """

    control: float
    treated: float
    control_start: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison gives.

    Attributes:
        verdict: `better`, `worse` or `not shown`.
        difference: Mean of treated minus control, None where there is none.
        interval: Its confidence interval, None likewise.
        confidence: Confidence of this interval.
        detail: The reason, in words.
    """

    verdict: OutcomeVerdict
    difference: float | None
    interval: tuple[float, float] | None
    confidence: float
    detail: str


def compare(
    pairs: Sequence[Pair],
    *,
    is_paired: bool = True,
    comparison_count: int = 1,
    confidence: float = CONFIDENCE,
    least_improvement: float = LEAST_IMPROVEMENT,
) -> Comparison:
    """Compare treated with control.

    Args:
        pairs: One per seed.
        is_paired: Both of every pair saw the same batches.
        comparison_count: Cures that are compared with this control.
        confidence: Confidence of all their intervals together.
        least_improvement: Least improvement that counts, as a share of the control's loss.

    Returns:
        The comparison; `not shown` without an interval for fewer than two pairs.
    """
    single = 1.0 - (1.0 - confidence) / max(comparison_count, 1)
    lost = [pair for pair in pairs if not math.isfinite(pair.treated)]
    if lost:
        is_worse = len(lost) == len(pairs) and all(math.isfinite(pair.control) for pair in pairs)
        text = f"the loss was not finite in {len(lost)} of {len(pairs)} treated trainings"
        return Comparison("worse" if is_worse else "not shown", None, None, single, text)
    control = np.array(counted(pairs))
    treated = np.array([pair.treated for pair in pairs])
    if len(pairs) < 2:
        difference = float((treated - control).mean()) if len(pairs) else None
        return Comparison("not shown", difference, None, single, "one pair can't tell a cure from chance: --seeds 3")
    differences = treated - control
    interval = paired_interval(differences, single) if is_paired else welch_interval(treated, control, single)
    mean = float(differences.mean())
    verdict = judge(mean, interval, float(np.abs(control).mean()), least_improvement)
    if verdict == "worse" and any(map(came_apart, pairs)):
        verdict = "not shown"  # the control did worse than the loss that it counts with
    return Comparison(verdict, mean, interval, single, reason(pairs, verdict, mean, interval, is_paired=is_paired))


def counted(pairs: Sequence[Pair]) -> list[float]:
    """The controls' losses as they enter the differences.

    Example:
        >>> counted([Pair(2.0, 1.0, 2.3), Pair(math.inf, 1.0, 9.0), Pair(1e9, 1.0, 7.0)])
        [2.0, 7.0, 7.0]
    """
    starts = [pair.control_start for pair in pairs if came_apart(pair) and pair.control_start is not None]
    return [
        pair.control if not came_apart(pair) else pair.treated if pair.control_start is None else min(starts)
        for pair in pairs
    ]


def came_apart(pair: Pair) -> bool:
    """Whether the control has no loss to take a difference from."""
    if not math.isfinite(pair.control):
        return True
    return pair.control_start is not None and pair.control > APART_RATIO * abs(pair.control_start)


def judge(difference: float, interval: tuple[float, float], control_loss: float, least: float) -> OutcomeVerdict:
    """Apply the rule to an interval."""
    if interval[0] > 0.0:
        return "worse"
    if interval[1] < 0.0 and -difference >= least * control_loss:
        return "better"
    return "not shown"


def paired_interval(differences: np.ndarray, confidence: float) -> tuple[float, float]:
    """Student's interval of a mean; a point where all differences are equal."""
    mean, error = float(differences.mean()), float(stats.sem(differences))
    if error == 0.0:
        return mean, mean
    low, high = stats.t.interval(confidence, len(differences) - 1, loc=mean, scale=error)
    return float(low), float(high)


def welch_interval(treated: np.ndarray, control: np.ndarray, confidence: float) -> tuple[float, float]:
    """Welch's interval of the difference of two means; a point where neither group varies."""
    difference = float(treated.mean() - control.mean())
    if treated.std() == 0.0 and control.std() == 0.0:
        return difference, difference
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # scipy warns where one group does not vary
        found = stats.ttest_ind(treated, control, equal_var=False).confidence_interval(confidence)
    return float(found.low), float(found.high)


def reason(
    pairs: Sequence[Pair],
    verdict: OutcomeVerdict,
    difference: float,
    interval: tuple[float, float],
    *,
    is_paired: bool,
) -> str:
    """The verdict's reason in words."""
    parts = []
    lost = sum(not math.isfinite(pair.control) for pair in pairs)
    if lost:
        parts.append(f"the control ended without a finite loss in {lost} of {len(pairs)} trainings")
    if not is_paired:
        parts.append("batches differ, so the trainings are compared unpaired")
    if verdict == "not shown":
        is_clear = interval[1] < 0.0
        parts.append("the improvement is too small to matter" if is_clear else "the interval of the difference holds 0")
    if len(pairs) < FEW_PAIRS:
        parts.append(f"{len(pairs)} pairs are few")
    return "; ".join(parts)
