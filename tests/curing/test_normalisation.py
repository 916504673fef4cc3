import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.optim import SGD

from curing.cure_contract import check_change, check_refusal, check_snippet
from curing.patients import AttributeNetwork, ConvolutionalNetwork, fresh_pair, sigmoid_stack, train
from gradiometer.curing import Patient, parse_cure
from gradiometer.curing.normalisation import Normalised, NormalisedOutputs
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


class Recurrent(nn.Module):
    """Two recurrent layers, the second one packed, and a hidden linear layer over all positions."""

    def __init__(self, kind=nn.LSTM, **settings):
        super().__init__()
        torch.manual_seed(2)
        self.first = kind(6, 4, batch_first=True, bidirectional=True)
        self.second = kind(8, 5, batch_first=True, **settings)
        self.hidden = nn.Linear(settings.get("proj_size", 5), 6)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        outputs, _ = self.first(x)
        packed = nn.utils.rnn.pack_padded_sequence(outputs, torch.full((len(x),), x.shape[1]), batch_first=True)
        outputs, _ = nn.utils.rnn.pad_packed_sequence(self.second(packed)[0], batch_first=True)
        return self.head(torch.relu(self.hidden(outputs))).mean(1)


def sequences():
    return torch.randn(8, 5, 6, generator=torch.Generator().manual_seed(5))


RECURRENT = {
    "lstm": Recurrent,
    "gru": lambda: Recurrent(nn.GRU),
    "rnn": lambda: Recurrent(nn.RNN),
    "projected": lambda: Recurrent(nn.LSTM, num_layers=2, proj_size=3),
}


@pytest.mark.parametrize("name", RECURRENT)
@pytest.mark.parametrize("kind", ["", ":batch", ":layer", ":group", ":rms"])
def test_normalises_the_outputs_of_recurrent_layers(name, kind):
    label = f"insert_normalisation{kind}"
    check_snippet(label, RECURRENT[name], sequences())
    check_change(label, RECURRENT[name], sequences())


def test_normalises_outputs_and_leaves_states_alone():
    plain = Recurrent()
    model = normalised(copy.deepcopy(plain)).model
    expected, (hidden, cell) = plain.first(sequences())
    outputs, states = model.first(sequences())
    torch.testing.assert_close(outputs.mean(2), torch.zeros(8, 5), atol=1e-5, rtol=0.0)
    torch.testing.assert_close(outputs, torch.nn.functional.layer_norm(expected, (8,)))
    assert torch.equal(states[0], hidden)
    assert torch.equal(states[1], cell)
    assert isinstance(model.first, NormalisedOutputs)
    assert model.first.hidden_size == 4
    assert model.first.weight_hh_l0.shape == (16, 4)


@pytest.mark.parametrize("kind", ["batch", "group"])
def test_takes_the_positions_of_a_linear_layer_for_examples_not_for_channels(kind):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    layer = model[0]
    normalised(model, f"insert_normalisation:{kind}")
    x = torch.randn(16, 8, 6)
    values = layer(x).flatten(0, 1)
    groups = values.reshape(128, 2, 4)
    mean = values.mean(0) if kind == "batch" else groups.mean(2, keepdim=True).expand(-1, -1, 4).reshape(128, 8)
    centred = values - mean
    squares = centred.square()
    variance = squares.mean(0) if kind == "batch" else squares.reshape(128, 2, 4).mean(2).repeat_interleave(4, 1)
    torch.testing.assert_close(model[0](x), (centred / (variance + 1e-5).sqrt()).reshape(16, 8, 8))


def test_chooses_groups_that_divide_the_channels():
    def groups(channels):
        model = nn.Sequential(nn.Conv2d(1, channels, 3), nn.ReLU(), nn.Conv2d(channels, 1, 3))
        norm = normalised(model, "insert_normalisation:group").model[0][1]
        return norm.num_groups, norm(torch.randn(2, channels, 3, 3)).shape[1]

    assert [groups(channels) for channels in (512, 64, 30, 12, 7, 2)] == [
        (32, 512),
        (16, 64),
        (6, 30),
        (3, 12),
        (1, 7),
        (1, 2),
    ]


def test_normalises_groups_of_channels_in_small_batches():
    model = normalised(ConvolutionalNetwork(), run=Run(facts={"batch_size": 2})).model
    assert set(norms_of(model).values()) == {"GroupNorm"}


def test_takes_no_mean_where_the_root_mean_square_is_asked_for():
    model = nn.Sequential(nn.Conv1d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
    normalised(model, "insert_normalisation:rms")
    assert norms_of(model) == {"3": "RMSNorm"}
    values = model[3](torch.randn(5, 16))
    torch.testing.assert_close(values.square().mean(1), torch.ones(5), atol=1e-3, rtol=0.0)


def test_refuses_to_normalise_the_features_of_convolutions_only():
    def network():
        return nn.Sequential(nn.Conv1d(1, 4, 3), nn.ReLU(), nn.Conv1d(4, 3, 3))

    check_refusal("insert_normalisation:rms", network, torch.randn(2, 1, 8), "choose :group")


def test_leaves_layers_alone_that_have_no_shape_yet():
    model = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    normalised(model)
    assert norms_of(model) == {"2": "BatchNorm1d"}
    model(torch.randn(4, 6))


def test_normalises_both_of_two_layers_with_one_weight():
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3))
    model[2].weight = model[0].weight
    optimizer = SGD(model.parameters(), lr=0.1)
    normalised(model, optimizer=optimizer, parameter_groups=optimizer.param_groups)
    assert model[0].weight is model[2].weight
    held = {id(tensor) for tensor in optimizer.param_groups[0]["params"]}
    assert held == {id(parameter) for parameter in model.parameters()}
    train(model, optimizer, [])


def test_leaves_several_roots_alone_that_are_single_layers():
    roots = nn.ModuleDict({"encoder": nn.LSTM(6, 4), "decoder": sigmoid_stack()})
    normalised(roots)
    assert set(norms_of(roots)) == {"decoder.0", "decoder.2", "decoder.4"}
    assert type(roots["encoder"]) is nn.LSTM
