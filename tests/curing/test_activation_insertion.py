import pytest
import torch
from torch import nn
from torch.optim import SGD

from curing.patients import first_batch, sigmoid_stack, train
from gradiometer.curing import Patient, parse_cure
from gradiometer.errors import CureRefusedError


class Bare(nn.Module):
    """Three linear layers with nothing between them, one of them used twice."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.second = nn.Linear(8, 8)
        self.output = nn.Linear(8, 3)

    def forward(self, x):
        return self.output(self.second(self.second(self.first(x))))


def fresh():
    torch.manual_seed(11)
    return Bare()


def test_makes_a_linear_network_bend():
    model = fresh()
    parse_cure("insert_activation").apply(Patient(model))
    x = first_batch()
    assert torch.equal(model.first(x), torch.relu(nn.functional.linear(x, model.first.weight, model.first.bias)))
    assert not torch.allclose(model(2.0 * x) - model(x), model(x) - model(0.0 * x), atol=1e-4)


def test_writes_a_snippet_that_inserts_the_same_activation():
    cure, cured, written = parse_cure("insert_activation:tanh"), fresh(), fresh()
    exec(cure.snippet(Patient(written)), names := {"model": written})
    cure.apply(Patient(cured))
    outputs = [train(model, SGD(model.parameters(), lr=0.1), []) for model in (cured, names["model"])]
    assert torch.equal(*outputs)
    assert list(cured.state_dict()) == list(written.state_dict())


def test_keeps_every_weight_when_it_inserts_activations():
    model = fresh()
    before = {id(parameter): parameter.detach().clone() for parameter in model.parameters()}
    parse_cure("insert_activation").apply(Patient(model))
    assert all(torch.equal(parameter, before[id(parameter)]) for parameter in model.parameters())


@pytest.mark.parametrize("model", [sigmoid_stack(), nn.Sequential(nn.Linear(2, 2))])
def test_refuses_to_insert_activations_where_there_are_some_or_nothing_is_hidden(model):
    with pytest.raises(CureRefusedError, match="already"):
        parse_cure("insert_activation").apply(Patient(model))
