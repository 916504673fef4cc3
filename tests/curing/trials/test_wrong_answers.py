import math
from dataclasses import replace

import numpy as np
import pytest

from gradiometer.curing.trials.pairing import Reading
from gradiometer.curing.trials.spec import TrialSpec
from gradiometer.curing.trials.wrong_answers import judged_by_answers, wrong_share
from gradiometer.schema import Run, Trial

SPEC = TrialSpec("train.py", None, (), "/nowhere", "/nowhere")


def run_of(steps: list[int], shares: list[float]) -> Run:
    return Run(
        facts={"step_count": 100},
        snapshot_steps=np.array(steps, dtype=np.int64),
        snapshot_columns={"batch_accuracy": np.array(shares)},
    )


def test_takes_the_mean_over_the_last_fifth_of_the_steps_or_the_last_few_measurements() -> None:
    run = run_of([0, 10, 50, 80, 85, 90, 95], [0.1, 0.2, 0.5, 0.6, 0.7, math.nan, 0.9])
    assert wrong_share(run, 100) == pytest.approx(1 - (0.6 + 0.7 + 0.9) / 3)
    assert wrong_share(run, 60) == pytest.approx(1 - (0.1 + 0.2 + 0.5) / 3)
    assert wrong_share(run, 5) == pytest.approx(0.9)
    many = run_of(list(range(100)), [0.0] * 80 + [0.5] * 20)
    assert wrong_share(many, 100) == pytest.approx(0.5)


def test_puts_wrong_answers_in_the_place_of_the_loss() -> None:
    trial = Trial((), 1, "trial", "/nowhere/run.db", "done", final_loss=-1e22)
    run = run_of([0, 1, 2, 90, 95, 99], [0.25, 0.25, 0.25, 0.8, 0.9, 1.0])
    reading = Reading(SPEC, trial, run, (("train.py:7", -1e22), ("train.py:9", 2.0)), -0.02)
    judged = judged_by_answers(reading)
    assert judged.final_loss == pytest.approx(0.1)
    assert judged.final_losses == (("train.py:7", pytest.approx(0.1)), ("train.py:9", 2.0))
    assert judged.start_loss == pytest.approx(0.75)

    failed = judged_by_answers(replace(reading, trial=replace(trial, status="failed")))
    assert math.isinf(failed.final_loss)
    unknown = judged_by_answers(replace(reading, run=run_of([0], [math.nan])))
    assert unknown.trial.final_loss is None
    assert unknown.start_loss is None
    unread = replace(reading, run=None)
    assert judged_by_answers(unread) is unread
