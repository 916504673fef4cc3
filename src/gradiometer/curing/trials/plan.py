"""Plans how many steps, seeds and processes the trials get, so that the whole takes minutes at most."""

import math
import os
from dataclasses import dataclass

from gradiometer.units import format_seconds

DEFAULT_SECONDS = 120.0
"""Wall time that the whole may take unless told otherwise."""

MOST_WORKERS = 8
"""Processes at a time unless told otherwise: each holds torch and the script's data in memory."""

ACCELERATOR_WORKERS = 2
"""The same where they share an accelerator."""

DIAGNOSIS_SHARE = 1 / 6
"""Share of it for the run that is diagnosed."""

REMEASURE_STEPS = 12
"""Steps of the first sieve: enough for unit windows and a few updates."""

REMEASURE_COST = 4.0
"""A step that is measured in full takes up to this many times as long as a bare one, on small layers."""

MOST_SEEDS, FEWEST_SEEDS = 5, 3
"""Seeds of the last sieve where time allows, and where it does not."""

FINALIST_COUNT = 2
"""Cures in the last sieve: each one more widens every interval."""

FEWEST_STEPS = 50
"""Steps below which a difference in loss says little about a training."""

ONSET_MARGIN = 1.25
"""How far beyond the first step at which the fault could be told a trial has to go."""

CHEAP_RATIO = 2.0
"""A training that takes less than this many times its start-up is raced in full at once."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asked for; None stands for a default that suits the script.

    Attributes:
        steps: Steps of a trial.
        seconds: Wall time of the whole.
        seeds: Seeds of the last sieve.
        workers: Processes at a time.
    """

    steps: int | None = None
    seconds: float | None = None
    seeds: int | None = None
    workers: int | None = None

    @property
    def total_seconds(self) -> float:
        """Wall time of the whole."""
        return DEFAULT_SECONDS if self.seconds is None else self.seconds

    @property
    def worker_count(self) -> int:
        """Processes at a time: one per processor, within reason."""
        return self.workers or min(processor_count(), MOST_WORKERS)

    @property
    def threads(self) -> int:
        """Threads of torch in each process."""
        return max(1, processor_count() // self.worker_count)


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the script is, as measured in the run that was diagnosed.

    Attributes:
        startup_seconds: From the process's start to the first forward.
        step_seconds: One step.
        step_count: Steps that run took.
        onset_step: First step at which its fault could be told.
        is_accelerated: It trains on another device than the processor.
        ending_seconds: From its last step to its process's end.
        is_whole: The script ended by itself.
    """

    startup_seconds: float
    step_seconds: float
    step_count: int
    onset_step: int = 0
    is_accelerated: bool = False
    ending_seconds: float = 0.0
    is_whole: bool = False

    def worker_count(self, wishes: Wishes) -> int:
        """Processes at a time that suit the script's device."""
        if wishes.workers or not self.is_accelerated:
            return wishes.worker_count
        return min(wishes.worker_count, ACCELERATOR_WORKERS)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the trials are given.

    Attributes:
        candidate_count: Cures to try.
        steps: Steps of a trial in the last sieve.
        race_steps: Steps of each round of the race.
        seeds: Seeds of the last sieve; the race has seed 0, so that no finalist was chosen for luck with these.
        workers: Processes at a time.
        seconds: Wall time that it will take, as far as can be told.
        is_whole: The script ends by itself after these steps.
    """

    candidate_count: int
    steps: int
    race_steps: tuple[int, ...]
    seeds: tuple[int, ...]
    workers: int
    seconds: float
    is_whole: bool = False

    @property
    def text(self) -> str:
        """The plan in words.

        Example:
            >>> Plan(8, 870, (870,), (1, 2, 3), 2, 41.0).text
            '8 cures, 3 seeds, 870 steps each, about 41 s on 2 processes'
        """
        cures = f"{self.candidate_count} cure{'s' if self.candidate_count != 1 else ''}"
        seeds = f"{len(self.seeds)} seed{'s' if len(self.seeds) != 1 else ''}"
        processes = f"{self.workers} process{'es' if self.workers != 1 else ''}"
        return f"{cures}, {seeds}, {self.steps} steps each, about {format_seconds(self.seconds)} on {processes}"


def make_plan(wishes: Wishes, pace: Pace, candidate_count: int) -> Plan:
    """Choose steps and seeds.

    Trials are as long as the run that was diagnosed where time allows, else shorter, yet long enough for its fault.

    Args:
        wishes: What the user asked for; what is asked for comes before the time.
        pace: How fast the script is.
        candidate_count: Cures to try.
    """
    left_seconds = wishes.total_seconds - pace.startup_seconds - pace.step_count * pace.step_seconds
    seed_counts = [wishes.seeds] if wishes.seeds else list(range(MOST_SEEDS, FEWEST_SEEDS - 1, -1))
    plans = [planned(wishes, pace, candidate_count, count, most_steps(wishes, pace)) for count in seed_counts]
    fitting = next((plan for plan in plans if plan.seconds <= left_seconds), None)
    if fitting is not None or wishes.steps:
        return fitting or plans[-1]
    steps = affordable_steps(wishes, pace, candidate_count, seed_counts[-1], left_seconds)
    return planned(wishes, pace, candidate_count, seed_counts[-1], steps)


def most_steps(wishes: Wishes, pace: Pace) -> int:
    """Steps of a trial if time were no matter."""
    return max(1, min(wishes.steps or pace.step_count, pace.step_count))


def fewest_steps(pace: Pace) -> int:
    """Steps that a trial needs to show the fault at all."""
    return min(pace.step_count, max(FEWEST_STEPS, math.ceil(ONSET_MARGIN * pace.onset_step) + 10))


def affordable_steps(wishes: Wishes, pace: Pace, candidate_count: int, seed_count: int, seconds: float) -> int:
    """The greatest number of steps with which the whole stays below a time; at least `fewest_steps`."""
    low, high = fewest_steps(pace), most_steps(wishes, pace)
    while low < high:
        middle = (low + high + 1) // 2
        if planned(wishes, pace, candidate_count, seed_count, middle).seconds <= seconds:
            low = middle
        else:
            high = middle - 1
    return low


def planned(wishes: Wishes, pace: Pace, candidate_count: int, seed_count: int, steps: int) -> Plan:
    """The plan for given numbers, with the time that it takes."""
    race_steps = rounds_of_race(pace, steps)
    workers = pace.worker_count(wishes)
    remeasuring = pace.startup_seconds + REMEASURE_STEPS * REMEASURE_COST * pace.step_seconds
    seconds = rounds(candidate_count + 1, workers) * remeasuring
    racers = candidate_count
    for round_steps in race_steps:
        seconds += rounds(racers, workers) * (pace.startup_seconds + round_steps * pace.step_seconds)
        racers = math.ceil(racers / 2)
    final_count = (1 + min(FINALIST_COUNT, candidate_count)) * seed_count
    is_whole = pace.is_whole and steps == pace.step_count
    final_seconds = pace.startup_seconds + steps * pace.step_seconds + pace.ending_seconds * is_whole
    seconds += rounds(final_count, workers) * final_seconds
    return Plan(candidate_count, steps, race_steps, tuple(range(1, seed_count + 1)), workers, seconds, is_whole)


def rounds(count: int, workers: int) -> int:
    """How often all processes are filled."""
    return math.ceil(count / workers)


def rounds_of_race(pace: Pace, steps: int) -> tuple[int, ...]:
    """Steps of each round of the race: a quarter, then half; all at once where starting takes longer than training."""
    if steps * pace.step_seconds <= CHEAP_RATIO * pace.startup_seconds:
        return (steps,)
    least = min(steps, fewest_steps(pace))
    return tuple(dict.fromkeys((max(steps // 4, least), max(steps // 2, least))))


def processor_count() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1
