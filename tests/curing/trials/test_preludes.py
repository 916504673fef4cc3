"""Preludes on a real script and its processes."""

from pathlib import Path

from curing.trials.trial_material import SIGMOIDS, runner_for, spec_for
from gradiometer.curing.trials.preludes import resolve_labels, without_rate

SLOW_RATE = SIGMOIDS.replace("range(5)", "range(1)").replace("Sigmoid", "Tanh").replace("lr=0.1", "lr=1e-6")


def test_takes_the_searched_rate_out_of_a_label() -> None:
    assert without_rate("change_learning_rate:range") is None
    assert without_rate("clip_gradients:1+change_learning_rate:range") == "clip_gradients:1"


def test_finds_a_rate_for_the_network_as_the_cures_before_it_leave_it(tmp_path: Path) -> None:
    runner = runner_for(spec_for(tmp_path, SLOW_RATE, steps=200), tmp_path)
    refusals: dict[str, str] = {}
    labels = ["change_learning_rate:range", "redraw_weights:glorot+change_learning_rate:range", "clip_gradients"]
    resolved = resolve_labels(runner, labels, refusals)

    assert refusals == {}
    assert resolved["clip_gradients"] == "clip_gradients"
    bare, pair = resolved[labels[0]], resolved[labels[1]]
    assert bare.startswith("change_learning_rate:=")
    assert pair.startswith("redraw_weights:glorot+change_learning_rate:=")
    assert float(bare.partition("=")[2]) > 1e-4
    trials = [reading.spec for reading in runner.readings]
    assert [spec.cures for spec in trials] == [(), (), ("redraw_weights:glorot",), ("redraw_weights:glorot",)]
    assert [spec.range_test for spec in trials] == [True, False, True, False]
    assert [spec.holds_still for spec in trials] == [False, True, False, True]
    test, still = (reading.run for reading in runner.readings[:2])
    assert test is not None
    assert still is not None
    assert all(still.fingerprints[step] == batch for step, batch in test.fingerprints.items())
    assert still.losses[0].values[0] == test.losses[0].values[0]
