"""The gain budget against levels, autograd and hand-written sums."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gradiometer.gain_budget import GainParts, add_parts, critical_weights_db, gain_budget, split_gain
from gradiometer.schema import Layer, Run
from gradiometer.session import watch

ACTIVATIONS = [nn.Sigmoid, nn.Tanh, nn.ReLU, nn.LeakyReLU, nn.GELU, nn.Identity]


def watched(model: nn.Module, inputs: torch.Tensor, steps: int = 3) -> Run:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, optimizer, overhead=1.0) as watching:
        for _ in range(steps):
            optimizer.zero_grad()
            model(inputs).square().mean().backward()
            optimizer.step()
    return watching.run


@settings(max_examples=25)
@given(
    widths=st.lists(st.integers(1, 12), min_size=2, max_size=6),
    choices=st.lists(st.sampled_from(ACTIVATIONS), min_size=6, max_size=6),
    is_normalised=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_adds_the_gains_up_to_the_level_difference_to_a_thousandth_of_a_decibel(widths, choices, is_normalised, seed):
    torch.manual_seed(seed)
    layers = []
    for width_in, width_out, kind in zip(widths[:-1], widths[1:], choices, strict=False):
        layers += [nn.Linear(width_in, width_out), *([nn.LayerNorm(width_out)] if is_normalised else []), kind()]
    run = watched(nn.Sequential(*layers, nn.Linear(widths[-1], 2)), torch.randn(8, widths[0]))
    for index in range(run.snapshot_count):
        budget = gain_budget(run, index)
        assert budget.entries
        if math.isfinite(budget.level_change_db):
            assert budget.gain_db == pytest.approx(budget.level_change_db, abs=1e-3)
            assert budget.totals.gain_db == pytest.approx(budget.gain_db, abs=1e-9)


def test_gives_the_level_at_the_first_layer_that_autograd_gives():
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    inputs = torch.randn(16, 6, dtype=torch.float64)
    first = model[0](inputs).detach().requires_grad_()
    output = model[1:](first)
    loss = output.square().mean()
    gradients = torch.autograd.grad(loss, [output, first])
    expected_db = 20.0 * math.log10(gradients[1].norm() / gradients[0].norm())
    assert gain_budget(watched(model, inputs), 0).gain_db == pytest.approx(expected_db, abs=1e-6)


def test_gives_a_sigmoid_its_twelve_decibels_and_saturation_the_rest():
    torch.manual_seed(0)
    budget = gain_budget(watched(nn.Sequential(nn.Linear(4, 4), nn.Sigmoid(), nn.Linear(4, 1)), torch.randn(8, 4)), 0)
    sigmoid = next(entry for entry in budget.entries if entry.layer == "1")
    assert sigmoid.parts.activation_slope_db == pytest.approx(20.0 * math.log10(0.25))
    assert -3.0 < sigmoid.parts.saturation_db < 0.0
    assert sigmoid.parts.weights_db == 0.0


def test_says_how_far_weights_are_above_the_critical_scale():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 1))
    for layer in (model[0], model[2]):
        # Twice He's scale is 6.02 dB above the critical one; the sample of 10 000 weights scatters by 0.06 dB.
        nn.init.normal_(layer.weight, std=2.0 * math.sqrt(2.0 / 100.0))
    entries = gain_budget(watched(model, torch.randn(32, 100)), 0).entries
    excess = {entry.layer: entry.weights_excess_db for entry in entries}
    assert excess["2"] == pytest.approx(6.02, abs=0.3)
    assert excess["1"] is None


def test_keeps_levels_of_minus_infinity_behind_a_layer_that_stops_the_gradient():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
    nn.init.constant_(model[2].bias, -100.0)
    budget = gain_budget(watched(model, torch.randn(8, 4)), 0)
    assert budget.entries[1].gain_db == -math.inf
    assert budget.gain_db == budget.level_change_db == -math.inf


def test_gives_an_empty_budget_for_a_run_without_measurements():
    budget = gain_budget(Run())
    assert (budget.step, budget.entries, budget.gain_db, budget.level_change_db) == (-1, (), 0.0, 0.0)


def test_gives_an_empty_budget_for_a_measurement_that_is_not_there():
    run = watched(nn.Sequential(nn.Linear(2, 1)), torch.randn(4, 2))
    assert gain_budget(run, 3).entries == gain_budget(run, -4).entries == ()


def test_has_one_entry_for_a_network_of_one_layer():
    budget = gain_budget(watched(nn.Sequential(nn.Linear(2, 1)), torch.randn(4, 2)))
    assert [entry.layer for entry in budget.entries] == ["0"]
    assert budget.gain_db == 0.0


@pytest.mark.parametrize(
    ("layer", "part"),
    [
        (Layer("a", "Linear", "leaf", 0, fan_in=3), "weights_db"),
        (Layer("a", "BatchNorm2d", "leaf", 0), "normalisation_db"),
        (Layer("a", "layer_norm", "function", 0), "normalisation_db"),
        (Layer("a", "MaxPool2d", "leaf", 0), "other_db"),
        (Layer("a", "operations", "block", 0), "other_db"),
    ],
)
def test_puts_a_gain_where_it_belongs(layer, part):
    parts = split_gain(layer, -5.0)
    assert getattr(parts, part) == parts.gain_db == -5.0


def test_splits_nothing_where_no_gain_was_measured():
    assert split_gain(Layer("a", "Linear", "leaf", 0, fan_in=3), math.nan) == GainParts()


def test_adds_parts_each_with_its_like():
    assert add_parts([GainParts(1.0, 2.0, 3.0, 4.0, 5.0), GainParts(1.0, 1.0, 1.0, 1.0, 1.0)]) == GainParts(
        2.0, 3.0, 4.0, 5.0, 6.0
    )
    assert add_parts([]) == GainParts()


def test_knows_no_critical_scale_of_an_activation_without_slope_at_zero():
    assert critical_weights_db("tanhshrink") is None
    assert critical_weights_db("no such activation") is None
    assert critical_weights_db(None) == 0.0
