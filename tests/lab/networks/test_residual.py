import pytest
import torch
from torch.nn import functional

from gradiometer.lab.networks.residual import residual_network

INPUTS = torch.randn(200, 12, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("kind", ["rezero", "skipinit"])
def test_starts_with_closed_blocks_as_the_shallow_network(kind):
    network = residual_network(12, 64, 6, 4, kind, 0)
    shallow = network[-1](functional.relu(network[0](INPUTS)))
    assert torch.equal(network(INPUTS), shallow)


def test_starts_fixup_with_the_same_answer_for_everything():
    network = residual_network(12, 64, 6, 4, "fixup", 0)
    assert network(INPUTS).abs().max().item() == 0.0
    # L^(-1/2) of He's spread, sqrt(2 / 64)
    assert network[2].first.weight.std().item() == pytest.approx((2.0 / 64.0) ** 0.5 / 6.0**0.5, rel=0.05)


def test_doubles_the_power_in_each_block_with_plain_paths_and_keeps_it_without():
    powers = {}
    for kind in ("plain", "none"):
        network = residual_network(12, 400, 8, 4, kind, 0)
        entered = network[1](network[0](INPUTS))
        powers[kind] = (network[2:-1](entered).square().mean() / entered.square().mean()).item() ** (1.0 / 8.0)
    # 10 %: eight blocks of 400 units, one draw
    assert powers["plain"] == pytest.approx(2.0, rel=0.1)
    assert powers["none"] == pytest.approx(1.0, rel=0.1)


def test_learns_in_every_kind_but_the_explosive_one():
    for kind in ("rezero", "skipinit", "fixup"):
        network = residual_network(12, 16, 3, 2, kind, 0)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
        labels = (INPUTS[:, 0] > 0.0).long()
        losses = []
        for _ in range(40):
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(INPUTS), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.5 * losses[0], kind
