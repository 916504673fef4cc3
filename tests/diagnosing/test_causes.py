"""Causes and their shares, and what single conditions say of special cases."""

import math

import numpy as np
import pytest
import torch
from specimens import Chain, Logarithm, adam, descent, draw, draw_he, make_clusters, run_of, train
from torch import nn
from torch.nn import functional as F

from gradiometer.diagnosing import diagnose
from gradiometer.diagnosing.causes import losing_causes, shares_of
from gradiometer.diagnosing.dead import find_dead
from gradiometer.diagnosing.non_finite import find_non_finite
from gradiometer.diagnosing.onsets import first_onset, lasting_onset, step_at
from gradiometer.diagnosing.saturated import find_saturated
from gradiometer.diagnosing.stuck import find_stuck
from gradiometer.diagnosing.thrashing import find_thrashing
from gradiometer.diagnosing.vanishing import find_vanishing
from gradiometer.gain_budget import gain_budget
from gradiometer.schema import Run
from gradiometer.session import watch

FINDERS = [find_dead, find_non_finite, find_saturated, find_stuck, find_thrashing, find_vanishing]


def test_adds_the_shares_of_all_causes_up_to_the_level():
    for condition in ("vanishing", "exploding", "stuck"):
        run = run_of(condition, "sick")
        budget = gain_budget(run, 0)
        assert sum(shares_of(run, budget).values()) == pytest.approx(budget.gain_db, abs=1e-6)


def test_charges_eight_sigmoids_with_twelve_decibels_each():
    finding = diagnose(run_of("vanishing", "sick")).findings[0]
    assert finding.cause.name == "activation_slope"
    assert finding.cause.share_db == pytest.approx(8 * 20 * math.log10(0.25))
    assert [cause.name for cause in finding.other_causes] == ["weight_scale"]
    assert "sigmoid" in finding.summary


def test_does_not_charge_a_relu_for_the_half_that_it_stops():
    run = run_of("vanishing", "twin")
    shares = shares_of(run, gain_budget(run, 0))
    # Eight ReLUs stop 24 dB, which He's weights win back; what saturation takes beyond that is small.
    assert abs(shares["saturation"]) < 8.0
    assert abs(shares["weight_scale"]) < 8.0


def test_blames_small_weights_where_the_activation_has_slope_one():
    torch.manual_seed(0)
    model = draw(Chain(10, nn.Tanh()), lambda weight: nn.init.normal_(weight, std=0.02))
    finding = diagnose(train(model, descent(0.1), steps=20)).findings[0]
    assert (finding.condition, finding.cause.name) == ("vanishing", "weight_scale")
    assert "below the critical scale" in finding.cause.text


def test_says_unknown_where_there_is_no_budget():
    assert losing_causes(Run(), gain_budget(Run()))[0].share_db in {None, 0.0}


def test_names_the_layer_nearest_the_loss_first():
    finding = diagnose(run_of("vanishing", "sick")).findings[0]
    assert finding.layers[-1] == "hidden.0"
    assert list(finding.layers) == sorted(finding.layers, reverse=True)


def test_says_by_how_much_the_learning_rate_is_too_small_and_by_how_much_to_raise_it():
    finding = diagnose(run_of("stuck", "sick")).findings[0]
    assert finding.cause.name == "learning_rate"
    # A rate of 1e-7 where 0.1 is usual.
    assert finding.cause.share_db == pytest.approx(-120.0)
    assert finding.cures[0] in {"change_learning_rate:x10000", "change_learning_rate:x100000"}


def test_says_by_how_much_the_learning_rate_is_too_large():
    finding = diagnose(run_of("thrashing", "sick")).findings[0]
    assert finding.cause.name == "learning_rate"
    assert finding.cause.share_db > 40.0
    assert finding.cures[0].startswith("change_learning_rate:x0.")


def test_names_the_layer_in_which_infinity_began():
    finding = find_non_finite(run_of("non_finite", "sick"))[0]
    assert finding.layers[0] == "1"
    assert "the first layer to do so" in finding.summary


def test_tells_a_loss_that_alone_is_not_finite_from_the_step_on_at_which_it_was():
    torch.manual_seed(0)
    calls = []

    def loss_fn(output, labels):
        calls.append(1)
        loss = F.cross_entropy(output, labels)
        return loss * math.nan if len(calls) == 11 else loss

    finding = find_non_finite(train(Chain(1, nn.ReLU()), descent(0.1), steps=20, loss_fn=loss_fn))[0]
    assert (finding.step, finding.severity, finding.cause.name) == (10, "critical", "loss")
    assert "The loss is not finite" in finding.summary


def test_tells_a_gradient_that_alone_is_not_finite():
    torch.manual_seed(0)

    def loss_fn(output, labels):
        return F.cross_entropy(output, labels) + torch.sqrt(((output - output.detach()) ** 2).sum())

    finding = find_non_finite(train(Chain(1, nn.ReLU()), descent(0.1), steps=4, loss_fn=loss_fn))[0]
    assert finding.layers[0] == "output"
    assert "Outputs and loss are finite" in finding.summary


def test_blames_an_input_that_is_not_finite():
    points, labels = make_clusters()
    points[:, 3] = math.nan
    finding = find_non_finite(train(Chain(1, nn.ReLU()), descent(0.1), steps=4, data=(points, labels)))[0]
    assert finding.cause.name == "input_scale"


def test_is_silent_on_infinities_that_the_loss_does_not_meet():
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.logarithm, self.output = nn.Linear(16, 8), Logarithm(0.0), nn.Linear(8, 10)

        def forward(self, points):
            hidden = self.first(points)
            return self.output(torch.exp(self.logarithm(hidden.detach())) + hidden)

    assert find_non_finite(train(Masked(), descent(0.1), steps=4)) == []


def test_blames_the_input_for_units_that_it_saturates():
    points, labels = make_clusters()
    torch.manual_seed(0)
    run = train(Chain(2, nn.Tanh()), descent(1e-3), steps=10, data=(100.0 * points, labels))
    finding = find_saturated(run)[0]
    assert finding.cause.name == "input_scale"
    assert finding.layers[-1] == "activations.0"


def test_does_not_call_an_output_saturated_that_is_sure():
    torch.manual_seed(0)
    model = nn.Sequential(draw(Chain(1, nn.ReLU(), 1), draw_he), nn.Sigmoid())
    points, labels = make_clusters()
    data = (points, (labels > 4).float()[:, None])
    run = train(model, adam(0.03), steps=150, data=data, loss_fn=F.binary_cross_entropy)
    assert diagnose(run).verdict == "healthy"


def test_counts_dead_units_of_the_last_measurements_and_not_of_a_window_that_began_alive():
    torch.manual_seed(0)
    model = draw(Chain(2, nn.ReLU()), draw_he)
    points, labels = make_clusters()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    with watch(model, optimizer, overhead=1.0) as watching:
        for step in range(12):
            if step == 8:
                nn.init.constant_(model.hidden[1].bias, -100.0)
            optimizer.zero_grad()
            F.cross_entropy(model(points[:64]), labels[:64]).backward()
            optimizer.step()
    finding = find_dead(watching.run)[0]
    assert (finding.layers[0], finding.step, finding.severity) == ("activations.1", 8, "critical")


def test_is_silent_on_everything_in_an_empty_run():
    assert [find(Run()) for find in FINDERS] == [[]] * len(FINDERS)


def test_finds_onsets_that_last_and_first_ones():
    holds = np.array([False, True, False, True, True])
    assert (lasting_onset(holds), first_onset(holds)) == (3, 1)
    assert (lasting_onset(holds[:3]), first_onset(holds[:1])) == (None, None)
    assert step_at(Run(), 4) == 0
