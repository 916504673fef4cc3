"""What one change would give, as findings say it."""

import math

import pytest
from specimens import run_of

from gradiometer.diagnosing import diagnose
from gradiometer.diagnosing.predictions import predict_level, predict_update
from gradiometer.forecasting import forecast_level
from gradiometer.gain_budget import gain_budget
from gradiometer.schema import Run


def test_says_what_would_bring_a_vanishing_gradient_back():
    finding = next(one for one in diagnose(run_of("vanishing", "sick")).findings if one.condition == "vanishing")
    found = finding.prediction
    assert found.cure in finding.cures
    assert (found.quantity, found.layer) == ("level", "hidden.0")
    assert found.now < -90.0
    assert abs(found.foretold) < 0.5 * abs(found.now)
    assert found.foretold == pytest.approx(forecast_level(run_of("vanishing", "sick"), 0, found.cure).level_db)
    assert "would go from" in found.text


def test_says_what_a_larger_learning_rate_would_give_weights_that_are_stuck():
    finding = next(one for one in diagnose(run_of("stuck", "sick")).findings if one.condition == "stuck")
    found = finding.prediction
    assert found.quantity == "update_ratio"
    factor = float(found.cure.partition(":x")[2])
    assert found.foretold == pytest.approx(factor * found.now)
    assert 1e-4 <= found.foretold <= 1e-2


def test_passes_over_factors_that_do_not_reach_the_usual_ratio():
    cures = ("clip_gradients", "change_learning_rate:x10", "change_learning_rate:0.1", "change_learning_rate:x1000")
    assert predict_update("a", 1e-6, cures).cure == "change_learning_rate:x1000"
    assert predict_update("a", 1e-9, cures) is None
    assert predict_update("a", 0.0, cures) is None


def test_predicts_no_level_where_nothing_is_out_of_balance_or_nothing_was_measured():
    twin = run_of("vanishing", "twin")
    assert abs(gain_budget(twin, 0).gain_db) < 12.0
    assert predict_level(twin, 0, gain_budget(twin, 0), ("redraw_weights:glorot",)) is None
    assert predict_level(Run(), 0, gain_budget(Run()), ("redraw_weights:he",)) is None
    sick = run_of("vanishing", "sick")
    assert predict_level(sick, 0, gain_budget(sick, 0), ("redraw_weights:glorot",)) is None
    assert math.isfinite(gain_budget(sick, 0).gain_db)
