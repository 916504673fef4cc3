import math

import numpy as np
import pytest

from gradiometer.activations import ACTIVATIONS
from gradiometer.theory.length_map import fixed_length, length_depth_scale, length_slope, next_length

TANH, RELU = ACTIVATIONS["tanh"], ACTIVATIONS["relu"]

# papers: fixed points of tanh at sigma_b² = 0.05, recomputed by Gauss-Hermite with 101 nodes
TANH_POINTS = [(1.0, 0.1936, 1.75), (1.3, 0.3153, 1.79), (1.76, 0.5695, 1.52), (2.5, 1.0640, 1.18), (4.0, 2.1955, 0.87)]


@pytest.mark.parametrize(("sigma_w_square", "q", "xi_q"), TANH_POINTS)
def test_finds_the_published_fixed_lengths_of_tanh(sigma_w_square, q, xi_q):
    sigma_w, sigma_b = math.sqrt(sigma_w_square), math.sqrt(0.05)
    assert fixed_length(TANH, sigma_w, sigma_b) == pytest.approx(q, abs=5e-5)
    assert length_depth_scale(TANH, sigma_w, sigma_b) == pytest.approx(xi_q, abs=6e-3)


@pytest.mark.parametrize("start", [0.01, 1.0, 50.0])
def test_settles_where_iterating_the_map_settles(start):
    q = start
    for _ in range(200):
        q = next_length(TANH, q, 1.5, 0.3)
    assert fixed_length(TANH, 1.5, 0.3, start=start) == pytest.approx(q, rel=1e-9)


def test_keeps_any_length_of_relu_at_two_and_lets_it_run_away_above_and_vanish_below():
    assert fixed_length(RELU, math.sqrt(2.0), 0.0, start=3.7) == 3.7
    assert fixed_length(RELU, 1.5, 0.0) == math.inf
    assert fixed_length(RELU, 1.3, 0.0) == 0.0
    assert math.isnan(length_depth_scale(RELU, 1.5))


def test_has_the_closed_form_of_relu():
    assert next_length(RELU, 4.0, 1.2, 0.5) == pytest.approx(1.44 * 2.0 + 0.25, rel=1e-12)
    assert length_slope(RELU, 4.0, 1.2) == pytest.approx(0.72, rel=1e-9)


@pytest.mark.parametrize("name", ["tanh", "relu", "gelu", "sigmoid", "leaky_relu"])
def test_says_what_a_wide_network_does(name):
    known, generator = ACTIVATIONS[name], np.random.default_rng(3)
    width, sigma_w, sigma_b, q = 2000, 1.4, 0.3, 1.0
    hidden = generator.normal(0.0, 1.0, width)
    for _ in range(3):
        weights = generator.normal(0.0, sigma_w / math.sqrt(width), (width, width))
        hidden = weights @ known.function(hidden) + generator.normal(0.0, sigma_b, width)
        q = next_length(known, q, sigma_w, sigma_b)
    # 10 %: three layers of 2,000 units, sampling error of a variance sqrt(2 / 2000) each
    assert hidden.var() + hidden.mean() ** 2 == pytest.approx(q, rel=0.1)
