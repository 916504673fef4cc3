"""Stacks of Boltzmann machines and of autoencoders."""

import pytest
import torch
from torch import Tensor

from gradiometer.curing.learners.autoencoder import AutoencoderSettings
from gradiometer.curing.learners.rbm import Rbm, RbmSettings
from gradiometer.lab.networks.deep_belief import (
    draw_chain,
    draw_samples,
    learn_autoencoders,
    learn_deep_belief,
    passed_down,
    passed_up,
)

SETTINGS = RbmSettings(updates=20, batch_size=10)


@pytest.fixture
def samples() -> Tensor:
    return torch.rand(40, 6, generator=torch.Generator().manual_seed(0))


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def test_learns_upper_layers_without_touching_lower_ones(samples: Tensor) -> None:
    low, high = (learn_deep_belief(samples, [5, 4, 3][:depth], SETTINGS, seeded()).layers for depth in (2, 3))
    for (weight, bias), (same_weight, same_bias) in zip(low, high[:2], strict=True):
        assert torch.equal(weight, same_weight)
        assert torch.equal(bias, same_bias)


def test_the_first_layers_of_a_stack_of_autoencoders_are_those_of_a_lower_one(samples: Tensor) -> None:
    settings = AutoencoderSettings(activation="sigmoid", visible="binary", updates=20, batch_size=10)
    low, high = (learn_autoencoders(samples, [5, 4, 3][:depth], settings, seeded()) for depth in (2, 3))
    assert [tuple(weight.shape) for weight, _ in high] == [(5, 6), (4, 5), (3, 4)]
    assert torch.equal(low[1][0], high[1][0])


def test_passes_up_and_down_through_sigmoids(samples: Tensor) -> None:
    net = learn_deep_belief(samples, [5, 4], SETTINGS, seeded())
    first, second = net.machines
    hidden = torch.sigmoid(samples @ first.weight.T + first.hidden_bias)
    top = torch.sigmoid(hidden @ second.weight.T + second.hidden_bias)
    assert torch.allclose(passed_up(net, samples), top)
    back = torch.sigmoid(top @ second.weight + second.visible_bias)
    assert torch.allclose(passed_down(net, top), torch.sigmoid(back @ first.weight + first.visible_bias))


def test_gaussian_units_are_those_of_the_data_only(samples: Tensor) -> None:
    settings = RbmSettings(visible="gaussian", rate=0.01, updates=5, batch_size=10)
    net = learn_deep_belief(samples - 0.5, [5, 4], settings, seeded())
    assert [one.visible for one in net.settings] == ["gaussian", "binary"]
    assert passed_down(net, passed_up(net, samples)).shape == samples.shape


def test_chains_reach_the_machines_own_distribution() -> None:
    machine = Rbm(torch.tensor([[3.0, -3.0]]), torch.tensor([0.5]), torch.tensor([-1.0, 1.0]))
    ends = draw_chain(machine, RbmSettings(), torch.zeros(20_000, 2), 40, seeded()).mean(0)
    energy = {
        (one, other, hidden): hidden * (3.0 * one - 3.0 * other + 0.5) - one + other
        for one in (0, 1)
        for other in (0, 1)
        for hidden in (0, 1)
    }
    weights = {state: torch.tensor(value).exp().item() for state, value in energy.items()}
    total = sum(weights.values())
    expected = [sum(share for state, share in weights.items() if state[place]) / total for place in (0, 1)]
    assert ends.tolist() == pytest.approx(expected, abs=0.01)  # three standard errors of 20,000 chains


def test_draws_pictures_from_the_top_machine(samples: Tensor) -> None:
    net = learn_deep_belief(samples, [5, 4], SETTINGS, seeded())
    drawn = draw_samples(net, samples[:7], 5, seeded())
    assert drawn.shape == (7, 6)
    assert bool(((drawn > 0.0) & (drawn < 1.0)).all())
    assert torch.equal(drawn, draw_samples(net, samples[:7], 5, seeded()))
