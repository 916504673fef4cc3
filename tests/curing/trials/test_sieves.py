"""The first two sieves on trials that are told rather than run."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from curing.trials.told_engine import PLAN, ToldEngine, diagnosed, runner_of
from gradiometer.curing.trials.local import TrialEnd
from gradiometer.curing.trials.sieves import Race, Standings, race, race_of_slow_starters, remeasure


def contest_of(tmp_path: Path, engine: ToldEngine, pairs: tuple[str, ...] = ()) -> Race:
    control = diagnosed(tmp_path, engine)
    engine.asked.clear()
    return Race(
        runner_of(tmp_path, engine),
        control,
        PLAN,
        Standings(),
        lambda placed, is_cured: list(pairs),
        lambda reading: False,
    )


def test_lets_the_better_half_race_on(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a": 0.5, "b": 1.0, "c": 1.5, "d": 2.0})
    contest = contest_of(tmp_path, engine)
    finalists, standings = race(contest, ["d", "c", "b", "a"]), contest.standings

    assert [label for label, _ in finalists] == ["a", "b"]
    assert engine.asked == ["d", "c", "b", "a", "a", "b"]
    assert "no better" in standings.rankings["d"].detail
    assert "others were better" in standings.rankings["c"].detail


def test_sends_nobody_on_who_is_no_better_than_the_control(tmp_path: Path) -> None:
    engine = ToldEngine({"": 1.0, "a": 1.0, "b": math.inf, "c": 0.99})
    assert race(contest_of(tmp_path, engine), ["a", "b", "c"]) == []


def test_races_the_nearest_over_a_whole_trial_where_nobody_was_better_in_a_part_of_one(tmp_path: Path) -> None:
    losses = {"": 2.0, "a": 0.5, "b": 2.0, "c": 2.1, "d": 2.2, "e": 2.3, "f": math.inf}
    contest = contest_of(tmp_path, ToldEngine(losses, waking={"a": 22}))
    labels = [label for label in losses if label]
    assert race(contest, labels) == []
    contest.runner.engine.asked.clear()
    finalists = race_of_slow_starters(contest)

    assert [label for label, _ in finalists] == ["a"]
    assert sorted(contest.runner.engine.asked) == ["a", "b", "c", "d"]
    assert contest.standings.rankings["b"].detail == "no better than the control after 40 steps"


def test_sends_on_whoever_goes_on_training_where_the_control_is_lost(tmp_path: Path) -> None:
    engine = ToldEngine({"": math.inf, "a": 2.0, "b": math.inf, "a+c": 1.0, "c": 1.5})
    finalists = race(contest_of(tmp_path, engine), ["a", "b", "a+c"])
    assert [label for label, _ in finalists] == ["a+c", "a"]


def test_lets_a_part_that_does_nearly_as_well_challenge_its_pair(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a+b": 0.5, "c": 0.6, "a": 0.7, "b": 1.9})
    finalists = race(contest_of(tmp_path, engine), ["a+b", "c"])
    assert [label for label, _ in finalists] == ["a+b", "a"]


def test_calls_others_better_only_where_they_were(tmp_path: Path) -> None:
    contest = contest_of(tmp_path, ToldEngine({"": 2.0, "a+b": 0.5, "a": 0.4, "b": 2.0, "c": 1.5}))
    with_one_place = replace(contest, plan=replace(contest.plan, finalist_count=1))

    assert [label for label, _ in race(with_one_place, ["a+b", "c"])] == ["a+b"]
    details = {label: ranking.detail for label, ranking in contest.standings.rankings.items()}
    assert details["a"] == "only a+b went on"
    assert details["c"] == "others were better in the race"


def test_sends_on_the_runner_up_where_no_part_comes_near(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a+b": 0.5, "c": 0.6, "a": 1.9, "b": 1.9})
    finalists = race(contest_of(tmp_path, engine), ["a+b", "c"])
    assert [label for label, _ in finalists] == ["a+b", "c"]


def test_races_the_pairs_that_the_last_round_asks_for(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a": 1.0, "a+b": 0.3, "b": 1.9})
    finalists = race(contest_of(tmp_path, engine, ("a+b",)), ["a"])
    assert [label for label, _ in finalists] == ["a+b", "a"]
    assert engine.asked.count("b") == 1


def test_races_no_pair_again_that_has_lost_over_the_same_length(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a": 0.5, "a+b": 2.5})
    contest = contest_of(tmp_path, engine, ("a+b",))
    short = replace(contest, plan=replace(contest.plan, race_steps=(20,)))

    assert [label for label, _ in race(short, ["a", "a+b"])] == ["a"]
    assert engine.asked == ["a", "a+b"]


def test_races_pairs_where_no_cure_alone_was_better(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a": 2.0, "b": 2.0, "a+b": 0.3})
    finalists = race(contest_of(tmp_path, engine, ("a+b",)), ["a", "b"])
    assert [label for label, _ in finalists] == ["a+b"]


def test_drops_at_first_what_is_no_better_or_not_finite(tmp_path: Path) -> None:
    # Runs that are told have no measurements, which counts as ill on both sides: the loss decides.
    engine = ToldEngine({"": 2.0, "a": 1.5, "b": 2.0, "c": math.inf})
    standings = Standings()
    kept = remeasure(runner_of(tmp_path, engine), ["a", "b", "c"], standings)

    assert [label for label, _ in kept] == ["a"]
    assert "NaN or infinity" in standings.rankings["c"].detail
    assert "no better" in standings.rankings["b"].detail


@pytest.mark.parametrize(
    ("conditions", "expected"), [(("vanishing", "linear"), ["a", "b"]), (("vanishing", "stuck"), ["a"])]
)
def test_drops_for_balance_only_where_balance_tells_of_the_fault(
    tmp_path: Path, conditions: tuple[str, ...], expected: list[str]
) -> None:
    engine = ToldEngine({"": 2.0, "a": 1.5, "b": 2.0})
    runner = runner_of(tmp_path, engine)
    runner.template = replace(runner.template, conditions=conditions)
    assert [label for label, _ in remeasure(runner, ["a", "b"], Standings())] == expected


def test_ranks_those_of_the_last_sieve_first() -> None:
    standings = Standings()
    for label, sieve in (("a", "remeasure"), ("b", "race"), ("c", "trial")):
        standings.note(label, sieve, None, "for a reason")
    assert [ranking.cures for ranking in standings.in_order()] == [("c",), ("b",), ("a",)]


def test_keeps_what_was_foretold_when_a_candidate_goes_on_under_another_label() -> None:
    standings = Standings()
    standings.expect("a+change_learning_rate:range", -3.0, "for depth")
    standings.rename("a+change_learning_rate:range", "a+change_learning_rate:=0.1")
    standings.note("a+change_learning_rate:=0.1", "race", None)
    (ranking,) = standings.in_order()
    assert ranking.cures == ("a", "change_learning_rate:=0.1")
    assert (ranking.forecast_db, ranking.reason, ranking.sieve) == (-3.0, "for depth", "race")


def test_lets_a_rate_race_that_was_found_whatever_its_first_steps_look_like(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "change_learning_rate:=0.1": 2.0, "clip_gradients": 2.0})
    kept = remeasure(runner_of(tmp_path, engine), ["change_learning_rate:=0.1", "clip_gradients"], Standings())
    assert [label for label, _ in kept] == ["change_learning_rate:=0.1"]


def test_sends_on_the_smallest_change_that_does_as_well_as_the_best(tmp_path: Path) -> None:
    losses = {"insert_normalisation": 0.20, "redraw_weights:he": 0.21, "change_learning_rate:x10": 0.22, "": 2.0}
    finalists = race(contest_of(tmp_path, ToldEngine(losses)), [label for label in losses if label])
    assert [label for label, _ in finalists] == ["insert_normalisation", "change_learning_rate:x10"]


RAW = {"": 1000.0, "scale_output_to_targets": 0.01, "redraw_weights:he": 0.5, "change_learning_rate:=3": 1.1}
"""Targets in raw units: all the others bring 99.9 % of the way down, and that one alone has learned."""


def with_guess(contest: Race, guess: float) -> Race:
    """The same race where the best constant guess is known."""
    run = contest.diagnosed.run
    known = replace(run, snapshot_steps=np.array([0]), snapshot_columns={"constant_loss": np.array([guess])})
    return replace(contest, diagnosed=replace(contest.diagnosed, run=known))


def test_sends_nobody_on_who_is_no_better_than_a_constant_guess_where_the_best_is(tmp_path: Path) -> None:
    engine = ToldEngine({"": 1000.0, "scale_output_to_targets": 0.01, "change_learning_rate:=3": 1.1})
    contest = with_guess(contest_of(tmp_path, engine), 1.0)
    finalists = race(contest, [label for label in engine.losses if label])
    assert [label for label, _ in finalists] == ["scale_output_to_targets"]
    assert "constant guess" in contest.standings.rankings["change_learning_rate:=3"].detail


@pytest.mark.parametrize(
    ("guess", "expected"),
    [
        (1.0, ["scale_output_to_targets", "redraw_weights:he"]),
        (math.nan, ["scale_output_to_targets", "change_learning_rate:=3"]),
        (0.005, ["scale_output_to_targets", "change_learning_rate:=3"]),
    ],
)
def test_counts_what_a_cure_brings_from_a_constant_guess_where_the_control_stands_above(
    tmp_path: Path, guess: float, expected: list[str]
) -> None:
    contest = with_guess(contest_of(tmp_path, ToldEngine(RAW)), guess)
    finalists = race(contest, [label for label in RAW if label])
    assert [label for label, _ in finalists] == expected
    assert contest.summit(20, 0.01) == pytest.approx(guess if guess == 1.0 else 980.0)
    assert contest.summit(20, 2.0) == pytest.approx(980.0)


def test_lists_a_trial_once_however_often_it_was_asked_for(tmp_path: Path) -> None:
    runner = runner_of(tmp_path, ToldEngine({"": 2.0, "a": 1.0}))
    specs = [runner.trial(label, 0, "race", 10) for label in (None, "a")]
    readings = runner.run(specs)
    runner.engine = lambda asked, **_: [TrialEnd(spec, 0, 1.0) for spec in asked]

    again = runner.run(specs[1:])

    assert [reading.trial for reading in again] == [reading.trial for reading in readings[1:]]
    assert [reading.trial for reading in runner.readings] == [reading.trial for reading in readings]
