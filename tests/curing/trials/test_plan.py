import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradiometer.curing.trials.plan import Pace, Wishes, make_plan, planned

FAST = Pace(startup_seconds=0.5, step_seconds=0.001, step_count=870)


def test_runs_a_short_script_whole_with_as_many_seeds_as_it_may() -> None:
    plan = make_plan(Wishes(workers=2), FAST, 8)

    assert plan.steps == 870
    assert plan.seeds == (1, 2, 3, 4, 5)
    assert plan.race_steps == (870,)
    assert "8 cures, 5 seeds, 870 steps each, about" in plan.text


def test_shortens_trials_of_a_slow_script_until_they_fit() -> None:
    slow = replace(FAST, step_seconds=0.1, step_count=600)
    plan = make_plan(Wishes(seconds=400.0, workers=2), slow, 6)

    assert 360 <= plan.steps < 600
    assert plan.seconds <= 400.0
    assert plan.seeds == (1, 2, 3, 4)
    assert plan.race_steps[0] < plan.race_steps[-1] <= plan.steps


def test_gives_up_candidates_and_finalists_before_it_shortens_trials_too_much() -> None:
    slow = Pace(startup_seconds=3.0, step_seconds=0.28, step_count=300, is_whole=True)
    plan = make_plan(Wishes(seconds=600.0, workers=2), slow, 8)

    assert plan.candidate_count < 8
    assert plan.finalist_count == 1
    assert plan.steps >= 180
    assert plan.seconds <= 516.0


def test_never_ends_a_trial_before_the_fault_shows() -> None:
    slow = replace(FAST, step_seconds=1.0, step_count=500, onset_step=300)
    plan = make_plan(Wishes(seconds=60.0, workers=2), slow, 8)

    assert plan.steps == 385
    assert plan.race_steps == (385,)


def test_keeps_seeds_to_spare_where_the_time_is_enough_for_them() -> None:
    plan = make_plan(Wishes(workers=2), FAST, 8)
    spare = len(plan.spare_seeds)
    trainings = math.ceil(3 * spare / 2) * (FAST.startup_seconds + plan.steps * FAST.step_seconds)

    assert plan.spare_seeds == tuple(range(6, 6 + spare))
    assert 3 <= spare <= 10
    assert plan.seconds + trainings <= Wishes().total_seconds
    assert make_plan(Wishes(workers=2, seconds=plan.seconds + 2.0), FAST, 8).spare_seeds == ()
    assert make_plan(Wishes(workers=2, seeds=4), FAST, 8).spare_seeds == ()


def test_does_what_was_asked_for_whatever_that_takes() -> None:
    plan = make_plan(Wishes(steps=40, seconds=1.0, seeds=2, workers=3), FAST, 8)

    assert (plan.steps, len(plan.seeds), plan.workers) == (40, 2, 3)


def test_never_uses_the_seed_of_the_race_for_the_verdict() -> None:
    assert 0 not in make_plan(Wishes(), FAST, 8).seeds


def test_gives_every_process_its_share_of_the_processors() -> None:
    assert Wishes(workers=10_000).threads == 1
    assert Wishes(workers=1).threads >= 1
    assert Wishes().total_seconds > 0.0


@given(st.floats(0.01, 10.0), st.floats(1e-5, 5.0), st.integers(1, 5000), st.integers(0, 5000), st.integers(1, 12))
def test_plans_something_for_every_pace(startup: float, step: float, count: int, onset: int, cures: int) -> None:
    pace = Pace(startup, step, count, min(onset, count))
    plan = make_plan(Wishes(workers=2), pace, cures)

    assert 1 <= plan.steps <= count
    assert all(1 <= steps <= plan.steps for steps in plan.race_steps)
    assert 4 <= len(plan.seeds) <= 5
    assert 1 <= plan.finalist_count <= 2
    grade = (plan.candidate_count, plan.finalist_count, len(plan.seeds))
    assert plan.seconds == pytest.approx(planned(Wishes(workers=2), pace, grade, plan.steps).seconds)
