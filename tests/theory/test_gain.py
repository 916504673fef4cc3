import math

import numpy as np
import pytest

from gradiometer.activations import ACTIVATIONS
from gradiometer.theory.gain import activation_gain_db, layer_gain_db, linear_gain_db


def test_expects_of_a_linear_layer_what_a_random_one_does():
    generator = np.random.default_rng(0)
    weights = generator.normal(0.0, 0.07, (300, 500))
    gradient = generator.normal(size=(200, 300))
    measured = 20.0 * math.log10(np.linalg.norm(gradient @ weights) / np.linalg.norm(gradient))
    # 0.1 dB: the sampling error of 150,000 weights and 200 gradients
    assert linear_gain_db(0.07, 500) == pytest.approx(measured, abs=0.1)
    assert linear_gain_db(0.0, 500) == -math.inf


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu", "gelu"])
@pytest.mark.parametrize("mean", [0.0, 0.8])
def test_expects_of_an_activation_what_random_signals_do(name, mean):
    generator, known = np.random.default_rng(0), ACTIVATIONS[name]
    signal = generator.normal(mean, 1.5, 400_000)
    measured = 10.0 * math.log10(np.square(known.slope(signal)).mean())
    assert activation_gain_db(known, 2.25, mean) == pytest.approx(measured, abs=0.05)


def test_knows_the_closed_forms():
    assert activation_gain_db(ACTIVATIONS["relu"], 1.0) == pytest.approx(10.0 * math.log10(0.5))
    assert activation_gain_db(ACTIVATIONS["identity"], 1.0) == pytest.approx(0.0, abs=1e-12)
    assert activation_gain_db(ACTIVATIONS["sigmoid"], 0.0) == pytest.approx(20.0 * math.log10(0.25))
    assert layer_gain_db(ACTIVATIONS["relu"], 1.0, math.sqrt(2.0)) == pytest.approx(0.0, abs=1e-12)
