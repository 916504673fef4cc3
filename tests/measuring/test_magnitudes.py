"""Histograms of gradients, weights and updates through `watch`, against numpy's own logarithm of every element."""

import math
import warnings
from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gradiometer import watch
from gradiometer.measuring.histograms import SAMPLE_SIZE
from gradiometer.schema import OctaveHistogram, Run


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(7)


def octaves(values: Tensor) -> dict[int, int]:
    """Elements other than zero by the power of two below them, where the logarithm says so."""
    magnitudes = np.abs(values.detach().double().numpy().ravel())
    return dict(Counter(np.floor(np.log2(magnitudes[magnitudes > 0])).astype(int).tolist()))


def bins(found: OctaveHistogram) -> dict[int, int]:
    return {found.first_exponent + place: count for place, count in enumerate(found.counts) if count}


def by_key(run: Run, step: int) -> dict[tuple[str, str], OctaveHistogram]:
    return {(one.parameter, one.quantity): one for one in run.histograms[step]}


@pytest.mark.parametrize("scale", [None, 1024.0])
def test_counts_every_element_of_small_parameters(scale: float | None) -> None:
    model, inputs = nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 2)), torch.randn(6, 7)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu", enabled=scale is not None, init_scale=scale or 1.0)
    before, grads = {}, {}
    with watch(model, optimizer, overhead=1.0, dear=("histograms",)) as watching:
        for _ in range(2):
            optimizer.zero_grad()
            scaler.scale(model(inputs).square().mean()).backward()
            before = {name: value.detach().clone() for name, value in model.named_parameters()}
            grads = {name: value.grad.clone() / (scale or 1.0) for name, value in model.named_parameters()}
            scaler.step(optimizer)
            scaler.update()
    found = by_key(watching.run, 1)
    assert len(found) == 3 * len(before)
    for name, value in model.named_parameters():
        assert bins(found[name, "gradient"]) == octaves(grads[name])
        assert bins(found[name, "weight"]) == octaves(before[name])
        assert bins(found[name, "update"]) == octaves(value.detach() - before[name])
        assert found[name, "gradient"].zero_count == int((grads[name] == 0).sum())
        assert found[name, "weight"].standard_error(0.5) == 0.0


def test_counts_gradients_that_are_handed_to_the_script() -> None:
    model, inputs = nn.Linear(7, 2), torch.randn(6, 7)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    gradients: tuple[Tensor, ...] = ()
    with watch(model, optimizer, overhead=1.0, dear=("histograms",)) as watching:
        for _ in range(2):
            gradients = torch.autograd.grad(model(inputs).square().mean(), tuple(model.parameters()))
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter.grad = 2 * gradient
            optimizer.step()
    found = by_key(watching.run, 1)
    for (name, _), gradient in zip(model.named_parameters(), gradients, strict=True):
        assert bins(found[name, "gradient"]) == octaves(gradient)


def test_reads_a_sample_of_a_large_parameter_and_states_its_error() -> None:
    model = nn.Linear(1000, 100, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, optimizer, overhead=1.0, dear=("histograms",)) as watching:
        for _ in range(2):
            optimizer.zero_grad()
            model(torch.randn(4, 1000)).square().mean().backward()
            optimizer.step()
    found = by_key(watching.run, 1)["weight", "update"]
    assert (found.sample_size, found.element_count) == (SAMPLE_SIZE, 100_000)
    assert found.standard_error(0.5) == pytest.approx(0.5 / math.sqrt(SAMPLE_SIZE))
    weights = by_key(watching.run, 1)["weight", "weight"]
    shares = {octave: count / 100_000 for octave, count in octaves(model.weight).items()}
    for octave, share in shares.items():
        assert bins(weights).get(octave, 0) / weights.sample_size == pytest.approx(
            share, abs=5 * weights.standard_error(share) + 1e-3
        )


def test_tells_the_share_of_a_gradient_that_its_format_hardly_holds() -> None:
    model = nn.Linear(64, 1, bias=False, dtype=torch.float16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    smallest_normal = torch.finfo(torch.float16).tiny
    inputs = torch.tensor([[smallest_normal / 4] * 16 + [smallest_normal * 4] * 32 + [0.0] * 16], dtype=torch.float16)
    with watch(model, optimizer, overhead=1.0, dear=("histograms",)) as watching:
        for _ in range(2):
            optimizer.zero_grad()
            model(inputs).sum().backward()
            optimizer.step()
    assert watching.run.newest_of("gradient_subnormal_share").tolist() == [0.25]
    gradient = by_key(watching.run, 1)["weight", "gradient"]
    assert (gradient.subnormal_count, gradient.zero_count, gradient.subnormal_share) == (16, 16, 0.25)


def test_measures_updates_that_a_script_makes_by_hand() -> None:
    model = nn.Linear(3, 2, bias=False)
    with watch(model, None, overhead=1.0, dear=("histograms",)) as watching:
        for _ in range(3):
            model.zero_grad()
            model(torch.ones(2, 3)).sum().backward()
            with torch.no_grad():
                model.weight -= 0.25 * model.weight.grad
    found = by_key(watching.run, 1)["weight", "update"]
    # The gradient is 2 everywhere, so that the update is a half, but for rounding of the weights.
    assert sum(bins(found).get(octave, 0) for octave in (-2, -1)) == 6


def test_leaves_out_parameters_of_whole_numbers_that_an_optimizer_holds() -> None:
    model = nn.Linear(3, 2)
    model.register_parameter("codes", nn.Parameter(torch.zeros(5, dtype=torch.int8), requires_grad=False))
    model.register_parameter("mask", nn.Parameter(torch.zeros(5, dtype=torch.bool), requires_grad=False))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, optimizer, overhead=1.0, dear=("histograms",)) as watching:
        for _ in range(2):
            optimizer.zero_grad()
            model(torch.ones(4, 3)).square().mean().backward()
            optimizer.step()
    assert [event.text for event in watching.run.events if event.kind == "fault"] == []
    assert {one.parameter for one in watching.run.histograms[1]} == {"weight", "bias"}


def test_counts_complex_parameters() -> None:
    model = nn.Linear(3, 2, dtype=torch.complex64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, optimizer, overhead=1.0, dear=("histograms",)) as watching:
        for _ in range(2):
            optimizer.zero_grad()
            model(torch.ones(4, 3, dtype=torch.complex64)).abs().square().mean().backward()
            before = [value.detach().clone() for value in model.parameters()]
            optimizer.step()
    assert [event.text for event in watching.run.events if event.kind == "fault"] == []
    pairs = list(zip(model.parameters(), before, strict=True))
    ratios = [float((value.detach() - old).abs().norm() / old.abs().norm()) for value, old in pairs]
    found = watching.run.parameter_columns["update_ratio"][-1]
    assert sorted(found.tolist()) == pytest.approx(sorted(ratios), rel=1e-4)


def test_says_nothing_of_weights_whose_squares_overflow() -> None:
    """Large parameters are sampled; the sample's norm is taken again in double precision, without a warning."""
    model = nn.Linear(400, 400)
    with torch.no_grad():
        model.weight.mul_(1e22)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with warnings.catch_warnings(record=True) as said, watch(model, optimizer) as watching:
        warnings.simplefilter("always")
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(4, 400)).sum().backward()
            optimizer.step()
    assert [str(warning.message) for warning in said] == []
    assert watching.run.step_count == 3
