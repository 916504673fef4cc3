"""Recurrent networks: their weights drawn anew, and the gates that keep their memory opened."""

from functools import partial

import pytest
import torch
from torch import nn

from curing.cure_contract import (
    check_change,
    check_labels,
    check_random_state,
    check_refusal,
    check_snippet,
    patient_of,
)
from curing.patients import fresh_model
from gradiometer.curing import Patient, parse_cure
from gradiometer.errors import SettingsError
from gradiometer.schema import Run, TimeFade

# Torch says so of every LSTM with a projection on the CPU; its result is the same.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")


class SequenceModel(nn.Module):
    """A recurrent layer on sequences, and an output layer on its last state."""

    def __init__(self, recurrent):
        super().__init__()
        self.enter = nn.Linear(6, 5)
        self.recurrent = recurrent
        self.output = nn.LazyLinear(3)

    def forward(self, x):
        return self.output(self.recurrent(self.enter(x))[0][:, -1])


class CellModel(nn.Module):
    """A cell called step by step."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell
        self.output = nn.Linear(8, 3)

    def forward(self, x):
        state = None
        for now in x.unbind(1):
            state = self.cell(now, state)
        return self.output(state[0] if isinstance(state, tuple) else state)


MODELS = {
    "lstm": lambda: SequenceModel(nn.LSTM(5, 8, num_layers=2, bidirectional=True, batch_first=True)),
    "projected": lambda: SequenceModel(nn.LSTM(5, 8, proj_size=4, batch_first=True)),
    "gru": lambda: SequenceModel(nn.GRU(5, 8, batch_first=True)),
    "tanh": lambda: SequenceModel(nn.RNN(5, 8, num_layers=2, batch_first=True)),
    "relu": lambda: SequenceModel(nn.RNN(5, 8, nonlinearity="relu", batch_first=True)),
    "lstm_cell": lambda: CellModel(nn.LSTMCell(6, 8)),
    "gru_cell": lambda: CellModel(nn.GRUCell(6, 8)),
    "cell": lambda: CellModel(nn.RNNCell(6, 8)),
    "root": lambda: LastOfLSTM(),
}
BATCH = torch.randn(16, 4, 6, generator=torch.Generator().manual_seed(5))

CASES = [
    *[("open_forget_gates", name) for name in ("lstm", "projected", "gru", "lstm_cell", "gru_cell", "root")],
    ("open_forget_gates:2.5", "lstm"),
    ("open_forget_gates:1", "gru"),
    *[("redraw_recurrent_weights", name) for name in MODELS],
    *[("redraw_recurrent_weights:orthogonal", name) for name in ("relu", "gru")],
    *[("redraw_recurrent_weights:identity", name) for name in ("tanh", "relu", "cell")],
    ("redraw_recurrent_weights:orthogonal+open_forget_gates:3", "lstm"),
]


class LastOfLSTM(nn.LSTM):
    """A root that is an LSTM itself."""

    def __init__(self):
        super().__init__(6, 3, batch_first=True)

    def forward(self, x):
        return super().forward(x)[0][:, -1]


def make(name):
    torch.manual_seed(11)
    model = MODELS[name]()
    model(BATCH)
    return model


@pytest.mark.parametrize(("label", "name"), CASES)
def test_keeps_the_contract_of_cures(label, name):
    network = partial(make, name)
    check_snippet(label, network, BATCH)
    check_change(label, network, BATCH)
    check_random_state(label, network, BATCH)
    check_labels(label)


@pytest.mark.parametrize(
    ("label", "name", "reason"),
    [
        ("open_forget_gates:1", "tanh", "no LSTM or GRU"),
        ("redraw_recurrent_weights:identity", "gru", "recurrent has them; choose orthogonal"),
    ],
)
def test_refuses_a_layer_that_a_cure_does_not_suit(label, name, reason):
    check_refusal(label, partial(make, name), BATCH, reason)


@pytest.mark.parametrize("label", ["open_forget_gates:1", "redraw_recurrent_weights"])
def test_refuses_a_network_without_recurrence_or_with_a_frozen_one(label):
    check_refusal(label, partial(fresh_model, "sigmoid_stack"), BATCH[:, 0], "there is no")
    check_refusal(label, lambda: make("lstm").requires_grad_(False), BATCH, "frozen")


@pytest.mark.parametrize("label", ["open_forget_gates:-1", "open_forget_gates:wide", "redraw_recurrent_weights:hope"])
def test_says_what_a_setting_could_have_been(label):
    with pytest.raises(SettingsError, match="write a bias|choose orthogonal, identity"):
        parse_cure(label)


def applied(label, name):
    patient = patient_of(partial(make, name), BATCH)
    parse_cure(label).apply(patient)
    return patient.model


@pytest.mark.parametrize(("name", "gates"), [("lstm", 4), ("lstm_cell", 4), ("gru", 3), ("gru_cell", 3)])
def test_opens_the_gate_that_keeps_the_state_and_nothing_else(name, gates):
    before, model = make(name).state_dict(), applied("open_forget_gates:2.5", name)
    after = model.state_dict()
    for key, old in before.items():
        if "bias_ih" not in key:
            continue
        other = key.replace("bias_ih", "bias_hh")
        blocks = [(after[key] + after[other]).chunk(gates), (old + before[other]).chunk(gates)]
        assert torch.equal(blocks[0][1], torch.full((8,), 2.5))
        assert all(torch.equal(blocks[0][gate], blocks[1][gate]) for gate in range(gates) if gate != 1)
    assert all(torch.equal(after[key], old) for key, old in before.items() if "bias" not in key or "output" in key)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_keeps_an_open_gates_state_through_time(name):
    """An oracle by the layer itself: without input and output weights its state shrinks by the gate's own share."""
    layer = applied("open_forget_gates:3", name).recurrent
    with torch.no_grad():
        for key, parameter in layer.named_parameters():
            if "weight" in key:
                parameter.zero_()
        cell = torch.ones(4 if name == "lstm" else 1, 1, 8)
        state = (torch.zeros_like(cell), cell) if name == "lstm" else cell
        gates = 4 if name == "lstm" else 3
        kept = torch.sigmoid((layer.bias_ih_l0 + layer.bias_hh_l0).chunk(gates)[1])
        for bias in (layer.bias_ih_l0, layer.bias_hh_l0):
            bias.chunk(gates)[gates - 2 if name == "lstm" else 2].zero_()  # nothing new comes in
        end = layer(torch.zeros(1, 1, 5), state)[1]
    last = (end[1] if name == "lstm" else end)[0, 0]
    assert torch.allclose(last, kept)
    assert float(kept.min()) > 0.95


def test_draws_orthogonal_gates_glorots_inputs_and_no_biases():
    layer = applied("redraw_recurrent_weights:orthogonal", "lstm").recurrent
    for key, parameter in layer.named_parameters():
        if "weight_hh" in key:
            for gate in parameter.detach().chunk(4):
                assert torch.allclose(gate @ gate.T, torch.eye(8), atol=1e-5)
        elif "weight_ih" in key:
            assert float(parameter.detach().abs().max()) <= (6.0 / (parameter.shape[1] + 8)) ** 0.5
    assert torch.equal(layer.bias_ih_l0 + layer.bias_hh_l0, torch.tensor([0.0, 1.0, 0.0, 0.0]).repeat_interleave(8))


def test_draws_the_identity_for_rectifiers():
    for label in ("redraw_recurrent_weights", "redraw_recurrent_weights:identity"):
        assert torch.equal(applied(label, "relu").recurrent.weight_hh_l0, torch.eye(8))


@pytest.mark.parametrize("label", ["open_forget_gates:1", "redraw_recurrent_weights"])
def test_leaves_everything_outside_recurrent_layers_alone(label):
    before, model = make("lstm").state_dict(), applied(label, "lstm")
    after = model.state_dict()
    assert all(torch.equal(after[key], old) for key, old in before.items() if not key.startswith("recurrent"))


def test_redraws_into_the_same_parameters_and_wipes_the_optimizers_memory():
    model = make("lstm")
    optimizer = torch.optim.Adam(model.parameters())
    model(BATCH).sum().backward()
    optimizer.step()
    weights = [id(parameter) for parameter in model.parameters()]
    parse_cure("redraw_recurrent_weights").apply(Patient(model, optimizer, optimizer.param_groups))
    assert [id(parameter) for parameter in model.parameters()] == weights
    assert {id(parameter) for parameter in optimizer.state} == {
        id(parameter) for key, parameter in model.named_parameters() if not key.startswith("recurrent")
    }


@pytest.mark.parametrize(("length", "bias"), [(None, 1.0), (39, 1.0), (40, 3.0)])
def test_opens_the_gates_wider_for_sequences_that_the_run_knows_as_long(length, bias):
    model = make("lstm_cell")
    run = None if length is None else Run(fades={0: (TimeFade("cell", step_count=length),)})
    parse_cure("open_forget_gates").apply(Patient(model, run=run))
    total = (model.cell.bias_ih + model.cell.bias_hh).detach()
    assert torch.equal(total[8:16], torch.full((8,), bias))
