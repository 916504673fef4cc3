import json

import numpy as np
import pytest

from gradiometer.schema import Run
from gradiometer.showing.json_output import json_text
from gradiometer.showing.measured_object import diagnosis_object, measured_object
from showing.made_run import made_diagnosis, made_run
from showing.made_turns import measured_fully


def test_gathers_the_newest_turn_of_every_dear_measurement() -> None:
    run = measured_fully(made_run(2))
    written = json.loads(json_text(measured_object(run)), parse_constant=lambda word: 1 / 0)
    steps = {name: part["step"] for name, part in written.items() if name not in ("costs", "loss")}
    assert steps == {"similarity": 1, "through_time": 8, "examples": 4, "histograms": 16, "units": 32}
    assert [layer["layer"] for layer in written["similarity"]["layers"]] == [layer.name for layer in run.layers]
    assert written["similarity"]["layers"][-1]["output_rank"] == 1.0
    assert written["through_time"]["fades"][0]["half_life_steps"] == 2.0
    assert written["examples"]["noise_scale"]["examples"] == pytest.approx(800.0 / 2.0)
    assert [entry["data_index"] for entry in written["examples"]["outliers"]] == [1004, 1002]
    assert {entry["quantity"] for entry in written["histograms"]["suspicious"]} == {"gradient"}
    assert written["units"]["layers"][0]["saturated_count"] == 2
    assert written["loss"] is None
    assert written["costs"]["similarity"]["turn_count"] == 2


def test_says_null_for_what_was_not_measured() -> None:
    found = measured_object(Run())
    assert found.pop("costs") == {}
    assert set(found.values()) == {None}


def test_puts_what_was_measured_behind_a_diagnosis() -> None:
    written = diagnosis_object(made_run(), made_diagnosis())
    assert next(iter(written)) == "verdict"
    assert list(written)[-1] == "measured"


def test_tells_how_the_loss_is_made_and_the_newest_figures_of_its_targets():
    path = {"site": "train.py:31", "operations": ["NllLoss", "LogSoftmax", "Addmm"], "loss": "cross_entropy"}
    columns = {
        "constant_loss": np.array([2.0, 2.25, np.nan]),
        "batch_accuracy": np.array([0.5, np.nan, np.nan]),
    }
    run = Run(facts={"loss_path": path}, snapshot_steps=np.array([0, 4, 8]), snapshot_columns=columns)
    found = measured_object(run)["loss"]
    assert found is not None
    assert (found["step"], found["path"], found["constant_loss"]) == (4, path, 2.25)
    assert (found["batch_accuracy"], found["target_mean"]) == (None, None)
