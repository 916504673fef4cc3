"""From findings to a verdict: doubt, the ignore list, coverage, and what must not change it."""

import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from specimens import Chain, adam, descent, draw, draw_he, make_clusters, run_of, train
from torch import nn
from torch.nn import functional as F

from gradiometer.diagnosing import diagnose, verdict_of
from gradiometer.schema import Coverage, Run
from gradiometer.session import check, watch
from gradiometer.settings import Ignored


def test_says_unknown_and_why_of_a_run_without_measurements():
    diagnosis = diagnose(Run())
    assert (diagnosis.verdict, diagnosis.way_out) == ("unknown", "more_steps")
    assert "0 full measurements" in diagnosis.reason


def test_says_unknown_and_why_after_a_single_step():
    diagnosis = diagnose(train(Chain(2, nn.ReLU()), descent(0.1), steps=1))
    assert diagnosis.verdict == "unknown"
    assert "takes 2" in diagnosis.reason


def test_says_unknown_and_why_where_no_weight_is_moved():
    diagnosis = diagnose(train(Chain(2, nn.ReLU()), descent(0.0), steps=8))
    assert diagnosis.verdict == "unknown"
    assert "no optimizer moved the weights" in diagnosis.reason
    assert diagnosis.way_out == "watch"
    assert diagnosis.findings == ()


def test_tells_a_faint_gradient_of_a_check_without_optimizer_as_no_more_than_information():
    points, labels = make_clusters(64)
    torch.manual_seed(0)
    diagnosis = check(Chain(10, nn.Sigmoid()), F.cross_entropy, [(points, labels)])
    assert diagnosis.verdict == "unknown"
    assert [(finding.condition, finding.severity) for finding in diagnosis.findings] == [("vanishing", "info")]


def test_says_unknown_where_most_layers_were_not_seen():
    run = run_of("vanishing", "twin")
    unseen = tuple((f"hidden.{rank}", "called by .forward()") for rank in range(12))
    blind = Run(**{**fields_of(run), "coverage": Coverage(4, 16, unseen)})
    assert diagnose(blind).verdict == "unknown"
    assert "4 of 16 layers seen" in diagnose(blind).reason


def fields_of(run: Run) -> dict[str, object]:
    return {name: getattr(run, name) for name in Run.__dataclass_fields__}


def test_leaves_out_what_the_ignore_list_names_and_keeps_the_reason():
    run = run_of("stuck", "sick")
    diagnosis = diagnose(run, ignore=[Ignored("stuck", "*", "warmed up by hand")])
    assert diagnosis.verdict == "healthy"
    assert [(finding.condition, reason) for finding, reason in diagnosis.ignored] == [("stuck", "warmed up by hand")]


def test_keeps_a_finding_whose_layers_the_ignore_list_does_not_name():
    assert diagnose(run_of("stuck", "sick"), ignore=[Ignored("*", "body.*", "")]).verdict == "broken"


def test_does_not_alarm_at_frozen_layers():
    torch.manual_seed(0)
    model = draw(Chain(4, nn.ReLU()), draw_he)
    for layer in list(model.hidden)[:3]:
        layer.requires_grad_(requires_grad=False)
    assert diagnose(train(model, adam(3e-3), steps=80)).verdict == "healthy"


@pytest.mark.slow
def test_does_not_alarm_at_a_network_that_has_converged_long_ago():
    torch.manual_seed(0)
    model = draw(Chain(2, nn.ReLU()), draw_he)
    train(model, adam(3e-3), steps=400, overhead=0.001)
    assert diagnose(train(model, descent(0.01), steps=340)).verdict == "healthy"


def test_does_not_alarm_at_a_batch_of_one():
    torch.manual_seed(0)
    model = draw(Chain(2, nn.ReLU()), draw_he)
    points, labels = make_clusters()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with watch(model, optimizer, overhead=1.0) as watching:
        for point, label in list(zip(points, labels, strict=True))[:200]:
            optimizer.zero_grad()
            F.cross_entropy(model(point[None]), label[None]).backward()
            optimizer.step()
    assert diagnose(watching.run).verdict == "healthy"


def test_does_not_alarm_at_two_losses_that_are_played_against_each_other():
    torch.manual_seed(0)
    generator, judge = nn.Linear(4, 2), nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
    both = nn.ModuleDict({"generator": generator, "judge": judge})
    optimizers = [torch.optim.Adam(part.parameters(), lr=1e-3) for part in (judge, generator)]
    with watch(both, optimizers, overhead=1.0) as watching:
        for _ in range(320):
            fake, real = generator(torch.randn(16, 4)), torch.randn(16, 2)
            optimizers[0].zero_grad()
            (F.softplus(-judge(real)) + F.softplus(judge(fake.detach()))).mean().backward()
            optimizers[0].step()
            optimizers[1].zero_grad()
            F.softplus(-judge(fake)).mean().backward()
            optimizers[1].step()
    assert diagnose(watching.run).verdict not in {"broken", "at_risk"}


def test_does_not_alarm_while_the_learning_rate_is_warmed_up():
    torch.manual_seed(0)
    model = draw(Chain(2, nn.ReLU()), draw_he)
    points, labels = make_clusters(64)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1e-8 * (step + 1))
    with watch(model, optimizer, overhead=1.0) as watching:
        for _ in range(16):
            optimizer.zero_grad()
            F.cross_entropy(model(points), labels).backward()
            optimizer.step()
            schedule.step()
    assert diagnose(watching.run).verdict == "healthy"


@pytest.mark.slow
@settings(max_examples=5)
@given(exponent=st.integers(-8, 8))
@example(exponent=-1)
@example(exponent=-2)
def test_finds_the_same_in_a_loss_that_is_scaled_by_a_power_of_two(exponent):
    scale = 2.0**exponent

    def scaled(output: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return scale * F.cross_entropy(output, labels)

    torch.manual_seed(0)
    findings = diagnose(train(Chain(8, nn.Sigmoid()), descent(0.1 / scale), steps=30, loss_fn=scaled)).findings
    assert [(f.condition, f.severity) for f in findings] == [("vanishing", "critical")]
    assert findings[0].cause.name == "activation_slope"


def test_gives_the_verdict_of_the_worst_finding():
    assert verdict_of((), is_doubted=False) == "healthy"
    assert verdict_of((), is_doubted=True) == "unknown"
    assert verdict_of(diagnose(run_of("stuck", "sick")).findings, is_doubted=True) == "broken"


def test_writes_no_nan_into_a_sentence():
    for condition in ("vanishing", "exploding", "saturated", "dead", "stuck", "non_finite", "stalled", "thrashing"):
        for finding in diagnose(run_of(condition, "sick")).findings:
            assert " nan" not in finding.summary
            assert math.isfinite(finding.step)
