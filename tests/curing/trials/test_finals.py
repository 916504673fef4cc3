"""The last sieve on trials that are told rather than run."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from curing.trials.told_engine import PLAN, ToldEngine, runner_of
from gradiometer.curing.trials.finals import choose_winner, hold_finals, pairs_of
from gradiometer.curing.trials.verdict import compare


def test_proves_a_cure_and_prefers_the_smaller_change(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a+b": 0.50, "a": 0.505})
    finals = hold_finals(runner_of(tmp_path, engine), ["a+b", "a"], PLAN, lambda control: True)

    assert {comparison.verdict for comparison in finals.comparisons.values()} == {"better"}
    assert finals.paired == {"a+b": True, "a": True}
    assert finals.shows_fault
    assert choose_winner(finals) == "a"


def test_takes_the_greater_change_where_it_is_clearly_better(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a+b": 0.2, "a": 1.0})
    finals = hold_finals(runner_of(tmp_path, engine), ["a+b", "a"], PLAN, lambda control: True)
    assert choose_winner(finals) == "a+b"


def test_says_so_where_the_batches_of_a_pair_differ(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a": 0.2}, {"a": "other"})
    finals = hold_finals(runner_of(tmp_path, engine), ["a"], PLAN, lambda control: True)

    assert finals.paired == {"a": False}
    assert "unpaired" in finals.comparisons["a"].detail
    assert finals.treated["a"][0].trial.is_paired is False


def test_proves_nothing_on_one_training_run_three_times(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a": 0.2}, is_seeded=False)
    finals = hold_finals(runner_of(tmp_path, engine), ["a"], PLAN, lambda control: True)

    assert finals.comparisons["a"].verdict == "not shown"
    assert "random state" in finals.comparisons["a"].detail


def test_does_not_show_the_fault_where_half_of_the_controls_lack_it(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a": 0.2})
    finals = hold_finals(runner_of(tmp_path, engine), ["a"], PLAN, lambda control: control.spec.seed == 1)

    assert finals.fault_count == 1
    assert not finals.shows_fault


def test_prefers_a_part_that_takes_nearly_as_much_off_the_loss_as_the_whole(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a+b": 0.04, "a": 0.06})
    finals = hold_finals(runner_of(tmp_path, engine), ["a+b", "a"], PLAN, lambda control: True)
    assert choose_winner(finals) == "a"


@pytest.mark.parametrize(("guess", "winner"), [(0.1, "a+b"), (0.0005, "a"), (math.nan, "a")])
def test_counts_the_gain_from_a_constant_guess_where_the_control_stands_above_it(
    tmp_path: Path, guess: float, winner: str
) -> None:
    engine = ToldEngine({"": 15.0, "a+b": 0.001, "a": 0.11})
    finals = hold_finals(runner_of(tmp_path, engine), ["a+b", "a"], PLAN, lambda control: True)
    assert choose_winner(replace(finals, guess_loss=guess)) == winner


WILD = {("", seed): factor for seed, factor in enumerate((0.2, 1.8, 0.6, 1.5, 0.3, 1.2, 1.0, 0.8, 1.4, 0.5), start=1)}
"""Controls that differ as much from seed to seed as a training does that a rate is somewhat too large for."""


def test_trains_the_spare_seeds_where_the_first_do_not_show_what_they_point_to(tmp_path: Path) -> None:
    plan = replace(PLAN, spare_seeds=tuple(range(4, 11)))
    engine = ToldEngine({"": 2.0, "a": 0.1}, wobble=WILD)
    finals = hold_finals(runner_of(tmp_path / "spare", engine), ["a"], plan, lambda control: True)
    without = hold_finals(runner_of(tmp_path / "none", engine), ["a"], PLAN, lambda control: True)

    assert without.comparisons["a"].verdict == "not shown"
    assert finals.comparisons["a"].verdict == "better"
    assert finals.comparisons["a"].confidence == pytest.approx(0.99)
    assert [control.spec.seed for control in finals.controls] == list(range(1, 11))
    assert finals.match_of("a").comparison_count == 1


@pytest.mark.parametrize(
    ("losses", "has_fault"),
    [({"": 2.0, "a": 0.1}, True), ({"": 2.0, "a": 2.5}, True), ({"": 2.0, "a": 1.9}, False)],
)
def test_looks_no_second_time_where_all_is_said(tmp_path: Path, losses: dict[str, float], has_fault: bool) -> None:
    """Proved at the first look; no better in the mean; a fault that the controls do not show."""
    plan = replace(PLAN, spare_seeds=tuple(range(4, 11)))
    wobble = {} if losses["a"] == 0.1 else WILD
    engine = ToldEngine(losses, wobble=wobble)
    finals = hold_finals(runner_of(tmp_path, engine), ["a"], plan, lambda control: has_fault)

    assert len(finals.controls) == len(PLAN.seeds)
    assert finals.comparisons["a"].confidence == pytest.approx(0.96)


def test_does_not_take_a_control_for_come_apart_that_began_with_an_easy_example(tmp_path: Path) -> None:
    """A single example's loss is no measure of where a training began; a constant guess's is."""
    engine = ToldEngine({"": 1.2, "a": 0.5}, starts={"": 0.01, "a": 0.01})
    finals = hold_finals(runner_of(tmp_path, engine), ["a"], PLAN, lambda control: True)
    controls = {control.spec.seed: control for control in finals.controls}
    (blind,) = {pair.control_start for pair in pairs_of(finals.treated["a"], controls, math.nan)}
    (seeing,) = {pair.control_start for pair in pairs_of(finals.treated["a"], controls, 1.0)}

    assert blind == pytest.approx(0.01)
    assert seeing == 1.0
    assert compare(pairs_of(finals.treated["a"], controls, math.nan)).verdict != "better"
    assert compare(pairs_of(finals.treated["a"], controls, 1.0)).verdict == "better"


def test_widens_every_interval_for_all_cures_that_were_tried(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a": 0.2})
    few = hold_finals(runner_of(tmp_path / "few", engine), ["a"], PLAN, lambda control: True, 1)
    many = hold_finals(runner_of(tmp_path / "many", engine), ["a"], PLAN, lambda control: True, 10)

    assert few.comparisons["a"].confidence == pytest.approx(0.95)
    assert many.comparisons["a"].confidence == pytest.approx(0.995)
    assert many.comparisons["a"].interval[0] < few.comparisons["a"].interval[0]
    assert many.match_of("a").comparison_count == 10
