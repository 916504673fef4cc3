import pytest
import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import StepLR

from curing.patients import fresh_pair, sigmoid_stack
from gradiometer.curing import Patient, parse_cure
from gradiometer.errors import CureRefusedError


def cured(optimizer, label):
    return parse_cure(label).apply(Patient(torch.nn.Identity(), optimizer, optimizer.param_groups))


def test_changes_every_group_by_the_same_factor():
    model = sigmoid_stack()
    optimizer = SGD([{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 0.3}], lr=0.1)
    words = cured(optimizer, "change_learning_rate:x0.1")
    assert [group["lr"] for group in optimizer.param_groups] == [pytest.approx(0.01), pytest.approx(0.03)]
    assert optimizer.defaults["lr"] == pytest.approx(0.01)
    assert "0.1 became 0.01" in words


def test_is_seen_by_a_scheduler_made_afterwards_and_by_the_rate_that_one_noted_before():
    optimizer = fresh_pair("sigmoid_stack").optimizer
    cured(optimizer, "change_learning_rate:=0.02")
    scheduler = StepLR(optimizer, 1, gamma=0.5)
    assert scheduler.base_lrs == [0.02]
    cured(optimizer, "change_learning_rate:x10")
    assert optimizer.param_groups[0]["initial_lr"] == pytest.approx(0.2)


def test_changes_a_rate_that_is_a_tensor_in_place():
    rate = torch.tensor(0.1)
    optimizer = torch.optim.Adam(sigmoid_stack().parameters(), lr=rate, foreach=False)
    held = optimizer.param_groups[0]["lr"]
    cured(optimizer, "change_learning_rate:=0.5")
    assert optimizer.param_groups[0]["lr"] is held
    assert float(held) == 0.5


def test_refuses_what_changes_nothing_and_what_is_not_there_yet():
    optimizer = fresh_pair("sigmoid_stack").optimizer
    with pytest.raises(CureRefusedError, match="already"):
        cured(optimizer, "change_learning_rate:=0.1")
    with pytest.raises(CureRefusedError, match="constructed"):
        parse_cure("change_learning_rate:x10").apply(Patient(torch.nn.Identity()))


def test_a_large_factor_survives_its_label():
    label = parse_cure("change_learning_rate:x1000000").label
    assert "+" not in label
    assert parse_cure(label).label == label


def test_refuses_a_rate_that_is_still_to_be_found_and_says_who_finds_it():
    optimizer = fresh_pair("sigmoid_stack").optimizer
    cure = parse_cure("change_learning_rate:range")
    assert cure.label == "change_learning_rate:range"
    with pytest.raises(CureRefusedError, match="`gradiometer cure` runs the range test"):
        cured(optimizer, cure.label)
    with pytest.raises(CureRefusedError, match="still to be found"):
        cure.snippet(Patient(torch.nn.Identity(), optimizer, optimizer.param_groups))
    assert optimizer.param_groups[0]["lr"] == 0.1
