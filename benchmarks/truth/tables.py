"""The tables that are printed, and the same as one JSON object."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.truth.judging import (
    Answer,
    Judged,
    Rate,
    Scores,
    alarms_of,
    balanced,
    has_right_cause,
    has_right_condition,
    has_right_layer,
    is_detected,
    rate_of,
)
from benchmarks.truth.results import Counted

TARGETS = {"detection": 0.95, "condition": 0.9, "layer": 0.9, "cause": 0.9}
MOST_FALSE_ALARMS, LARGEST_MEDIAN_SHARE = 0.01, 0.05


def print_scores(scores: Scores) -> None:
    """The rates beside their targets."""
    for name, target in TARGETS.items():
        rate: Rate = getattr(scores, name)
        print(f"  {name:28} {rate}   target {target:.0%}: {said(is_met=rate.share >= target)}")
    print(f"  {'verdict alone':28} {scores.alarmed}")
    is_met = scores.false_alarms.share <= MOST_FALSE_ALARMS
    print(f"  {'false alarms':28} {scores.false_alarms}   target {MOST_FALSE_ALARMS:.0%}: {said(is_met=is_met)}")
    met = said(is_met=scores.median_share <= LARGEST_MEDIAN_SHARE)
    print(f"  {'median share of steps':28} {scores.median_share:7.1%}   target {LARGEST_MEDIAN_SHARE:.0%}: {met}")
    print(f"  {'balanced accuracy':28} {scores.balanced_accuracy:7.1%}")


def said(*, is_met: bool) -> str:
    """Whether a target is met, in words."""
    return "met" if is_met else "NOT met"


def print_rules(scores: Scores) -> None:
    """Published rules: tools, each followed by its rules alone."""
    print(f"  {'any alarm':45} {'faulty':>8} {'healthy':>8} {'balanced':>9}")
    for name, (faulty, healthy) in sorted(scores.rules.items()):
        indented = f"  {name.partition(': ')[2]}" if ": " in name else name
        print(f"  {indented:45} {faulty.share:8.1%} {healthy.share:8.1%} {balanced(faulty, healthy):9.1%}")


def group_rows(
    faulty: Sequence[Judged], answer_of: Callable[[str], Answer], key: Callable[[Judged], str]
) -> list[dict[str, Any]]:
    """Rates of each class of faults, or of each family, by name."""
    rows = []
    for name in sorted({key(judged) for judged in faulty}):
        pairs = [(judged, answer_of(judged.result.fault)) for judged in faulty if key(judged) == name]
        first = Counter(alarms_of(judged)[0].condition if alarms_of(judged) else judged.verdict for judged, _ in pairs)
        rows.append(
            {
                "name": name,
                "detection": rate_of(is_detected(*pair) for pair in pairs),
                "condition": rate_of(has_right_condition(*pair) for pair in pairs),
                "cause": rate_of(has_right_cause(*pair) for pair in pairs),
                "layer": rate_of(has_right_layer(*pair) for pair in pairs if pair[0].result.layer),
                "said": ", ".join(f"{condition} {number}" for condition, number in first.most_common(4)),
            }
        )
    return rows


def print_groups(rows: Sequence[dict[str, Any]]) -> None:
    """One line for each class."""
    print(f"  {'':42} {'number':>6} {'detected':>9} {'condition':>9} {'cause':>6} {'layer':>6}  first root")
    for row in rows:
        layer = f"{row['layer'].share:6.0%}" if row["layer"].total else "     -"
        print(
            f"  {row['name']:42} {row['detection'].total:6} {row['detection'].share:9.0%} "
            f"{row['condition'].share:9.0%} {row['cause'].share:6.0%} {layer}  {row['said']}"
        )


def family_alarms(healthy: Sequence[Judged]) -> None:
    """False alarms of each family."""
    for family in sorted({judged.result.family for judged in healthy}):
        rate = rate_of(judged.verdict != "healthy" for judged in healthy if judged.result.family == family)
        print(f"  {family:28} {rate}")


def print_cases(title: str, cases: Sequence[Judged], folder: Path) -> None:
    """Trainings to look into, one line each, with their run files."""
    print(f"{title}: {len(cases)}")
    for judged in cases:
        found = "; ".join(f"{root.condition} ({root.cause}) {root.layer}" for root in alarms_of(judged))
        fault = judged.result.fault or f"{judged.result.family} on {judged.result.setup['data']}"
        print(f"  {folder / judged.result.file}  {fault}: {judged.verdict} {found}")


def print_left_out(counted: Counted, apart: Sequence[Judged]) -> None:
    """How many trainings count nowhere, and what is said of the classes that are published apart."""
    print(
        f"not counted: {len(counted.not_learned)} twins that did not learn, {len(counted.harmless)} faults without harm"
    )
    errors = [result for result in (*counted.not_learned, *counted.harmless) if result.error]
    for result in errors:
        print(f"  ended by an error: {result.number} {result.fault}: {result.error.strip().splitlines()[-1]}")
    for name in sorted({judged.result.fault for judged in apart}):
        verdicts = Counter(judged.verdict for judged in apart if judged.result.fault == name)
        print(f"published apart: {name}: " + ", ".join(f"{verdict} {count}" for verdict, count in verdicts.items()))


def as_object(scores: Scores, faults: Sequence[dict[str, Any]], families: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Everything as plain values."""
    rates = {name: as_plain(getattr(scores, name)) for name in (*TARGETS, "alarmed", "false_alarms")}
    return {
        **rates,
        "balanced_accuracy": or_none(scores.balanced_accuracy),
        "median_share": or_none(scores.median_share),
        "rules": {
            name: {
                "faulty": as_plain(hits),
                "healthy": as_plain(alarms),
                "balanced_accuracy": or_none(balanced(hits, alarms)),
            }
            for name, (hits, alarms) in scores.rules.items()
        },
        "faults": [plain_row(row) for row in faults],
        "families": [plain_row(row) for row in families],
    }


def or_none(number: float) -> float | None:
    """A number, or None for nan, which JSON does not have."""
    return None if math.isnan(number) else number


def cases_of(cases: Sequence[Judged]) -> list[dict[str, Any]]:
    """Trainings to look into, as plain values."""
    return [
        {
            "file": judged.result.file,
            "fault": judged.result.fault,
            "verdict": judged.verdict,
            "roots": [asdict(root) for root in alarms_of(judged)],
        }
        for judged in cases
    ]


def as_plain(rate: Rate) -> dict[str, Any]:
    """A rate as plain values; the share of none is null."""
    return {
        "hits": rate.hits,
        "total": rate.total,
        "share": rate.share if rate.total else None,
        "interval": rate.interval,
    }


def plain_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a table as plain values."""
    return {name: as_plain(value) if isinstance(value, Rate) else value for name, value in row.items()}
