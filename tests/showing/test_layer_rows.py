import math
from dataclasses import replace

import numpy as np
import pytest

from gradiometer.schema import Run
from gradiometer.showing.layer_rows import rows_of_run, rows_of_snapshot, snapshot_to_show
from showing.made_run import made_run, made_snapshot, parameters_of, sigmoid_layers


def test_shows_level_gain_slope_and_update_ratio_of_every_layer() -> None:
    rows = rows_of_run(made_run(2, is_cured=False), 0)
    assert [row.name for row in rows] == [f"body.{i}" for i in range(5)]
    output, last_sigmoid = rows[-1], rows[-2]
    assert output.level_db == 0.0
    assert output.slope is None
    assert last_sigmoid.level_db == pytest.approx(-1.5)
    assert last_sigmoid.slope == pytest.approx(10 ** (-12.6 / 20))
    assert output.update_ratio == pytest.approx(0.01 / 10)


def test_shows_the_same_rows_while_a_run_goes_on_as_afterwards() -> None:
    layers = sigmoid_layers(3)
    parameters = parameters_of(layers)
    live = rows_of_snapshot(layers, parameters, made_snapshot(layers, parameters, 4))
    assert live == rows_of_run(made_run(3, is_cured=False), 3)


def test_leaves_numbers_out_that_were_not_measured() -> None:
    rows = rows_of_run(made_run(1, is_cured=False), None)
    assert {row.level_db for row in rows} == {None}
    assert rows_of_run(Run(), None) == ()


def test_shows_the_moment_a_finding_could_first_be_told() -> None:
    assert made_run().snapshot_steps[snapshot_to_show(made_run(), 3)] == 4


def test_shows_the_last_finite_moment_where_a_run_ends_in_nan() -> None:
    run = made_run()
    levels = run.layer_columns["level_db"].copy()
    levels[6:] = math.nan
    broken = replace(run, layer_columns={**run.layer_columns, "level_db": levels})
    assert snapshot_to_show(broken) == 5
    assert snapshot_to_show(broken, 200) == 5
    nothing = replace(run, layer_columns={**run.layer_columns, "level_db": np.full_like(levels, math.nan)})
    assert snapshot_to_show(nothing) == len(levels) - 1
    assert snapshot_to_show(Run()) is None
