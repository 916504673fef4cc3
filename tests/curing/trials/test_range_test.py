import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from curing.patients import sigmoid_stack
from curing.test_specimens import SPECIMEN
from curing.trials.trial_material import bench_for, spec_for
from gradiometer.curing.trials.live_treatment import Regimen
from gradiometer.curing.trials.range_test import (
    RANGE_STEPS,
    START_RATIO,
    STEPS_PER_DECADE,
    DivergenceWatch,
    RateSweep,
    rate_from,
)
from gradiometer.curing.trials.treatment import TrialTreatment
from gradiometer.errors import CureRefusedError
from gradiometer.launching.discovery import Discovery
from gradiometer.launching.limits import TrainingStopped
from gradiometer.schema import LossSeries, Run
from gradiometer.session import Session

FACTORS = [1e-5 * 10 ** (step / STEPS_PER_DECADE) for step in range(RANGE_STEPS)]


def run_of(losses: list[float], bases: list[list[float]] | None = None, factors: list[float] | None = None) -> Run:
    """A range test with these losses."""
    steps = np.arange(len(losses))
    is_bad = ~np.isfinite(losses)
    series = LossSeries("train.py:9", steps, np.where(is_bad, np.nan, losses), is_bad.astype(np.int64))
    multipliers = [[step, factor] for step, factor in enumerate(factors or FACTORS[: len(losses)])]
    facts = {"range_test": {"base_rates": bases or [[1.0]], "multipliers": multipliers}}
    return Run(losses=(series,), facts=facts)


def valley(bottom: int, count: int = RANGE_STEPS) -> list[float]:
    """A loss that is least at one step."""
    return [2.0 + 0.02 * abs(step - bottom) for step in range(count)]


def test_takes_a_tenth_of_the_rate_of_the_least_loss() -> None:
    result = rate_from(run_of(valley(40)))
    assert result.rate == pytest.approx(FACTORS[40] / 10, rel=0.05)  # two digits are kept
    assert result.label == f"change_learning_rate:={result.rate:g}"
    assert "a tenth of that" in result.reason


def test_multiplies_rates_that_differ_and_sets_one_that_all_share() -> None:
    several = rate_from(run_of(valley(40), [[0.5, 0.05], [0.5]]))
    assert several.rate == pytest.approx(0.5 * FACTORS[40] / 10, rel=0.05)
    assert several.label == f"change_learning_rate:x{several.factor:g}"
    assert rate_from(run_of(valley(40), [[0.5], [0.5]])).label == f"change_learning_rate:={several.rate:g}"


def test_does_not_change_with_the_scale_of_the_loss() -> None:
    losses = np.array(valley(35))
    assert rate_from(run_of(list(losses * 2.0**20))) == rate_from(run_of(list(losses)))
    assert rate_from(run_of(list(losses * 2.0**-20))) == rate_from(run_of(list(losses)))


def test_says_where_the_loss_never_falls() -> None:
    noise = 2.3 + 0.1 * np.random.default_rng(0).standard_normal(RANGE_STEPS)
    for losses in ([2.3] * RANGE_STEPS, list(noise), [2.3 + 0.1 * step for step in range(RANGE_STEPS)]):
        result = rate_from(run_of(losses))
        assert result.rate is None
        assert result.label is None
        assert "did not fall at any rate" in result.reason


def test_says_where_the_test_came_to_nothing() -> None:
    assert "finite in 3 steps" in rate_from(run_of([2.0, 1.9, 1.8, math.nan, 1.0])).reason
    assert "recorded no loss" in rate_from(Run()).reason
    assert rate_from(Run(facts={"refusal": "LBFGS searches"})).reason == "LBFGS searches"


def test_leaves_out_what_comes_after_a_loss_that_is_not_finite() -> None:
    losses = valley(30)
    losses[45:] = [math.nan, *([0.0] * (len(losses) - 46))]
    assert rate_from(run_of(losses)).rate == pytest.approx(FACTORS[30] / 10, rel=0.05)


def test_says_where_the_loss_had_not_risen_yet() -> None:
    falling = [2.0 - 0.02 * step for step in range(RANGE_STEPS)]
    assert "had not risen yet" in rate_from(run_of(falling)).reason
    assert "had not risen yet" not in rate_from(run_of(valley(40))).reason


def test_ends_a_test_whose_loss_has_climbed_far_above_its_least() -> None:
    watch = DivergenceWatch()
    assert not any(watch.note(loss) for loss in (2.0, 1.9, 1.5, 1.4, 1.6, 3.0, 4.0))
    assert any(watch.note(loss) for loss in (20.0, 30.0))
    assert DivergenceWatch().note(math.nan)
    negative = DivergenceWatch()
    assert not any(negative.note(loss) for loss in (-2.0, -3.0, -4.0, -3.5))


class Taken:
    """A sweep over optimizers that are stepped by hand; keeps the rates that each step was made with."""

    def __init__(self, *optimizers: torch.optim.Optimizer) -> None:
        self.step, self.optimizers = 0, optimizers
        self.sweep = RateSweep(lambda: self.step)
        self.rates: list[list[list[float]]] = []
        for optimizer in optimizers:
            self.sweep.take(optimizer)

    def go(self, steps: int) -> None:
        """Step with gradients of one, noting each rate as the step is made."""
        for _ in range(steps):
            seen: list[list[float]] = []
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    for parameter in group["params"]:
                        parameter.grad = torch.ones_like(parameter)

                def note(stepping: torch.optim.Optimizer, args: Any, kwargs: Any, seen: Any = seen) -> None:
                    seen.append([float(group["lr"]) for group in stepping.param_groups])

                handle = optimizer.register_step_pre_hook(note)
                optimizer.step()
                handle.remove()
            self.rates.append(seen)
            self.step += 1


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop, torch.optim.AdamW])
@pytest.mark.parametrize("rate", [1e-9, 0.1, 1e4])
def test_begins_with_a_step_that_moves_the_matrices_by_a_tiny_share_in_all(kind: Any, rate: float) -> None:
    model = sigmoid_stack().double()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    taken = Taken(kind(model.parameters(), lr=rate))
    taken.go(1)
    pairs = list(zip(model.parameters(), before, strict=True))
    ratios = [float((new.detach() - old).norm() / old.norm()) for new, old in pairs if old.dim() > 1]
    assert sum(ratios) == pytest.approx(START_RATIO, rel=1e-6)


def test_begins_by_the_rate_where_an_optimizer_scales_its_steps_only_later() -> None:
    model = sigmoid_stack()
    optimizer = torch.optim.RAdam(model.parameters(), lr=0.1)
    taken = Taken(optimizer)
    taken.go(3)
    total = sum(p.numel() ** 0.5 / float(p.detach().norm()) for p in model.parameters() if p.dim() > 1)
    assert taken.sweep.facts()["multipliers"][0][1] * 0.1 == pytest.approx(START_RATIO / total, rel=1e-3)


def test_raises_every_rate_by_the_same_factor_and_puts_the_scripts_own_back() -> None:
    model = sigmoid_stack()
    tensor_rate = torch.tensor(0.2)
    first = torch.optim.SGD(
        [{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 0.01}], lr=0.1, momentum=0.9
    )
    second = torch.optim.Adam(model[4].parameters(), lr=tensor_rate, foreach=False)
    scheduler = torch.optim.lr_scheduler.StepLR(first, 1, gamma=0.5)
    taken = Taken(first, second)
    for _ in range(15):
        taken.go(1)
        scheduler.step()
    facts = taken.sweep.facts()
    multipliers = dict(facts["multipliers"])
    assert facts["base_rates"] == [[0.1, 0.01], [pytest.approx(0.2)]]
    for step in range(1, 15):
        rates = np.array([0.1, 0.01, 0.2]) * multipliers[step]
        assert np.allclose(np.concatenate(taken.rates[step]), rates, rtol=1e-6)
    assert multipliers[13] / multipliers[1] == pytest.approx(10.0)
    assert [group["lr"] for group in first.param_groups] == [
        pytest.approx(0.1 * 0.5**15),
        pytest.approx(0.01 * 0.5**15),
    ]
    assert second.param_groups[0]["lr"] is tensor_rate
    assert float(tensor_rate) == pytest.approx(0.2)


def test_lets_momentum_go_on_from_the_first_step() -> None:
    model = nn.Linear(4, 4, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    taken = Taken(optimizer)
    taken.go(2)
    assert torch.equal(optimizer.state[model.weight]["momentum_buffer"], torch.full((4, 4), 1.5))


@pytest.mark.parametrize(
    ("optimizer", "reason"),
    [
        (torch.optim.LBFGS([torch.ones(2, requires_grad=True)]), "LBFGS searches"),
        (torch.optim.Rprop([torch.ones(2, requires_grad=True)]), "adapts the rate of every weight"),
        (torch.optim.SGD([torch.ones(2, requires_grad=True)], lr=0.0), "none above 0"),
    ],
)
def test_refuses_an_optimizer_without_a_rate_to_look_for(optimizer: torch.optim.Optimizer, reason: str) -> None:
    with pytest.raises(CureRefusedError, match=reason):
        RateSweep(lambda: 0).take(optimizer)


@pytest.mark.parametrize("curvature", [1e-4, 1.0, 1e5])
def test_finds_a_rate_below_the_bound_of_a_quadratic_and_not_far_below(curvature: float) -> None:
    """Plain descent on a quadratic converges for rates below two divided by its greatest curvature."""
    torch.manual_seed(0)
    session = Session(None, overhead=0.01, watches_every_step=True)
    treatment = TrialTreatment(session, Regimen((), (), None, 0, 0.0), is_range_test=True)
    discovery = Discovery(session, treatment)
    discovery.start()
    curvatures = curvature * torch.tensor([1.0, 0.3, 0.1])
    try:
        model = nn.Linear(3, 1, bias=False)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(RANGE_STEPS):
            model(torch.ones(1, 3))
            loss = 0.5 * (curvatures * model.weight.square()).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    except TrainingStopped:
        pass  # the loss has climbed
    finally:
        discovery.stop()
        assert treatment.sweep is not None
        session.writer.add_facts({"range_test": treatment.sweep.facts()})
        session.stop()
    result = rate_from(session.run)
    assert result.rate is not None, result.reason
    assert 2e-2 / curvature < result.rate < 2.0 / curvature


@pytest.mark.slow
def test_finds_in_a_trial_a_rate_that_trains_where_the_scripts_own_does_not(tmp_path: Path) -> None:
    text = SPECIMEN.replace("* inputs[:, 1:2]", "")  # a side of a plane: learned within the steps of a range test
    for name, value in (("activation", "ReLU"), ("depth", 2), ("scale", 1.0), ("rate", 30.0)):
        text = text.replace("{" + name + "}", str(value))
    bench = bench_for(spec_for(tmp_path, text, steps=150), tmp_path)
    label = "change_learning_rate:range"
    trial = replace(bench.trial(label, 0, "range", RANGE_STEPS), range_test=True).placed_in(bench.folder)
    reading = bench.run([trial])[0]
    assert reading.trial.status == "done", reading.trial.detail
    assert reading.run is not None
    found = rate_from(reading.run)
    assert found.label is not None
    control, treated = bench.run([bench.trial(label, 0, "race", 150) for label in (None, found.label)])
    assert treated.final_loss < 0.6 < control.final_loss
    refused = bench.run([bench.trial(label, 0, "race", 5)])[0]
    assert refused.trial.status == "refused"
    assert "gradiometer cure" in refused.trial.detail
