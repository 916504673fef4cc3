"""When a team measures in full: planned ahead by its leader's budget, so that all processes know it in time."""

import math

from gradiometer.measuring.budget import WATCH_SHARE, Budget
from gradiometer.measuring.ranks_meeting import Plan

NEAR_STEPS = 16
"""A full step this near is planned at once; before one farther away the leader looks again."""

LOOK_AGAIN_SHARE = 0.75
"""Part of the way to a far full step after which the leader looks again: by then it knows the steps' time better."""

UNKNOWN_STEPS = 16
"""Steps to the next look where the time of a step is not known yet."""


def plan_after(step: int, budget: Budget, *, is_full: bool, is_last: bool = False) -> Plan:
    """Plan the team's next meeting.

    What is planned holds the budget's promise as `Budget.is_full` does, as far as can be foreseen: the steps to come
    take as long as those before, and the full step under way costs what the dearest of the last ones cost.

    Args:
        step: The step that is about to begin, at which the team meets.
        budget: The leader's budget.
        is_full: The step is measured in full.
        is_last: The training is to stop at its end.

    Returns:
        The plan; its step lies behind this one.

    Example:
        >>> plan_after(0, Budget(1.0), is_full=True)
        Plan(step=1, is_full=True, is_last=False)
        >>> [plan_after(step, Budget(0.01), is_full=True).step for step in (0, 1, 2, 4)]
        [1, 2, 4, 8]
    """
    if budget.allowed_share >= 1.0:
        return Plan(step + 1, is_full=True, is_last=is_last)
    advance = next_advance(step, budget)
    paid = paid_step(step, budget, is_full=is_full)
    if paid is None:
        if advance is None:
            return Plan(step + UNKNOWN_STEPS, is_full=False, is_last=is_last)
        paid = advance
    if advance is not None and advance <= paid:
        return Plan(advance, is_full=True, is_last=is_last)
    if paid - step <= NEAR_STEPS:
        return Plan(paid, is_full=True, is_last=is_last)
    return Plan(step + math.ceil(LOOK_AGAIN_SHARE * (paid - step)), is_full=False, is_last=is_last)


def next_advance(step: int, budget: Budget) -> int | None:
    """The next step that is measured before it is paid for, None where no such one comes.

    Example:
        >>> next_advance(5, Budget(0.01)), next_advance(1, Budget(0.001))
        (8, None)
    """
    candidates = (step + 1, 1 << max(step, 1).bit_length())
    return next((candidate for candidate in candidates if budget.is_advance(candidate)), None)


def paid_step(step: int, budget: Budget, *, is_full: bool) -> int | None:
    """The first step behind this one that the budget will allow, None where the time of a step is not known yet."""
    bare_seconds, cost_seconds = budget.bare_step_seconds, budget.core_cost_seconds
    if not bare_seconds or not cost_seconds:
        return None
    due_seconds = budget.spent_seconds + cost_seconds * (2 if is_full else 1)
    # What the watch in between takes is not there to pay for full steps.
    earned_seconds = (1.0 - WATCH_SHARE) * budget.allowed_share * bare_seconds
    steps = (due_seconds - budget.allowed_share * budget.training_seconds) / earned_seconds
    return step + max(1, math.ceil(steps))
