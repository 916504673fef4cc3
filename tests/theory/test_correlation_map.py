import math

import numpy as np
import pytest

from gradiometer.activations import ACTIVATIONS
from gradiometer.theory.correlation_map import chi, correlation_depth_scale, fixed_correlation, next_correlation
from gradiometer.theory.length_map import fixed_length

TANH, RELU = ACTIVATIONS["tanh"], ACTIVATIONS["relu"]

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
