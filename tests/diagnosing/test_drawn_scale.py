"""Weights drawn far from the critical scale: what explodes or fades on its way forward, and what only looks like it."""

import pytest
import torch
from specimens import Chain, adam, descent, draw, draw_he, train
from torch import nn

from gradiometer.diagnosing import diagnose
from gradiometer.diagnosing.drawn_scale import drawn_large, drawn_small
from gradiometer.schema import Finding, Run

BEGINNING = 130
"""Steps after which the trainings here are far from done."""


def multiplied(factor: float, *, layers: tuple[int, ...] = (0, 1, 2), activation: nn.Module | None = None) -> nn.Module:
    """A chain of three hidden layers at the critical scale, some of them times a factor."""
    torch.manual_seed(0)
    is_tanh = isinstance(activation, nn.Tanh)
    model = draw(Chain(3, activation or nn.ReLU()), nn.init.xavier_normal_ if is_tanh else draw_he)
    with torch.no_grad():
        for layer in layers:
            model.hidden[layer].weight.mul_(factor)
    return model


def alarms_in(run: Run) -> list[Finding]:
    return [finding for finding in diagnose(run).findings if finding.severity != "info"]


def test_finds_weights_that_let_the_signal_explode_though_the_loss_falls():
    findings = alarms_in(train(multiplied(12.0), adam(3e-3), steps=BEGINNING))
    assert [(finding.condition, finding.cause.name) for finding in findings] == [("exploding", "weight_scale")]
    # Three layers at 12 times the critical scale: three times 21.6 dB.
    assert findings[0].cause.share_db == pytest.approx(64.8, abs=3.0)


def test_names_the_one_layer_that_was_drawn_too_large():
    finding = alarms_in(train(multiplied(300.0, layers=(1,)), adam(1e-3), steps=BEGINNING))[0]
    assert finding.condition == "exploding"
    assert finding.layers == ("hidden.1",)


def test_finds_nothing_in_weights_at_the_critical_scale_or_at_that_of_torch():
    assert alarms_in(train(multiplied(1.0), adam(3e-3), steps=BEGINNING)) == []
    torch.manual_seed(0)
    run = train(Chain(3, nn.ReLU()), adam(3e-3), steps=BEGINNING)
    assert alarms_in(run) == []
    assert drawn_large(run) == drawn_small(run) == []


def test_takes_large_weights_that_are_normalised_for_no_fault():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(16, 24), nn.LayerNorm(24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 10)
    )
    with torch.no_grad():
        model[0].weight.mul_(30.0)
    assert drawn_large(train(model, adam(3e-3), steps=4)) == []


def test_names_large_weights_as_the_cause_of_a_saturated_layer_in_a_network_that_learns():
    run = train(multiplied(60.0, layers=(1,), activation=nn.Tanh()), descent(0.002), steps=320)
    finding = alarms_in(run)[0]
    assert (finding.condition, finding.cause.name) == ("saturated", "weight_scale")


@pytest.mark.slow
def test_finds_weights_so_small_that_the_signal_fades():
    finding = alarms_in(train(multiplied(0.03), descent(0.05), steps=320))[0]
    assert (finding.condition, finding.cause.name) == ("vanishing", "weight_scale")
    assert finding.cause.share_db == pytest.approx(-91.4, abs=4.0)


def test_takes_a_small_last_layer_and_one_that_another_makes_up_for_for_no_fault():
    model = multiplied(1.0)
    with torch.no_grad():
        model.output.weight.mul_(0.01)
    assert drawn_small(train(model, adam(3e-3), steps=4)) == []
    balanced = multiplied(0.03, layers=(1,))
    with torch.no_grad():
        balanced.hidden[0].weight.mul_(30.0)
    assert drawn_small(train(balanced, descent(1e-6), steps=4)) == []
