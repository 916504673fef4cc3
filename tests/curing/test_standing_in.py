import pytest
import torch
from torch import nn
from torch.optim import SGD

from gradiometer.curing.standing_in import StandIn, are_optimized, is_root, join_group, put_in_place


def test_answers_for_its_first_module_and_counts_only_its_own():
    layer = nn.Linear(3, 4)
    stand_in = StandIn(StandIn(layer, nn.Tanh()), nn.Identity())
    assert stand_in.weight is layer.weight
    assert stand_in.out_features == 4
    assert len(stand_in) == 2
    for name in ("no_such_thing", "_private", "2"):
        with pytest.raises(AttributeError):
            getattr(stand_in, name)


def test_stands_in_at_every_place_of_a_module():
    shared = nn.Linear(3, 3)
    model = nn.ModuleDict({"one": shared, "two": nn.Sequential(shared, nn.Linear(3, 3))})
    new = nn.Linear(3, 3)
    put_in_place(model, {"one": new})
    assert model["one"] is new
    assert model["two"][0] is new
    assert model["two"][1] is not new


@pytest.mark.parametrize("is_grouped", [False, True])
def test_puts_parameters_behind_all_that_stands_before_them_in_the_layers_own_group(is_grouped):
    first, slope, last = nn.Linear(3, 3), nn.PReLU(), nn.Linear(3, 3)
    groups = [{"params": [*first.parameters(), *slope.parameters(), *last.parameters()]}]
    if is_grouped:
        groups = [{"params": [*last.parameters()]}, {"params": [*first.parameters(), *slope.parameters()]}]
    new = nn.LayerNorm(3)
    join_group(groups, [first, slope], new)
    entries = groups[-1]["params"]
    assert [id(tensor) for tensor in entries[3:5]] == [id(new.weight), id(new.bias)]
    SGD(groups, lr=0.1)


def test_knows_what_is_optimized():
    layer = nn.Linear(3, 3)
    assert are_optimized(layer.parameters(), [])
    assert are_optimized([layer.weight], [{"params": layer.weight}])
    assert not are_optimized(layer.parameters(), [{"params": [layer.weight]}])
    layer.bias.requires_grad_(False)
    assert not are_optimized(layer.parameters(), [])
    assert not are_optimized([layer.weight], [{"params": [torch.zeros(1)]}])


def test_knows_what_the_script_calls_itself():
    assert is_root(nn.Linear(3, 3), "")
    assert is_root(nn.ModuleDict({"encoder": nn.Linear(3, 3)}), "encoder")
    assert not is_root(nn.ModuleDict({"encoder": nn.Sequential(nn.Linear(3, 3))}), "encoder.0")
    assert not is_root(nn.Sequential(nn.Linear(3, 3)), "0")
