import math

import numpy as np
import pytest
from scipy import integrate

from gradiometer.activations import ACTIVATIONS
from gradiometer.errors import SettingsError
from gradiometer.theory.moments import (
    as_activation,
    gaussian_mean,
    mean_output,
    mean_square,
    mean_square_slope,
    pair_mean,
)


def adaptive_mean(function, mean, deviation, kinks):
    """The same expectation by scipy's adaptive quadrature."""

    def weighted(z):
        return float(function(np.array([mean + deviation * z]))[0]) * math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)

    inside = sorted({(kink - mean) / deviation for kink in kinks if abs((kink - mean) / deviation) < 12} | {0.0})
    edges = [-12.0, *inside, 12.0]
    return sum(integrate.quad(weighted, a, b, limit=400)[0] for a, b in zip(edges[:-1], edges[1:], strict=True))


@pytest.mark.parametrize("name", list(ACTIVATIONS))
@pytest.mark.parametrize("q", [0.01, 1.0, 60.0])
def test_integrates_every_activation_as_adaptive_quadrature_does(name, q):
    known = ACTIVATIONS[name]
    root = math.sqrt(q)
    for computed, function in (
        (mean_square(known, q), lambda x: known.function(x) ** 2),
        (mean_square_slope(known, q), lambda x: known.slope(x) ** 2),
        (mean_output(known, q), known.function),
    ):
        # 1e-8: what adaptive quadrature promises
        assert computed == pytest.approx(adaptive_mean(function, 0.0, root, known.kinks), rel=1e-7, abs=1e-8)


@pytest.mark.parametrize("q", [0.25, 1.0, 9.0])
def test_has_the_closed_forms_of_erf(q):
    # Williams 1997: E[erf(u) erf(v)] = 2/pi asin(2 c q / (1 + 2 q))
    erf = ACTIVATIONS["erf"]
    for correlation in (-1.0, -0.5, 0.0, 0.3, 0.99, 1.0):
        expected = 2.0 / math.pi * math.asin(2.0 * correlation * q / (1.0 + 2.0 * q))
        assert pair_mean(erf.function, q, correlation, ()) == pytest.approx(expected, abs=1e-11)
    assert mean_square_slope(erf, q) == pytest.approx(4.0 / math.pi / math.sqrt(1.0 + 4.0 * q), abs=1e-11)


@pytest.mark.parametrize("correlation", [-0.9, 0.0, 0.5, 0.999])
def test_has_the_closed_form_of_relu(correlation):
    # Cho and Saul 2009, the arc-cosine kernel of degree 1 and 0, halved twice
    relu, q = ACTIVATIONS["relu"], 2.3
    angle = math.acos(correlation)
    first = q / (2.0 * math.pi) * (math.sin(angle) + (math.pi - angle) * correlation)
    assert pair_mean(relu.function, q, correlation, relu.kinks) == pytest.approx(first, abs=1e-13)
    zeroth = (math.pi - angle) / (2.0 * math.pi)
    assert pair_mean(relu.slope, q, correlation, relu.kinks) == pytest.approx(zeroth, abs=1e-13)


def test_gives_the_function_itself_where_nothing_varies():
    assert gaussian_mean(np.tanh, 0.7, 0.0) == pytest.approx(math.tanh(0.7), abs=1e-14)


def test_takes_a_python_function_of_numbers_or_of_arrays():
    for function in (math.tanh, np.tanh, lambda x: np.tanh(x)):
        assert mean_square(as_activation(function), 1.0) == pytest.approx(mean_square(ACTIVATIONS["tanh"], 1.0))
    own = as_activation(lambda x: max(x, 0.0))
    assert mean_square_slope(own, 1.0) == pytest.approx(0.5, abs=1e-12)


def test_says_how_to_hand_over_what_it_can_not_call():
    def of_tensors(x):
        return x.sigmoid()

    with pytest.raises(SettingsError, match=r"of_tensors takes neither a number nor a numpy array.*as_tensor"):
        as_activation(of_tensors)


def test_follows_a_function_beyond_where_it_was_searched():
    own = as_activation(lambda x: x * np.abs(x))
    assert own.slope(np.array([-60.0, 0.5, 90.0])) == pytest.approx([120.0, 1.0, 180.0], rel=1e-6)
