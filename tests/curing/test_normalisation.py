import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.optim import SGD

from curing.patients import AttributeNetwork, ConvolutionalNetwork, fresh_pair, sigmoid_stack, train
from gradiometer.curing import Patient, parse_cure
from gradiometer.curing.normalisation import Normalised
from gradiometer.errors import CureRefusedError
from gradiometer.schema import Layer, Run


def normalised(model, label="insert_normalisation", **known):
    patient = Patient(model, **known)
    parse_cure(label).apply(patient)
    return patient


def norms_of(model):
    return {name: type(module[1]).__name__ for name, module in model.named_modules() if isinstance(module, Normalised)}


def test_follows_every_hidden_layer_with_the_norm_that_fits_it():
    assert norms_of(normalised(sigmoid_stack()).model) == dict.fromkeys(("0", "2", "4"), "BatchNorm1d")
    convolutional = norms_of(normalised(ConvolutionalNetwork()).model)
    assert convolutional == {"features.0": "BatchNorm2d", "features.5": "BatchNorm2d"}
    forced = norms_of(normalised(ConvolutionalNetwork(), "insert_normalisation:layer").model)
    assert set(forced.values()) == {"GroupNorm"}


def test_normalises_each_example_by_itself_in_small_batches_and_in_sequences():
    small = Run(facts={"batch_size": 2})
    assert set(norms_of(normalised(sigmoid_stack(), run=small).model).values()) == {"LayerNorm"}
    sequence = nn.Sequential(nn.Embedding(9, 6), *sigmoid_stack())
    assert set(norms_of(normalised(sequence).model).values()) == {"LayerNorm"}
    assert sequence(torch.randint(0, 9, (2, 5))).shape == (2, 5, 3)


def test_answers_for_the_layer_that_it_stands_for():
    model = AttributeNetwork()
    weight = model.first.weight
    normalised(model)
    assert model.first.weight is weight
    assert model.body[1].in_features == 8
    assert model.first[0].weight is weight
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = model.first.no_such_thing


def test_puts_new_parameters_right_behind_the_layers_own():
    pair = fresh_pair("sigmoid_stack")
    normalised(pair.model, optimizer=pair.optimizer, parameter_groups=pair.optimizer.param_groups)
    held = pair.optimizer.param_groups[0]["params"]
    assert [id(tensor) for tensor in held] == [id(parameter) for parameter in pair.model.parameters()]


@pytest.mark.parametrize("form", ["list", "named", "generator", "tensor"])
def test_puts_them_into_groups_of_any_form_before_the_optimizer_takes_them(form):
    model = sigmoid_stack()
    last = list(model[2:].parameters())
    if form == "named":
        groups = [
            {"params": list(model[0].named_parameters(prefix="0"))},
            {"params": list(model[2:].named_parameters())},
        ]
    elif form == "tensor":
        groups = [{"params": model[0].weight}, {"params": [model[0].bias, *last], "lr": 0.01}]
    else:
        first = list(model[0].parameters()) if form == "list" else model[0].parameters()
        groups = [{"params": first}, {"params": last, "lr": 0.01}]
    normalised(model, parameter_groups=groups)
    optimizer = SGD(groups, lr=0.1)
    held = {id(tensor) for group in optimizer.param_groups for tensor in group["params"]}
    assert held == {id(parameter) for parameter in model.parameters()}
    if form == "list":
        assert any(tensor is model[0][1].weight for tensor in optimizer.param_groups[0]["params"])
    train(model, optimizer, [])


def test_names_new_parameters_where_the_optimizer_knows_names():
    model = sigmoid_stack()
    optimizer = SGD(model.named_parameters(), lr=0.1)
    normalised(model, optimizer=optimizer, parameter_groups=optimizer.param_groups)
    group = optimizer.param_groups[0]
    assert len(group["param_names"]) == len(group["params"])
    assert group["param_names"][:4] == ["0.weight", "0.bias", "0.1.weight", "0.1.bias"]


def test_follows_device_format_and_mode_of_the_layer():
    model = sigmoid_stack().to(torch.float64).eval()
    normalised(model)
    assert model[0][1].weight.dtype is torch.float64
    assert not model[0].training
    assert not model[0][1].training


def test_keeps_a_shared_layer_shared():
    layer = nn.Linear(6, 6)
    model = nn.Sequential(layer, nn.Tanh(), layer, nn.Tanh(), nn.Linear(6, 3))
    twin = copy.deepcopy(model)
    code = parse_cure("insert_normalisation").snippet(Patient(twin))
    normalised(model)
    exec(code, {"model": twin})
    assert model[0] is model[2]
    assert twin[0] is twin[2]
    x = torch.randn(5, 6)
    assert torch.equal(model(x), twin(x))


def test_leaves_frozen_layers_and_those_of_other_optimizers_alone():
    model = sigmoid_stack()
    model[0].requires_grad_(False)
    optimizer = SGD(model[4:].parameters(), lr=0.1)
    normalised(model, optimizer=optimizer, parameter_groups=optimizer.param_groups)
    assert norms_of(model) == {"4": "BatchNorm1d"}


def test_leaves_torchs_own_larger_modules_alone():
    model = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    normalised(model)
    assert set(norms_of(model)) == {"1"}


def test_leaves_a_model_that_can_be_copied_and_saved():
    model = normalised(sigmoid_stack()).model
    x = torch.randn(5, 6)
    model.eval()
    assert torch.equal(copy.deepcopy(model)(x), model(x))
    assert torch.equal(pickle.loads(pickle.dumps(model))(x), model(x))
    torch.save(model, io.BytesIO())


def test_refuses_where_every_layer_has_its_norm():
    model = normalised(sigmoid_stack()).model
    with pytest.raises(CureRefusedError, match="normalised already"):
        normalised(model)


def test_leaves_a_layer_alone_that_the_run_saw_without_an_activation():
    model = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
    layers = tuple(
        Layer(str(index), type(module).__name__, "leaf", index, activation="tanh" if index == 2 else None)
        for index, module in enumerate(model)
    )
    normalised(model, run=Run(layers=layers))
    assert norms_of(model) == {"1": "BatchNorm1d"}
