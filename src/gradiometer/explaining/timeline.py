"""What happened in one run and when, in order: loss, gradients, units, learning rate, alarms, findings, the end.

Every number said stands in the run, or is one of it over another. What was thinned out of a run file can't be dated to
the step: "first seen" is then what was recorded.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradiometer.explaining.gradient_course import gradient_moments
from gradiometer.explaining.loss_course import LEAST_CHANGE, follow_loss, loss_in_words
from gradiometer.explaining.moments import Moment
from gradiometer.explaining.unit_course import unit_moments
from gradiometer.schema import Diagnosis, Event, Finding, Run
from gradiometer.units import format_number, format_share

MOST_SITES = 3
"""Losses that are followed; a script with more `backward` calls is told by its first ones."""

MOST_EVENTS = 3
"""Events of one kind that are told one by one."""

MOST_RATE_CHANGES = 3
"""Changes of the learning rate that are told one by one."""

UNTOLD_EVENTS = frozenset({"repaid", "cure"})
"""Events that say how it was measured, or what a trial was for, and nothing of the training."""

EVENT_WORDS: dict[str, str] = {
    "jump": "Alarm",
    "non_finite": "Alarm",
    "fault": "Measuring itself failed and was taken off",
    "failed": "The script failed",
    "stopped": "The run was stopped",
    "ranks": "The processes that train together disagreed",
}
"""Kind of an event to what its text is introduced with; others speak for themselves."""

STATUS_WORDS: dict[str, str] = {
    "finished": "The script ran to its end",
    "failed": "The script failed",
    "interrupted": "The run was interrupted",
    "stopped": "The run was stopped on request",
    "running": "The run file was never closed: the run still goes on, or was killed",
}
"""Status of a run to how it ended."""


@dataclass(frozen=True, slots=True)
class RateChange:
    """A new learning rate: the step, the rate before, the rate from then on."""

    step: int
    before: float
    after: float


def tell_timeline(run: Run, diagnosis: Diagnosis) -> tuple[Moment, ...]:
    """Tell what happened in a run, in order.

    Args:
        run: The run; of one without any measurement only its end is told.
        diagnosis: What was found in it.

    Returns:
        Moments by step; of the same step, in the order of the kinds in `Moment`.
    """
    moments = [
        *loss_moments(run),
        *guess_moments(run),
        *accuracy_moments(run),
        *rate_moments(run),
        *gradient_moments(run),
        *unit_moments(run),
        *finding_moments(diagnosis),
        *event_moments(run),
        *skipped_moments(run),
        end_moment(run),
    ]
    return tuple(sorted(moments, key=lambda moment: (moment.step, moment.rank)))


def loss_moments(run: Run) -> Iterator[Moment]:
    """The course of each loss, and where it was first no number."""
    for series in run.losses[:MOST_SITES]:
        name = "the loss" if len(run.losses) == 1 else f"the loss at {series.site}"
        course = follow_loss(series)
        if course is not None:
            yield Moment(course.first_step, "loss", loss_in_words(course, name=name))
        broken = np.flatnonzero(series.nonfinite_counts > 0)
        if len(broken):
            count = f"{len(broken)} of {len(series.steps)} recorded steps"
            text = f"{name[0].upper()}{name[1:]} was NaN or infinite for the first time, in {count} altogether."
            yield Moment(int(series.steps[broken[0]]), "non_finite", text)


def guess_moments(run: Run) -> Iterator[Moment]:
    """What always giving the same answer would cost, and whether the network came below it."""
    column = run.snapshot_columns.get("constant_loss")
    course = follow_loss(run.losses[0]) if run.losses else None
    if column is None or course is None or not np.isfinite(column).any():
        return
    known = np.flatnonzero(np.isfinite(column))
    guess = float(column[known[-1]])
    reached = guess - max(LEAST_CHANGE * abs(guess), course.noise)
    if course.last < reached:
        below = "the network ended below that, so it has learned"
    else:
        was = course.lowest < reached
        below = "the network was below that and did not stay there" if was else "the network hardly does better"
    text = f"Giving one and the same answer to everything would cost {format_number(guess)} at best; {below}."
    yield Moment(course.first_step, "loss", text)


def accuracy_moments(run: Run) -> Iterator[Moment]:
    """Share of right answers on training batches, first and last, where it was told."""
    column = run.snapshot_columns.get("batch_accuracy")
    if column is None or np.sum(~np.isnan(column)) < 2:
        return
    known = np.flatnonzero(~np.isnan(column))
    first, last = known[0], known[-1]
    shares = f"{format_share(float(column[first]))} of a batch at first, {format_share(float(column[last]))}"
    yield Moment(
        int(run.snapshot_steps[first]),
        "accuracy",
        f"It answered {shares} of one at step {int(run.snapshot_steps[last])} right (training data).",
    )


def rate_changes(run: Run) -> list[RateChange]:
    """All changes of the learning rate that were recorded."""
    rates = run.step_columns.get("learning_rate")
    if rates is None:
        return []
    known = np.flatnonzero(~np.isnan(rates))
    steps, values = run.steps[known], rates[known]
    return [
        RateChange(int(steps[place + 1]), float(values[place]), float(values[place + 1]))
        for place in np.flatnonzero(np.diff(values) != 0.0)
    ]


def rate_moments(run: Run) -> Iterator[Moment]:
    """Changes of the learning rate: each, or all together where there are many."""
    changes = rate_changes(run)
    if len(changes) <= MOST_RATE_CHANGES:
        for change in changes:
            before, after = format_number(change.before), format_number(change.after)
            yield Moment(change.step, "learning_rate", f"The learning rate went from {before} to {after}.")
        return
    highest = max(changes, key=lambda change: change.after)
    words = f"Until step {changes[-1].step} the learning rate changed {len(changes)} times, "
    words += f"from {format_number(changes[0].before)} to {format_number(changes[-1].after)}"
    if highest.after > max(changes[0].before, changes[-1].after):
        words += f", at most {format_number(highest.after)} at step {highest.step}"
    yield Moment(changes[0].step, "learning_rate", f"{words}.")


def skipped_moments(run: Run) -> Iterator[Moment]:
    """Steps whose update a gradient scaler left out."""
    column = run.step_columns.get("is_skipped")
    skipped = np.flatnonzero(column == 1.0) if column is not None else np.zeros(0, dtype=np.int64)
    if len(skipped):
        first, last = (int(run.steps[place]) for place in (skipped[0], skipped[-1]))
        reach = f"between step {first} and step {last}" if last > first else f"at step {first}"
        plural = "steps" if len(skipped) > 1 else "step"
        text = f"A gradient scaler left out the update of {len(skipped)} recorded {plural} {reach}."
        yield Moment(first, "skipped", text)


def finding_moments(diagnosis: Diagnosis) -> Iterator[Moment]:
    """Each finding at the first step at which it could be told, with what follows from it."""
    for finding in diagnosis.findings:
        where = f", at layer {finding.layers[0]}" if finding.layers else ""
        more = f" and {len(finding.layers) - 1} more" if len(finding.layers) > 1 else ""
        name = finding.condition.replace("_", " ")
        words = f"From here on it can be told: {name} ({finding.severity}){where}{more}."
        yield Moment(finding.step, "finding", f"{words}{consequence_words(finding)}")


def consequence_words(finding: Finding) -> str:
    """What follows from a finding, as a sentence; empty where nothing does."""
    names = list(dict.fromkeys(entry.condition.replace("_", " ") for entry in finding.consequences))
    return f" From this follows: {', '.join(names)}." if names else ""


def event_moments(run: Run) -> Iterator[Moment]:
    """Events, the first ones of each kind in full."""
    by_kind: dict[str, list[Event]] = {}
    for event in run.events:
        if event.kind not in UNTOLD_EVENTS:
            by_kind.setdefault(event.kind, []).append(event)
    for kind, events in by_kind.items():
        for place, event in enumerate(events[:MOST_EVENTS]):
            start = f"{EVENT_WORDS[kind]}: " if kind in EVENT_WORDS else ""
            rest = len(events) - MOST_EVENTS if place == MOST_EVENTS - 1 else 0
            more = f" There were {rest} more, the last at step {events[-1].step}." if rest > 0 else ""
            yield Moment(event.step, "event", f"{start}{said(event.text)}{more}")


def end_moment(run: Run) -> Moment:
    """How the run ended."""
    status = str(run.facts.get("status") or "")
    words = STATUS_WORDS.get(status, "How the run ended is not on record")
    count = f"{run.step_count} optimizer step{'s' if run.step_count != 1 else ''}"
    return Moment(max(run.step_count - 1, 0), "end", f"{words}, after {count}.")


def said(words: str) -> str:
    """Words as a sentence: a capital and a full stop.

    Example:
        >>> said("fc1 is dead"), said("Why?")
        ('Fc1 is dead.', 'Why?')
    """
    text = words.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")
