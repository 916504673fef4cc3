"""Boltzmann machines small enough to be written down whole: the oracle adds up all their states, in numpy."""

import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradiometer.curing.learners.rbm import (
    Rbm,
    RbmSettings,
    batches_of,
    fantasy_of,
    free_energy,
    hidden_draw,
    hidden_mean,
    train_rbm,
    visible_draw,
    visible_mean,
)
from gradiometer.errors import SettingsError

Array = NDArray[np.float64]


def machine(visible: int = 4, hidden: int = 3) -> Rbm:
    generator = torch.Generator().manual_seed(1)
    return Rbm(
        torch.randn(hidden, visible, generator=generator),
        torch.randn(hidden, generator=generator),
        torch.randn(visible, generator=generator),
    )


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(2)


def states(count: int) -> Array:
    return np.array(list(itertools.product((0.0, 1.0), repeat=count)))


def parts_of(rbm: Rbm) -> tuple[Array, Array, Array]:
    return tuple(part.double().numpy() for part in (rbm.weight, rbm.hidden_bias, rbm.visible_bias))  # type: ignore[return-value]


def joint(rbm: Rbm) -> Array:
    """Probability of every pair of a visible and a hidden state."""
    weight, hidden_bias, visible_bias = parts_of(rbm)
    visible, hidden = states(weight.shape[1]), states(weight.shape[0])
    energy = -(visible @ visible_bias)[:, None] - (hidden @ hidden_bias)[None] - visible @ weight.T @ hidden.T
    unnormalised = np.exp(-energy)
    return np.asarray(unnormalised / unnormalised.sum())


def log_likelihood(rbm: Rbm, data: Tensor) -> float:
    """Mean log-probability of binary data."""
    marginal = joint(rbm).sum(1)
    place = (data.double().numpy() @ (2 ** np.arange(data.shape[1])[::-1])).astype(int)
    return float(np.log(marginal[place]).mean())


def gaussian_log_likelihood(rbm: Rbm, data: Tensor) -> float:
    """Mean log-density of data under a machine with Gaussian visible units: a mixture of Gaussians of variance 1."""
    weight, hidden_bias, visible_bias = parts_of(rbm)
    hidden = states(weight.shape[0])
    centres = visible_bias + hidden @ weight
    log_mass = hidden @ hidden_bias + 0.5 * (centres**2).sum(1) - 0.5 * (visible_bias**2).sum()
    log_mass -= np.log(np.exp(log_mass - log_mass.max()).sum()) + log_mass.max()
    distances = ((data.double().numpy()[:, None] - centres[None]) ** 2).sum(2)
    densities = np.exp(log_mass - 0.5 * distances) / (2 * np.pi) ** (weight.shape[1] / 2)
    return float(np.log(densities.sum(1)).mean())


def test_gives_the_means_of_either_side_given_the_other() -> None:
    rbm, table = machine(), joint(machine())
    visible, hidden = states(4), states(3)
    expected_hidden = (table / table.sum(1, keepdims=True)) @ hidden
    expected_visible = (table / table.sum(0)).T @ visible
    settings = RbmSettings()
    assert np.allclose(hidden_mean(rbm, torch.tensor(visible).float(), settings), expected_hidden, atol=1e-6)
    assert np.allclose(visible_mean(rbm, torch.tensor(hidden).float(), settings), expected_visible, atol=1e-6)


def test_tells_free_energies_that_differ_as_log_probabilities_do() -> None:
    rbm = machine()
    visible = torch.tensor(states(4)).float()
    energies = free_energy(rbm, visible, RbmSettings()).double().numpy()
    log_marginal = np.log(joint(rbm).sum(1))
    assert np.allclose(energies - energies[0], log_marginal[0] - log_marginal, atol=1e-5)

    points = torch.randn(5, 4, generator=generator())
    energies = free_energy(rbm, points, RbmSettings(visible="gaussian")).double().numpy()
    densities = np.array([gaussian_log_likelihood(rbm, point[None]) for point in points])
    assert np.allclose(energies - energies[0], densities[0] - densities, atol=1e-5)
    with pytest.raises(SettingsError, match="choose hidden='binary'"):
        free_energy(rbm, visible, RbmSettings(hidden="rectified"))


def test_draws_from_the_machines_own_distribution_at_the_end_of_a_long_chain() -> None:
    rbm, count = machine(), 20_000
    settings = RbmSettings(gibbs_steps=30, is_persistent=True)
    start = torch.ones(count, 3)
    fantasy = fantasy_of(rbm, start, settings, generator())
    shares = np.bincount((fantasy.numpy() @ (2 ** np.arange(4)[::-1])).astype(int), minlength=16) / count
    expected = joint(rbm).sum(1)
    # Five standard deviations of a share among independent chains.
    assert (np.abs(shares - expected) < 5 * np.sqrt(expected * (1 - expected) / count)).all()


def test_draws_rectified_and_gaussian_units_with_their_noise() -> None:
    rbm = machine(visible=1, hidden=1)
    settings, count = RbmSettings(visible="gaussian", hidden="rectified"), 100_000
    visible = torch.full((count, 1), 0.7)
    drive = float(rbm.weight[0, 0]) * 0.7 + float(rbm.hidden_bias[0])
    grid = np.linspace(-8.0, 8.0, 100_001)
    noise = np.exp(-0.5 * grid**2)
    expected = float((np.maximum(drive + grid / np.sqrt(1 + np.exp(-drive)), 0.0) * noise).sum() / noise.sum())
    drawn = hidden_draw(rbm, visible, settings, generator())
    assert drawn.min() >= 0.0
    assert float(drawn.mean()) == pytest.approx(expected, abs=5 * float(drawn.std()) / count**0.5)

    drawn = visible_draw(rbm, torch.ones(count, 1), settings, generator())
    centre = float(rbm.weight[0, 0]) + float(rbm.visible_bias[0])
    assert float(drawn.mean()) == pytest.approx(centre, abs=5 / count**0.5)
    assert float(drawn.var()) == pytest.approx(1.0, abs=0.03)


STRIPES = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 1.0, 0.0]]).repeat(40, 1)
"""Three of sixteen patterns: the best mean log-likelihood is -log 3 = -1.10, of independent units it is -2.55."""


@pytest.mark.parametrize("gibbs_steps", [1, 5])
def test_learns_which_patterns_there_are(gibbs_steps: int) -> None:
    settings = RbmSettings(gibbs_steps=gibbs_steps, updates=1000, batch_size=30)
    rbm = train_rbm(STRIPES, 4, settings, generator())
    independent = Rbm(torch.zeros(1, 4), torch.zeros(1), STRIPES.mean(0).logit())
    assert log_likelihood(independent, STRIPES) < -2.5
    assert log_likelihood(rbm, STRIPES) > -1.3


def test_learns_another_machines_distribution_by_a_persistent_chain() -> None:
    weight = 3.0 * machine().weight
    teacher = Rbm(weight, -0.5 * weight.sum(1), -0.5 * weight.sum(0))
    settings = RbmSettings(is_persistent=True, updates=3000, rate=0.02, weight_cost=0.0)
    drawn = np.random.default_rng(5).choice(16, size=5000, p=joint(teacher).sum(1))
    data = torch.tensor(states(4)[drawn]).float()
    rbm = train_rbm(data, 3, settings, generator())
    independent = Rbm(torch.zeros(1, 4), torch.zeros(1), data.mean(0).logit())
    assert log_likelihood(teacher, data) > log_likelihood(independent, data) + 0.3
    assert log_likelihood(rbm, data) == pytest.approx(log_likelihood(teacher, data), abs=0.04)


def test_learns_where_real_numbers_gather() -> None:
    centres = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 3.0]])
    data = centres.repeat(100, 1) + torch.randn(300, 2, generator=generator())
    rbm = train_rbm(data, 3, RbmSettings(visible="gaussian", rate=0.01, updates=1500), generator())
    one_gaussian = Rbm(torch.zeros(1, 2), torch.zeros(1), data.mean(0))
    assert gaussian_log_likelihood(rbm, data) > gaussian_log_likelihood(one_gaussian, data) + 1.0


def test_keeps_hidden_biases_at_zero_where_there_are_none_to_learn() -> None:
    rbm = train_rbm(STRIPES, 4, RbmSettings(has_hidden_bias=False, updates=20), generator())
    assert not rbm.hidden_bias.any()
    assert rbm.weight.any()


def test_learns_the_same_machine_from_the_same_seed_and_no_global_number() -> None:
    before = torch.get_rng_state()
    machines = [train_rbm(STRIPES, 4, RbmSettings(updates=20), generator()) for _ in range(2)]
    assert torch.equal(machines[0].weight, machines[1].weight)
    assert torch.equal(torch.get_rng_state(), before)


def test_shows_every_example_once_in_a_pass() -> None:
    batches = list(batches_of(torch.arange(7.0), 3, 6, generator()))
    assert [len(batch) for batch in batches] == [3, 3, 1, 3, 3, 1]
    for three in (batches[:3], batches[3:]):
        assert sorted(torch.cat(three).tolist()) == list(range(7))
    assert not torch.equal(torch.cat(batches[:3]), torch.cat(batches[3:]))
