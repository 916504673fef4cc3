"""Exact likelihoods of small Boltzmann machines, against all states of all units."""

from itertools import product

import pytest
import torch
from torch import Tensor

from gradiometer.curing.learners.rbm import Rbm, RbmSettings, train_rbm
from gradiometer.errors import SettingsError
from gradiometer.lab.networks.boltzmann_likelihood import log_partition, mean_log_likelihood


def states(count: int) -> Tensor:
    return torch.tensor(list(product((0.0, 1.0), repeat=count)), dtype=torch.float64)


def drawn_machine(hidden: int, visible: int) -> Rbm:
    generator = torch.Generator().manual_seed(0)
    return Rbm(*(torch.randn(shape, generator=generator) for shape in ((hidden, visible), (hidden,), (visible,))))


def energies(machine: Rbm) -> Tensor:
    visible, hidden = states(machine.weight.shape[1]), states(machine.weight.shape[0])
    weight, hidden_bias, visible_bias = (
        part.double() for part in (machine.weight, machine.hidden_bias, machine.visible_bias)
    )
    return -(hidden @ weight @ visible.T) - (hidden @ hidden_bias)[:, None] - (visible @ visible_bias)[None]


def test_sums_over_all_states() -> None:
    machine = drawn_machine(4, 6)
    assert log_partition(machine) == pytest.approx(float((-energies(machine)).flatten().logsumexp(0)), rel=1e-12)


def test_gives_each_picture_its_share_of_all_states() -> None:
    machine = drawn_machine(3, 5)
    shares = (-energies(machine)).exp().sum(0)
    shares = shares / shares.sum()
    for rank, picture in enumerate(states(5)):
        assert mean_log_likelihood(machine, picture[None]) == pytest.approx(float(shares[rank].log()), rel=1e-9)


def test_learning_makes_what_was_shown_more_probable() -> None:
    shown = states(6)[[7, 56]].float().repeat(20, 1)
    settings = RbmSettings(updates=300, batch_size=20)
    learned = train_rbm(shown, 3, settings, torch.Generator().manual_seed(0))
    assert mean_log_likelihood(learned, shown) > -2.0  # two pictures alone would each have -0.69, chance has -4.16


def test_refuses_more_states_than_can_be_summed() -> None:
    with pytest.raises(SettingsError, match="16 are the most"):
        log_partition(drawn_machine(17, 2))
