"""The last sieve on trials that are told rather than run."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from curing.trials.told_engine import PLAN, ToldEngine, bench_of
from gradiometer.curing.trials.finals import choose_winner, hold_finals


def test_proves_a_cure_and_prefers_the_smaller_change(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a+b": 0.50, "a": 0.505})
    finals = hold_finals(bench_of(tmp_path, engine), ["a+b", "a"], PLAN, lambda control: True)

    assert {comparison.verdict for comparison in finals.comparisons.values()} == {"better"}
    assert finals.paired == {"a+b": True, "a": True}
    assert finals.shows_fault
    assert choose_winner(finals) == "a"


def test_takes_the_greater_change_where_it_is_clearly_better(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a+b": 0.2, "a": 1.0})
    finals = hold_finals(bench_of(tmp_path, engine), ["a+b", "a"], PLAN, lambda control: True)
    assert choose_winner(finals) == "a+b"


def test_says_so_where_the_batches_of_a_pair_differ(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a": 0.2}, {"a": "other"})
    finals = hold_finals(bench_of(tmp_path, engine), ["a"], PLAN, lambda control: True)

    assert finals.paired == {"a": False}
    assert "unpaired" in finals.comparisons["a"].detail
    assert finals.treated["a"][0].trial.is_paired is False


def test_proves_nothing_on_one_training_run_three_times(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a": 0.2}, is_seeded=False)
    finals = hold_finals(bench_of(tmp_path, engine), ["a"], PLAN, lambda control: True)

    assert finals.comparisons["a"].verdict == "not shown"
    assert "random state" in finals.comparisons["a"].detail


def test_does_not_show_the_fault_where_half_of_the_controls_lack_it(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a": 0.2})
    finals = hold_finals(bench_of(tmp_path, engine), ["a"], PLAN, lambda control: control.spec.seed == 1)

    assert finals.fault_count == 1
    assert not finals.shows_fault


def test_prefers_a_part_that_takes_nearly_as_much_off_the_loss_as_the_whole(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a+b": 0.04, "a": 0.06})
    finals = hold_finals(bench_of(tmp_path, engine), ["a+b", "a"], PLAN, lambda control: True)
    assert choose_winner(finals) == "a"


@pytest.mark.parametrize(("guess", "winner"), [(0.1, "a+b"), (0.0005, "a"), (math.nan, "a")])
def test_counts_the_gain_from_a_constant_guess_where_the_control_stands_above_it(
    tmp_path: Path, guess: float, winner: str
) -> None:
    engine = ToldEngine({"": 15.0, "a+b": 0.001, "a": 0.11})
    finals = hold_finals(bench_of(tmp_path, engine), ["a+b", "a"], PLAN, lambda control: True)
    assert choose_winner(replace(finals, guess_loss=guess)) == winner


def test_widens_every_interval_for_all_cures_that_were_tried(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a": 0.2})
    few = hold_finals(bench_of(tmp_path / "few", engine), ["a"], PLAN, lambda control: True, 1)
    many = hold_finals(bench_of(tmp_path / "many", engine), ["a"], PLAN, lambda control: True, 10)

    assert few.comparisons["a"].confidence == pytest.approx(0.95)
    assert many.comparisons["a"].confidence == pytest.approx(0.995)
    assert many.comparisons["a"].interval[0] < few.comparisons["a"].interval[0]
    assert many.match_of("a").comparison_count == 10
