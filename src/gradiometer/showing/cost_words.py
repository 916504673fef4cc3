"""What measuring has cost, in words, beside what it was allowed to."""

import math

from gradiometer.schema import Run
from gradiometer.units import format_seconds, format_share


def cost_line(run: Run) -> str:
    """Overhead measured and allowed; empty where neither is known."""
    allowed, spent = run.facts.get("overhead_allowed"), run.facts.get("overhead_measured")
    if spent is None:
        return f"{format_share(allowed)} of the training time allowed" if allowed is not None else ""
    line = f"{format_share(spent)} of the training time"
    if allowed is not None and allowed >= 1.0:
        line += ", every step measured in full as asked"
    elif allowed is not None:
        line += f", {format_share(allowed)} allowed"
        if spent > allowed:
            line += f" ({repayment(run)})"
    seconds = run.facts.get("measuring_seconds")
    return line + (f", {format_seconds(seconds)} in all" if seconds is not None else "")


def repayment(run: Run) -> str:
    """Why a run has cost more than allowed: over budget for good, or its first measurements not repaid yet."""
    facts = run.facts
    steps, training, spent = facts.get("step_count"), facts.get("training_seconds"), facts.get("measuring_seconds")
    allowed = facts.get("overhead_allowed")
    if facts.get("repaid_step") is not None or not (steps and training and spent and allowed):
        return "over budget: raise --overhead"
    steps_needed = spent / allowed * steps / training
    if math.isinf(steps_needed):  # a foreign file's numbers
        return "over budget: raise --overhead"
    return f"the first measurements are taken in advance, repaid after {in_round_numbers(steps_needed)}"


def in_round_numbers(steps_needed: float) -> str:
    """A number of steps to come, rounded up: to hundreds, below a thousand to tens.

    Example:
        >>> in_round_numbers(8_912.3), in_round_numbers(44.4), in_round_numbers(0.5)
        ('about 9,000 steps', 'about 50 steps', 'about 10 steps')
    """
    places = 100 if steps_needed >= 1000.0 else 10
    return f"about {math.ceil(steps_needed / places) * places:,} steps"
