from contextlib import ExitStack

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD
from torch.utils.checkpoint import checkpoint

from curing.cure_contract import check_labels
from curing.patients import fresh_model, fresh_pair, same_bits
from gradiometer.curing import Patient, parse_cure
from gradiometer.curing.loss_scaling import ScaledBackward
from gradiometer.curing.verification import state_of, verify_change
from gradiometer.errors import CureRefusedError, SettingsError

TINY = 1e-7
"""Factor on the loss that puts every gradient between layers below the floor of float16."""


def batch_of(generator):
    return torch.randn(16, 6, generator=generator), torch.randint(0, 3, (16,), generator=generator)


def gradients_of(model, modes=(), *, factor=TINY, half=torch.float16, passes=1, penalty=0.0, loss_of=None):
    """Gradients of one step whose activations have 16 bits."""
    generator = torch.Generator().manual_seed(3)
    with ExitStack() as stack:
        for mode in modes:
            stack.enter_context(mode)
        for _ in range(passes):
            x, y = batch_of(generator)
            x = x.to(next(model.parameters()).dtype)
            with torch.autocast("cpu", dtype=half, enabled=half is not None):
                scores = model(x)
            loss = factor * F.cross_entropy(scores.to(x.dtype), y)
            loss = loss + penalty * sum(parameter.square().sum() for parameter in model.parameters())
            (loss_of or torch.Tensor.backward)(loss)
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def treated(label="scale_loss", name="sigmoid_stack"):
    pair = fresh_pair(name)
    patient = Patient(pair.model, pair.optimizer, pair.optimizer.param_groups)
    before = state_of(patient)
    assert parse_cure(label).apply(patient)
    verify_change(label, before, state_of(patient))
    return pair.model, patient.script_modes


def exact_gradients(name="sigmoid_stack", **settings):
    """The same in float64, by plain autograd."""
    return gradients_of(fresh_model(name).double(), half=None, **settings)


def worst_error(gradients, expected):
    pairs = [(gradients[name].double(), expected[name]) for name in expected]
    return max(float((mine - exact).norm() / exact.norm()) for mine, exact in pairs)


@pytest.mark.parametrize("name", ["sigmoid_stack", "functional", "attribute", "convolutional"])
@pytest.mark.parametrize("passes", [1, 3])
def test_brings_gradients_back_that_float16_loses(name, passes):
    """Against a twin in float64; the roundings of float16 remain."""
    expected = exact_gradients(name, passes=passes)
    lost = gradients_of(fresh_model(name), passes=passes)
    assert worst_error(lost, expected) > 0.5
    model, modes = treated("scale_loss:16777216", name)
    # Batch normalisation takes differences of values rounded to 16 bits.
    assert worst_error(gradients_of(model, modes, passes=passes), expected) < 0.05


def test_changes_no_bit_where_nothing_is_lost():
    model, modes = treated()
    scaled = gradients_of(model, modes, factor=1.0, half=None)
    plain = gradients_of(fresh_model("sigmoid_stack"), factor=1.0, half=None)
    assert same_bits(scaled, plain)


def test_divides_a_penalty_on_the_weights_as_well():
    model, modes = treated()
    scaled = gradients_of(model, modes, factor=1.0, half=None, penalty=0.01, passes=2)
    plain = gradients_of(fresh_model("sigmoid_stack"), factor=1.0, half=None, penalty=0.01, passes=2)
    assert all(torch.allclose(scaled[name], plain[name], rtol=1e-6) for name in plain)


def test_leaves_alone_what_is_not_a_backward_pass_from_a_loss():
    def by_grad(loss):
        for parameter, gradient in zip(model.parameters(), torch.autograd.grad(loss, model.parameters()), strict=True):
            parameter.grad = gradient

    model, modes = treated()
    scaled = gradients_of(model, modes, factor=1.0, half=None, loss_of=by_grad)
    assert same_bits(scaled, gradients_of(fresh_model("sigmoid_stack"), factor=1.0, half=None))
    with modes[0], pytest.raises(RuntimeError, match="scalar outputs"):
        model(torch.ones(2, 6)).backward()


def test_divides_at_leaves_of_all_kinds():
    """Inputs, a weight of the loss, another model's weights, and what a reentrant checkpoint hides."""
    scale, other = nn.Parameter(torch.tensor(2.0)), nn.Linear(3, 1)
    inputs = torch.ones(4, 6, requires_grad=True)
    found = []
    for is_treated in (True, False):
        for tensor in (scale, inputs, *other.parameters()):
            tensor.grad = None
        model, modes = treated() if is_treated else (fresh_model("sigmoid_stack"), [])
        with ExitStack() as stack:
            for mode in modes:
                stack.enter_context(mode)
            hidden = checkpoint(model, inputs, use_reentrant=True)
            (scale * other(hidden).sum()).backward()
        leaves = [scale, inputs, *other.parameters(), *model.parameters()]
        found.append([leaf.grad.clone() for leaf in leaves])
    assert all(torch.equal(mine, plain) for mine, plain in zip(*found, strict=True))


def test_starts_from_given_numbers_too():
    model, modes = treated()
    plain, x, start = fresh_model("sigmoid_stack"), torch.ones(2, 6), torch.tensor([[1.0, -2.0, 0.5]] * 2)
    with modes[0]:
        model(x).backward(start)
    plain(x).backward(gradient=start)
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(model.parameters(), plain.parameters(), strict=True))


def test_halves_its_factor_and_drops_a_pass_that_overflows():
    """A loss of usual size times 2**24 is beyond float16; the factor comes down to what fits."""
    model, modes = treated("scale_loss:16777216")
    mode = modes[0]
    assert isinstance(mode, ScaledBackward)
    gradients_of(model, modes, factor=1e3)
    assert mode.factor == 2.0**23
    assert all(parameter.grad is None for parameter in model.parameters())
    while mode.factor > 1.0 and model[0].weight.grad is None:
        gradients_of(model, modes, factor=1e3)
    expected = gradients_of(fresh_model("sigmoid_stack").double(), factor=1e3, half=None)
    assert worst_error({name: p.grad for name, p in model.named_parameters()}, expected) < 0.05

    kept = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    mode.factor = 2.0**24
    gradients_of(model, modes, factor=1e3)
    assert same_bits({name: parameter.grad for name, parameter in model.named_parameters()}, kept)


def test_lets_a_nan_of_the_scripts_own_through_once_nothing_is_scaled():
    model, modes = treated("scale_loss:2")
    gradients_of(model, modes, factor=float("nan"), half=None)
    assert model[0].weight.grad is None
    gradients_of(model, modes, factor=float("nan"), half=None)
    assert bool(model[0].weight.grad.isnan().any())


def test_does_not_begin_beyond_a_loss_of_16_bits():
    model, modes = treated()
    loss = model(torch.ones(2, 6)).sum().half()
    with modes[0]:
        loss.backward()
    plain = fresh_model("sigmoid_stack")
    plain(torch.ones(2, 6)).sum().half().backward()
    assert torch.equal(model[0].weight.grad, plain[0].weight.grad)


def test_writes_a_snippet_that_equals_the_cure_bit_for_bit():
    model, modes = treated("scale_loss:16777216")
    expected = gradients_of(model, modes)
    pair = fresh_pair("sigmoid_stack")
    code = parse_cure("scale_loss:16777216").snippet(Patient(pair.model, pair.optimizer, pair.optimizer.param_groups))
    assert "gradiometer" not in code
    names = {"model": pair.model, "optimizer": pair.optimizer}
    exec(code, names)
    try:
        gradients = gradients_of(pair.model)
    finally:
        names["scaling"].__exit__(None, None, None)
    assert same_bits(gradients, expected)


def test_has_a_second_root_join_the_first_ones_mode():
    model, modes = treated()
    second = fresh_model("functional")
    optimizer = SGD(second.parameters(), lr=0.1)
    with modes[0]:
        patient = Patient(second, optimizer, optimizer.param_groups)
        parse_cure("scale_loss").apply(patient)
        assert patient.script_modes == []
        (second(torch.ones(2, 6)).sum() + model(torch.ones(2, 6)).sum()).backward()
    plain = fresh_model("functional")
    plain(torch.ones(2, 6)).sum().backward()
    assert torch.equal(second.first.weight.grad, plain.first.weight.grad)


def test_refuses_where_scaling_would_do_harm():
    cure = parse_cure("scale_loss")
    check_labels("scale_loss")
    check_labels("scale_loss:1024")
    with pytest.raises(CureRefusedError, match="keep_weights_in_float32 first"):
        cure.apply(Patient(fresh_model("sigmoid_stack").half()))
    hooked = fresh_model("sigmoid_stack")
    hooked[0].weight.register_hook(lambda gradient: gradient.clamp(-1.0, 1.0))
    with pytest.raises(CureRefusedError, match="would see scaled gradients"):
        cure.apply(Patient(hooked))
    scaler = torch.amp.GradScaler("cpu")
    with pytest.raises(CureRefusedError, match="by a GradScaler"):
        cure.apply(Patient(fresh_model("sigmoid_stack")))
    del scaler
    assert cure.apply(Patient(fresh_model("sigmoid_stack")))
    for setting in ("0.5", "1000", "much"):
        with pytest.raises(SettingsError, match="write a power of two"):
            parse_cure(f"scale_loss:{setting}")
