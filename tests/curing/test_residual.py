import copy
import io
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD

from curing.cure_contract import check_change, check_labels, check_random_state, check_refusal, check_snippet
from curing.patients import AttributeNetwork, ConvolutionalNetwork, first_batch, fresh_pair, sigmoid_stack, train
from gradiometer.curing import Patient, parse_cure
from gradiometer.curing.residual import Bypassed, keeps_shape, units_of
from gradiometer.errors import CureRefusedError
from gradiometer.schema import Layer, Run


def made(network, label="add_residual_paths", **known):
    model = network() if isinstance(network, type) else network
    patient = Patient(model, **known)
    parse_cure(label).apply(patient)
    return model


def paths_of(model):
    return {name: len(module) for name, module in model.named_modules() if isinstance(module, Bypassed)}


class DeepFunctional(nn.Module):
    """Twenty narrow layers whose activation is a function."""

    def __init__(self, activation=torch.tanh, depth=20, width=16):
        super().__init__()
        torch.manual_seed(3)
        self.entry = nn.Linear(6, width)
        self.body = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])
        self.head = nn.Linear(width, 3)
        self.activation = activation

    def forward(self, x):
        x = self.activation(self.entry(x))
        for layer in self.body:
            x = self.activation(layer(x))
        return self.head(x)


def mixed():
    """Norm, dropout, a shared layer, PReLU and a nested Sequential."""
    torch.manual_seed(4)
    shared = nn.Linear(8, 8)
    return nn.Sequential(
        nn.Linear(6, 8),
        nn.ReLU(inplace=True),
        nn.Linear(8, 8),
        nn.BatchNorm1d(8),
        nn.PReLU(),
        nn.Dropout(0.0),
        nn.Sequential(nn.Linear(8, 8), nn.Tanh()),
        shared,
        nn.Tanh(),
        shared,
        nn.Tanh(),
        nn.Linear(8, 3),
    )


@pytest.mark.parametrize("label", ["add_residual_paths", "add_residual_paths:plain", "add_residual_paths:zero_gated"])
@pytest.mark.parametrize("network", [mixed, DeepFunctional])
def test_keeps_the_contract_of_cures(label, network):
    check_labels(label)
    check_snippet(label, network, first_batch())
    check_change(label, network, first_batch())
    check_random_state(label, network, first_batch())


def test_leads_a_path_around_every_hidden_layer_whose_shapes_agree_and_around_no_other():
    assert paths_of(made(sigmoid_stack())) == {"2": 3, "4": 3}
    assert paths_of(made(ConvolutionalNetwork)) == {"features.2": 4}
    assert paths_of(made(AttributeNetwork)) == {"body.0": 2, "body.1": 2}
    assert paths_of(made(mixed())) == {"2": 5, "6.0": 3, "7": 2}


def test_computes_the_input_plus_its_share_of_the_layers():
    plain = sigmoid_stack()
    x = first_batch()
    first, second, third, output = plain[0], plain[2], plain[4], plain[6]
    hidden = torch.sigmoid(first(x))
    hidden = hidden + torch.sigmoid(second(hidden)) / 2**0.5
    hidden = hidden + torch.sigmoid(third(hidden)) / 2**0.5
    expected = output(hidden)
    gated = copy.deepcopy(plain)
    torch.testing.assert_close(made(plain, "add_residual_paths:plain")(x), expected)
    shut = output(torch.sigmoid(first(x)))
    assert torch.equal(made(gated)(x), shut)


def test_trains_a_gate_from_its_first_step_and_the_layer_from_the_second():
    pair = fresh_pair("sigmoid_stack")
    made(pair.model, optimizer=pair.optimizer, parameter_groups=pair.optimizer.param_groups)
    unit, before = pair.model[2], pair.model[2].weight.detach().clone()
    train(pair.model, pair.optimizer, [], steps=1)
    assert unit[-1].factor.item() != 0.0
    assert torch.equal(unit.weight, before)
    train(pair.model, pair.optimizer, [], steps=1)
    assert not torch.equal(unit.weight, before)


def test_answers_for_the_layer_and_leaves_every_index_where_it_was():
    model = sigmoid_stack()
    layers = list(model)
    made(model)
    assert len(model) == 7
    assert model[2].weight is layers[2].weight
    assert model[2].in_features == 8
    assert isinstance(model[3], nn.Identity)
    assert model[6] is layers[6]


def test_keeps_a_shared_layer_shared():
    model = made(mixed())
    assert model[7] is model[9]
    assert isinstance(model[8], nn.Tanh)


@pytest.mark.parametrize("is_named", [False, True])
def test_puts_a_gate_behind_the_parameters_that_stand_before_it(is_named):
    model = mixed()
    optimizer = SGD(model.named_parameters() if is_named else model.parameters(), lr=0.1)
    made(model, optimizer=optimizer, parameter_groups=optimizer.param_groups)
    group = optimizer.param_groups[0]
    assert [id(tensor) for tensor in group["params"]] == [id(parameter) for parameter in model.parameters()]
    if is_named:
        assert len(group["param_names"]) == len(group["params"])
        assert "2.4.factor" in group["param_names"]


def test_puts_gates_into_their_layers_groups_before_the_optimizer_takes_them():
    model = sigmoid_stack()
    groups = [{"params": list(model[:4].parameters())}, {"params": list(model[4:].parameters()), "lr": 0.01}]
    made(model, parameter_groups=groups)
    optimizer = SGD(groups, lr=0.1)
    first, second = ({id(tensor) for tensor in group["params"]} for group in optimizer.param_groups)
    assert id(model[2][-1].factor) in first
    assert id(model[4][-1].factor) in second
    assert first | second == {id(parameter) for parameter in model.parameters()}


def test_leaves_frozen_layers_and_those_of_other_optimizers_alone():
    model = sigmoid_stack(4)
    model[2].requires_grad_(False)
    optimizer = SGD(model[6:].parameters(), lr=0.1)
    made(model, optimizer=optimizer, parameter_groups=optimizer.param_groups)
    assert list(paths_of(model)) == ["6"]


def test_follows_device_format_and_mode_of_the_layer():
    model = made(sigmoid_stack().to(torch.bfloat16).eval())
    assert model[2][-1].factor.dtype is torch.bfloat16
    assert not any(module.training for module in model.modules())
    assert model(first_batch().bfloat16()).dtype is torch.bfloat16


def test_leaves_a_model_that_can_be_copied_and_saved():
    model, x = made(sigmoid_stack()), first_batch()
    assert torch.equal(copy.deepcopy(model)(x), model(x))
    assert torch.equal(pickle.loads(pickle.dumps(model))(x), model(x))
    torch.save(model, io.BytesIO())


def test_takes_a_layer_together_with_the_norm_that_another_cure_has_put_behind_it():
    patient = Patient(sigmoid_stack())
    parse_cure("insert_normalisation").apply(patient)
    parse_cure("add_residual_paths").apply(patient)
    kinds = [type(module).__name__ for module in patient.model[2]]
    assert kinds == ["Normalised", "Sigmoid", "Gate"]
    assert patient.model[2].in_features == 8


@pytest.mark.parametrize(
    ("layer", "keeps"),
    [
        (nn.Linear(4, 4), True),
        (nn.Linear(4, 5), False),
        (nn.Conv1d(4, 4, 3, padding=1), True),
        (nn.Conv2d(4, 4, 3, padding=1, stride=2), False),
        (nn.Conv2d(4, 4, 3, padding=2, dilation=2), True),
        (nn.Conv2d(4, 4, (1, 5), padding=(0, 2)), True),
        (nn.Conv2d(4, 4, 5, padding="same", dilation=2), True),
        (nn.Conv2d(4, 4, 4, padding=1), False),
        (nn.Conv2d(4, 4, 3, padding="valid"), False),
        (nn.Conv3d(4, 4, 3, padding=1, groups=2), True),
        (nn.ConvTranspose2d(4, 4, 3, padding=1), True),
        (nn.ConvTranspose2d(4, 4, 2, stride=2), False),
    ],
)
def test_knows_from_a_layers_settings_whether_shapes_agree(layer, keeps):
    assert keeps_shape(layer) is keeps
    x = torch.randn(2, 4) if isinstance(layer, nn.Linear) else torch.randn(2, 4, *[9] * (layer.weight.dim() - 2))
    assert (layer(x).shape == x.shape) is keeps


def run_of(names, on_trunk):
    layers = tuple(Layer(name, "Linear", "leaf", index, fan_in=8) for index, name in enumerate(names))
    positions = np.array([[float(index) if is_on else np.nan for index, is_on in enumerate(on_trunk)]])
    return Run(layers=layers, snapshot_steps=np.array([0]), layer_columns={"trunk_position": positions})


class Residual(nn.Module):
    """A hidden layer with a path around it, and one without."""

    def __init__(self):
        super().__init__()
        self.entry, self.inner = nn.Linear(6, 8), nn.Linear(8, 8)
        self.bare, self.head = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        x = torch.relu(self.entry(x))
        return self.head(torch.relu(self.bare(x + torch.relu(self.inner(x)))))


def test_leaves_a_layer_alone_that_the_run_saw_beside_the_trunk():
    names = ("entry", "inner", "bare", "head")
    model = Residual()
    layers = run_of(names, (True, False, True, True))
    activated = tuple(
        Layer(f"relu#{index}", "relu", "function", 2 * index + 1, activation="relu") for index in range(len(names) - 1)
    )
    ranked = tuple(Layer(layer.name, "Linear", "leaf", 2 * layer.position, fan_in=8) for layer in layers.layers)
    columns = {"trunk_position": np.hstack([layers.layer_columns["trunk_position"], [[7.0, np.nan, 9.0]]])}
    run = Run(layers=ranked + activated, snapshot_steps=np.array([0]), layer_columns=columns)
    assert [unit.place for unit in units_of(Patient(model, run=run))] == ["bare"]
    model.bare.requires_grad_(False)
    with pytest.raises(CureRefusedError, match="has one around it already"):
        units_of(Patient(model, run=run))


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 3)), "same shape"),
        (lambda: nn.Linear(6, 6), "same shape"),
        (lambda: nn.Sequential(nn.Linear(6, 6).requires_grad_(False), nn.ReLU(), nn.Linear(6, 3)), "frozen"),
        (lambda: made(sigmoid_stack()), "has one around it already"),
        (lambda: nn.Sequential(nn.TransformerEncoderLayer(6, 2, 6), nn.Linear(6, 3)), "same shape"),
    ],
)
def test_says_why_there_is_no_place_for_a_path(network, reason):
    check_refusal("add_residual_paths", network, first_batch(), reason)


@pytest.mark.parametrize("kind", ["zero_gated", "plain"])
@pytest.mark.parametrize("activation", [torch.tanh, torch.relu])
def test_trains_a_deep_narrow_network_whose_activations_are_functions(kind, activation):
    def trained(is_cured):
        model = DeepFunctional(activation)
        if is_cured:
            made(model, f"add_residual_paths:{kind}")
        optimizer = SGD(model.parameters(), lr=0.1)
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(256, 6, generator=generator)
        y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
        losses = []
        for _ in range(150):
            picked = torch.randint(0, 256, (32,), generator=generator)
            loss = F.cross_entropy(model(x[picked]), y[picked])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return sum(losses[-30:]) / 30

    assert trained(is_cured=False) > 1.0
    assert trained(is_cured=True) < 0.6
