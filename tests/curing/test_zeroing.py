import pytest
import torch
import torch.nn.functional as F
from torch.optim import LBFGS

import gradiometer
from curing.cure_contract import check_labels
from curing.patients import fresh_model, fresh_pair, same_bits
from gradiometer.curing import Patient, parse_cure
from gradiometer.curing.verification import state_of, verify_change
from gradiometer.errors import CureRefusedError, SettingsError


def go_on(model, optimizer, *, zeroes, steps=6, passes=1):
    """Train, zeroing before each step's first backward or not at all."""
    generator = torch.Generator().manual_seed(3)
    for _ in range(steps):
        if zeroes:
            optimizer.zero_grad()
        for _ in range(passes):
            x, y = torch.randn(8, 6, generator=generator), torch.randint(0, 3, (8,), generator=generator)
            F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model.state_dict()


def run_of(*, zeroes):
    """A measured training."""
    pair = fresh_pair("sigmoid_stack")
    with gradiometer.watch(pair.model, pair.optimizer, overhead=1.0) as watching:
        go_on(pair.model, pair.optimizer, zeroes=zeroes)
    return watching.run


@pytest.mark.parametrize("passes", [1, 3])
def test_trains_as_a_script_that_zeroes_its_gradients(passes):
    cured, proper, never = fresh_pair("sigmoid_stack"), fresh_pair("sigmoid_stack"), fresh_pair("sigmoid_stack")
    patient = Patient(cured.model, cured.optimizer)
    before = state_of(patient)
    assert parse_cure("zero_gradients").apply(patient)
    verify_change("zero_gradients", before, state_of(patient))
    weights = go_on(cured.model, cured.optimizer, zeroes=False, passes=passes)
    assert same_bits(weights, go_on(proper.model, proper.optimizer, zeroes=True, passes=passes))
    assert not same_bits(weights, go_on(never.model, never.optimizer, zeroes=False, passes=passes))


def test_writes_a_snippet_that_equals_the_cure_bit_for_bit():
    mine, theirs = fresh_pair("sigmoid_stack"), fresh_pair("sigmoid_stack")
    parse_cure("zero_gradients").apply(Patient(mine.model, mine.optimizer))
    exec(parse_cure("zero_gradients").snippet(Patient(theirs.model, theirs.optimizer)), {"optimizer": theirs.optimizer})
    cured = go_on(mine.model, mine.optimizer, zeroes=False)
    assert same_bits(cured, go_on(theirs.model, theirs.optimizer, zeroes=False))


def test_refuses_a_script_that_zeroes_and_treats_one_that_does_not():
    pair = fresh_pair("sigmoid_stack")
    with pytest.raises(CureRefusedError, match="zeroes its gradients already"):
        parse_cure("zero_gradients").apply(Patient(pair.model, pair.optimizer, run=run_of(zeroes=True)))
    assert parse_cure("zero_gradients").apply(Patient(pair.model, pair.optimizer, run=run_of(zeroes=False)))


def test_refuses_without_an_optimizer_for_lbfgs_and_with_a_setting():
    check_labels("zero_gradients")
    model = fresh_model("sigmoid_stack")
    with pytest.raises(CureRefusedError, match="constructed"):
        parse_cure("zero_gradients").apply(Patient(model))
    with pytest.raises(CureRefusedError, match="closure"):
        parse_cure("zero_gradients").apply(Patient(model, LBFGS(model.parameters())))
    with pytest.raises(SettingsError, match="write it without"):
        parse_cure("zero_gradients:now")
