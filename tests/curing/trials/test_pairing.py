import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gradiometer.curing.trials.local import TrialEnd
from gradiometer.curing.trials.pairing import (
    Reading,
    are_same_training,
    final_loss,
    paired,
    read_trial,
    start_loss,
    status_of,
)
from gradiometer.curing.trials.spec import TrialSpec
from gradiometer.recording.writer import RunWriter
from gradiometer.schema import LossSeries, Run, StepStats, Trial

SPEC = TrialSpec(script="train.py", module=None, arguments=(), working_directory=".", folder="nowhere")


def series(values: list[float], bad: tuple[int, ...] = ()) -> LossSeries:
    counts = np.zeros(len(values), dtype=np.int64)
    counts[list(bad)] = 1
    return LossSeries("train.py:1", np.arange(len(values)), np.array(values), counts)


def reading(run: Run, seed: int = 0) -> Reading:
    return Reading(SPEC, Trial((), seed, "trial", "", "done"), run)


def test_takes_the_mean_of_the_last_fifth() -> None:
    values = [float(value) for value in np.random.default_rng(0).normal(size=23)]
    assert final_loss(series(values), 23) == pytest.approx(sum(values[-5:]) / 5)


def test_looks_no_further_than_it_is_asked_to() -> None:
    assert final_loss(series([4.0, 3.0, 2.0, 1.0, 0.0]), 3) == 2.0


def test_counts_a_loss_that_is_not_finite_as_infinite_only_at_the_end() -> None:
    assert final_loss(series([1.0] * 10, bad=(9,)), 10) == math.inf
    assert final_loss(series([1.0] * 10, bad=(2,)), 10) == 1.0
    assert math.isnan(final_loss(series([math.nan] * 10), 10))


def test_knows_the_loss_that_a_training_started_from() -> None:
    assert start_loss(series([math.nan, 3.0, 1.0])) == 1.0
    assert start_loss(series([math.nan])) is None


def test_pairs_trials_by_the_batches_of_the_steps_that_both_took() -> None:
    first = reading(Run(fingerprints={0: "a", 1: "b", 2: "c"}))

    assert paired(first, reading(Run(fingerprints={0: "a", 1: "b"}))) is True
    assert paired(first, reading(Run(fingerprints={0: "a", 1: "x"}))) is False
    assert paired(first, reading(Run())) is None
    assert paired(first, Reading(SPEC, first.trial)) is None


def test_tells_seeds_that_make_no_difference() -> None:
    facts = {"initial_weights_fingerprint": "w"}
    same = [reading(Run(facts=facts, losses=(series([2.0, 1.0]),)), seed) for seed in range(3)]
    other = reading(Run(facts=facts, losses=(series([2.0, 1.5]),)), 3)

    assert are_same_training(same)
    assert not are_same_training([*same, other])
    assert not are_same_training(same[:1])


@pytest.mark.parametrize(
    ("facts", "end", "status", "words"),
    [
        ({"status": "stopped"}, (0, False), "done", ""),
        ({"status": "finished"}, (0, False), "done", ""),
        ({"status": "stopped", "refusal": "no hidden layer"}, (0, False), "refused", "no hidden layer"),
        ({"status": "stopped", "cure_fault": "Traceback\nKeyError: 3"}, (0, False), "failed", "KeyError: 3"),
        ({"status": "failed", "traceback": "Traceback\nValueError: NaN\n"}, (1, False), "failed", "ValueError: NaN"),
        ({"status": "running"}, (-9, True), "failed", "its time ran out: 0 steps in 10 min 0 s"),
        ({"status": "running"}, (-11, False), "failed", "signal 11"),
        ({"status": "running"}, (5, False), "failed", "exit code 5"),
    ],
)
def test_tells_how_a_trial_ended(facts: dict[str, str], end: tuple[int, bool], status: str, words: str) -> None:
    found, detail = status_of(TrialEnd(SPEC, end[0], 1.0, end[1]), Run(facts=facts))

    assert found == status
    assert words in detail


def test_tells_a_trial_that_was_late_from_a_script_that_hangs() -> None:
    run = Run(facts={"status": "running"})
    trial = replace(SPEC, sieve="trial")

    assert status_of(TrialEnd(trial, -9, 1.0, was_late=True), run)[0] == "stopped"
    assert status_of(TrialEnd(SPEC, -9, 1.0, was_late=True), run)[0] == "failed"


def test_counts_a_training_that_failed_amid_as_infinite_and_one_that_never_began_as_nothing(tmp_path: Path) -> None:
    begun = TrialSpec(None, "train", (), str(tmp_path), str(tmp_path / "begun"))
    with RunWriter(begun.run_file) as writer:
        writer.add_facts({"status": "failed", "traceback": "ValueError: no"})
        writer.add_step(StepStats(step=0, losses=(("train.py:1", 2.0, 1, 0),)))
    never = TrialSpec(None, "train", (), str(tmp_path), str(tmp_path / "never"))
    failed, absent = read_trial(TrialEnd(begun, 1, 1.0)), read_trial(TrialEnd(never, 1, 1.0))

    assert failed.final_loss == math.inf
    assert failed.has_trained
    assert absent.trial.final_loss is None
    assert not absent.has_trained
    assert math.isnan(absent.final_loss)


def test_judges_a_cure_that_exchanges_the_loss_by_the_one_that_the_script_would_have_had(tmp_path: Path) -> None:
    spec = SPEC.placed_in(tmp_path)
    with RunWriter(spec.run_file) as writer:
        for step in range(10):
            writer.add_step(StepStats(step=step, losses=(("train.py:1", 100.0, 1, 0),)))
        originals = [[float(step), 2.0 - 0.1 * step] for step in range(10)]
        writer.add_facts({"status": "finished", "original_losses": originals})
    found = read_trial(TrialEnd(spec, 0, 1.0))

    assert found.final_loss == pytest.approx((2.0 - 0.8 + 2.0 - 0.9) / 2)
    assert found.final_losses[0][0] == "train.py:1"
    assert found.start_loss == pytest.approx(1.3)


def test_counts_an_original_loss_that_was_not_finite_as_lost(tmp_path: Path) -> None:
    spec = SPEC.placed_in(tmp_path)
    with RunWriter(spec.run_file) as writer:
        for step in range(10):
            writer.add_step(StepStats(step=step, losses=(("train.py:1", 1.0, 1, 0),)))
        writer.add_facts({"status": "finished", "original_losses": [[0.0, 1.0], [9.0, math.inf]]})
    assert read_trial(TrialEnd(spec, 0, 1.0)).final_loss == math.inf
