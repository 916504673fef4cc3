"""Single trainings of `script.py` in processes of their own, through the engine that `gradiometer cure` has."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from benchmarks.cures.records import Ended
from benchmarks.truth.families import draw_setup
from benchmarks.truth.training import WORST
from gradiometer.curing.loss_pairing import has_meaningless_loss
from gradiometer.curing.trials.finals import guess_loss, pairs_of
from gradiometer.curing.trials.local import run_trials
from gradiometer.curing.trials.pairing import Reading, log_of, read_trial, with_pairing
from gradiometer.curing.trials.spec import TrialSpec, spec_from_json
from gradiometer.curing.trials.verdict import Comparison, compare
from gradiometer.curing.trials.wrong_answers import judged_by_answers
from gradiometer.recording.reader import read_run

SCRIPT = Path(__file__).with_name("script.py")

FRESH_SEEDS = (101, 102, 103, 104, 105)
"""Seeds that no trial of a cure has seen: those have 0 to 5."""


def arguments_of(number: int, fault: str, options: Sequence[str] = ()) -> tuple[str, ...]:
    """What `script.py` is given for a training; no fault gives the twin."""
    return (str(number), *([fault] if fault else []), *options)


def spec_of(folder: Path, arguments: Sequence[str], cures: Sequence[str] = (), seed: int = 0) -> TrialSpec:
    """A whole training, in a folder of its own."""
    return TrialSpec(
        script=str(SCRIPT),
        module=None,
        arguments=tuple(arguments),
        working_directory=str(folder.parent),
        folder=str(folder),
        cures=tuple(cures),
        seed=seed,
        sieve="trial",
    )


def fresh_seeds(count: int) -> tuple[int, ...]:
    """The fresh seeds, and as many more as make up a count."""
    return (*FRESH_SEEDS, *range(FRESH_SEEDS[-1] + 1, FRESH_SEEDS[0] + count))


def fresh_readings(folder: Path, spec: TrialSpec, workers: int, seeds: Sequence[int] = FRESH_SEEDS) -> list[Reading]:
    """Train as a spec says, whole, with each of some fresh seeds."""
    folder.mkdir(parents=True, exist_ok=True)
    specs = [replace(spec, seed=seed, step_limit=None, folder=str(folder / f"seed{seed}")) for seed in seeds]
    return readings_of(specs, workers)


def untouched_readings(
    folder: Path, arguments: Sequence[str], workers: int, seeds: Sequence[int] = FRESH_SEEDS
) -> list[Reading]:
    """The script as it stands, with each of some fresh seeds.

    Raises:
        RuntimeError: One did not come to its end, as all of them have to.
    """
    readings = fresh_readings(folder, spec_of(folder / "any", arguments), workers, seeds)
    for reading in readings:
        if told_by(reading) is None:
            raise RuntimeError(f"{' '.join(arguments)} with seed {reading.spec.seed}: {reading.trial.detail}")
    return readings


def readings_of(specs: Sequence[TrialSpec], workers: int) -> list[Reading]:
    """Run trials and read them."""
    return [read_trial(end) for end in run_trials(specs, workers=workers)]


def ends_of(readings: Sequence[Reading]) -> tuple[Ended, ...]:
    """Where trainings ended; at the worst there is where one did not come to its end."""
    has_classes = draw_setup(int(readings[0].spec.arguments[0])).material.has_classes
    worst = Ended(WORST, 0.0 if has_classes else None)
    return tuple(told_by(reading) or worst for reading in readings)


def told_by(reading: Reading) -> Ended | None:
    """What a training printed at its end; None where it did not come so far."""
    lines = [line for line in log_of(reading.spec).splitlines() if line.startswith('{"loss"')]
    return Ended(**json.loads(lines[-1])) if lines and reading.trial.status == "done" else None


def train_once(folder: Path, arguments: Sequence[str], cures: Sequence[str]) -> tuple[Ended | None, float]:
    """Train once, with the seed of a diagnosed run.

    Returns:
        Where it ended, None where the cures were refused or it failed; and the seconds that it took.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    start = perf_counter()
    reading = readings_of([spec_of(folder, arguments, cures)], 1)[0]
    return told_by(reading), perf_counter() - start


def confirm(
    folder: Path, controls: Sequence[Reading], treated: TrialSpec, workers: int
) -> tuple[Comparison, tuple[Ended, ...]]:
    """Compare a cure with the untouched script again, on whole trainings with fresh seeds.

    Args:
        folder: Where the treated trainings go.
        controls: The untouched script's trainings with these seeds.
        treated: The script under the cure, as it was tried.
        workers: Processes at a time.

    Returns:
        The comparison by the rule of the verdict, and where the first treated trainings ended.
    """
    by_seed = {control.spec.seed: control for control in controls}
    readings = fresh_readings(folder, treated, workers, list(by_seed))
    cured = [with_pairing(reading, by_seed) for reading in readings]
    is_paired = all(reading.trial.is_paired is not False for reading in cured)
    if treated.case_file is not None and has_meaningless_loss(read_run(treated.case_file)):
        answered = {seed: judged_by_answers(control) for seed, control in by_seed.items()}
        pairs = pairs_of([judged_by_answers(reading) for reading in cured], answered, math.nan)
    else:
        pairs = pairs_of(cured, by_seed, guess_loss(controls))
    return compare(pairs, is_paired=is_paired), ends_of(cured[: len(FRESH_SEEDS)])


def spec_behind(run_file: Path) -> TrialSpec:
    """The spec of a trial that was run, from its folder."""
    return spec_from_json((run_file.parent / "spec.json").read_text(encoding="utf-8"))
