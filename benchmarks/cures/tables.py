"""The tables that are printed, and the same as one JSON object."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.cures.judging import Row, Scores, Times, is_as_healthy, is_cured, is_faulty, is_proved
from benchmarks.cures.records import FAILED, Case, Ended
from benchmarks.truth.judging import Rate
from benchmarks.truth.tables import as_plain, or_none, said

LEAST_CURED, MOST_RECOMMENDED, LEAST_CONFIRMED, LARGEST_MEDIAN_SECONDS = 0.95, 0.01, 0.98, 60.0


def print_scores(scores: Scores) -> None:
    """Rates and times beside their targets."""
    print(f"  {'cured':28} {scores.cured}   target 95%: {said(is_met=scores.cured.share >= LEAST_CURED)}")
    print(f"  {'proved better':28} {scores.proved}")
    is_met = scores.confirmed.share >= LEAST_CONFIRMED
    print(f"  {'confirmed by fresh seeds':28} {scores.confirmed}   target 98%: {said(is_met=is_met)}")
    is_met = scores.recommended.share <= MOST_RECOMMENDED
    print(f"  {'recommended when healthy':28} {scores.recommended}   target 1%: {said(is_met=is_met)}")
    is_met = scores.times.median_seconds <= LARGEST_MEDIAN_SECONDS
    print(f"  {'time':28} {in_words(scores.times)}   target 60 s: {said(is_met=is_met)}")
    print(f"  {'time where cured':28} {in_words(scores.cured_times)}")
    print("AUTOTRAINER's rules on the same trainings")
    print(f"  {'cured':28} {scores.repaired}")
    print(f"  {'a symptom seen':28} {scores.noticed}")
    print(f"  {'its symptom gone':28} {scores.solved}")
    print(f"  {'a symptom when healthy':28} {scores.alarmed}")
    print(f"  {'time':28} {in_words(scores.repair_times)}")
    print(f"  {'time where cured':28} {in_words(scores.repaired_times)}")


def in_words(times: Times) -> str:
    """Median and tail.

    Example:
        >>> in_words(Times(41.23, 88.0))
        'median 41 s, nine tenths below 88 s'
    """
    return f"median {times.median_seconds:.0f} s, nine tenths below {times.tail_seconds:.0f} s"


def print_rows(rows: Sequence[Row]) -> None:
    """One line for each class."""
    print(f"  {'':42} {'number':>6} {'cured':>6} {'proved':>6} {'rules':>6} {'median':>7}  what is called better")
    for row in rows:
        winners = ", ".join(f"{label} {count}" for label, count in row.winners[:3])
        print(
            f"  {row.name:42} {row.cured.total:6} {row.cured.share:6.0%} {row.proved.share:6.0%} "
            f"{row.repaired.share:6.0%} {row.times.median_seconds:5.0f} s  {winners}"
        )


def print_outcomes(cases: Sequence[Case]) -> None:
    """How often each answer was given, and each cure was called better."""
    for name, outcomes in outcomes_of(cases).items():
        print(f"  {name}: " + ", ".join(f"{outcome} {count}" for outcome, count in outcomes.items()))
    for label, count in Counter("+".join(case.treated.cures) for case in cases if is_proved(case)).most_common():
        print(f"    {count:4} {label}")


def outcomes_of(cases: Sequence[Case]) -> dict[str, dict[str, int]]:
    """Answers by what the training is, the most frequent first."""
    kinds = {case: "faulty" if is_faulty(case) else "no harm" if case.fault else "healthy" for case in cases}
    return {
        name: dict(Counter(case.treated.outcome for case in cases if kinds[case] == name).most_common())
        for name in ("faulty", "no harm", "healthy")
    }


def print_open_cases(cases: Sequence[Case]) -> None:
    """Faulty trainings that are not cured, with the reason."""
    left = [case for case in cases if is_faulty(case) and not is_cured(case)]
    print(f"not cured: {len(left)}")
    for case in left:
        treated = case.treated
        print(
            f"  {case.number} {case.fault} ({case.family}): {why_open(case)}; "
            f"found {', '.join(treated.conditions) or '-'}; "
            f"{treated.outcome} {'+'.join(treated.cures)} {treated.detail}"
        )


def why_open(case: Case) -> str:
    """Why a training counts as not cured."""
    if case.treated.outcome == FAILED:
        return "no answer"
    if not is_proved(case):
        return "nothing proved" if case.treated.conditions else "nothing found"
    twin = f"twin {range_of(case.twins)}"
    assert not is_as_healthy(case.treated.ends, case.twins)
    return f"ends worse than healthy: {range_of(case.treated.ends)}, {twin}"


def range_of(ends: Sequence[Ended]) -> str:
    """Losses from the lowest to the highest."""
    return f"{min(end.loss for end in ends):.3g} to {max(end.loss for end in ends):.3g}"


def as_object(scores: Scores, rows: dict[str, Sequence[Row]], cases: Sequence[Case]) -> dict[str, Any]:
    """Everything as plain values."""
    told = {name: getattr(scores, name) for name in Scores.__dataclass_fields__}
    return {
        **{name: plain(value) for name, value in told.items()},
        **{name: [row_object(row) for row in found] for name, found in rows.items()},
        "outcomes": outcomes_of(cases),
        "not_cured": [
            {"number": case.number, "fault": case.fault, "reason": why_open(case), "treated": asdict(case.treated)}
            for case in cases
            if is_faulty(case) and not is_cured(case)
        ],
    }


def plain(value: Rate | Times) -> dict[str, Any]:
    """A rate or times as plain values."""
    if isinstance(value, Rate):
        return as_plain(value)
    return {"median_seconds": or_none(value.median_seconds), "tail_seconds": or_none(value.tail_seconds)}


def row_object(row: Row) -> dict[str, Any]:
    """A row as plain values."""
    rates = {name: as_plain(getattr(row, name)) for name in ("cured", "proved", "repaired")}
    return {"name": row.name, **rates, "times": plain(row.times), "winners": dict(row.winners)}
