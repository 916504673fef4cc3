import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from gradiometer import watch
from gradiometer.measuring.ranks import Team, find_team, named, process_count, unwrapped, why_alone

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed")


@pytest.fixture
def group_of_one():
    """This process as a group of its own, as a script has it that is tried on one process."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def make_network():
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))


def test_is_alone_without_a_group():
    assert process_count() == 1
    assert find_team(make_network()) is None
    assert why_alone(make_network()) is None


def test_lets_the_first_rank_lead():
    team = Team(2, (0, 2, 5))
    assert (team.leader, team.is_leader, team.others) == (0, False, (2, 5))
    assert Team(0, (0, 2, 5)).is_leader
    assert named(team.others) == "ranks 2, 5"


def test_names_layers_and_parameters_as_without_the_wrapper(group_of_one):
    network = make_network()
    model = DistributedDataParallel(network)
    assert unwrapped(model) is network
    assert unwrapped(network) is network
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, optimizer, overhead=1.0) as watching:
        for _ in range(2):
            optimizer.zero_grad()
            model(torch.ones(3, 4)).square().mean().backward()
            optimizer.step()
    run = watching.run
    assert [layer.name for layer in run.layers] == ["0", "1", "2"]
    assert [parameter.name for parameter in run.parameters] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert run.snapshot_count == 2
    assert run.facts["root_names"] == ["Sequential"]
