import math

import numpy as np
import pytest

from gradiometer.activations import ACTIVATIONS, activation_from
from gradiometer.theory.isometry import singular_spread, slope_excess
from gradiometer.theory.length_map import fixed_length


def spread_of_sampled(known, sigma_w, q, depth, *, is_orthogonal, width=300, seed=0):
    generator = np.random.default_rng(seed)
    jacobian, hidden = np.eye(width), generator.normal(0.0, math.sqrt(q), width)
    for _ in range(depth):
        drawn = generator.normal(size=(width, width))
        weights = sigma_w * (np.linalg.qr(drawn)[0] if is_orthogonal else drawn / math.sqrt(width))
        jacobian = weights @ (known.slope(hidden)[:, None] * jacobian)
        hidden = weights @ known.function(hidden)
    squares = np.linalg.svd(jacobian, compute_uv=False) ** 2
    return np.var(squares) / np.mean(squares) ** 2


@pytest.mark.parametrize("is_orthogonal", [True, False])
@pytest.mark.parametrize(("name", "sigma_w"), [("relu", math.sqrt(2.0)), ("tanh", 1.3), ("identity", 1.0)])
def test_expects_the_singular_values_of_sampled_networks(name, sigma_w, is_orthogonal):
    known, depth = ACTIVATIONS[name], 4
    q = fixed_length(known, sigma_w)
    sampled = np.mean(
        [spread_of_sampled(known, sigma_w, q, depth, is_orthogonal=is_orthogonal, seed=s) for s in range(3)]
    )
    # 15 %: 3 networks of 300 units; a fourth moment of singular values spreads far
    assert singular_spread(known, q, depth, is_orthogonal=is_orthogonal) == pytest.approx(sampled, rel=0.15, abs=1e-9)


def test_has_the_closed_forms():
    # the fourth moment of a product of d Gaussian matrices is d + 1 (Fuss-Catalan numbers)
    assert singular_spread(ACTIVATIONS["identity"], 1.0, 7, is_orthogonal=False) == pytest.approx(7.0)
    assert singular_spread(ACTIVATIONS["identity"], 1.0, 7, is_orthogonal=True) == pytest.approx(0.0, abs=1e-12)
    assert slope_excess(ACTIVATIONS["relu"], 3.0) == pytest.approx(2.0)
    assert slope_excess(ACTIVATIONS["tanh"], 0.0) == pytest.approx(1.0)
    assert slope_excess(activation_from("constant", np.zeros_like, np.zeros_like), 1.0) == math.inf
