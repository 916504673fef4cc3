"""The gain budget against levels, autograd and hand-written sums."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from gradiometer.gain_budget import gain_budget
from gradiometer.schema import Run
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


class Residual(nn.Module):
    """A sum of its input and a branch of two linear layers."""

    def __init__(self, width: int, kind: type[nn.Module] = nn.ReLU, scale: float = 1.0) -> None:
        super().__init__()
        self.norm, self.first, self.second = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)
        self.activation, self.scale = kind(), scale

    def forward(self, x):
        return x + self.scale * self.second(self.activation(self.first(self.norm(x))))


class Attention(nn.Module):
    """A pre-norm transformer block of single layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.heads = nn.ModuleList([nn.Linear(width, width) for _ in range(4)])
        self.wide = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        normed = self.norms[0](x)
        query, key, value = (head(normed)[None] for head in self.heads[:3])
        x = x + self.heads[3](F.scaled_dot_product_attention(query, key, value)[0])
        return x + self.wide(self.norms[1](x))


class Parallel(nn.Module):
    """Branches side by side, put one after another."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.left = nn.Sequential(nn.Linear(width, width // 2), nn.Tanh())
        self.right = nn.Sequential(nn.Linear(width, width - width // 2), nn.Sigmoid())

    def forward(self, x):
        return torch.cat([self.left(x), self.right(x)], dim=-1)


@pytest.mark.slow
@settings(max_examples=25)
@given(
    kinds=st.lists(st.sampled_from(["residual", "attention", "parallel", "sigmoid"]), min_size=1, max_size=4),
    width=st.integers(4, 24),
    scale=st.sampled_from([0.0, 0.1, 1.0, 30.0]),
    seed=st.integers(0, 1000),
)
def test_splits_gains_of_blocks_without_remainder(kinds, width, scale, seed):
    torch.manual_seed(seed)
    made = {
        "residual": lambda: Residual(width, scale=scale),
        "attention": lambda: Attention(width),
        "parallel": lambda: Parallel(width),
        "sigmoid": nn.Sigmoid,
    }
    model = nn.Sequential(nn.Linear(3, width), *(made[kind]() for kind in kinds), nn.Linear(width, 2))
    budget = gain_budget(watched(model, torch.randn(8, 3)), 0)
    for entry in budget.entries:
        assert math.isnan(entry.gain_db) or entry.parts.gain_db == pytest.approx(entry.gain_db, abs=1e-9)
    assert budget.totals.gain_db == pytest.approx(budget.gain_db, abs=1e-9)
    assert budget.gain_db == pytest.approx(budget.level_change_db, abs=1e-3)


def test_charges_ten_sigmoids_with_twelve_decibels_each():
    torch.manual_seed(0)
    layers = [layer for _ in range(10) for layer in (nn.Linear(16, 16), nn.Sigmoid())]
    budget = gain_budget(watched(nn.Sequential(*layers, nn.Linear(16, 2)), torch.randn(8, 16)), 0)
    assert budget.totals.activation_slope_db == pytest.approx(10 * 20.0 * math.log10(0.25))
    assert budget.totals.weights_critical_db == pytest.approx(10 * 12.0412, abs=1e-3)


def test_charges_the_output_unit_and_not_an_activation_for_a_softmax_at_the_end():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Sigmoid(), nn.Linear(8, 4), nn.Softmax(dim=1))
    budget = gain_budget(watched(model, torch.randn(8, 4)), 0)
    assert budget.totals.output_unit_db == budget.entries[0].gain_db < 0.0
    assert budget.totals.activation_slope_db == pytest.approx(20.0 * math.log10(0.25))


def test_finds_two_open_paths_in_a_residual_block_and_eight_in_a_transformer_block():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), Residual(64), Attention(64), nn.Linear(64, 2))
    entries = {entry.layer: entry for entry in gain_budget(watched(model, torch.randn(64, 64)), 0).entries}
    # Two equal paths that meet make 3.01 dB, eight 9.03; the gradients of paths are not quite orthogonal.
    assert entries["1"].parts.skip_db == pytest.approx(3.01, abs=0.7)
    assert entries["2"].parts.skip_db == pytest.approx(9.03, abs=2.0)
    assert entries["1"].members == ("1.norm", "1.first", "1.activation", "1.second")


def test_takes_as_much_for_a_branch_of_zeros_as_two_open_paths_would_have_won():
    block = Residual(16)
    nn.init.zeros_(block.second.weight)
    budget = gain_budget(watched(nn.Sequential(nn.Linear(4, 16), block, nn.Linear(16, 2)), torch.randn(8, 4)), 0)
    parts = next(entry.parts for entry in budget.entries if entry.layer == "1")
    assert parts.gain_db == pytest.approx(0.0, abs=1e-5)
    assert parts.skip_db == pytest.approx(-parts.weights_db) == pytest.approx(3.0103, abs=1e-3)


def test_charges_large_weights_on_a_branch_and_not_the_skip_for_a_block_that_explodes():
    torch.manual_seed(0)
    block = Residual(64, nn.Tanh)
    nn.init.normal_(block.second.weight, std=30.0 / 8.0)
    budget = gain_budget(watched(nn.Sequential(nn.Linear(4, 64), block, nn.Linear(64, 2)), torch.randn(8, 4)), 0)
    parts = next(entry.parts for entry in budget.entries if entry.layer == "1")
    assert parts.weights_excess_db > 15.0
    assert abs(parts.skip_db) < 3.5


def test_says_of_layers_inside_blocks_how_far_their_weights_are_above_the_critical_scale():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), Residual(64), nn.Linear(64, 2))
    nn.init.normal_(model[1].first.weight, std=2.0 * math.sqrt(2.0 / 64.0))
    budget = gain_budget(watched(model, torch.randn(8, 64)), 0)
    # Twice He's scale; the sample of 4 096 weights scatters by 0.1 dB.
    assert budget.excesses_db["1.first"] == pytest.approx(6.02, abs=0.5)
    assert budget.beside["1.first"] == budget.beside["1.second"] == "relu"


@pytest.mark.parametrize("norm", [0.0, math.inf])
def test_splits_no_block_to_which_no_gradient_came_that_is_a_number(norm):
    run = watched(nn.Sequential(nn.Linear(4, 16), Residual(16), nn.Linear(16, 2)), torch.randn(8, 4))
    norms = run.layer_columns["output_gradient_norm"].copy()
    norms[:, next(index for index, layer in enumerate(run.layers) if layer.name == "1")] = norm
    budget = gain_budget(replace(run, layer_columns={**run.layer_columns, "output_gradient_norm": norms}), 0)
    entry = next(entry for entry in budget.entries if entry.layer == "1")
    assert entry.parts.other_db == entry.gain_db
