import copy
import pickle

import numpy as np
import pytest
import torch
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from curing.cure_contract import check_labels
from curing.patients import fresh_model, fresh_pair, same_bits, train
from gradiometer.curing import Patient, parse_cure
from gradiometer.errors import CureRefusedError, SettingsError
from gradiometer.schema import Run


def cured(model, optimizer, label="warm_up_learning_rate:4", run=None):
    return parse_cure(label).apply(Patient(model, optimizer, run=run))


def rates_during(optimizer, steps, between=lambda: None):
    """The first group's rate while each step is made."""
    seen = []
    optimizer.register_step_pre_hook(lambda stepping, args, kwargs: seen.append(float(stepping.param_groups[0]["lr"])))
    for _ in range(steps):
        optimizer.step()
        between()
    return seen


def test_raises_the_rate_linearly_and_leaves_it_alone_from_then_on():
    pair = fresh_pair("sigmoid_stack")
    cured(pair.model, pair.optimizer)
    assert rates_during(pair.optimizer, 6) == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1])
    assert pair.optimizer.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize(
    "schedule", [lambda o: CosineAnnealingLR(o, 8), lambda o: OneCycleLR(o, max_lr=0.4, total_steps=10)]
)
def test_takes_a_share_of_what_a_scheduler_sets_and_does_not_disturb_it(schedule):
    rates = []
    for is_treated in (False, True):
        optimizer = fresh_pair("sigmoid_stack").optimizer
        if is_treated:
            cured(None, optimizer)
        scheduler = schedule(optimizer)
        rates.append(rates_during(optimizer, 8, scheduler.step))
    plain, treated = rates
    assert treated == pytest.approx([min(1.0, (k + 1) / 4) * rate for k, rate in enumerate(plain)])


def test_scales_every_group_and_a_rate_that_is_a_tensor():
    model = fresh_model("sigmoid_stack")
    groups = [{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": torch.tensor(0.02)}]
    optimizer = Adam(groups, lr=0.1, foreach=False)
    held = optimizer.param_groups[1]["lr"]
    cured(model, optimizer)
    seen = []
    optimizer.register_step_pre_hook(lambda o, a, k: seen.append([float(group["lr"]) for group in o.param_groups]))
    optimizer.step()
    assert seen == [pytest.approx([0.025, 0.005])]
    assert optimizer.param_groups[1]["lr"] is held
    assert float(held) == pytest.approx(0.02)


@pytest.mark.parametrize("rate", [0.1, torch.tensor(0.1)])
def test_writes_a_snippet_for_either_kind_of_rate(rate):
    def made():
        model = fresh_model("sigmoid_stack")
        return model, Adam(model.parameters(), lr=copy.deepcopy(rate), foreach=False)

    mine, optimizer = made()
    cured(mine, optimizer)
    train(mine, optimizer, [], steps=6)
    theirs, other = made()
    exec(parse_cure("warm_up_learning_rate:4").snippet(Patient(theirs, other)), {"optimizer": other})
    train(theirs, other, [], steps=6)
    assert same_bits(mine.state_dict(), theirs.state_dict())


def test_is_the_same_training_once_it_is_over():
    """Steps after the warm-up are those of an optimizer that was never treated, from the same state."""
    treated, plain = fresh_pair("sigmoid_stack"), fresh_pair("sigmoid_stack")
    cured(treated.model, treated.optimizer)
    train(treated.model, treated.optimizer, [], steps=4)
    plain.model.load_state_dict(treated.model.state_dict())
    plain.optimizer.load_state_dict(copy.deepcopy(treated.optimizer.state_dict()))
    for pair in (treated, plain):
        train(pair.model, pair.optimizer, [])
    assert same_bits(treated.model.state_dict(), plain.model.state_dict())


def test_takes_a_twentieth_of_the_runs_steps_where_nothing_is_said():
    pair = fresh_pair("sigmoid_stack")
    label = "warm_up_learning_rate"
    assert "first 40 steps" in cured(pair.model, pair.optimizer, label, Run(steps=np.arange(800)))
    assert "first 10 steps" in cured(pair.model, pair.optimizer, label, Run(steps=np.arange(30)))
    assert "first 100 steps" in cured(pair.model, pair.optimizer, label)


def test_leaves_the_optimizer_copyable():
    pair = fresh_pair("sigmoid_stack")
    cured(pair.model, pair.optimizer)
    copy.deepcopy(pair.optimizer)
    pickle.dumps(pair.optimizer)


def test_refuses_what_it_can_not_scale_and_says_what_could_be_written():
    check_labels("warm_up_learning_rate:50")
    check_labels("warm_up_learning_rate")
    pair = fresh_pair("sigmoid_stack")
    with pytest.raises(CureRefusedError, match="constructed"):
        cured(pair.model, None)
    optimizer = SGD(pair.model.parameters(), lr=0.1)
    del optimizer.param_groups[0]["lr"]
    with pytest.raises(CureRefusedError, match="no learning rate"):
        cured(pair.model, optimizer)
    for setting in ("1", "0.5", "-3", "soon"):
        with pytest.raises(SettingsError, match="write a number of steps"):
            parse_cure(f"warm_up_learning_rate:{setting}")
