from contextlib import ExitStack

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD, AdamW

from curing.cure_contract import check_change, check_labels, check_random_state, check_refusal, check_snippet
from curing.patients import first_batch, fresh_model, sigmoid_stack
from gradiometer.curing import Patient, parse_cure
from gradiometer.errors import SettingsError
from gradiometer.schema import Cause, Evidence, Finding

BATCH = first_batch()


class Dropping(nn.Module):
    """Drops values in every way there is."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)
        self.drop, self.mild = nn.Dropout(0.8), nn.AlphaDropout(0.05)
        self.attention = nn.MultiheadAttention(8, 2, dropout=0.7, batch_first=True)
        self.recurrent = nn.LSTM(8, 8, num_layers=2, dropout=0.6, batch_first=True)

    def forward(self, x):
        x = self.mild(self.drop(torch.tanh(self.first(x))))[:, None]
        x = F.scaled_dot_product_attention(x, x, x, None, 0.9)
        x = F.dropout(x, 0.9, self.training) + F.dropout(x, training=self.training, p=0.02)
        return self.last(self.recurrent(self.attention(x, x, x)[0])[0][:, 0])


class Functional(nn.Module):
    """Drops values by calls alone."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.last(torch.dropout(F.dropout(torch.tanh(self.first(x))), 0.9, self.training))


class Evaluated(Functional):
    """Drops values in training only."""

    def forward(self, x):
        return self.last(F.dropout(torch.tanh(self.first(x)), 0.9, self.training))


def made(kind):
    def make():
        torch.manual_seed(11)
        return kind()

    return make


def dropping_module():
    torch.manual_seed(11)
    return nn.Sequential(nn.Linear(6, 32), nn.Dropout(0.9), nn.Linear(32, 3))


def decayed(model):
    return SGD([{"params": model[0].parameters(), "weight_decay": 0.5}, {"params": model[2].parameters()}], lr=0.1)


def seeded(check):
    """The dropped values come from the global state: the same for both sides."""
    torch.manual_seed(4)
    return check


def test_lowers_every_module_to_a_tenth_and_none_that_is_below():
    model = Dropping()
    words = parse_cure("reduce_regularisation:dropout").apply(Patient(model))
    assert (model.drop.p, model.mild.p, model.attention.dropout, model.recurrent.dropout) == (0.1, 0.05, 0.1, 0.1)
    assert "drop" in words
    assert "functional calls" in words


@pytest.mark.parametrize("kind", [Dropping, Functional])
def test_computes_what_a_network_written_with_a_tenth_computes(kind):
    model = made(kind)()
    patient = Patient(model)
    parse_cure("reduce_regularisation").apply(patient)
    cured = outputs_of(model, patient.forward_modes)
    limits = {
        "dropout": lambda x, p=0.5, training=True, inplace=False, f=F.dropout: f(x, min(p, 0.1), training, inplace),
        "scaled_dot_product_attention": lambda q, k, v, m, p, f=F.scaled_dot_product_attention: f(
            q, k, v, m, min(p, 0.1)
        ),
    }
    other = made(kind)()
    if kind is Dropping:
        other.drop.p, other.attention.dropout, other.recurrent.dropout = 0.1, 0.1, 0.1
    functional, builtin = dict(vars(F)), torch.dropout
    try:
        F.dropout, F.scaled_dot_product_attention = limits["dropout"], limits["scaled_dot_product_attention"]
        torch.dropout = lambda x, p, train: builtin(x, min(p, 0.1), train)
        assert torch.equal(outputs_of(other), cured)
    finally:
        F.dropout, F.scaled_dot_product_attention = functional["dropout"], functional["scaled_dot_product_attention"]
        torch.dropout = builtin


def test_leaves_nothing_of_dropout_where_it_is_asked_to():
    model = made(Dropping)()
    patient = Patient(model)
    parse_cure("reduce_regularisation:none").apply(patient)
    assert (model.drop.p, model.mild.p, model.attention.dropout, model.recurrent.dropout) == (0.0, 0.0, 0.0, 0.0)
    assert patient.forward_modes[0].share == 0.0


def test_computes_what_a_network_computes_in_evaluation_where_nothing_is_left_of_dropout():
    model = made(Evaluated)()
    patient = Patient(model)
    parse_cure("reduce_regularisation:none").apply(patient)
    assert model.training
    assert torch.equal(outputs_of(model, patient.forward_modes), outputs_of(made(Evaluated)().eval()))


def test_lowers_weight_decay_to_the_limit_and_none_that_is_below():
    model = fresh_model("sigmoid_stack")
    groups = [
        {"params": model[0].parameters(), "weight_decay": 0.1},
        {"params": model[2].parameters(), "weight_decay": 1e-5},
        {"params": model[4].parameters(), "weight_decay": torch.tensor(0.3)},
    ]
    optimizer = SGD(groups, lr=0.1, foreach=False)
    words = parse_cure("reduce_regularisation:decay").apply(Patient(model, optimizer))
    assert [float(group["weight_decay"]) for group in optimizer.param_groups] == pytest.approx([1e-4, 1e-5, 1e-4])
    assert "0.3 became 1.00e-04 in 2 group(s)" in words


@pytest.mark.parametrize(("name", "expected"), [("decay against gradient", (0.9, 0.0)), ("dropped share", (0.0, 0.5))])
def test_leaves_nothing_of_what_the_findings_name_alone(name, expected):
    model = dropping_module()
    optimizer = AdamW(model.parameters(), weight_decay=0.5)
    words = parse_cure("reduce_regularisation:none").apply(
        Patient(model, optimizer, findings=(over_regularised(name),))
    )
    assert (model[1].p, optimizer.param_groups[0]["weight_decay"]) == expected
    assert "became 0 in" in words


def over_regularised(name):
    cause = Cause("regularisation", None, "")
    return Finding("over_regularised", "critical", (), cause, (Evidence(name, 1.0, "", ""),), (), "")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["decay against gradient"], (0.9, 1e-4)),
        (["dropped share"], (0.1, 0.5)),
        (["dropped share", "decay against gradient"], (0.1, 1e-4)),
        ([], (0.1, 1e-4)),
    ],
)
def test_reduces_what_the_findings_name(names, expected):
    model = dropping_module()
    optimizer = AdamW(model.parameters(), weight_decay=0.5)
    findings = tuple(over_regularised(name) for name in names)
    parse_cure("reduce_regularisation").apply(Patient(model, optimizer, findings=findings))
    assert (model[1].p, optimizer.param_groups[0]["weight_decay"]) == expected


@pytest.mark.parametrize("make", [made(Dropping), made(Functional), dropping_module])
@pytest.mark.parametrize("label", ["reduce_regularisation:dropout", "reduce_regularisation:none"])
def test_writes_a_snippet_that_equals_the_cure_bit_for_bit_for_dropout(label, make):
    make_seeded = lambda: seeded(make())  # noqa: E731 - the state is set when the network is made
    check_snippet(label, make_seeded, BATCH)
    check_random_state(label, make, BATCH)
    check_change(label, make_seeded, BATCH)


@pytest.mark.parametrize(
    "label", ["reduce_regularisation:decay", "reduce_regularisation", "reduce_regularisation:none"]
)
def test_writes_a_snippet_that_equals_the_cure_bit_for_bit_for_decay(label):
    check_snippet(label, lambda: seeded(dropping_module()), BATCH, make_optimizer=decayed)


def outputs_of(model, modes=()):
    """What a network gives with dropped values that are the same for all."""
    torch.manual_seed(4)
    with ExitStack() as stack:
        for mode in modes:
            stack.enter_context(mode)
        return model(BATCH)


def cured_outputs(model):
    patient = Patient(model)
    parse_cure("reduce_regularisation:dropout").apply(patient)
    return outputs_of(model, patient.forward_modes)


def test_lowers_the_calls_of_every_root():
    roots = nn.ModuleDict({"one": made(Functional)(), "two": made(Functional)()})
    exec(parse_cure("reduce_regularisation:dropout").snippet(Patient(roots)), {"model": roots})
    expected = cured_outputs(made(Functional)())
    assert all(torch.equal(outputs_of(root), expected) for root in roots.values())


def test_leaves_evaluation_alone():
    mine, theirs = made(Evaluated)().eval(), made(Evaluated)().eval()
    assert torch.equal(cured_outputs(mine), outputs_of(theirs))


def test_refuses_where_there_is_nothing_to_reduce():
    for label, reason in (
        ("reduce_regularisation:dropout", "no dropout of more than 0.1$"),
        ("reduce_regularisation:decay", "no weight decay of more than 1.00e-04$"),
        ("reduce_regularisation", "no dropout of more than 0.1 and no weight decay"),
        ("reduce_regularisation:none", "no dropout of more than 0 and no weight decay of more than 0$"),
    ):
        check_refusal(label, sigmoid_stack, BATCH, reason)
        check_labels(label)
    with pytest.raises(SettingsError, match="write :dropout"):
        parse_cure("reduce_regularisation:all")
