"""A hand-written network as a torch module."""

import numpy as np
import pytest
import torch

from gradiometer.lab.networks.as_module import MODULES, as_module
from gradiometer.lab.networks.drawing import seeded
from gradiometer.lab.networks.feed_forward import draw_network, forward


@pytest.mark.parametrize("activation", sorted(MODULES))
def test_answers_as_the_network_does(activation: str) -> None:
    network = draw_network((4, 5, 3), (0, 1), activation=activation)
    inputs = np.random.default_rng(0).random((6, 4)).astype(np.float32)
    with torch.no_grad():
        answered = as_module(network, 1)(torch.from_numpy(inputs)).numpy()
    # float32 sums in another order
    assert np.allclose(answered, forward(network, inputs[None]).pre_activations[-1][1], atol=1e-5)


def test_leaves_the_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    as_module(draw_network((4, 5, 3), (0,)))
    with seeded(5):
        torch.rand(3)
    assert torch.equal(before, torch.random.get_rng_state())


def test_draws_the_same_from_the_same_seed() -> None:
    with seeded(5):
        first = torch.rand(3)
    with seeded(5):
        second = torch.rand(3)
    with seeded(6):
        third = torch.rand(3)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
