"""First weights at theory's scale."""

import numpy as np
import pytest

from gradiometer.lab.networks.critical_start import draw_critical
from gradiometer.lab.networks.feed_forward import forward


def pictures() -> np.ndarray:
    return np.random.default_rng(0).random((50, 20))


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_brings_the_input_to_the_size_that_theory_asks_for(activation: str) -> None:
    inputs = pictures()
    network = draw_critical((20, 400, 400, 10), range(5), activation, inputs, dtype=np.float64)
    entry = np.sqrt(np.square(forward(network, inputs[None]).pre_activations[0]).mean())
    wanted = {"sigmoid": 2.0, "tanh": 1.0, "relu": 1.0}[activation]
    assert 0.5 * wanted < entry <= 1.1 * wanted


def test_takes_the_mean_of_a_sigmoid_out() -> None:
    inputs = pictures()
    network = draw_critical((20, 300, 300, 10), range(5), "sigmoid", inputs, dtype=np.float64)
    second = network.weights[1]
    assert np.allclose(network.biases[1], -0.5 * second.sum(axis=1, keepdims=True))
    assert np.std(second) * np.sqrt(300.0) == pytest.approx(4.0, rel=0.01)


def test_a_seed_does_not_depend_on_the_others() -> None:
    inputs = pictures()
    alone = draw_critical((20, 8, 8, 3), (2,), "tanh", inputs)
    among = draw_critical((20, 8, 8, 3), (0, 1, 2), "tanh", inputs)
    assert all(np.array_equal(one[0], many[2]) for one, many in zip(alone.weights, among.weights, strict=True))
