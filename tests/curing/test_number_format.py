import copy
import io

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD, Adam

from curing.cure_contract import check_labels
from curing.patients import fresh_model, same_bits, sigmoid_stack
from gradiometer.curing import Patient, parse_cure
from gradiometer.curing.verification import state_of, verify_change
from gradiometer.errors import CureRefusedError, SettingsError

HALVES = (torch.bfloat16, torch.float16)


class Mixed(nn.Module):
    """What a network of 16 bits is made of: normalisation with buffers, recurrence, attention, embedding."""

    def __init__(self):
        super().__init__()
        self.words, self.norm = nn.Embedding(8, 8), nn.BatchNorm1d(6)
        self.recurrent = nn.GRU(8, 8, batch_first=True)
        self.attention = nn.TransformerEncoderLayer(8, 2, 8, 0.0, batch_first=True)
        self.output = nn.Linear(8, 3)

    def forward(self, x):
        words = self.words((self.norm(x) > 0).long())
        return {"scores": self.output(self.attention(self.recurrent(words)[0]).mean(1)), "count": len(x)}


def half_network(name, half):
    torch.manual_seed(11)
    return (Mixed() if name == "mixed" else fresh_model(name)).to(half)


def scores_of(model, x):
    output = model(x)
    return output["scores"] if isinstance(output, dict) else output


def go_on(model, half, make=lambda parameters: SGD(parameters, lr=0.1, momentum=0.9), steps=3):
    """Train with inputs of 16 bits."""
    optimizer, generator = make(model.parameters()), torch.Generator().manual_seed(3)
    for _ in range(steps):
        x, y = torch.randn(16, 6, generator=generator).to(half), torch.randint(0, 3, (16,), generator=generator)
        scores = scores_of(model, x)
        assert scores.dtype is half
        optimizer.zero_grad()
        F.cross_entropy(scores.float(), y).backward()
        optimizer.step()
    return model.state_dict()


def cured(name, half):
    model = half_network(name, half)
    groups = [{"params": list(model.parameters())}]
    patient = Patient(model, None, groups)
    before, identities = state_of(patient), [id(parameter) for parameter in model.parameters()]
    assert parse_cure("keep_weights_in_float32").apply(patient)
    verify_change("keep_weights_in_float32", before, state_of(patient))
    assert [id(parameter) for parameter in model.parameters()] == identities
    return model


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("name", ["sigmoid_stack", "functional", "attribute", "convolutional", "mixed"])
def test_keeps_weights_in_float32_and_computes_as_before(name, half):
    model, untouched = cured(name, half), half_network(name, half)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    before = {key: value.float() for key, value in untouched.state_dict().items() if value.is_floating_point()}
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())
    x = torch.randn(16, 6, generator=torch.Generator().manual_seed(1)).to(half)
    difference = (scores_of(model, x) - scores_of(untouched, x)).float().abs().max()
    assert float(difference.detach()) < 0.05  # some roundings of 16 bits
    go_on(model, half)


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("name", ["sigmoid_stack", "functional", "convolutional", "mixed"])
def test_writes_a_snippet_that_equals_the_cure_bit_for_bit(name, half):
    code = parse_cure("keep_weights_in_float32").snippet(Patient(half_network(name, half)))
    assert "gradiometer" not in code
    model = half_network(name, half)
    exec(code, {"model": model})
    assert same_bits(go_on(model, half), go_on(cured(name, half), half))


def test_keeps_updates_that_bfloat16_rounds_away():
    """A step of a thousandth of each weight, ten times: 0.99 in float32, nothing at all in bfloat16."""
    for is_cured, factor in ((False, 1.0), (True, 0.999**10)):
        model = cured("sigmoid_stack", torch.bfloat16) if is_cured else half_network("sigmoid_stack", torch.bfloat16)
        optimizer = SGD(model.parameters(), lr=1e-3)
        before = model[0].weight.detach().clone()
        for _ in range(10):
            for parameter in model.parameters():
                parameter.grad = parameter.detach().clone()
            optimizer.step()
        assert torch.allclose(model[0].weight.detach().float(), factor * before.float(), rtol=1e-5)


def test_keeps_an_adam_finite_whose_epsilon_float16_rounds_to_zero():
    def make(parameters):
        return Adam(parameters, lr=1e-3)

    def is_finite(weights):
        return all(bool(torch.isfinite(value).all()) for value in weights.values())

    dead = [half_network("convolutional", torch.float16), cured("convolutional", torch.float16)]
    for model in dead:
        with torch.no_grad():
            model.features[0].bias.fill_(-100.0)  # its units never respond, so their gradient is exactly zero
    assert [is_finite(go_on(model, torch.float16, make)) for model in dead] == [False, True]


def test_lets_the_model_be_copied_saved_and_fail():
    model = cured("sigmoid_stack", torch.bfloat16)
    x = torch.ones(2, 6, dtype=torch.bfloat16)
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    for other in (copy.deepcopy(model), torch.load(buffer, weights_only=False)):
        assert torch.equal(other(x), model(x))
    with pytest.raises(RuntimeError):
        model(torch.ones(2, 5, dtype=torch.bfloat16))
    assert not torch.is_autocast_enabled("cpu")


def test_treats_every_root_by_itself():
    roots = nn.ModuleDict({"one": half_network("sigmoid_stack", torch.float16), "two": sigmoid_stack().half()})
    parse_cure("keep_weights_in_float32").apply(Patient(roots))
    assert all(root(torch.ones(2, 6).half()).dtype is torch.float16 for root in roots.values())


def test_refuses_where_it_does_not_fit():
    cure = parse_cure("keep_weights_in_float32")
    check_labels("keep_weights_in_float32")
    with pytest.raises(CureRefusedError, match="float32 already"):
        cure.apply(Patient(sigmoid_stack()))
    two = nn.Sequential(nn.Linear(6, 6).half(), nn.Linear(6, 3).bfloat16())
    with pytest.raises(CureRefusedError, match="some in bfloat16"):
        cure.apply(Patient(two))
    model = half_network("sigmoid_stack", torch.bfloat16)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    with pytest.raises(CureRefusedError, match="state in half precision"):
        cure.apply(Patient(model, optimizer))
    with pytest.raises(SettingsError, match="write it without"):
        parse_cure("keep_weights_in_float32:yes")
