"""Steps far too small, far too large, or taken after one or two examples; and healthy trainings that look like it."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from specimens import CLASSES, INPUTS, WIDTH, Chain, adam, descent, draw, draw_he, make_clusters, train
from torch import Tensor, nn
from torch.nn import functional as F

from gradiometer.diagnosing import diagnose
from gradiometer.diagnosing.loss_path import example_count
from gradiometer.diagnosing.stuck import is_warming_up
from gradiometer.diagnosing.update_shares import rate_excess
from gradiometer.diagnosing.weight_motion import weight_motions
from gradiometer.schema import Finding, Run
from gradiometer.session import watch


def found_in(run: Run, condition: str) -> Finding | None:
    return next((finding for finding in diagnose(run).findings if finding.condition == condition), None)


def small_batches(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    size: int,
    steps: int,
    data: tuple[Tensor, Tensor] | None = None,
    loss_fn: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> Run:
    """Train on batches of some size, every step measured."""
    points, labels = data or make_clusters()
    generator = torch.Generator().manual_seed(1)
    with watch(model, optimizer, overhead=1.0) as watching:
        for _ in range(steps):
            batch = torch.randint(0, len(points), (size,), generator=generator)
            optimizer.zero_grad()
            loss_fn(model(points[batch]), labels[batch]).backward()
            optimizer.step()
    return watching.run


def normalised(norm: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    body = [nn.Linear(INPUTS, WIDTH), norm(WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), norm(WIDTH), nn.ReLU()]
    return nn.Sequential(*body, nn.Linear(WIDTH, CLASSES))


def slow(rate: float, steps: int = 120) -> Run:
    torch.manual_seed(0)
    return train(draw(Chain(2, nn.ReLU()), draw_he), adam(rate), steps=steps)


@pytest.mark.slow
def test_finds_weights_that_move_by_some_hundred_thousandths_a_step():
    run = slow(1e-5)
    assert 1e-5 < max(motion.late_ratio for motion in weight_motions(run)) < 5e-5
    finding = found_in(run, "stuck")
    assert finding is not None
    assert (finding.severity, finding.cause.name) == ("critical", "learning_rate")


def test_leaves_slow_weights_alone_once_the_loss_has_come_down():
    run = slow(1e-5)
    assert found_in(run, "stuck") is not None
    low = [replace(run.losses[0], values=run.losses[0].values * 0.1)]
    assert found_in(replace(run, losses=tuple(low)), "stuck") is None


def warmed(length: int, steps: int) -> Run:
    """Train with a rate that rises over some steps; what was measured lies close together at first, as in use."""
    torch.manual_seed(0)
    model = draw(Chain(2, nn.ReLU()), draw_he)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-6)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / length))
    points, labels = make_clusters()
    with watch(model, optimizer, overhead=1.0) as watching:
        for step in range(steps):
            batch = torch.arange(32 * step, 32 * step + 32) % len(points)
            optimizer.zero_grad()
            F.cross_entropy(model(points[batch]), labels[batch]).backward()
            optimizer.step()
            schedule.step()
    run = watching.run
    kept = np.isin(run.snapshot_steps, [0, 1, 2, 4, 8, 16, 32, 64, 128])
    return replace(
        run,
        snapshot_steps=run.snapshot_steps[kept],
        snapshot_columns={name: values[kept] for name, values in run.snapshot_columns.items()},
        layer_columns={name: values[kept] for name, values in run.layer_columns.items()},
        parameter_columns={name: values[kept] for name, values in run.parameter_columns.items()},
    )


@pytest.mark.parametrize(("length", "is_rising"), [(30, False), (1000, True)])
def test_tells_a_rate_that_still_rises_from_a_warm_up_that_is_over(length, is_rising):
    run = warmed(length, 130)
    assert is_warming_up(run, list(weight_motions(run))) is is_rising
    assert (found_in(run, "stuck") is None) is is_rising


def hyperbolic(depth: int, rate: float) -> Run:
    torch.manual_seed(0)
    return train(Chain(depth, nn.Tanh()), adam(rate), steps=150)


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "rate"), [(5, 0.3), (8, 0.1), (8, 0.04)])
def test_finds_steps_far_above_the_usual_rate_in_a_network_that_learns_a_little(depth, rate):
    finding = found_in(hyperbolic(depth, rate), "thrashing")
    assert finding is not None
    assert (finding.severity, finding.cause.name) == ("warning", "learning_rate")
    assert finding.cures[0].startswith("change_learning_rate:x0.")


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "rate", "times"), [(5, 0.003, 3.0), (3, 0.04, 40.0), (3, 0.1, 100.0)])
def test_leaves_a_rate_alone_under_which_the_network_learns_well(depth, rate, times):
    run = hyperbolic(depth, rate)
    assert rate_excess(run, weight_motions(run)[0]) == pytest.approx(times)
    assert diagnose(run).verdict == "healthy"


def test_counts_a_single_step_as_large_as_the_weights_as_one_that_threw_them_away():
    torch.manual_seed(0)
    points, labels = make_clusters()
    model = draw(Chain(2, nn.ReLU()), draw_he)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
    with watch(model, optimizer, overhead=1.0) as watching:
        for step in range(120):
            optimizer.param_groups[0]["lr"] = 1.0 if step == 0 else 1e-4
            batch = torch.arange(32 * step, 32 * step + 32) % len(points)
            optimizer.zero_grad()
            F.cross_entropy(model(points[batch]), labels[batch]).backward()
            optimizer.step()
    finding = diagnose(watching.run).findings[0]
    assert finding.condition == "thrashing"
    assert finding.step == 0
    assert finding.severity == "critical"


class Adapted(nn.Module):
    """A frozen linear layer with two factors beside it, of which the second starts at zero."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.base = nn.Linear(inputs, outputs).requires_grad_(False)
        self.down = nn.Linear(inputs, 4, bias=False)
        self.up = nn.Linear(4, outputs, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, points: Tensor) -> Tensor:
        return self.base(points) + self.up(self.down(points))


def test_does_not_take_adapters_that_start_at_zero_for_weights_that_are_thrown_away():
    torch.manual_seed(0)
    model = nn.Sequential(Adapted(INPUTS, WIDTH), nn.ReLU(), Adapted(WIDTH, WIDTH), nn.ReLU(), Adapted(WIDTH, CLASSES))
    run = train(model, adam(0.003), steps=80)
    zeros = [motion for motion in weight_motions(run) if np.nanmax(motion.ratios) > 0.7]
    assert len(zeros) == 3
    assert found_in(run, "thrashing") is None


def test_counts_rate_momentum_and_clipping_together():
    def excess(optimizer: Callable[..., torch.optim.Optimizer], most_norm: float = math.inf) -> float:
        torch.manual_seed(0)
        model = Chain(1, nn.ReLU())
        made = optimizer(model.parameters())
        points, labels = make_clusters()
        with watch(model, made, overhead=1.0) as watching:
            for _ in range(4):
                made.zero_grad()
                F.cross_entropy(1e3 * model(points), labels).backward()
                nn.utils.clip_grad_norm_(model.parameters(), most_norm)
                made.step()
        return rate_excess(watching.run, weight_motions(watching.run)[0])

    assert excess(descent(0.1, momentum=0.9)) == pytest.approx(1.0)
    assert excess(descent(0.1)) == pytest.approx(0.1)
    assert excess(descent(0.1, momentum=0.99)) == pytest.approx(10.0)
    assert excess(adam(0.05)) == pytest.approx(50.0)
    assert excess(adam(0.05), most_norm=1e-3) == pytest.approx(50.0)
    assert excess(descent(0.1, momentum=0.99), most_norm=1e-3) < 0.1


@pytest.mark.slow
def test_finds_batch_normalisation_over_two_examples_and_not_over_many():
    def over(size: int) -> Run:
        model = normalised(nn.BatchNorm1d)
        return small_batches(model, adam(1e-3)(model.parameters()), size, 150)

    finding = found_in(over(2), "noisy")
    assert finding is not None
    assert finding.cause.name == "normalisation"
    assert finding.layers == ("1", "4")
    assert diagnose(over(32)).verdict == "healthy"


@pytest.mark.slow
def test_leaves_two_examples_alone_under_a_norm_that_looks_at_each_by_itself():
    model = normalised(nn.LayerNorm)
    assert diagnose(small_batches(model, adam(1e-3)(model.parameters()), 2, 400)).verdict == "healthy"


def line_with_noise() -> tuple[Tensor, Tensor]:
    """Points and one number for each, half of which is noise."""
    generator = torch.Generator().manual_seed(3)
    points = torch.randn(512, INPUTS, generator=generator)
    return points, (points[:, :1] + 0.7 * torch.randn(512, 1, generator=generator))


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "is_found"), [(0.003, True), (0.0002, False)])
def test_finds_one_example_at_a_time_under_a_rate_for_many(rate, is_found):
    torch.manual_seed(0)
    model = draw(Chain(2, nn.Tanh(), outputs=1), nn.init.xavier_normal_)
    run = small_batches(model, descent(rate, momentum=0.9)(model.parameters()), 1, 400, line_with_noise(), F.mse_loss)
    finding = found_in(run, "noisy")
    assert (finding is not None) is is_found
    assert finding is None or finding.cause.name == "batch_size"


def test_counts_labelled_tokens_one_by_one_and_the_numbers_of_one_output_together():
    def path(shape: list[int], kind: str) -> Run:
        fact = {"loss": "cross_entropy", "operations": [], "target_shape": shape, "target_kind": kind}
        return Run(facts={"loss_path": fact, "batch_size": 1})

    assert example_count(path([1, 32], "classes")) == 32
    assert example_count(path([1, 64], "numbers")) == 1
    assert example_count(path([1, 20, 20], "numbers")) == 20
    assert example_count(path([7], "numbers")) == 7
    assert example_count(Run(facts={"batch_size": 5})) == 5
    assert example_count(Run()) is None
