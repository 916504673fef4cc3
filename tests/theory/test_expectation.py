import math

import numpy as np
import pytest

from gradiometer.errors import SettingsError
from gradiometer.theory.expectation import expect, nearest_edge, phase_of, plan_network

# sigma_w², q*, chi_1, xi_q of tanh at sigma_b² = 0.05, recomputed by Gauss-Hermite with 101 nodes
TANH_POINTS = [
    (1.0, 0.1936, 0.7590, 1.75),
    (1.3, 0.3153, 0.8802, 1.79),
    (1.76, 0.5695, 0.9998, 1.52),
    (2.5, 1.0640, 1.1335, 1.18),
    (4.0, 2.1955, 1.3424, 0.87),
]


@pytest.mark.parametrize(("sigma_w_square", "q", "chi_1", "xi_q"), TANH_POINTS)
def test_prints_the_published_numbers_of_tanh(sigma_w_square, q, chi_1, xi_q):
    expected = expect(plan_network("tanh", math.sqrt(sigma_w_square), math.sqrt(0.05)))
    assert (expected.q, expected.chi_1) == (pytest.approx(q, abs=5e-5), pytest.approx(chi_1, abs=5e-5))
    assert expected.xi_q == pytest.approx(xi_q, abs=6e-3)
    assert expected.critical_sigma_w**2 == pytest.approx(1.7610, abs=5e-5)
    assert expected.xi_gradient == pytest.approx(1.0 / abs(math.log(expected.chi_1)), rel=1e-9)


@pytest.mark.parametrize("name", ["tanh", "relu", "gelu", "silu", "sigmoid", "selu", "softsign", "elu"])
def test_takes_the_critical_point_where_no_scale_is_given(name):
    expected = expect(plan_network(name))
    assert expected.phase == "critical"
    assert all(limit.layers == math.inf for limit in expected.limits)
    assert [rates.depth for rates in expected.learning_rates] == [10, 30, 100, 300, 1000]


def test_takes_the_point_of_the_critical_line_for_a_given_sigma_b():
    plan = plan_network("tanh", sigma_b=math.sqrt(0.05))
    assert plan.sigma_w**2 == pytest.approx(1.7610, abs=5e-5)
    assert expect(plan).phase == "critical"


def test_finds_relu_critical_at_two_and_nowhere_else():
    assert plan_network("relu").sigma_w ** 2 == pytest.approx(2.0)
    vanishing, exploding = expect(plan_network("relu", 1.3)), expect(plan_network("relu", 1.5))
    assert (vanishing.phase, vanishing.q, exploding.phase, exploding.q) == ("ordered", 0.0, "chaotic", math.inf)
    assert vanishing.chi_1 == pytest.approx(1.3**2 / 2)
    assert exploding.limits[0].name == "gradient"
    assert expect(plan_network("relu", 1.3, 0.2)).critical_sigma_w is None


def test_tells_where_a_signal_without_fixed_length_leaves_single_precision():
    limits = {limit.name: limit.layers for limit in expect(plan_network("relu", 1.6)).limits}
    signal, layers = 1.0, 0
    while signal <= float(np.finfo(np.float32).max):
        signal, layers = signal * math.sqrt(1.28), layers + 1
    assert limits["length"] == pytest.approx(layers, abs=1.0)


def test_says_that_dropout_leaves_no_edge():
    expected = expect(plan_network("tanh", sigma_b=0.2, dropout=0.1))
    assert expected.critical_sigma_w is None
    assert expected.correlation < 0.9
    assert expected.xi_c < 20.0


def test_counts_the_spread_of_singular_values():
    gaussian, orthogonal = (expect(plan_network("relu", is_orthogonal=kind)) for kind in (False, True))
    assert (gaussian.spread_per_layer, orthogonal.spread_per_layer) == (pytest.approx(2.0), pytest.approx(1.0))


def test_knows_steps_for_layers_in_a_recurrent_network():
    recurrent = expect(plan_network("tanh", 0.9, 0.3, is_recurrent=True, is_orthogonal=True, depth=50))
    assert recurrent.largest_singular_value == pytest.approx(0.9)
    assert recurrent.safe_singular_value == 1.0
    assert recurrent.learning_rates == ()


def test_suggests_no_rate_beyond_what_can_learn():
    expected = expect(plan_network("tanh", 1.0, math.sqrt(0.05)))
    assert [rates.depth for rates in expected.learning_rates] == [10]
    assert expect(plan_network("tanh", 1.0, math.sqrt(0.05), depth=50)).learning_rates == ()


def test_finds_no_edge_where_there_is_none():
    assert nearest_edge(plan_network("sigmoid", 1.0).activation, 0.0) is None
    assert phase_of(1.0 + 1e-9) == "critical"


@pytest.mark.parametrize("wrong", [{"sigma_w": 0.0}, {"sigma_w": -1.0}, {"sigma_b": -0.1}, {"sigma_w": math.inf}])
def test_refuses_scales_that_are_none(wrong):
    with pytest.raises(SettingsError, match="sigma_w has to be above 0"):
        plan_network("tanh", **wrong)


@pytest.mark.parametrize("rate", [-0.1, 1.0, math.nan])
def test_refuses_a_dropout_that_is_no_share(rate):
    with pytest.raises(SettingsError, match="at least 0 and below 1"):
        plan_network("tanh", 1.0, 0.1, dropout=rate)
