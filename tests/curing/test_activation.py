import copy
import io
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from curing.patients import AttributeNetwork, FunctionalNetwork, finding, fresh_pair, sigmoid_stack, train
from gradiometer.curing import Patient, parse_cure
from gradiometer.curing.activation import TARGETS
from gradiometer.curing.activation_modes import ExchangedCalls, functions_of
from gradiometer.errors import CureRefusedError
from gradiometer.schema import LAYER_COLUMNS, Layer, Run


def run_of(*layers, trunk=None):
    """A run that knows layers and, where given, which of them are on the trunk."""
    shape = (1, len(layers))
    columns = {name: np.full(shape, np.nan) for name in LAYER_COLUMNS}
    if trunk is not None:
        columns["trunk_position"] = np.array([[float(i) if on else np.nan for i, on in enumerate(trunk)]])
    return Run(layers=tuple(layers), snapshot_steps=np.arange(1), layer_columns=columns)


def exchanged(model, to="relu", **known):
    patient = Patient(model, **known)
    words = parse_cure(f"exchange_activation:{to}").apply(patient)
    return patient, words


@pytest.mark.parametrize("to", sorted(TARGETS))
def test_exchanges_modules_for_every_target(to):
    model = nn.Sequential(nn.Linear(6, 8), nn.PReLU(), nn.Linear(8, 3))
    exchanged(model, to)
    assert type(model[1]).__name__ == TARGETS[to]


def test_leaves_the_output_unit_and_softmax_as_they_are():
    model = nn.Sequential(nn.Linear(6, 8), nn.Sigmoid(), nn.Linear(8, 3), nn.Sigmoid(), nn.Softmax(dim=1))
    _, words = exchanged(model)
    assert [type(module).__name__ for module in model] == ["Linear", "ReLU", "Linear", "Sigmoid", "Softmax"]
    assert "1 module(s): 1" in words


def test_keeps_a_shared_module_shared_and_in_place_what_was_in_place():
    shared = nn.ReLU(inplace=True)
    model = nn.Sequential(nn.Linear(6, 8), shared, nn.Linear(8, 8), shared, nn.Linear(8, 3)).eval()
    exchanged(model, "leaky_relu")
    assert model[1] is model[3]
    assert model[1].inplace
    assert not model[1].training


def test_finds_an_activation_that_is_registered_behind_everything():
    model = AttributeNetwork()
    exchanged(model)
    assert type(model.activation) is nn.ReLU


@pytest.mark.parametrize(
    "spelling",
    [
        torch.sigmoid,
        F.sigmoid,
        torch.special.expit,
        torch.Tensor.sigmoid,
        torch.sigmoid_,
        torch.Tensor.sigmoid_,
        lambda x: torch.sigmoid(input=x),
        lambda x: nn.Sigmoid()(x),
    ],
)
@pytest.mark.parametrize("to", ["relu", "gelu"])
def test_exchanges_every_spelling_of_a_call_and_its_gradient(spelling, to):
    leaf = torch.linspace(-2.0, 2.0, 9, dtype=torch.float64, requires_grad=True)
    with ExchangedCalls(["sigmoid"], to, weights=[], output_weight=None):
        result = spelling(leaf * 1.0)
    result.square().sum().backward()
    own = leaf.detach().clone().requires_grad_()
    expected = getattr(F, to)(own * 1.0)
    expected.square().sum().backward()
    assert torch.equal(result, expected)
    assert torch.equal(leaf.grad, own.grad)


@pytest.mark.parametrize(
    "spelling",
    [
        lambda x: F.relu(x, inplace=True),
        lambda x: F.relu(x, True),
        torch.relu_,
        lambda x: x.relu_(),
        F.relu_,
        lambda x: F.leaky_relu(x, 0.1, True),
    ],
)
def test_writes_over_the_input_where_the_call_did(spelling):
    for to in ("tanh", "elu"):
        tensor = torch.linspace(-1.0, 1.0, 5)
        expected = getattr(F, to)(tensor.clone())
        with ExchangedCalls(["relu", "leaky_relu"], to, weights=[], output_weight=None):
            spelling(tensor)
        assert torch.equal(tensor, expected)


def test_leaves_calls_alone_that_it_is_not_about():
    x = torch.linspace(-1.0, 1.0, 5)
    out = torch.empty(5)
    with ExchangedCalls(["sigmoid"], "relu", weights=[], output_weight=None):
        assert torch.equal(torch.tanh(x), x.tanh())
        assert torch.equal(torch.softmax(x, 0), F.softmax(x, 0))
        torch.sigmoid(x, out=out)
    assert torch.equal(out, torch.sigmoid(x))
    assert torch.relu not in functions_of(["sigmoid"])


def test_tells_output_units_from_hidden_ones_by_the_weight_before_them():
    model = FunctionalNetwork()
    patient, words = exchanged(model)
    x = torch.randn(4, 6)
    for _ in range(2):  # the mode starts anew in every forward
        with patient.forward_modes[0]:
            output = model(x)
    hidden = F.relu(model.third(F.relu(model.second(F.relu(model.first(x))))))
    assert torch.equal(output, torch.sigmoid(model.output(hidden)))
    assert "functional calls of sigmoid" in words


def test_exchanges_the_hidden_calls_of_a_recurrence_whose_output_layer_is_called_in_the_loop():
    class Recurrence(nn.Module):
        def __init__(self):
            super().__init__()
            self.step, self.output = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            outputs = []
            for _ in range(3):
                x = torch.tanh(self.step(x))
                outputs.append(torch.sigmoid(self.output(x)))
            return outputs

    model, x = Recurrence(), torch.randn(2, 4)
    patient, _ = exchanged(model)
    with patient.forward_modes[0]:
        outputs = model(x)
    h = F.relu(model.step(F.relu(model.step(F.relu(model.step(x))))))
    assert torch.equal(outputs[2], torch.sigmoid(model.output(h)))


def test_takes_the_kind_that_the_findings_name_before_the_one_of_smallest_slope():
    model = nn.Sequential(nn.Linear(6, 8), nn.Sigmoid(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    layers = [
        Layer(str(i), type(m).__name__, "leaf", i, activation={1: "sigmoid", 3: "relu"}.get(i))
        for i, m in enumerate(model)
    ]
    named = copy.deepcopy(model)
    exchanged(named, "elu", run=run_of(*layers), findings=(finding("dead", "learning_rate", ("3",)),))
    assert (type(named[1]), type(named[3])) == (nn.Sigmoid, nn.ELU)
    exchanged(model, "elu", run=run_of(*layers))
    assert (type(model[1]), type(model[3])) == (nn.ELU, nn.ReLU)


class Gated(nn.Module):
    """A sigmoid that gates, off the trunk, beside hidden sigmoids; as modules and as functions."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.output = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.gate = nn.Sigmoid()

    def forward(self, x):
        x = torch.sigmoid(self.first(x))
        x = self.second(x) * self.gate(x)
        return self.output(x)


def gated_run():
    layers = (
        Layer("first", "Linear", "leaf", 0, fan_in=6),
        Layer("Gated.sigmoid#1", "sigmoid", "function", 1, call_site="train.py:12", activation="sigmoid"),
        Layer("second", "Linear", "leaf", 2, fan_in=8),
        Layer("gate", "Sigmoid", "leaf", 3, activation="sigmoid"),
        Layer("output", "Linear", "leaf", 4, fan_in=8),
    )
    return run_of(*layers, trunk=(True, True, True, False, True))


def test_leaves_a_gate_closed_and_open_as_before():
    model, x = Gated(), torch.randn(4, 6)
    patient, _ = exchanged(model, run=gated_run())
    with patient.forward_modes[0]:
        output = model(x)
    hidden = F.relu(model.first(x))
    assert torch.equal(output, model.output(model.second(hidden) * torch.sigmoid(hidden)))


def test_names_the_calls_to_edit_and_keeps_gates_in_the_snippet_too():
    torch.manual_seed(0)
    model, x = Gated(), torch.randn(4, 6)
    code = parse_cure("exchange_activation:relu").snippet(Patient(model, run=gated_run()))
    assert "#   train.py:12  sigmoid" in code
    exec(code, {"model": model})
    hidden = F.relu(model.first(x))
    assert torch.equal(model(x), model.output(model.second(hidden) * torch.sigmoid(hidden)))


class SharedToTheEnd(nn.Module):
    """One sigmoid module between all layers and as the output unit."""

    def __init__(self):
        super().__init__()
        self.first, self.output = nn.Linear(6, 8), nn.Linear(8, 3)
        self.activation = nn.Sigmoid()

    def forward(self, x):
        return self.activation(self.output(self.activation(self.first(x))))


def test_leaves_the_output_unit_alone_where_one_module_serves_for_all():
    run = run_of(
        Layer("first", "Linear", "leaf", 0, fan_in=6),
        Layer("activation", "Sigmoid", "leaf", 1, activation="sigmoid"),
        Layer("output", "Linear", "leaf", 2, fan_in=8),
        Layer("activation#2", "Sigmoid", "leaf", 3, activation="sigmoid"),
    )
    model, x = SharedToTheEnd(), torch.randn(4, 6)
    expected = torch.sigmoid(model.output(F.relu(model.first(x))))
    code = parse_cure("exchange_activation:relu").snippet(Patient(model, run=run))
    patient, _ = exchanged(model, run=run)
    with patient.forward_modes[0]:
        assert torch.equal(model(x), expected)
    exec(code, {"model": model})
    assert torch.equal(model(x), expected)


def test_leaves_gates_inside_recurrent_layers_alone():
    model = nn.ModuleDict({"memory": nn.LSTM(4, 4), "head": nn.Linear(4, 2)})
    with pytest.raises(CureRefusedError, match="no hidden activation"):
        exchanged(model)


def test_refuses_where_the_activation_is_there_already():
    with pytest.raises(CureRefusedError, match="relu already"):
        exchanged(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)))


def test_keeps_weights_and_the_optimizer_and_leaves_a_model_that_can_be_copied_and_saved():
    pair = fresh_pair("sigmoid_stack")
    before = {name: value.clone() for name, value in pair.model.state_dict().items()}
    exchanged(pair.model, optimizer=pair.optimizer)
    after = pair.model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    pickle.loads(pickle.dumps(pair.model))
    torch.save(copy.deepcopy(pair.model), io.BytesIO())


def test_makes_a_sigmoid_network_learn_through_its_module_and_functional_forms_alike():
    torch.manual_seed(4)
    stack, functional = sigmoid_stack(), FunctionalNetwork()
    with torch.no_grad():
        for target, source in zip(functional.parameters(), stack.parameters(), strict=True):
            target.copy_(source)
    first, _ = exchanged(stack)
    second, _ = exchanged(functional)
    train(stack, torch.optim.SGD(stack.parameters(), 0.1), first.forward_modes, steps=1)
    modes = second.forward_modes
    x = torch.randn(5, 6)
    with modes[0]:
        after = functional(x)
    assert after.shape == (5, 3)


def test_exchanges_a_softmax_between_layers_before_anything_else():
    model = nn.Sequential(nn.Linear(6, 8), nn.Softmax(dim=1), nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 3))
    parse_cure("exchange_activation:relu").apply(Patient(model))
    assert [type(module).__name__ for module in model] == ["Linear", "ReLU", "Linear", "Sigmoid", "Linear"]


def test_leaves_a_softmax_alone_that_is_the_output_or_weighs_attention():
    model = nn.Sequential(nn.Linear(6, 8), nn.Sigmoid(), nn.Linear(8, 3), nn.Softmax(dim=1))
    parse_cure("exchange_activation:relu").apply(Patient(model))
    assert isinstance(model[3], nn.Softmax)
