import math

import numpy as np
import pytest

from gradiometer.activations import ACTIVATIONS
from gradiometer.theory.correlation_map import (
    chi,
    correlation_depth_scale,
    depth_scale,
    fixed_correlation,
    next_correlation,
)
from gradiometer.theory.length_map import fixed_length

TANH, RELU, ERF = ACTIVATIONS["tanh"], ACTIVATIONS["relu"], ACTIVATIONS["erf"]

# sigma_w², chi_1, c*, xi_c of tanh at sigma_b² = 0.05
TANH_POINTS = [
    (1.00, 0.759, 1.0, 3.6),
    (1.25, 0.863, 1.0, 6.8),
    (1.50, 0.939, 1.0, 15.8),
    (2.00, 1.048, 0.744, 25.2),
    (2.50, 1.134, 0.447, 11.8),
    (3.50, 1.278, 0.216, 7.8),
]


@pytest.mark.parametrize(("sigma_w_square", "chi_1", "correlation", "xi_c"), TANH_POINTS)
def test_finds_the_published_phases_of_tanh(sigma_w_square, chi_1, correlation, xi_c):
    sigma_w, sigma_b = math.sqrt(sigma_w_square), math.sqrt(0.05)
    q = fixed_length(TANH, sigma_w, sigma_b)
    assert chi(TANH, q, sigma_w) == pytest.approx(chi_1, abs=6e-4)
    assert fixed_correlation(TANH, sigma_w, sigma_b) == pytest.approx(correlation, abs=6e-4)
    assert correlation_depth_scale(TANH, sigma_w, sigma_b) == pytest.approx(xi_c, abs=0.06)


def test_gives_relu_half_of_sigma_w_squared_at_every_length():
    for q in (0.1, 1.0, 30.0):
        assert chi(RELU, q, 1.3) == pytest.approx(1.69 / 2.0, rel=1e-12)


def test_puts_two_inputs_where_iterating_the_map_puts_them():
    sigma_w, sigma_b = math.sqrt(2.5), math.sqrt(0.05)
    q = fixed_length(TANH, sigma_w, sigma_b)
    correlation = 0.9
    for _ in range(60):
        correlation = next_correlation(TANH, correlation, q, sigma_w, sigma_b)
    assert fixed_correlation(TANH, sigma_w, sigma_b) == pytest.approx(correlation, abs=1e-2)


def test_has_no_correlation_to_speak_of_where_there_is_no_signal():
    assert math.isnan(fixed_correlation(TANH, 0.9, 0.0))
    assert math.isnan(correlation_depth_scale(TANH, 0.9, 0.0))
    assert math.isnan(next_correlation(TANH, 0.5, 0.0, 1.0, 0.0))


def erf_correlation(correlation, q, sigma_w, sigma_b):
    """Williams 1997: the correlation map of erf in closed form."""
    return (sigma_w**2 * 2.0 / math.pi * math.asin(2.0 * correlation * q / (1.0 + 2.0 * q)) + sigma_b**2) / q


@pytest.mark.parametrize(("sigma_w", "sigma_b"), [(1.0, 0.3), (1.6, 0.2)])
def test_settles_where_the_closed_form_of_erf_does(sigma_w, sigma_b):
    q, correlation = 1.0, 0.5
    for _ in range(500):
        q = sigma_w**2 * 2.0 / math.pi * math.asin(2.0 * q / (1.0 + 2.0 * q)) + sigma_b**2
    for _ in range(500):
        correlation = erf_correlation(correlation, q, sigma_w, sigma_b)
    assert fixed_correlation(ERF, sigma_w, sigma_b) == pytest.approx(correlation, abs=1e-6)
    slope = sigma_w**2 * 4.0 / math.pi / math.sqrt((1.0 + 2.0 * q) ** 2 - (2.0 * correlation * q) ** 2)
    assert correlation_depth_scale(ERF, sigma_w, sigma_b) == pytest.approx(-1.0 / math.log(slope), rel=1e-6)


@pytest.mark.parametrize("rate", [1e-4, 0.01, 0.1, 0.5])
def test_finds_no_critical_point_under_dropout(rate):
    sigma_w, sigma_b = math.sqrt(1.7610), math.sqrt(0.05)
    assert fixed_correlation(TANH, sigma_w, sigma_b, dropout=rate) < 1.0 - 1e-3
    assert correlation_depth_scale(TANH, sigma_w, sigma_b, dropout=rate) < 150.0


def test_puts_two_inputs_under_dropout_where_a_wide_network_puts_them():
    generator, sigma_w, sigma_b, rate, width = np.random.default_rng(0), 1.3, 0.3, 0.2, 800
    hidden = np.repeat(generator.normal(size=(1, width)), 2, axis=0)
    found = []
    for layer in range(18):
        weights = generator.normal(0.0, sigma_w / math.sqrt(width), (width, width))
        kept = generator.random((2, width)) >= rate
        hidden = (TANH.function(hidden) * kept / (1.0 - rate)) @ weights.T + generator.normal(0.0, sigma_b, width)
        if layer >= 8:
            found.append(hidden[0] @ hidden[1] / np.linalg.norm(hidden[0]) / np.linalg.norm(hidden[1]))
    # 0.03: the sampling error of a correlation of 800 units over some independent layers
    assert fixed_correlation(TANH, sigma_w, sigma_b, dropout=rate) == pytest.approx(np.mean(found), abs=0.03)


def test_counts_layers_by_the_factor_e():
    assert depth_scale(math.exp(-0.1)) == pytest.approx(10.0)
    assert (depth_scale(0.0), depth_scale(1.0)) == (0.0, math.inf)


# sigma_w, sigma_b: papers' own re-run of this claim, 50 layers
WIDE = [(0.9, 0.1), (1.3, 0.2236), (1.327, 0.2236), (1.5, 0.1), (2.0, 0.3)]


@pytest.mark.slow
@pytest.mark.parametrize("width", [100, 300])
@pytest.mark.parametrize(("sigma_w", "sigma_b"), WIDE)
def test_says_the_gain_of_a_layer_within_two_per_cent(sigma_w, sigma_b, width):
    factors = []
    for seed in range(10):
        generator, hidden, layers = (
            np.random.default_rng(seed),
            np.random.default_rng(seed).normal(size=(64, width)),
            [],
        )
        for _ in range(50):
            weights = generator.normal(0.0, sigma_w / math.sqrt(width), (width, width))
            layers.append((weights, TANH.slope(hidden)))
            hidden = TANH.function(hidden) @ weights.T + generator.normal(0.0, sigma_b, width)
        gradient, squares = generator.normal(size=(64, width)), []
        for weights, slope in reversed(layers):
            squares.append(np.log(np.square(gradient).sum()))
            gradient = (gradient @ weights) * slope
        factors.append((squares[45] - squares[5]) / 40.0)
    expected = chi(TANH, fixed_length(TANH, sigma_w, sigma_b), sigma_w)
    assert math.exp(np.mean(factors)) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(("sigma_w", "sigma_b"), [(0.9, 0.1), (1.3, 0.2236), (1.5, 0.1), (2.0, 0.3)])
def test_says_by_what_a_layer_of_a_wide_network_multiplies_the_gradient(sigma_w, sigma_b):
    q = fixed_length(TANH, sigma_w, sigma_b)
    factors = []
    for seed in range(10):
        generator = np.random.default_rng(seed)
        width, depth = 200, 14
        hidden, layers = generator.normal(0.0, math.sqrt(q), (64, width)), []
        for _ in range(depth):
            weights = generator.normal(0.0, sigma_w / math.sqrt(width), (width, width))
            layers.append((weights, TANH.slope(hidden)))
            hidden = TANH.function(hidden) @ weights.T + generator.normal(0.0, sigma_b, width)
        gradient = generator.normal(0.0, 1.0, (64, width))
        start = np.log(np.square(gradient).sum())
        for weights, slope in reversed(layers):
            gradient = (gradient @ weights) * slope
        factors.append((np.log(np.square(gradient).sum()) - start) / depth)
    # 2 %: the tolerance that our own re-runs of this claim promise at width 100 and above
    assert math.exp(np.mean(factors)) == pytest.approx(chi(TANH, q, sigma_w), rel=0.02)
