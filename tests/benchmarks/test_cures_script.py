"""The trainings of gradiometer's benchmark of cures are those of its truth benchmark, and can be treated."""

import json
import subprocess
import sys
from statistics import fmean

import pytest

from benchmarks.cures.trainings import (
    FRESH_SEEDS,
    SCRIPT,
    arguments_of,
    confirm,
    ends_of,
    fresh_seeds,
    spec_of,
    train_once,
    untouched_readings,
)
from benchmarks.truth.running import make_faulty
from benchmarks.truth.training import train

NUMBER, FAULT = 12, "rate too small"
CURE = ("change_learning_rate:x1000",)


@pytest.mark.slow
def test_trains_as_the_truth_benchmark_does_and_watched_by_rules_not_otherwise():
    training, _ = make_faulty(NUMBER, FAULT)
    ended = train(training, None)
    for options in ((), ("--monitor",)):
        done = subprocess.run(
            [sys.executable, str(SCRIPT), *arguments_of(NUMBER, FAULT, options)], capture_output=True, check=True
        )
        found = json.loads(done.stdout)
        assert found["loss"] == fmean(ended.evaluations[-3:])
        assert found["symptom"] == ""


@pytest.mark.slow
def test_confirms_a_cure_on_trainings_that_each_have_their_own_weights_and_order(tmp_path):
    arguments = arguments_of(NUMBER, FAULT)
    controls = untouched_readings(tmp_path / "untouched", arguments, 2)
    comparison, ends = confirm(tmp_path / "confirm", controls, spec_of(tmp_path / "any", arguments, CURE), 2)
    assert comparison.verdict == "better"
    assert len({end.loss for end in ends}) == len(FRESH_SEEDS)
    twins = ends_of(untouched_readings(tmp_path / "twins", arguments_of(NUMBER, ""), 2))
    assert fmean(end.loss for end in ends) == pytest.approx(fmean(end.loss for end in twins), rel=0.2)


@pytest.mark.slow
def test_takes_no_training_for_healthy_that_could_not_be_run(tmp_path):
    with pytest.raises(RuntimeError, match="with seed 101: RuntimeError: .*negative dimension"):
        untouched_readings(tmp_path / "untouched", arguments_of(NUMBER, FAULT, ("--batch", "-1")), 2)


@pytest.mark.slow
def test_tells_a_fix_that_is_refused_from_one_that_was_trained(tmp_path):
    arguments = arguments_of(NUMBER, FAULT, ("--monitor", "--batch", "8"))
    refused, _ = train_once(tmp_path / "refused", arguments, ("exchange_recurrence:lstm",))
    trained, seconds = train_once(tmp_path / "trained", arguments, ())
    assert refused is None
    assert trained is not None
    assert seconds > 0.0


def test_confirms_with_as_many_seeds_as_a_cure_was_proved_with() -> None:
    assert fresh_seeds(5) == fresh_seeds(3) == FRESH_SEEDS
    assert fresh_seeds(8) == (101, 102, 103, 104, 105, 106, 107, 108)
