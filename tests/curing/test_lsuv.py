"""Layers scaled by what the first batch shows."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from curing.cure_contract import (
    check_change,
    check_labels,
    check_random_state,
    check_refusal,
    check_snippet,
    patient_of,
    train_on,
)
from curing.patients import NETWORKS, first_batch, fresh_model, same_bits
from gradiometer.curing import Patient, parse_cure
from gradiometer.curing.entrance import unobserved
from gradiometer.errors import CureRefusedError, SettingsError

LABEL = "scale_to_unit_variance"
BATCH = first_batch()


class Dropping(nn.Module):
    """Dropout as a function, a batch norm, one layer called twice, one whose weight is used without calling it."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.norm = nn.BatchNorm1d(8)
        self.twice = nn.Linear(8, 8)
        self.uncalled = nn.Linear(8, 8)
        self.output = nn.Linear(8, 3)

    def forward(self, x):
        x = F.dropout(torch.relu(self.norm(self.first(x))), 0.4, self.training)
        x = torch.tanh(self.twice(input=torch.tanh(self.twice(x))))
        return self.output(F.linear(x, self.uncalled.weight))


def made(kind):
    torch.manual_seed(11)
    return kind()


MODELS = {**{name: partial(fresh_model, name) for name in NETWORKS}, "dropping": partial(made, Dropping)}


def variances(model, batch):
    """Variance of every weighted layer's first output, told by hooks of the test's own."""
    found = {}

    def note(place, module, args, output):
        found.setdefault(place, float(output.var(correction=0)))

    handles = [
        module.register_forward_hook(partial(note, place))
        for place, module in model.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d))
    ]
    with torch.no_grad():
        model(batch)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("name", MODELS)
def test_keeps_the_contract_of_cures(name):
    check_snippet(LABEL, MODELS[name], BATCH)
    check_change(LABEL, MODELS[name], BATCH)
    check_random_state(LABEL, MODELS[name], BATCH)
    check_labels(LABEL)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_gives_every_layers_output_unit_variance(name):
    patient = patient_of(MODELS[name], BATCH)
    parse_cure(LABEL).apply(patient)
    # the attribute network adds 0.0 times a sum, the convolutional one's norm works on the batch: nothing is rough
    assert all(value == pytest.approx(1.0, abs=0.02) for value in variances(patient.model, BATCH).values())


def test_scales_a_deep_network_of_any_activation_in_one_pass():
    def deep():
        torch.manual_seed(3)
        layers = [nn.Linear(6, 40)]
        for index in range(30):
            layers += [(nn.Softplus, nn.Hardswish, nn.Sigmoid)[index % 3](), nn.Linear(40, 40)]
        return nn.Sequential(*layers)

    calls = []
    patient = patient_of(deep, 1000.0 * BATCH)
    patient.model[0].register_forward_hook(lambda *_: calls.append(1))
    parse_cure(LABEL).apply(patient)
    assert len(calls) == 1
    found = variances(patient.model, 1000.0 * BATCH)
    assert len(found) == 31
    assert all(value == pytest.approx(1.0, abs=0.02) for value in found.values())


def test_leaves_the_statistics_of_norms_the_mode_and_hooks_as_they_were():
    patient = patient_of(MODELS["dropping"], BATCH)
    buffers = {name: value.clone() for name, value in patient.model.named_buffers()}
    seen = []
    handle = nn.modules.module.register_module_forward_hook(lambda *_: seen.append(1))
    try:
        parse_cure(LABEL).apply(patient)
        assert seen == []
        patient.model(BATCH)
        assert seen
    finally:
        handle.remove()
    assert buffers
    assert same_bits(dict(MODELS["dropping"]().named_buffers()), buffers)
    assert patient.model.training
    assert not any(module._forward_hooks for module in patient.model.modules())


def fail_unobserved():
    with unobserved():
        assert not nn.modules.module._global_forward_hooks
        raise ZeroDivisionError


def test_puts_global_hooks_back_after_a_fault():
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        with pytest.raises(ZeroDivisionError):
            fail_unobserved()
        assert len(nn.modules.module._global_forward_hooks) == 1
    finally:
        handle.remove()


def test_says_which_layers_were_scaled_and_leaves_the_rest_alone():
    patient = patient_of(MODELS["dropping"], BATCH)
    norm = {name: value.clone() for name, value in patient.model.norm.state_dict().items()}
    words = parse_cure(LABEL).apply(patient)
    assert words == "3 layer(s) scaled to outputs of unit variance: first, twice, output"
    assert same_bits(patient.model.norm.state_dict(), norm)


def test_takes_several_inputs_as_the_script_gives_them():
    class TwoInputs(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right, self.output = nn.Linear(6, 8), nn.Linear(2, 8), nn.Linear(8, 3)

        def forward(self, left, right, flag):
            assert flag == "yes"
            return self.output(torch.tanh(self.left(left) + self.right(right)))

    inputs = (BATCH, BATCH[:, :2], "yes")
    model, pasted = made(TwoInputs), made(TwoInputs)
    code = parse_cure(LABEL).snippet(Patient(made(TwoInputs), inputs=inputs))
    parse_cure(LABEL).apply(Patient(model, inputs=inputs))
    exec(code, {"model": pasted, "inputs": inputs})  # noqa: S102
    assert same_bits(model.state_dict(), pasted.state_dict())


def test_runs_under_the_modes_that_a_cure_has_put_around_the_forward():
    check_snippet(f"exchange_activation:gelu+{LABEL}", MODELS["functional"], BATCH)
    patient = patient_of(MODELS["functional"], BATCH)
    parse_cure(f"exchange_activation:gelu+{LABEL}").apply(patient)
    with patient.forward_modes[0]:
        found = variances(patient.model, BATCH)
    assert all(value == pytest.approx(1.0, abs=0.02) for value in found.values())


def test_names_the_root_where_the_patient_is_one_of_several_roots():
    dictionary = nn.ModuleDict({"encoder": MODELS["sigmoid_stack"]()})
    patient = Patient(dictionary, inputs=(BATCH,))
    assert 'model["encoder"](inputs)' in parse_cure(LABEL).snippet(patient)
    parse_cure(LABEL).apply(patient)
    assert all(value == pytest.approx(1.0, abs=0.02) for value in variances(dictionary["encoder"], BATCH).values())


def test_trains_under_autocast_with_the_weights_that_it_made():
    """Autocast keeps copies of weights in its own format; they must not be those from before the scaling."""
    patient = patient_of(MODELS["sigmoid_stack"], BATCH)
    with torch.autocast("cpu", torch.bfloat16):
        parse_cure(LABEL).apply(patient)
        now = patient.model(BATCH)
    with torch.autocast("cpu", torch.bfloat16):
        later = patient.model(BATCH)
    assert torch.equal(now, later)
    now.float().sum().backward()
    assert all(parameter.grad is not None for parameter in patient.model.parameters())


@pytest.mark.parametrize(
    ("network", "batch", "reason"),
    [
        (lambda: nn.Linear(6, 3), BATCH, "no hidden layer"),
        (MODELS["sigmoid_stack"], BATCH[:, :5], "could not be run on its first batch"),
        (lambda: nn.ModuleDict({"a": MODELS["sigmoid_stack"](), "b": nn.Linear(6, 3)}), BATCH, "several models"),
    ],
)
def test_refuses_with_a_reason_and_changes_nothing(network, batch, reason):
    check_refusal(LABEL, network, batch, reason)


def test_refuses_where_the_first_batch_is_not_known_or_says_nothing():
    with pytest.raises(CureRefusedError, match="only when the model is first called"):
        parse_cure(LABEL).apply(Patient(MODELS["sigmoid_stack"]()))
    silent = partial(made, lambda: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)))
    check_refusal(LABEL, silent, torch.zeros(4, 6), "no layer's output varies")
    with pytest.raises(SettingsError, match="write it without"):
        parse_cure(f"{LABEL}:0.5")


def test_makes_a_network_learn_that_its_own_weights_leave_at_chance():
    def deep():
        torch.manual_seed(3)
        layers = []
        for inputs in (6, *[32] * 19):
            layers += [nn.Linear(inputs, 32), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(32, 3))

    losses = {}
    for label in (None, LABEL):
        patient = patient_of(deep, BATCH)
        if label is not None:
            parse_cure(label).apply(patient)
        optimizer = torch.optim.SGD(patient.model.parameters(), lr=0.01)
        targets = BATCH[:, :3].argmax(1)
        for _ in range(60):
            optimizer.zero_grad()
            loss = F.cross_entropy(patient.model(BATCH), targets)
            loss.backward()
            optimizer.step()
        losses[label] = float(loss.detach())
    assert losses[LABEL] < 0.5 < 1.0 < losses[None]


def test_trains_on_in_the_scripts_own_number_format():
    patient = patient_of(lambda: MODELS["sigmoid_stack"]().to(torch.bfloat16), BATCH.bfloat16())
    parse_cure(LABEL).apply(patient)
    # 8 bits of mantissa: a division and a sum of products are each off by some thousandths
    assert all(value == pytest.approx(1.0, abs=0.1) for value in variances(patient.model, BATCH.bfloat16()).values())
    assert train_on(BATCH.bfloat16(), patient.model, patient.optimizer).isfinite().all()


def test_leaves_what_a_module_remembers_as_it_was():
    class Remembering(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.output = nn.Linear(6, 8), nn.Linear(8, 3)
            self.calls, self.state = 0, None
            self.register_buffer("mean", torch.zeros(6))

        def forward(self, x):
            self.calls += 1
            self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
            self.state = torch.tanh(self.first(x)) + (0.0 if self.state is None else self.state)
            return self.output(self.state)

    model = made(Remembering)
    mean = model.mean
    parse_cure(LABEL).apply(Patient(model, inputs=(BATCH,)))
    assert (model.calls, model.state) == (0, None)
    assert model.mean is mean
    assert torch.equal(mean, torch.zeros(6))


def test_refuses_a_model_that_has_yet_to_take_its_shape():
    lazy = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.LazyLinear(3))
    weights = lazy[0].weight.detach().clone()
    with pytest.raises(CureRefusedError, match="take their shape from the first batch"):
        parse_cure(LABEL).apply(Patient(lazy, inputs=(BATCH,)))
    assert torch.equal(lazy[0].weight, weights)


@pytest.mark.parametrize("first", ["insert_normalisation", "standardise_input"])
def test_goes_together_with_a_cure_that_comes_before_it(first):
    # one batch for both: a snippet has one name for what it is given
    batch = 100.0 * torch.randn(96, 6, generator=torch.Generator().manual_seed(2))
    check_snippet(f"{first}+{LABEL}", MODELS["sigmoid_stack"], batch, batch)


def test_runs_the_model_with_the_keywords_of_the_call_that_is_under_way():
    class ByName(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.output = nn.Linear(6, 8), nn.Linear(8, 3)

        def forward(self, left, *, factor, shift):
            return self.output(torch.tanh(factor * self.left(left) + shift))

    model, pasted, snippets = made(ByName), made(ByName), []
    factor, shift = 2.0, 0.5

    def apply_once(module, args):
        if module is model:
            patient = Patient(model, inputs=(*args, factor, shift))
            snippets.append(parse_cure(LABEL).snippet(patient))
            parse_cure(LABEL).apply(patient)

    handle = nn.modules.module.register_module_forward_pre_hook(apply_once)
    try:
        model(BATCH, factor=factor, shift=shift)
    finally:
        handle.remove()
    assert "model(inputs[0], factor=inputs[1], shift=inputs[2])" in snippets[0]
    exec(snippets[0], {"model": pasted, "inputs": (BATCH, factor, shift)})  # noqa: S102
    assert same_bits(model.state_dict(), pasted.state_dict())
