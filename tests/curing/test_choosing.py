from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam

from curing.patients import finding
from gradiometer import watch
from gradiometer.curing import parse_cure
from gradiometer.curing.choosing import (
    DEEP_LAYERS,
    Candidate,
    choose_candidates,
    greatest_rate,
    ordered_by_theory,
    with_suggested_rate,
)
from gradiometer.diagnosing import diagnose
from gradiometer.prescribing import PRESCRIPTIONS
from gradiometer.recording.reader import read_run
from gradiometer.schema import Cause


def labels_for(findings, run=None, **settings):
    return [candidate.label for candidate in choose_candidates(findings, run, **settings)]


def run_of(tmp_path, activation, depth, rate=0.1, gain=None, steps=8, width=32):
    """A real run of a stack of layers on noise."""
    torch.manual_seed(3)
    layers = [nn.Linear(8, width), activation()]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), activation()]
    model = nn.Sequential(*layers, nn.Linear(width, 2))
    if gain is not None:
        for layer in model[:-1:2]:
            nn.init.orthogonal_(layer.weight, gain)
            nn.init.zeros_(layer.bias)
    optimizer = SGD(model.parameters(), lr=rate)
    with watch(model, optimizer, tmp_path / "run.db", overhead=1.0):
        for _ in range(steps):
            loss = nn.functional.cross_entropy(model(torch.randn(32, 8)), torch.randint(0, 2, (32,)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return read_run(tmp_path / "run.db")


def test_chooses_for_the_worst_finding_first_and_keeps_a_place_for_every_finding():
    labels = labels_for([finding(), finding("thrashing", "learning_rate")])
    assert labels[0] == "exchange_activation:relu+redraw_weights:he"
    assert "change_learning_rate:range" in labels
    assert len(labels) <= 8
    assert len(set(labels)) == len(labels)
    assert choose_candidates([], None) == ()


def test_chooses_what_a_finding_itself_asks_for_before_what_its_cause_does():
    found = replace(finding("thrashing", "learning_rate"), cures=("change_learning_rate:x0.02",))
    assert labels_for([found])[:2] == ["change_learning_rate:x0.02", "change_learning_rate:range"]


def test_chooses_for_the_causes_beside_the_main_one_too():
    found = replace(finding("vanishing", "activation_slope"), other_causes=(Cause("number_format", None, ""),))
    assert "scale_loss" not in labels_for([finding("vanishing", "activation_slope")], most=50)
    assert "scale_loss" in labels_for([found], most=50)


def test_leaves_out_what_is_not_to_be_tried_alone_or_in_a_pair():
    labels = labels_for([finding()], left_out=("redraw_weights", "add_residual_paths"))
    assert labels
    assert not any("redraw_weights" in label or "add_residual_paths" in label for label in labels)


def test_chooses_no_lower_rate_where_weights_are_stuck_and_no_higher_one_where_they_are_thrown_about():
    assert not any(":x0." in label for label in labels_for([finding("stuck", "learning_rate")], most=50))
    assert not any(":x1" in label for label in labels_for([finding("thrashing", "learning_rate")], most=50))


@pytest.mark.parametrize("cause", list(PRESCRIPTIONS))
def test_chooses_cures_whose_parts_all_fit_the_finding(cause):
    for condition in ("vanishing", "exploding", "saturated", "dead", "stuck", "non_finite", "stalled", "thrashing"):
        found = finding(condition, cause)
        assert all(parse_cure(label).fits(found) for label in labels_for([found], most=50))


def test_puts_behind_what_theory_says_would_leave_the_gradient_unbalanced(tmp_path):
    run = run_of(tmp_path, nn.Sigmoid, 12)
    candidates = [
        Candidate("redraw_weights:glorot", ""),
        Candidate("redraw_weights:critical", ""),
        Candidate("pray", ""),
    ]
    ordered = ordered_by_theory(candidates, run)
    assert [candidate.label for candidate in ordered] == ["redraw_weights:critical", "pray", "redraw_weights:glorot"]
    assert ordered[-1].forecast_db < -100.0
    assert "would become" in ordered[0].reason
    assert ordered[1].forecast_db is None


def test_leaves_the_order_alone_where_the_gradient_is_balanced(tmp_path):
    run = run_of(tmp_path, nn.Tanh, 3, gain=1.0)
    candidates = [Candidate("redraw_weights:glorot", ""), Candidate("redraw_weights:critical", "")]
    assert [known.label for known in ordered_by_theory(candidates, run)] == [known.label for known in candidates]


def test_brings_a_rate_to_be_found_where_the_script_s_is_far_above_what_the_depth_bears(tmp_path):
    deep = run_of(tmp_path, nn.Tanh, DEEP_LAYERS + 20, rate=1.0, steps=2)
    candidates = ordered_by_theory([Candidate("redraw_weights:critical", ""), Candidate("clip_gradients", "")], deep)
    found = with_suggested_rate(candidates, deep)
    assert [candidate.label for candidate in found] == [
        "redraw_weights:critical+change_learning_rate:range",
        "clip_gradients",
    ]
    assert "layers bear a learning rate" in found[0].reason


@pytest.mark.parametrize(("momentum", "is_lowered"), [(None, False), (0.9, False), (0.99, True)])
def test_lowers_a_momentum_only_where_it_is_more_than_usual(tmp_path, momentum, is_lowered):
    run = run_of(tmp_path, nn.Tanh, 3, steps=2)
    run = replace(run, facts={**run.facts, "optimizers": [{"kind": "SGD", "settings": {"momentum": momentum}}]})
    labels = [known.label for known in choose_candidates([finding("thrashing", "learning_rate")], run, most=50)]
    assert ("exchange_optimizer:momentum" in labels) == is_lowered


def test_brings_no_rate_where_rates_are_left_out(tmp_path):
    deep = run_of(tmp_path, nn.Tanh, DEEP_LAYERS + 20, rate=1.0, steps=2)
    found = finding("stuck", "weight_scale")
    labels = [known.label for known in choose_candidates([found], deep, most=50)]
    without = [known.label for known in choose_candidates([found], deep, most=50, left_out=["change_learning_rate"])]
    assert any("redraw_weights" in label and "change_learning_rate" in label for label in labels)
    assert "redraw_weights:critical" in without
    assert not any("change_learning_rate" in label for label in without)


def test_bears_no_more_than_twice_the_rate_of_its_depth_unless_a_cure_shortens_the_way(tmp_path):
    run = run_of(tmp_path, nn.Tanh, DEEP_LAYERS + 20, steps=2)
    most = greatest_rate("redraw_weights:critical+change_learning_rate:range", run)
    assert most == pytest.approx(2.0 * 0.1**0.5 / (DEEP_LAYERS + 21))
    assert greatest_rate("add_residual_paths+change_learning_rate:range", run) is None
    assert greatest_rate("change_learning_rate:range", None) is None


JOINED = "keep_weights_in_float32+scale_loss+exchange_optimizer:adamw"


@pytest.mark.parametrize(
    ("optimizer", "rates", "expected"),
    [
        (Adam, (0.0031, 0.0031), f"{JOINED}+change_learning_rate:=0.0031"),
        (Adam, (0.001, 0.001), JOINED),
        (Adam, (0.0031, 0.0062), JOINED),
        (SGD, (0.0031, 0.0031), JOINED),
    ],
)
def test_keeps_the_script_s_rate_where_a_pair_exchanges_adam_for_a_relative(tmp_path, optimizer, rates, expected):
    run = run_of_optimizer(tmp_path, optimizer, rates)
    labels = labels_for([finding("underflowing", "number_format")], run, most=50)
    assert [label for label in labels if "exchange_optimizer" in label] == [expected]


def run_of_optimizer(tmp_path, optimizer, rates):
    """A real run of two layers, each at a rate of its own."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))
    groups = [{"params": layer.parameters(), "lr": rate} for layer, rate in zip(model[::2], rates, strict=True)]
    chosen = optimizer(groups)
    with watch(model, chosen, tmp_path / "run.db", overhead=1.0):
        for _ in range(3):
            loss = nn.functional.cross_entropy(model(torch.randn(32, 8)), torch.randint(0, 2, (32,)))
            chosen.zero_grad()
            loss.backward()
            chosen.step()
    return read_run(tmp_path / "run.db")


def test_leaves_the_rate_alone_where_the_depth_bears_it(tmp_path):
    run = run_of(tmp_path, nn.Tanh, DEEP_LAYERS + 20, rate=1e-6, steps=2)
    candidates = ordered_by_theory([Candidate("redraw_weights:critical", "")], run)
    assert with_suggested_rate(candidates, run) == candidates


def test_chooses_for_what_is_found_in_a_real_run(tmp_path):
    run = run_of(tmp_path, nn.Sigmoid, 12, steps=60)
    findings = [known for known in diagnose(run).findings if known.severity in ("critical", "warning")]
    chosen = choose_candidates(findings, run)
    foretold = [candidate.forecast_db for candidate in chosen if candidate.forecast_db is not None]
    assert foretold
    assert np.isfinite(foretold).all()
    assert chosen[0].is_balanced
