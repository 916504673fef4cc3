"""Plans how many steps, seeds and processes the trials get, so that the whole takes minutes at most."""

import math
import os
from dataclasses import dataclass, replace

from gradiometer.curing.trials.range_test import RANGE_STEPS
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

MOST_SEEDS, FEWEST_SEEDS = 5, 4
"""Seeds of the last sieve where time allows, and where it does not: with three, an interval that holds for eight cures
is so wide that hardly anything is shown."""

MOST_SPARE_SEEDS, FEWEST_SPARE_SEEDS = 10, 3
"""Seeds of a second look, where the first did not show what it points to: with fewer it would show little more."""

FINALIST_COUNT = 2
"""Cures in the last sieve where time allows."""

GRADES = ((8, 2, MOST_SEEDS), (8, 2, FEWEST_SEEDS), (5, 2, FEWEST_SEEDS), (3, 1, FEWEST_SEEDS))
"""Candidates, finalists and seeds, in the order in which they are given up for a script that is slow."""

FAIR_SHARE = 0.6
"""Share of the diagnosed run's steps that a trial gets before candidates are given up rather than steps."""

EXTRA_RACERS = 5
"""Pairs and parts of pairs that the last round of the race takes in."""

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
        finalist_count: Cures in the last sieve.
        spare_seeds: Seeds that time is left for, if those of the last sieve do not show what they point to.
    """

    candidate_count: int
    steps: int
    race_steps: tuple[int, ...]
    seeds: tuple[int, ...]
    workers: int
    seconds: float
    is_whole: bool = False
    finalist_count: int = FINALIST_COUNT
    spare_seeds: tuple[int, ...] = ()

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
    """Choose steps, seeds, candidates and finalists.

    Trials are as long as the run that was diagnosed where time allows. Where it does not, seeds are given up first,
    then the least promising candidates, then steps, yet never so many that the fault could not show. What time is left
    is for more seeds, should the first ones not show what they point to.

    Args:
        wishes: What the user asked for; what is asked for comes before the time.
        pace: How fast the script is.
        candidate_count: Cures to try.
    """
    left_seconds = wishes.total_seconds - pace.startup_seconds - pace.step_count * pace.step_seconds
    plan = fitting_plan(wishes, pace, candidate_count, left_seconds)
    return plan if wishes.seeds else with_spare_seeds(plan, pace, left_seconds)


def fitting_plan(wishes: Wishes, pace: Pace, candidate_count: int, left_seconds: float) -> Plan:
    """The best plan that the time is enough for; the least where it is for none."""
    grades = grades_for(wishes, candidate_count)
    most = most_steps(wishes, pace)
    if wishes.steps:
        plans = [planned(wishes, pace, grade, most) for grade in grades]
        return next((plan for plan in plans if plan.seconds <= left_seconds), plans[-1])
    fair = max(fewest_steps(pace), math.ceil(FAIR_SHARE * most))
    for least in (most, fair):
        for grade in grades:
            steps = affordable_steps(wishes, pace, grade, left_seconds, least)
            plan = planned(wishes, pace, grade, steps)
            if plan.seconds <= left_seconds:
                return plan
    steps = affordable_steps(wishes, pace, grades[-1], left_seconds, fewest_steps(pace))
    return planned(wishes, pace, grades[-1], steps)


def with_spare_seeds(plan: Plan, pace: Pace, left_seconds: float) -> Plan:
    """The plan with as many seeds to spare as the time that it leaves is enough for."""
    for count in range(MOST_SPARE_SEEDS, FEWEST_SPARE_SEEDS - 1, -1):
        trainings = rounds((1 + plan.finalist_count) * count, plan.workers)
        if plan.seconds + trainings * final_seconds(pace, plan.steps, is_whole=plan.is_whole) <= left_seconds:
            return replace(plan, spare_seeds=tuple(range(len(plan.seeds) + 1, len(plan.seeds) + 1 + count)))
    return plan


def final_seconds(pace: Pace, steps: int, *, is_whole: bool) -> float:
    """Wall time of one training of the last sieve."""
    return pace.startup_seconds + steps * pace.step_seconds + pace.ending_seconds * is_whole


def grades_for(wishes: Wishes, candidate_count: int) -> list[tuple[int, int, int]]:
    """`GRADES` with no more candidates than there are, and with the seeds that were asked for."""
    found = [(min(candidate_count, most), finalists, wishes.seeds or seeds) for most, finalists, seeds in GRADES]
    return list(dict.fromkeys(found))


def most_steps(wishes: Wishes, pace: Pace) -> int:
    """Steps of a trial if time were no matter."""
    return max(1, min(wishes.steps or pace.step_count, pace.step_count))


def fewest_steps(pace: Pace) -> int:
    """Steps that a trial needs to show the fault at all."""
    return min(pace.step_count, max(FEWEST_STEPS, math.ceil(ONSET_MARGIN * pace.onset_step) + 10))


def affordable_steps(wishes: Wishes, pace: Pace, grade: tuple[int, int, int], seconds: float, least: int) -> int:
    """The greatest number of steps with which the whole stays below a time; at least `least`."""
    low, high = min(least, most_steps(wishes, pace)), most_steps(wishes, pace)
    while low < high:
        middle = (low + high + 1) // 2
        if planned(wishes, pace, grade, middle).seconds <= seconds:
            low = middle
        else:
            high = middle - 1
    return low


def planned(wishes: Wishes, pace: Pace, grade: tuple[int, int, int], steps: int) -> Plan:
    """The plan for given numbers, with the time that it takes."""
    candidate_count, most_finalists, seed_count = grade
    race_steps = rounds_of_race(pace, steps)
    workers = pace.worker_count(wishes)
    remeasuring = pace.startup_seconds + REMEASURE_STEPS * REMEASURE_COST * pace.step_seconds
    seconds = rounds(candidate_count + 1, workers) * remeasuring
    racers = candidate_count
    for round_steps in race_steps:
        racers += EXTRA_RACERS if round_steps == race_steps[-1] else 0
        seconds += rounds(racers, workers) * (pace.startup_seconds + round_steps * pace.step_seconds)
        racers = math.ceil(racers / 2)
    # A range test has a run beside it whose weights are held.
    seconds += rounds(2, workers) * (pace.startup_seconds + RANGE_STEPS * pace.step_seconds)
    finalist_count = min(most_finalists, candidate_count)
    is_whole = pace.is_whole and steps == pace.step_count
    seconds += rounds((1 + finalist_count) * seed_count, workers) * final_seconds(pace, steps, is_whole=is_whole)
    seeds = tuple(range(1, seed_count + 1))
    return Plan(candidate_count, steps, race_steps, seeds, workers, seconds, is_whole, finalist_count)


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
