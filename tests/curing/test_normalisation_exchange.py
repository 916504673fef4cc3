import pytest
import torch
from torch import nn
from torch.optim import SGD

from curing.patients import ConvolutionalNetwork, first_batch, sigmoid_stack, train
from gradiometer.curing import Patient, parse_cure
from gradiometer.errors import CureRefusedError


def fresh():
    torch.manual_seed(11)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))


@pytest.mark.parametrize("make", [fresh, ConvolutionalNetwork])
@pytest.mark.parametrize("label", ["exchange_normalisation", "exchange_normalisation:layer"])
def test_writes_a_snippet_that_exchanges_the_same_norms(make, label):
    torch.manual_seed(1)
    cured = make()
    torch.manual_seed(1)
    written = make()
    cure = parse_cure(label)
    exec(cure.snippet(Patient(written)), {"model": written})
    cure.apply(Patient(cured))
    outputs = [train(model, SGD(model.parameters(), lr=0.1), []) for model in (cured, written)]
    assert torch.equal(*outputs)


def test_normalises_each_example_by_itself_after_the_exchange():
    model = fresh()
    parse_cure("exchange_normalisation").apply(Patient(model))
    x = first_batch()
    assert torch.allclose(model(x)[:1], model(x[:1]), atol=1e-6)


def test_keeps_the_parameters_of_the_norms_that_it_exchanges():
    model = fresh()
    before = [(name, id(parameter)) for name, parameter in model.named_parameters()]
    parse_cure("exchange_normalisation").apply(Patient(model))
    assert [(name, id(parameter)) for name, parameter in model.named_parameters()] == before


def test_refuses_to_exchange_norms_where_there_are_none():
    with pytest.raises(CureRefusedError, match="no batch normalisation"):
        parse_cure("exchange_normalisation").apply(Patient(sigmoid_stack()))
