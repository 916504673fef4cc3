"""How deep networks train, beside six xi_c: the rule of Schoenholz et al. 2017, on the ordered side."""

import math

import pytest

from gradiometer.activations import ACTIVATIONS
from gradiometer.lab.bench import Bench
from gradiometer.lab.experiments.initialisation.extreme_depth import pictures
from gradiometer.lab.experiments.initialisation.trainable_depth import train_map
from gradiometer.lab.networks.plain import standardised
from gradiometer.theory.correlation_map import correlation_depth_scale

SIGMA_W_SQUARES = (1.0, 1.25, 1.5)
DEPTHS = (5, 10, 20, 30, 45, 70, 100)
SIGMA_B = math.sqrt(0.05)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("data", ["digits", "mnist"])
def test_trains_to_about_six_depth_scales_on_the_ordered_side(data, request, tmp_path):
    examples = pictures() if data == "digits" else standardised(request.getfixturevalue("mnist"), 5000)
    mapped = train_map(Bench(tmp_path), *examples, SIGMA_W_SQUARES, DEPTHS, range(2))
    for square, depth in zip(SIGMA_W_SQUARES, mapped.lost.mean(axis=1), strict=True):
        expected = 6.0 * correlation_depth_scale(ACTIVATIONS["tanh"], math.sqrt(square), SIGMA_B)
        # the tolerance of the published rule: the depth where half of the accuracy is lost is no sharp line
        assert 0.6 <= depth / expected <= 1.5, (square, depth, expected)
