"""Levels foretold against levels measured after the cure was really applied."""

import copy
import math
from contextlib import ExitStack

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradiometer.curing import Patient, parse_cure
from gradiometer.forecasting import best_change, changes_of, forecast_level
from gradiometer.gain_budget import gain_budget
from gradiometer.schema import Run
from gradiometer.session import watch


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.first, self.second = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x):
        return x + self.second(torch.tanh(self.first(self.norm(x))))


def stack(activation: type[nn.Module], depth: int = 6, width: int = 96, scale: float = 1.0) -> nn.Sequential:
    layers: list[nn.Module] = []
    for rank in range(depth):
        layers += [nn.Linear(width if rank else 32, width), activation()]
    model = nn.Sequential(*layers, nn.Linear(width, 10))
    with torch.no_grad():
        for layer in model[::2]:
            layer.weight.mul_(scale)
    return model


def convolutional() -> nn.Sequential:
    layers: list[nn.Module] = []
    for rank in range(4):
        layers += [nn.Conv2d(16 if rank else 2, 16, 3, padding=1), nn.Tanh()]
    return nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16 * 16, 10))


def measured(model: nn.Module, inputs: torch.Tensor) -> Run:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with watch(model, optimizer, overhead=1.0, dear=()) as watching:
        F.cross_entropy(model(inputs), torch.arange(len(inputs)) % 10).backward()
        optimizer.step()
    return watching.run


NETWORKS = {
    "sigmoids": lambda: stack(nn.Sigmoid),
    "small weights": lambda: stack(nn.Tanh, scale=0.2),
    "large weights": lambda: stack(nn.ELU, scale=6.0),
    "convolutions": convolutional,
    "residual": lambda: nn.Sequential(nn.Linear(32, 48), *(Residual(48) for _ in range(4)), nn.Linear(48, 10)),
}


CURES = (
    "redraw_weights:critical",
    "redraw_weights:glorot",
    "exchange_activation:relu+redraw_weights:he",
    "insert_normalisation",
)


@pytest.mark.parametrize("label", CURES)
@pytest.mark.parametrize("name", list(NETWORKS))
def test_foretells_the_level_after_a_cure_within_three_decibels(name, label):
    torch.manual_seed(0)
    model = NETWORKS[name]()
    inputs = torch.randn(64, 2, 8, 8) if name == "convolutions" else torch.randn(64, 32)
    run = measured(copy.deepcopy(model), inputs)
    foretold = forecast_level(run, 0, label)
    patient = Patient(model, run=run)
    parse_cure(label).apply(patient)
    with ExitStack() as modes:
        for mode in patient.forward_modes:
            modes.enter_context(mode)
        level_db = gain_budget(measured(model, inputs), 0).gain_db
    assert foretold is not None
    # Where chance alone moves the level farther than this, its standard deviation is said with the forecast.
    assert foretold.level_db == pytest.approx(level_db, abs=max(3.0, 2.0 * foretold.scatter_db))


def test_chooses_the_first_change_that_balances_the_budget():
    torch.manual_seed(0)
    run = measured(stack(nn.Sigmoid), torch.randn(64, 32))
    labels = ("clip_gradients", "exchange_activation:relu", "redraw_weights:critical", "insert_normalisation")
    label, foretold = best_change(run, 0, labels)
    # Critical weights leave -21 dB: where a signal comes in at full size, sigmoids are not yet at their steepest.
    assert label == "insert_normalisation"
    assert abs(foretold.level_db) < 12.0
    nearest, _ = best_change(run, 0, ("redraw_weights:glorot", "exchange_activation:tanh"))
    assert nearest == "exchange_activation:tanh"


def test_wanders_farther_in_narrow_and_deep_networks_and_less_with_orthogonal_weights():
    torch.manual_seed(0)
    narrow = measured(stack(nn.ReLU, depth=12, width=16), torch.randn(64, 32))
    wide = measured(stack(nn.ReLU, depth=12, width=128), torch.randn(64, 32))
    scatters = [forecast_level(run, 0, "redraw_weights:he").scatter_db for run in (narrow, wide)]
    assert scatters[0] > 2.0 * scatters[1]
    assert forecast_level(narrow, 0, "redraw_weights:critical").scatter_db < scatters[0]


def test_foretells_nothing_of_cures_that_leave_the_signal_alone_and_of_runs_without_a_trunk():
    torch.manual_seed(0)
    run = measured(stack(nn.Tanh, depth=2), torch.randn(64, 32))
    assert forecast_level(run, 0, "exchange_optimizer:adam") is None
    assert forecast_level(run, 0, "clip_gradients+redraw_weights:he") is None
    assert forecast_level(run, 0, "exchange_activation:tanh") is None
    assert forecast_level(Run(), 0, "redraw_weights:he") is None
    assert best_change(Run(), 0, ("redraw_weights:he",)) is None
    assert best_change(run, 0, ("clip_gradients",)) is None


def test_foretells_nothing_from_weights_that_are_no_numbers_but_what_draws_them_anew():
    torch.manual_seed(0)
    model = stack(nn.Tanh, depth=3)
    with torch.no_grad():
        model[2].weight.fill_(math.nan)
    run = measured(model, torch.randn(64, 32))
    assert forecast_level(run, 0, "exchange_activation:relu") is None
    assert math.isfinite(forecast_level(run, 0, "redraw_weights:critical").level_db)


def test_says_what_a_cure_would_change():
    torch.manual_seed(0)
    run = measured(stack(nn.Sigmoid, depth=3), torch.randn(64, 32))
    changes = changes_of(run, "exchange_activation:relu+redraw_weights:he")
    assert set(changes.activations) == {"1", "3", "5"}
    assert set(changes.activations.values()) == {"relu"}
    assert changes.weights["2"].sigma == pytest.approx(math.sqrt(2.0))
    assert changes.weights["6"].sigma == pytest.approx(math.sqrt(2.0 * 96 / 106))
    assert changes_of(run, "insert_normalisation").norms == {"0": "batch", "2": "batch", "4": "batch"}
    critical = changes_of(run, "redraw_weights").weights
    assert critical["2"].sigma == pytest.approx(4.0)
    assert critical["2"].taken_mean == pytest.approx(0.5)
