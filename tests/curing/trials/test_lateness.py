"""Trials whose time runs out: what is compared without them, and what is said."""

from dataclasses import replace
from pathlib import Path

import pytest

from curing.trials.told_engine import PLAN, TEMPLATE, ToldEngine, diagnosed, runner_of
from gradiometer.curing.trials.finals import Finals, hold_finals
from gradiometer.curing.trials.lateness import lateness_in_words
from gradiometer.curing.trials.local import TrialEnd
from gradiometer.curing.trials.pairing import Reading, read_trial
from gradiometer.curing.trials.plan import Plan
from gradiometer.curing.trying import Attempt, outcome_of
from gradiometer.schema import Outcome

FOUR_SEEDS = replace(PLAN, seeds=(1, 2, 3, 4))


def finals_with(folder: Path, late: dict[tuple[str, int], int]) -> Finals:
    engine = ToldEngine({"": 2.0, "a": 0.2}, late=late)
    return hold_finals(runner_of(folder, engine), ["a"], FOUR_SEEDS, lambda control: control.is_done)


def outcome_with(folder: Path, late: dict[tuple[str, int], int], plan: Plan = FOUR_SEEDS) -> Outcome:
    runner = runner_of(folder, ToldEngine({"": 2.0, "a": 0.2}))
    attempt = Attempt(runner, diagnosed(folder / "diagnosed", ToldEngine({"": 2.0})), (), plan)
    outcome, _ = outcome_of(finals_with(folder, late), attempt, {})
    return outcome


def test_names_the_time_that_ran_out_how_far_it_came_and_how_to_go_on(tmp_path: Path) -> None:
    outcome = outcome_with(tmp_path, {("", 1): 25, ("", 3): 8, ("a", 2): 30})

    assert outcome.verdict == "not shown"
    assert outcome.detail.startswith(
        "time ran out in 2 of 4 trainings of the untouched script and 1 of 4 trainings with the cure: after 10 min 0 s "
        "the slowest stood at step 8 of 40; the same command tries these again and goes on from what is done, "
        "--seconds 3800 allows every trial more; the untouched script showed its fault in 2 of 4 trials only"
    )
    assert len(outcome.control) == len(outcome.treated) == 1


def test_proves_a_cure_on_the_pairs_that_were_done_where_only_controls_were_late(tmp_path: Path) -> None:
    outcome = outcome_with(tmp_path, {("", 4): 20})

    assert outcome.verdict == "better"
    assert outcome.control == pytest.approx((2.02, 2.04, 2.06))
    assert outcome.treated == pytest.approx((0.202, 0.204, 0.206))
    assert "time ran out in 1 of 4 trainings of the untouched script" in outcome.detail


def test_proves_nothing_where_a_training_with_the_cure_was_late(tmp_path: Path) -> None:
    finals = finals_with(tmp_path, {("a", 4): 20})

    assert finals.comparisons["a"].verdict == "not shown"
    assert finals.comparisons["a"].interval is not None
    assert finals.comparisons["a"].interval[1] < 0.0
    assert "time ran out in 1 of 4 trainings with it" in finals.comparisons["a"].detail


def test_calls_no_loss_infinite_whose_training_was_late(tmp_path: Path) -> None:
    finals = finals_with(tmp_path, {("a", seed): 20 for seed in FOUR_SEEDS.seeds})

    assert finals.comparisons["a"].verdict == "not shown"
    assert finals.comparisons["a"].detail == "its time ran out: 20 steps in 10 min 0 s"
    assert all(reading.trial.final_loss is None for reading in finals.treated["a"])


def test_says_that_the_trials_had_no_time_for_the_fault_to_show(tmp_path: Path) -> None:
    short = replace(FOUR_SEEDS, steps=30)
    runner = runner_of(tmp_path, ToldEngine({"": 2.0, "a": 0.2}))
    finals = hold_finals(runner, ["a"], short, lambda control: control.spec.seed < 3)
    attempt = Attempt(runner, diagnosed(tmp_path / "diagnosed", ToldEngine({"": 2.0})), (), short)
    outcome, _ = outcome_of(finals, attempt, {})

    assert "showed its fault in 2 of 4 trials only, which had time for 30 of the 40 steps" in outcome.detail
    assert "--seconds" in outcome.detail


def late_reading(folder: Path, steps: int) -> Reading:
    spec = replace(TEMPLATE, sieve="race", step_limit=100, patience_seconds=60.0).placed_in(folder)
    reading = read_trial(TrialEnd(spec, -9, 60.0, was_late=True))
    return replace(reading, trial=replace(reading.trial, step_count=steps))


@pytest.mark.parametrize(("steps", "seconds"), [(0, 120), (90, 120), (50, 150), (10, 750), (1, 7500)])
def test_asks_for_as_many_seconds_as_the_slowest_would_need(tmp_path: Path, steps: int, seconds: int) -> None:
    readings = [late_reading(tmp_path / "slow", steps), late_reading(tmp_path / "quick", 95)]
    words = lateness_in_words({"trials": readings})
    assert f"step {steps} of 100" in words
    assert f"--seconds {seconds} " in words


def test_says_nothing_where_all_had_time_enough(tmp_path: Path) -> None:
    finals = finals_with(tmp_path, {})
    assert lateness_in_words({"trainings": finals.controls}) == ""
