"""What a replay is to do, told from the recorded run: what to run, which steps to measure, what to compare."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gradiometer.diagnosing.non_finite import first_bad_snapshot
from gradiometer.errors import SettingsError
from gradiometer.launching.script import Target
from gradiometer.recording.keeping import batches_folder, kept_files, weights_folder
from gradiometer.schema import Run

MOST_TRACED_STEPS = 130
"""Steps measured operation by operation at most: the loss of a fast training is looked at every 64 steps."""


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What a replay is to do.

    Attributes:
        target: The script or module with its arguments.
        working_directory: Where it was run; None where the run does not say.
        seed: Seed set before it starts.
        thread_count: Threads that torch had; None where the run does not say.
        first_traced: First step that is measured operation by operation.
        last_traced: The last one.
        is_named: The user has named the step: whatever is not finite in it is told.
        losses: The recorded loss by step, None where it was not finite.
        fingerprints: The recorded digest of the batch by step.
        batches: Kept batches by step.
        weights: Kept weights by the step that they stand before.
    """

    target: Target
    working_directory: str | None
    seed: int | None
    thread_count: int | None
    first_traced: int
    last_traced: int
    is_named: bool
    losses: Mapping[int, float | None]
    fingerprints: Mapping[int, str]
    batches: Mapping[int, Path]
    weights: Mapping[int, Path]


def plan_replay(run: Run, run_file: Path, step: int | None = None) -> ReplayPlan:
    """Plan a replay.

    Args:
        run: The recorded run.
        run_file: Its file.
        step: The step to measure; None finds out where something was NaN or infinite first.

    Raises:
        SettingsError: The run can't be started again, or there is nothing to look for; the message says what to do.
    """
    losses = recorded_losses(run)
    first, last = window_of(run, losses) if step is None else (step, step)
    if last >= run.step_count:
        raise SettingsError(f"the run has no step {last}: it took {run.step_count} steps, the first is step 0")
    threads = run.facts.get("threads")
    seed = run.facts.get("seed")
    folder = run.facts.get("working_directory")
    return ReplayPlan(
        target=recorded_target(run),
        working_directory=str(folder) if folder else None,
        seed=int(seed) if seed is not None else None,
        thread_count=int(threads) if threads else None,
        first_traced=first,
        last_traced=last,
        is_named=step is not None,
        losses=losses,
        fingerprints=run.fingerprints,
        batches=kept_files(batches_folder(run_file)),
        weights=kept_files(weights_folder(run_file)),
    )


def recorded_target(run: Run) -> Target:
    """What the run ran.

    Raises:
        SettingsError: It was no script, or was changed by a cure.
    """
    facts = run.facts
    name, arguments = facts.get("script"), tuple(str(word) for word in facts.get("arguments") or ())
    if not name or "command" not in facts:
        raise SettingsError("the run holds no command that could be run again: record it with `gradiometer run SCRIPT`")
    if facts.get("seeding_calls") is not None:
        raise SettingsError(
            "the run is a trial of `cure`: record the script with `gradiometer run SCRIPT` to replay it"
        )
    if facts.get("cures"):
        raise SettingsError(
            "the run was made with --cure, which a replay does not apply: write the change into the script, record it "
            "with `gradiometer run SCRIPT`, and replay that"
        )
    if facts.get("is_module"):
        return Target(None, str(name), arguments)
    return Target(str(name), None, arguments)


def recorded_losses(run: Run) -> dict[int, float | None]:
    """The main loss of every step at which it was recorded, None where it was not finite."""
    if run.loss is None:
        return {}
    series = run.loss
    return {
        int(step): None if count else float(value)
        for step, value, count in zip(series.steps, series.values, series.nonfinite_counts, strict=True)
    }


def window_of(run: Run, losses: Mapping[int, float | None]) -> tuple[int, int]:
    """The steps among which NaN or infinity began.

    Not every step was looked at, and a NaN that a step's backward pass makes is seen in the next step's loss: so they
    begin with the last step whose loss was recorded to be finite. Where nothing was ever not finite, it is the first
    step whose loss jumped.

    Raises:
        SettingsError: There is neither.
    """
    bad = [step for step, loss in losses.items() if loss is None]
    bad += [event.step for event in run.events if event.kind == "non_finite"]
    index = first_bad_snapshot(run)
    if index is not None:
        bad.append(int(run.snapshot_steps[index]))
    if not bad:
        jumps = [event.step for event in run.events if event.kind == "jump"]
        if not jumps:
            raise SettingsError("nothing in the run was NaN or infinite, and no loss jumped: name a step with --step")
        return jumps[0], jumps[0]
    last = min(bad)
    first = max((step for step, loss in losses.items() if step < last and loss is not None), default=0)
    return max(first, last - MOST_TRACED_STEPS), last
