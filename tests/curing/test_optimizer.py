import pytest
import torch
from torch.optim import SGD, Adam, AdamW, SparseAdam
from torch.optim.lr_scheduler import CosineAnnealingLR

from curing.patients import fresh_model, fresh_pair, same_bits, train
from gradiometer.curing import Patient, parse_cure
from gradiometer.curing.optimizer import OPTIMIZERS, takes_decoupled_decay
from gradiometer.errors import CureRefusedError


def cured(model, optimizer, to):
    return parse_cure(f"exchange_optimizer:{to}").apply(Patient(model, optimizer, optimizer.param_groups))


def former(to, model):
    return Adam(model.parameters(), lr=0.01) if to == "sgd" else SGD(model.parameters(), lr=0.1, momentum=0.9)


@pytest.mark.parametrize("to", list(OPTIMIZERS))
def test_makes_an_optimizer_that_behaves_bit_for_bit_as_a_new_one(to):
    choice = OPTIMIZERS[to]
    mine, theirs = fresh_model("sigmoid_stack"), fresh_model("sigmoid_stack")
    exchanged = former(to, mine)
    assert cured(mine, exchanged, to)
    new = choice.kind(theirs.parameters(), lr=choice.learning_rate, **choice.settings)
    assert type(exchanged) is choice.kind
    assert exchanged.defaults == new.defaults
    assert set(exchanged.__dict__) == set(new.__dict__)
    schedulers = [CosineAnnealingLR(exchanged, 10), CosineAnnealingLR(new, 10)]
    for _ in range(3):
        train(mine, exchanged, [])
        train(theirs, new, [])
        for scheduler in schedulers:
            scheduler.step()
    assert same_bits(mine.state_dict(), theirs.state_dict())
    assert exchanged.param_groups[0]["lr"] == new.param_groups[0]["lr"] != choice.learning_rate

    restored = choice.kind(mine.parameters(), lr=1.0)
    restored.load_state_dict(exchanged.state_dict())
    train(mine, restored, [])
    train(theirs, new, [])
    assert same_bits(mine.state_dict(), theirs.state_dict())


def test_keeps_the_object_its_hooks_its_groups_and_the_ratio_of_their_rates():
    model = fresh_model("sigmoid_stack")
    optimizer = SGD(
        [{"params": model[0].parameters(), "name": "first"}, {"params": model[2].parameters(), "lr": 0.01}],
        lr=0.1,
        weight_decay=1e-4,
    )
    steps = []
    optimizer.register_step_post_hook(lambda *_: steps.append(1))
    identity = id(optimizer)
    words = cured(model, optimizer, "adam")
    assert id(optimizer) == identity
    assert [group["lr"] for group in optimizer.param_groups] == [pytest.approx(1e-3), pytest.approx(1e-4)]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [1e-4, 1e-4]
    assert optimizer.param_groups[0]["name"] == "first"
    assert "momentum" not in optimizer.param_groups[0]
    optimizer.step()
    assert steps == [1]
    assert "SGD became Adam" in words


def test_writes_groups_with_settings_of_their_own_into_the_snippet():
    def made():
        model = fresh_model("sigmoid_stack")
        groups = [{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 0.01, "weight_decay": 0.1}]
        return model, SGD(groups, lr=0.1)

    mine, exchanged = made()
    cured(mine, exchanged, "adamw")
    theirs, optimizer = made()
    names = {"model": theirs, "optimizer": optimizer}
    exec(parse_cure("exchange_optimizer:adamw").snippet(Patient(theirs, optimizer)), names)
    train(mine, exchanged, [])
    train(theirs, names["optimizer"], [])
    assert same_bits(mine.state_dict(), theirs.state_dict())


class OwnRule(SGD):
    """A subclass with code of its own."""


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda p: OwnRule(p, lr=0.1), "code of its own"),
        (lambda p: Adam(p), "already"),
        (lambda p: SparseAdam(p), "code of its own"),
    ],
)
def test_refuses_an_optimizer_that_it_can_not_stand_for(make, reason):
    model = fresh_model("sigmoid_stack")
    optimizer = make(model.parameters())
    kind = type(optimizer)
    with pytest.raises(CureRefusedError, match=reason):
        cured(model, optimizer, "adam")
    assert type(optimizer) is kind


def test_refuses_once_the_optimizer_has_stepped_or_a_scheduler_holds_it():
    pair = fresh_pair("sigmoid_stack")
    train(pair.model, pair.optimizer, [])
    with pytest.raises(CureRefusedError, match="stepped"):
        cured(pair.model, pair.optimizer, "adam")
    pair = fresh_pair("sigmoid_stack")
    CosineAnnealingLR(pair.optimizer, 10)
    with pytest.raises(CureRefusedError, match="scheduler"):
        cured(pair.model, pair.optimizer, "adam")


def test_leaves_the_old_optimizer_whole_where_the_new_one_does_not_take_its_parameters():
    model = fresh_model("sigmoid_stack")
    optimizer = SGD(model.parameters(), lr=0.1)
    optimizer.param_groups[0]["params"] = [torch.ones(2, requires_grad=True) * 2.0]
    before = dict(optimizer.__dict__)
    with pytest.raises(CureRefusedError, match="non-leaf"):
        cured(model, optimizer, "adam")
    assert type(optimizer) is SGD
    assert optimizer.__dict__ == before


@pytest.mark.parametrize("before", [0.0, 0.99])
def test_gives_descent_the_usual_momentum_and_leaves_the_rest(before):
    mine, theirs = fresh_model("sigmoid_stack"), fresh_model("sigmoid_stack")
    exchanged = SGD(mine.parameters(), lr=0.1, momentum=before)
    new = SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    assert f"0.9 instead of {before:g}" in cured(mine, exchanged, "momentum")
    train(mine, exchanged, [])
    train(theirs, new, [])
    assert same_bits(mine.state_dict(), theirs.state_dict())

    written = fresh_model("sigmoid_stack")
    optimizer = SGD(written.parameters(), lr=0.1, momentum=before)
    exec(parse_cure("exchange_optimizer:momentum").snippet(Patient(written, optimizer)), {"optimizer": optimizer})
    train(written, optimizer, [])
    assert same_bits(written.state_dict(), mine.state_dict())


def test_refuses_a_momentum_where_there_is_one_or_none_can_be():
    model = fresh_model("sigmoid_stack")
    with pytest.raises(CureRefusedError, match="momentum of 0.9 already"):
        cured(model, SGD(model.parameters(), lr=0.1, momentum=0.9), "momentum")
    with pytest.raises(CureRefusedError, match="exchange_optimizer:sgd does"):
        cured(model, Adam(model.parameters()), "momentum")
    with pytest.raises(CureRefusedError, match="constructed"):
        parse_cure("exchange_optimizer:momentum").apply(Patient(model))


@pytest.mark.parametrize("to", ["adam", "nadam", "radam"])
def test_goes_on_letting_decay_act_on_the_weights_directly(to):
    """With gradients of zero all that moves the weights is decay: by rate times decay of their size in a step."""
    model = fresh_model("sigmoid_stack")
    optimizer = AdamW(model.parameters(), lr=0.5, weight_decay=0.1)
    if not takes_decoupled_decay(OPTIMIZERS[to].kind):
        # Adam in torch 2.6: what it would make of the decay is something else, so it is refused.
        with pytest.raises(CureRefusedError, match="take exchange_optimizer:adamw"):
            cured(model, optimizer, to)
        assert type(optimizer) is AdamW
        return
    cured(model, optimizer, to)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    rate = OPTIMIZERS[to].learning_rate
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter.detach(), before[name] * (1.0 - rate * 0.1), rtol=1e-6, atol=0.0)


def test_refuses_an_optimizer_that_takes_no_sparse_gradients():
    model = torch.nn.Sequential(torch.nn.Embedding(4, 4, sparse=True), torch.nn.Linear(4, 3))
    with pytest.raises(CureRefusedError, match="no sparse gradients"):
        cured(model, SGD(model.parameters(), lr=0.1), "adam")
