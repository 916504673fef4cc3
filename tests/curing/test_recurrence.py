import copy
import io
import math
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.optim import SGD

from curing.cure_contract import (
    check_change,
    check_labels,
    check_random_state,
    check_refusal,
    check_snippet,
    descent,
    patient_of,
    train_patient,
)
from gradiometer.curing import Patient, parse_cure
from gradiometer.curing.recurrence import InnerCell
from gradiometer.curing.survey import executed_layers
from gradiometer.schema import Run, TimeFade

LABELS = ["exchange_recurrence", "exchange_recurrence:gru", "exchange_recurrence:lstm"]


class Classifier(nn.Module):
    """A recurrent layer of some settings, and a head on its last outputs and final states."""

    def __init__(self, **settings):
        super().__init__()
        torch.manual_seed(2)
        self.embedding = nn.Linear(6, 4)
        self.rnn = nn.RNN(4, 5, batch_first=True, **settings)
        directions = 2 if self.rnn.bidirectional else 1
        self.head = nn.Linear(5 * directions + 5, 3)

    def forward(self, x):
        outputs, state = self.rnn(self.embedding(x))
        return self.head(torch.cat([outputs[:, -1], state[-1]], 1))


class Chunked(nn.Module):
    """Hands its state from one half of the sequence to the next, detached or not."""

    def __init__(self, is_detached=False):
        super().__init__()
        torch.manual_seed(2)
        self.rnn = nn.RNN(6, 5, batch_first=True)
        self.head = nn.Linear(5, 3)
        self.is_detached = is_detached

    def forward(self, x):
        _, state = self.rnn(x[:, :4], torch.zeros(1, len(x), 5))
        outputs, _ = self.rnn(x[:, 4:], state.detach() if self.is_detached else state)
        return self.head(outputs[:, -1])


class Stepwise(nn.Module):
    """A cell in a loop, called from two places, and a tied second one."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.cell = nn.RNNCell(6, 5, bias=False)
        self.again = self.cell
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        state = None
        for time in range(x.shape[1]):
            state = (self.cell if time % 2 else self.again)(x[:, time], state)
        return self.head(state)


class Packed(nn.Module):
    """Sequences of different lengths, packed."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.rnn = nn.RNN(6, 5, num_layers=2)
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        lengths = torch.arange(len(x)) % 7 + 1
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        outputs, state = self.rnn(packed)
        padded, _ = pad_packed_sequence(outputs)
        return self.head(state[-1] + padded[0])


NETWORKS = {
    "plain": Classifier,
    "deep": lambda: Classifier(num_layers=3, bidirectional=True, nonlinearity="relu"),
    "no_bias": lambda: Classifier(bias=False),
    "dropout": lambda: Classifier(num_layers=2, dropout=0.5),
    "chunked": Chunked,
    "detached": lambda: Chunked(is_detached=True),
    "packed": Packed,
}


def sequences():
    return torch.randn(16, 8, 6, generator=torch.Generator().manual_seed(5))


def exchanged(model, label="exchange_recurrence", **known):
    parse_cure(label).apply(Patient(model, **known))
    return model


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "dropout"])
def test_keeps_the_contract_of_cures(label, name):
    check_labels(label)
    check_snippet(label, NETWORKS[name], sequences())
    check_change(label, NETWORKS[name], sequences())
    check_random_state(label, NETWORKS[name], sequences())


@pytest.mark.parametrize("label", LABELS[:2])
def test_exchanges_cells_at_all_their_places(label):
    check_snippet(label, Stepwise, sequences())
    check_change(label, Stepwise, sequences())
    model = exchanged(Stepwise(), label)
    assert type(model.cell) is nn.GRUCell
    assert model.again is model.cell
    assert model.cell.bias is False


@pytest.mark.parametrize("name", NETWORKS)
def test_keeps_the_settings_of_the_layer(name):
    old = NETWORKS[name]().rnn
    for label in LABELS:
        new = exchanged(NETWORKS[name](), label).rnn
        for setting in ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional"):
            assert getattr(new, setting) == getattr(old, setting), setting
        assert new.weight_hh_l0.shape[1] == old.weight_hh_l0.shape[1]
        assert sum(1 for _ in new.parameters()) == sum(1 for _ in old.parameters())


@pytest.mark.parametrize(("label", "gates"), [("exchange_recurrence:gru", 3), ("exchange_recurrence:lstm", 4)])
def test_draws_weights_as_torch_does_and_opens_the_gate_that_keeps_the_memory(label, gates):
    model = nn.ModuleList([nn.RNN(20, 100)])
    exchanged(model, label)
    rnn = model[0]
    assert rnn.weight_hh_l0.shape == (100 * gates, 100)
    assert 0.099 < float(rnn.weight_hh_l0.detach().abs().max()) <= 0.1
    assert float(rnn.weight_hh_l0.detach().std()) == pytest.approx(0.1 / 3**0.5, rel=0.02)
    bias = (rnn.bias_ih_l0 + rnn.bias_hh_l0).detach().reshape(gates, 100)
    assert torch.equal(bias[1], torch.ones(100))
    assert float(bias[[0, 2]].abs().max()) <= 0.2


@pytest.mark.parametrize(("label", "gates"), [("exchange_recurrence:gru", 3), ("exchange_recurrence:lstm", 4)])
def test_opens_that_gate_wider_for_sequences_that_the_run_knows_as_long(label, gates):
    run = Run(fades={0: (TimeFade("rnn", step_count=40),)})
    model = exchanged(Classifier(), label, run=run)
    bias = (model.rnn.bias_ih_l0 + model.rnn.bias_hh_l0).detach().reshape(gates, 5)
    assert torch.equal(bias[1], torch.full((5,), 3.0))

    pasted = {"model": Classifier()}
    exec(parse_cure(label).snippet(Patient(pasted["model"], run=run)), pasted)
    for name, value in pasted["model"].state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name


def with_gates_alone(label):
    """A layer of one unit whose other gates, weights and inputs are zero."""
    model = exchanged(nn.ModuleList([nn.RNN(1, 1)]), label)
    for name, parameter in model.named_parameters():
        values = parameter.detach()
        kept = values[1].clone()
        values.zero_()
        if "bias" in name:
            values[1] = kept
    return model[0]


def test_keeps_as_much_of_the_memory_as_a_bias_of_one_lets_through():
    zero, one = torch.zeros(1, 1, 1), torch.ones(1, 1, 1)
    with torch.no_grad():
        _, state = with_gates_alone("exchange_recurrence:gru")(zero, one)
        _, (_, cell) = with_gates_alone("exchange_recurrence:lstm").lstm(zero, (zero, one))
    assert state.item() == pytest.approx(1.0 / (1.0 + math.exp(-1.0)))
    assert cell.item() == pytest.approx(1.0 / (1.0 + math.exp(-1.0)))


def lstm_in(model):
    twin = copy.deepcopy(model.rnn.lstm)
    return model.rnn, twin


@pytest.mark.parametrize("is_detached", [False, True])
def test_carries_the_cell_state_with_the_state_that_the_script_hands_back(is_detached):
    layer, lstm = lstm_in(exchanged(Chunked(), "exchange_recurrence:lstm"))
    x = sequences()
    _, state = layer(x[:, :4])
    outputs, last = layer(x[:, 4:], state.detach() if is_detached else state)
    expected, (hidden, _) = lstm(x)
    torch.testing.assert_close(outputs, expected[:, 4:])
    torch.testing.assert_close(last, hidden)
    outputs.sum().backward()
    part, (hidden, cell) = lstm(x[:, :4])
    if is_detached:
        hidden, cell = hidden.detach(), cell.detach()
    rest, _ = lstm(x[:, 4:], (hidden, cell))
    rest.sum().backward()
    torch.testing.assert_close(layer.lstm.weight_hh_l0.grad, lstm.weight_hh_l0.grad)


@pytest.mark.parametrize("change", ["masked", "overwritten", "other", "fewer"])
def test_begins_with_a_cell_state_of_zeros_where_the_state_is_another(change):
    layer, lstm = lstm_in(exchanged(Chunked(), "exchange_recurrence:lstm"))
    x = sequences()
    with torch.no_grad():
        _, state = layer(x[:, :4])
        if change == "masked":
            state = state * (torch.arange(16) % 2)[None, :, None]
        elif change == "overwritten":
            state[:, 3:] = 0.0
        elif change == "fewer":
            state, x = state[:, :8], x[:8]
        else:
            state = torch.ones_like(state)
        outputs, _ = layer(x[:, 4:], state)
        expected, _ = lstm(x[:, 4:], (state, torch.zeros_like(state)))
    assert torch.equal(outputs, expected)


def test_leaves_a_model_that_can_be_copied_and_saved_amid_a_sequence():
    model, x = exchanged(Chunked(), "exchange_recurrence:lstm"), sequences()
    expected = model(x)
    assert torch.equal(copy.deepcopy(model)(x), expected)
    assert torch.equal(pickle.loads(pickle.dumps(model))(x), expected)
    torch.save(model, io.BytesIO())
    assert list(model.state_dict())[0] == "rnn.lstm.weight_ih_l0"
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = model.rnn.no_such_thing


@pytest.mark.parametrize("is_overwritten", [False, True])
def test_carries_the_cell_state_in_inference_mode_too(is_overwritten):
    layer, lstm = lstm_in(exchanged(Chunked(), "exchange_recurrence:lstm"))
    x = sequences()
    with torch.inference_mode():
        _, state = layer(x[:, :4])
        _, (_, cell) = lstm(x[:, :4])
        if is_overwritten:
            state[:, 3:] = 0.0
            cell = torch.zeros_like(cell)
        outputs, _ = layer(x[:, 4:], state)
        expected, _ = lstm(x[:, 4:], (state, cell))
    assert torch.equal(outputs, expected)


def test_is_called_without_a_batch_and_in_double_precision():
    model = exchanged(Classifier().double().eval(), "exchange_recurrence:lstm")
    outputs, state = model.rnn(torch.randn(7, 4, dtype=torch.float64), torch.zeros(1, 5, dtype=torch.float64))
    assert outputs.shape == (7, 5)
    assert state.shape == (1, 5)
    assert outputs.dtype is torch.float64
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("form", ["list", "named", "param_names"])
def test_puts_new_parameters_where_the_old_ones_were(label, form):
    model = Classifier(num_layers=2)
    if form == "param_names":
        optimizer = SGD(model.named_parameters(), lr=0.1)
        groups = optimizer.param_groups
    else:
        named = list(model.named_parameters())
        given = named if form == "named" else [parameter for _, parameter in named]
        groups = [
            {"params": [entry for entry, (name, _) in zip(given, named, strict=True) if ("bias" in name) is is_bias]}
            for is_bias in (False, True)
        ]
    exchanged(model, label, parameter_groups=groups)
    if form != "param_names":
        optimizer = SGD(groups, lr=0.1)
        biases = {id(parameter) for name, parameter in model.named_parameters() if "bias" in name}
        assert {id(tensor) for tensor in optimizer.param_groups[1]["params"]} == biases
    held = [id(tensor) for group in optimizer.param_groups for tensor in group["params"]]
    assert len(held) == len(set(held))
    assert set(held) == {id(parameter) for parameter in model.parameters()}
    if form == "param_names":
        assert optimizer.param_groups[0]["param_names"] == [name for name, _ in model.named_parameters()]


def test_leaves_everything_else_alone_to_the_bit():
    model = Classifier()
    before = {name: value.clone() for name, value in model.state_dict().items() if not name.startswith("rnn")}
    optimizer = descent(model)
    exchanged(model, "exchange_recurrence:gru", optimizer=optimizer, parameter_groups=optimizer.param_groups)
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert optimizer.defaults["momentum"] == 0.9


def hooked():
    model = Classifier()
    model.rnn.register_forward_hook(lambda module, args, output: None)
    return model


def tied():
    model = Classifier()
    model.twin = nn.RNN(4, 5)
    model.twin.weight_hh_l0 = model.rnn.weight_hh_l0
    return model


@pytest.mark.parametrize(
    ("label", "network", "reason"),
    [
        ("exchange_recurrence", lambda: nn.Linear(6, 3), "no nn.RNN"),
        ("exchange_recurrence", lambda: nn.Sequential(nn.LSTM(6, 3)), "no nn.RNN"),
        ("exchange_recurrence:lstm", Stepwise, "choose exchange_recurrence:gru"),
        ("exchange_recurrence", lambda: nn.RNN(6, 3), "the whole model"),
        ("exchange_recurrence", lambda: Classifier().requires_grad_(False), "frozen"),
        ("exchange_recurrence", hooked, "hooks of its own"),
        ("exchange_recurrence", tied, "shares weights"),
    ],
)
def test_says_why_a_recurrence_stays(label, network, reason):
    check_refusal(label, network, sequences(), reason)


def test_draws_the_same_dropout_with_the_snippet():
    for label in LABELS:
        patient = patient_of(NETWORKS["dropout"], sequences())
        code, twin = parse_cure(label).snippet(patient), NETWORKS["dropout"]()
        exec(code, {"model": twin})
        parse_cure(label).apply(patient)
        outputs = []
        for model in (patient.model, twin):
            torch.manual_seed(7)
            outputs.append(model(sequences()))
        assert torch.equal(*outputs)


def test_can_be_normalised_afterwards():
    patient = patient_of(Classifier, sequences())
    parse_cure("exchange_recurrence:lstm").apply(patient)
    parse_cure("insert_normalisation").apply(patient)
    assert isinstance(patient.model.rnn, InnerCell)
    assert [type(module).__name__ for module in patient.model.rnn.lstm] == ["LSTM", "LayerNorm"]
    assert train_patient(patient, sequences()).isfinite().all()
    assert executed_layers(patient) == []
