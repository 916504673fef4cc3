import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradiometer.activations import ACTIVATIONS, activation_from
from gradiometer.theory.correlation_map import chi
from gradiometer.theory.length_map import fixed_length
from gradiometer.theory.recurrence import greatest_gain, half_life, largest_singular_value, safe_singular_value


def test_has_the_published_bounds():
    assert safe_singular_value(ACTIVATIONS["tanh"]) == 1.0
    assert safe_singular_value(ACTIVATIONS["sigmoid"]) == 4.0
    assert safe_singular_value(activation_from("constant", np.zeros_like, np.zeros_like)) == math.inf


@given(
    name=st.sampled_from(["tanh", "sigmoid", "relu", "gelu"]),
    steps=st.integers(0, 30),
    scale=st.floats(0.01, 3.0),
    seed=st.integers(0, 1000),
)
def test_never_sees_a_gradient_grow_beyond_the_bound(name, steps, scale, seed):
    generator, known = np.random.default_rng(seed), ACTIVATIONS[name]
    weights = scale * generator.normal(size=(8, 8))
    hidden, product = generator.normal(size=8), np.eye(8)
    for _ in range(steps):
        product = weights @ (known.slope(hidden)[:, None] * product)
        hidden = weights @ known.function(hidden) + generator.normal(size=8)
    bound = greatest_gain(known, float(np.linalg.norm(weights, 2)), steps)
    # 1e-9: rounding of 30 products
    assert np.linalg.norm(product, 2) <= bound * (1.0 + 1e-9)


@pytest.mark.parametrize(("sigma_w", "entering"), [(0.9, 0.5), (1.5, 0.5), (2.0, 1.0)])
def test_expects_of_shared_weights_what_it_expects_of_layers(sigma_w, entering):
    known, width, steps, factors = ACTIVATIONS["tanh"], 600, 24, []
    for seed in range(6):
        generator = np.random.default_rng(seed)
        weights = generator.normal(0.0, sigma_w / math.sqrt(width), (width, width))
        hidden, slopes = generator.normal(size=width), []
        for _ in range(steps):
            slopes.append(known.slope(hidden))
            hidden = weights @ known.function(hidden) + generator.normal(0.0, entering, width)
        gradient, squares = generator.normal(size=width), []
        for slope in reversed(slopes):
            squares.append(np.log(np.square(gradient).sum()))
            gradient = (gradient @ weights) * slope
        factors.append((squares[-5] - squares[0]) / (steps - 5))
    expected = chi(known, fixed_length(known, sigma_w, entering), sigma_w)
    # 3 %: six networks of 600 units, of which every step sees the same weights
    assert math.exp(np.mean(factors)) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("is_orthogonal", [True, False])
def test_knows_the_largest_singular_value_of_wide_weights(is_orthogonal):
    drawn = np.random.default_rng(0).normal(size=(500, 500))
    weights = 1.3 * (np.linalg.qr(drawn)[0] if is_orthogonal else drawn / math.sqrt(500))
    # 3 %: the edge of the spectrum of 500 units
    assert largest_singular_value(1.3, is_orthogonal=is_orthogonal) == pytest.approx(
        np.linalg.norm(weights, 2), rel=0.03
    )


def test_counts_steps_to_half_the_norm():
    assert 0.9 ** (0.5 * half_life(0.9)) == pytest.approx(0.5)
    assert (half_life(1.0), half_life(0.0)) == (math.inf, 0.0)
