"""Trials whose time ran out: they have no loss to compare, which is no word against a cure, and none for it."""

import math
from collections.abc import Mapping, Sequence

from gradiometer.curing.trials.pairing import Reading
from gradiometer.units import format_seconds

MORE_TIME, MARGIN = 2.0, 1.25
"""What is asked for is at least this many times the time that ran out, and this many times what the slowest needs."""


def was_late(reading: Reading) -> bool:
    """Whether a trial's time ran out."""
    return reading.trial.status == "stopped"


def lateness_in_words(groups: Mapping[str, Sequence[Reading]]) -> str:
    """Say that time ran out, how far the slowest trial came, and how to go on; empty where all had time enough.

    Args:
        groups: Trials by what they are, such as `trainings with the cure`.
    """
    late = [reading for group in groups.values() for reading in group if was_late(reading)]
    if not late:
        return ""
    counts = [
        f"{sum(map(was_late, group))} of {len(group)} {name}"
        for name, group in groups.items()
        if any(map(was_late, group))
    ]
    slowest = min(late, key=share_done)
    patience = format_seconds(slowest.spec.patience_seconds)
    return (
        f"time ran out in {' and '.join(counts)}: after {patience} the slowest stood at {steps_in_words(slowest)}; the "
        "same command tries these again and goes on from what is done, "
        f"--seconds {asked_seconds(slowest)} allows every trial more"
    )


def steps_in_words(reading: Reading) -> str:
    """How far a trial came."""
    limit = reading.spec.step_limit
    return f"step {reading.trial.step_count}" + ("" if limit is None else f" of {limit}")


def share_done(reading: Reading) -> float:
    """The share of its steps that a trial has taken."""
    return reading.trial.step_count / max(reading.spec.step_limit or 1, 1)


def asked_seconds(slowest: Reading) -> int:
    """Seconds that would do at the pace of the slowest trial, two digits of them."""
    done = share_done(slowest)
    seconds = slowest.spec.patience_seconds * max(MORE_TIME, MARGIN / done if done > 0.0 else 0.0)
    unit = 10.0 ** max(math.floor(math.log10(max(seconds, 1.0))) - 1, 0)
    return int(math.ceil(seconds / unit) * unit)
