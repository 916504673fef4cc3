"""Layers of identical units drawn anew, and nothing else."""

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
)
from curing.patients import NETWORKS, first_batch, fresh_model
from gradiometer.curing import parse_cure
from gradiometer.errors import SettingsError

LABEL = "break_symmetry"
BATCH = first_batch()


def constant(name, value=0.3):
    """A network with all weights the same; where the value is 0 a norm and its scale stay."""
    model = fresh_model(name)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                module.weight.fill_(value)
    return model


def one_symmetric():
    """Its second layer's units are identical, those of the others are not."""
    model = fresh_model("sigmoid_stack")
    with torch.no_grad():
        model[2].weight.copy_(torch.linspace(-1.0, 1.0, 8).expand(8, 8))
    return model


@pytest.mark.parametrize("network", [*(partial(constant, name) for name in NETWORKS), one_symmetric])
def test_keeps_the_contract_of_cures(network):
    check_snippet(LABEL, network, BATCH)
    check_change(LABEL, network, BATCH)
    check_random_state(LABEL, network, BATCH)
    check_labels(LABEL)


def changed_by_cure(network):
    patient = patient_of(network, BATCH)
    before = {name: value.clone() for name, value in patient.model.state_dict().items()}
    words = parse_cure(LABEL).apply(patient)
    after = patient.model.state_dict()
    return {name for name, value in before.items() if not torch.equal(after[name], value)}, words


def test_leaves_every_other_layer_alone():
    changed, words = changed_by_cure(one_symmetric)
    assert changed == {"2.weight", "2.bias"}
    assert words == "1 layer(s) of identical units were redrawn: 2"


def test_tells_filters_apart_of_convolutions_too():
    changed, _ = changed_by_cure(partial(constant, "convolutional"))
    assert {"features.0.weight", "features.2.weight", "features.5.weight", "head.weight"} <= changed
    assert not any(".3." in name for name in changed)


def test_leaves_an_output_layer_of_zeros_to_its_gradient_but_not_one_of_other_constants():
    changed, _ = changed_by_cure(partial(constant, "sigmoid_stack", 0.0))
    assert {"0.weight", "2.weight", "4.weight"} <= changed
    assert "6.weight" not in changed
    assert "6.weight" in changed_by_cure(partial(constant, "sigmoid_stack"))[0]


def test_leaves_zeros_that_end_a_residual_branch():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(11)
            self.entry, self.inner, self.end, self.output = (
                nn.Linear(a, b) for a, b in ((6, 8), (8, 8), (8, 8), (8, 3))
            )
            nn.init.zeros_(self.end.weight)

        def forward(self, x):
            x = self.entry(x)
            return self.output(x + self.end(torch.relu(self.inner(x))))

    check_refusal(LABEL, Gated, BATCH, "no layer's units are identical")

    def with_flat_inside():
        model = Gated()
        nn.init.zeros_(model.inner.weight)
        return model

    assert changed_by_cure(with_flat_inside)[0] == {"inner.weight", "inner.bias"}


@pytest.mark.parametrize(
    "network",
    [
        partial(fresh_model, "sigmoid_stack"),
        lambda: constant("sigmoid_stack").requires_grad_(False),
        lambda: nn.Linear(6, 1),
        lambda: nn.Sequential(nn.Linear(6, 1), nn.Tanh(), nn.Linear(1, 1)),
    ],
)
def test_refuses_where_no_trainable_layer_has_twins(network):
    check_refusal(LABEL, network, BATCH, "no layer's units are identical")


def test_draws_by_glorot_where_no_activation_is_known():
    linear = nn.Sequential(nn.Linear(6, 40), nn.Linear(40, 3))
    nn.init.zeros_(linear[0].weight)
    patient = patient_of(lambda: linear, BATCH)
    parse_cure(LABEL).apply(patient)
    bound = (6.0 / 46.0) ** 0.5
    assert 0.9 * bound < float(linear[0].weight.detach().abs().max()) <= bound
    with pytest.raises(SettingsError, match="write it without"):
        parse_cure(f"{LABEL}:he")


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_makes_identical_units_learn_what_one_unit_can_not(value):
    examples = torch.randn(256, 6, generator=torch.Generator().manual_seed(1))
    targets = (examples[:, 0] * examples[:, 1] > 0).long()
    losses = []
    for is_cured in (False, True):
        patient = patient_of(partial(constant, "sigmoid_stack", value), BATCH)
        for name, parameter in patient.model.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
        if is_cured:
            parse_cure(LABEL).apply(patient)
        optimizer = torch.optim.Adam(patient.model.parameters(), lr=0.02)
        for _ in range(250):
            optimizer.zero_grad()
            loss = F.cross_entropy(patient.model(examples), targets)
            loss.backward()
            optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[1] < 0.3 < 0.45 < losses[0]
