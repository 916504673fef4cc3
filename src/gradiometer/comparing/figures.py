"""What two runs measured, side by side: loss, accuracy, levels, update ratios, time of a step."""

import math

import numpy as np

from gradiometer.diagnosing.levels import late_levels, lowest_level
from gradiometer.diagnosing.weight_motion import late_median, weight_motions
from gradiometer.schema import Change, Direction, FloatArray, LossSeries, Run
from gradiometer.units import decibels, format_db, format_number, format_seconds

LEAST_SIGMAS = 4.0
"""Difference of two losses, in standard errors of it, that noise does not make: one false one in 16 000."""

LEAST_SHARE = 0.02
"""Difference of two losses, as a share of the greater, below which nobody minds; as in a cure's proof."""

LEAST_LOSSES = 4
"""Losses that it takes to know their noise."""

LEAST_CHANGE_DB = 6.0
"""Change of a level or update ratio that is told: a factor of two."""

MOST_LAYERS = 5
"""Layers that are told of, those that changed most."""


def loss_change(before: Run, after: Run) -> list[Change]:
    """The main losses at the last fifth of the steps that both runs reached; none where one of them has none.

    Losses of different kinds, or a run that ended at once, are told and not judged.
    """
    if before.loss is None or after.loss is None:
        return []
    last = min(last_step(before.loss), last_step(after.loss))
    tails = tail_of(before.loss, last), tail_of(after.loss, last)
    if not all(len(tail) for tail in tails):
        return []
    was, now = (float(tail.mean()) for tail in tails)
    text = f"the loss was {format_number(was)} and is {format_number(now)} by step {last}"
    if is_other_loss(before, after):
        return [Change("loss", "", "other", f"{text}; it is another loss function, so this says nothing", was, now)]
    gap = abs(now - was)
    error = math.hypot(*(standard_error(tail) for tail in tails))
    direction: Direction = "other"
    if gap > LEAST_SIGMAS * error and gap > LEAST_SHARE * max(abs(was), abs(now)):
        direction = "worse" if now > was else "better"
    if direction == "other":
        text += ": within noise" if math.isfinite(error) else ": too few losses to tell that from noise"
    return [Change("loss", "", direction, text, was, now)]


def last_step(series: LossSeries) -> int:
    """The last step of which a loss was recorded; -1 for none."""
    return int(series.steps[-1]) if len(series.steps) else -1


def tail_of(series: LossSeries, last: int) -> FloatArray:
    """The finite losses of the last fifth of the steps up to `last`; at least the last few, where there are that many.

    Of fast steps few are recorded from the 200th on.
    """
    is_known = (series.steps <= last) & np.isfinite(series.values)
    is_late = is_known & (series.steps >= 0.8 * last)
    return series.values[is_late] if is_late.sum() >= LEAST_LOSSES else series.values[is_known][-LEAST_LOSSES:]


def standard_error(tail: FloatArray) -> float:
    """Standard error of a mean; infinite for too few values, of which nothing is known."""
    return float(tail.std(ddof=1) / math.sqrt(len(tail))) if len(tail) >= LEAST_LOSSES else math.inf


def is_other_loss(before: Run, after: Run) -> bool:
    """Whether two runs are known to be trained by different loss functions."""
    kinds = [(run.facts.get("loss_path") or {}).get("loss") for run in (before, after)]
    return None not in kinds and kinds[0] != kinds[1]


def figure_changes(before: Run, after: Run) -> list[Change]:
    """Everything else that was measured in both runs and differs."""
    return [
        *accuracy_change(before, after),
        *lowest_level_change(before, after),
        *slowest_change(before, after),
        *layer_changes(before, after),
        *step_time_change(before, after),
    ]


def accuracy_change(before: Run, after: Run) -> list[Change]:
    """The accuracy on training batches late in each run; told, not judged: a batch holds few examples."""
    shares = [late_median(run.snapshot_columns.get("batch_accuracy", np.zeros(0))) for run in (before, after)]
    if any(math.isnan(share) for share in shares) or shares[0] == shares[1]:
        return []
    text = f"the accuracy on training batches was {shares[0]:.0%} and is {shares[1]:.0%}"
    return [Change("accuracy", "", "other", text, *shares)]


def lowest_level_change(before: Run, after: Run) -> list[Change]:
    """The lowest level on the trunk: nearer to the output's is better."""
    (was_at, was), (now_at, now) = lowest_level(before), lowest_level(after)
    if was_at is None or now_at is None or not differs(was, now):
        return []
    text = f"the lowest level was {format_db(was)} at {was_at} and is {format_db(now)} at {now_at}"
    return [Change("level", now_at, "better" if abs(now) < abs(was) else "worse", text, was, now)]


def slowest_change(before: Run, after: Run) -> list[Change]:
    """The slowest layer's update ratio; neither better nor worse in itself."""
    slowest = []
    for run in (before, after):
        known = [(motion.late_ratio, motion.layer) for motion in weight_motions(run) if motion.late_ratio >= 0.0]
        if not known:
            return []
        slowest.append(min(known))
    (was, was_at), (now, now_at) = slowest
    if not differs(decibels(was), decibels(now)):
        return []
    text = (
        f"the slowest weights, of {was_at}, moved by {format_number(was)} of their size a step; now those of {now_at} "
        f"are, by {format_number(now)}"
    )
    return [Change("update_ratio", now_at, "other", text, was, now)]


def differs(was_db: float, now_db: float) -> bool:
    """Whether two levels differ by a factor of two or more; two of -inf do not."""
    return was_db != now_db and not abs(now_db - was_db) < LEAST_CHANGE_DB


def layer_changes(before: Run, after: Run) -> list[Change]:
    """Layers of the same name whose level changed most, and the count of those that only one of the runs has."""
    old, new = late_levels(before), late_levels(after)
    shared = [name for name in new if name in old and not math.isnan(old[name] + new[name])]
    moved = sorted((name for name in shared if differs(old[name], new[name])), key=lambda n: -abs(new[n] - old[n]))
    changes = [
        Change(
            "level",
            name,
            "other",
            f"{name}: level {format_db(old[name])}, now {format_db(new[name])}",
            old[name],
            new[name],
        )
        for name in moved[:MOST_LAYERS]
    ]
    names = {layer.name for layer in before.layers}, {layer.name for layer in after.layers}
    for missing, word in ((names[0] - names[1], "gone"), (names[1] - names[0], "new")):
        if missing:
            shown = ", ".join(sorted(missing)[:3]) + (" ..." if len(missing) > 3 else "")
            count = "1 layer is" if len(missing) == 1 else f"{len(missing)} layers are"
            changes.append(Change("layer", "", "other", f"{count} {word}: {shown}"))
    return changes


def step_time_change(before: Run, after: Run) -> list[Change]:
    """Median time of a step without measuring; told from a quarter on, since machines differ from hour to hour."""
    times = [step_time(run) for run in (before, after)]
    if not all(time > 0.0 for time in times) or 0.8 < times[1] / times[0] < 1.25:
        return []
    text = f"a step took {format_seconds(times[0])} and takes {format_seconds(times[1])}"
    return [Change("step_time", "", "other", text, *times)]


def step_time(run: Run) -> float:
    """Median time of a step, measuring left out, seconds; nan where none was taken."""
    whole = run.step_columns.get("step_seconds", np.zeros(0))
    spent = run.step_columns.get("measuring_seconds", np.zeros(len(whole)))
    own = (whole - np.nan_to_num(spent))[~np.isnan(whole)]
    return float(np.median(own)) if len(own) else math.nan
