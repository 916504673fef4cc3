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
from curing.trials.trial_material import DROPOUT, runner_for, spec_for
from gradiometer.curing.trials.live_treatment import Regimen
from gradiometer.curing.trials.range_reading import rate_from
from gradiometer.curing.trials.range_test import RANGE_STEPS, START_RATIO, DivergenceWatch, RateSweep, hold_still
from gradiometer.curing.trials.treatment import TrialTreatment
from gradiometer.errors import CureRefusedError
from gradiometer.launching.discovery import Discovery
from gradiometer.launching.limits import TrainingStopped
from gradiometer.session import Session


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


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW, torch.optim.LBFGS])
def test_holds_weights_still_whatever_the_optimizer_does(kind: Any) -> None:
    model = sigmoid_stack()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = kind(model.parameters(), lr=1.0)
    hold_still(optimizer)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = model(torch.ones(4, 6)).square().sum()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    assert all(torch.equal(new, old) for new, old in zip(model.parameters(), before, strict=True))


@pytest.mark.slow
def test_sees_in_a_still_run_the_losses_that_a_rate_of_zero_gives(tmp_path: Path) -> None:
    """With dropout, a shuffled loader and noise, all drawn from the global generator."""
    specs = []
    for name, rate in (("still", "0.001"), ("zero", "0.0")):
        folder = tmp_path / name
        folder.mkdir()
        specs.append(spec_for(folder, DROPOUT.replace("lr=0.001", f"lr={rate}"), seed=3, step_limit=8))
    still = replace(specs[0], holds_still=True)
    runs = [reading.run for reading in runner_for(still, tmp_path).run([still, specs[1]])]
    assert runs[0] is not None
    assert runs[1] is not None
    assert runs[0].fingerprints == runs[1].fingerprints
    assert len(set(runs[0].losses[0].values)) > 1
    assert np.array_equal(runs[0].losses[0].values, runs[1].losses[0].values)


def descend(curvatures: torch.Tensor, steps: int) -> None:
    """Plain descent on a quadratic of three weights."""
    model = nn.Linear(3, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(steps):
        model(torch.ones(1, 3))
        loss = 0.5 * (curvatures * model.weight.square()).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


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
        with pytest.raises(TrainingStopped):  # the test ends by itself when the loss has climbed
            descend(curvatures, 2 * RANGE_STEPS)
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
    runner = runner_for(spec_for(tmp_path, text, steps=150), tmp_path)
    label = "change_learning_rate:range"
    trial = replace(runner.trial(label, 0, "range", RANGE_STEPS), range_test=True).placed_in(runner.folder)
    reading = runner.run([trial])[0]
    assert reading.trial.status == "done", reading.trial.detail
    assert reading.run is not None
    found = rate_from(reading.run)
    assert found.label is not None
    control, treated = runner.run([runner.trial(label, 0, "race", 150) for label in (None, found.label)])
    assert treated.final_loss < 0.6 < control.final_loss
    refused = runner.run([runner.trial(label, 0, "race", 5)])[0]
    assert refused.trial.status == "refused"
    assert "gradiometer cure" in refused.trial.detail
