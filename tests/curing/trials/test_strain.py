import math

import numpy as np
import pytest

from gradiometer.curing.trials.strain import MOST_DECADES, MOST_RANGE_DB, Strain, strain_of
from gradiometer.schema import LAYER_COLUMNS, PARAMETER_COLUMNS, Layer, Parameter, Run


def run_of(ratios: list[list[float]], levels: list[list[float]], bad_count: int = 0) -> Run:
    snapshots = len(ratios)
    layers = {name: np.full((snapshots, len(levels[0])), np.nan) for name in LAYER_COLUMNS}
    layers["level_db"] = np.array(levels)
    layers["trunk_position"] = np.tile(np.arange(len(levels[0]), dtype=float), (snapshots, 1))
    layers["output_nonfinite_count"] = np.full((snapshots, len(levels[0])), float(bad_count))
    columns = {name: np.full((snapshots, len(ratios[0])), np.nan) for name in PARAMETER_COLUMNS}
    columns["update_ratio"] = np.array(ratios)
    return Run(
        layers=tuple(Layer(str(index), "Linear", "leaf", index) for index in range(len(levels[0]))),
        parameters=tuple(Parameter(f"{index}.weight", None, (2, 2), "float32") for index in range(len(ratios[0]))),
        snapshot_steps=np.arange(snapshots),
        layer_columns=layers,
        parameter_columns=columns,
    )


def test_goes_by_the_worst_weight_and_the_whole_range_of_levels() -> None:
    strain = strain_of(run_of([[1e-3, 1e-5]] * 4, [[0.0, -20.0, -60.0]] * 4))

    assert strain.motion_decades == pytest.approx(2.0)
    assert strain.range_db == pytest.approx(60.0)
    assert strain.is_ill


def test_looks_at_the_later_half_only() -> None:
    ratios, levels = [[1e-9], [1e-9], [1e-3], [1e-3]], [[0.0, -200.0]] * 2 + [[0.0, -2.0]] * 2
    strain = strain_of(run_of(ratios, levels))

    assert strain == Strain(0.0, 2.0, is_finite=True)
    assert not strain.is_ill


def test_counts_weights_that_stand_still_and_gradients_of_zero_as_the_worst() -> None:
    strain = strain_of(run_of([[0.0]] * 2, [[0.0, -math.inf]] * 2))
    assert (strain.motion_decades, strain.range_db) == (MOST_DECADES, MOST_RANGE_DB)


def test_takes_what_was_not_measured_for_nothing() -> None:
    strain = strain_of(run_of([[math.nan]] * 2, [[math.nan, math.nan]] * 2))
    assert (strain.motion_decades, strain.range_db) == (0.0, 0.0)
    assert strain_of(Run()).motion_decades == MOST_DECADES


def test_is_better_in_one_thing_or_not_at_all() -> None:
    control = Strain(3.0, 100.0, is_finite=True)

    assert Strain(2.0, 100.0, is_finite=True).is_clearly_less_than(control)
    assert Strain(3.0, 50.0, is_finite=True).is_clearly_less_than(control)
    assert not Strain(2.9, 97.0, is_finite=True).is_clearly_less_than(control)
    assert not Strain(0.0, 0.0, is_finite=False).is_clearly_less_than(control)
    assert control.is_clearly_less_than(strain_of(run_of([[1e-3]], [[0.0, 0.0]], bad_count=1)))
