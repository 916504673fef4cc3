"""The experiment `product`."""

import math
from pathlib import Path
from time import process_time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gradiometer.lab.bench import Bench
from gradiometer.lab.experiments.product.experiment import conduct
from gradiometer.lab.experiments.product.layer_factors import factors_of_start, of_equal_length
from gradiometer.lab.experiments.product.unit_chains import (
    balanced_chain,
    draw_chain,
    draw_terms,
    first_gradient,
    measured_window,
    paths_of,
    terms_of,
    weight_gradient,
    window_width,
)
from gradiometer.lab.networks.feed_forward import draw_network
from gradiometer.recording.reader import read_run


@given(st.integers(1, 8), st.floats(0.1, 4.0), st.integers(0, 1000))
def test_the_terms_multiply_to_the_gradient_of_autograd(length: int, spread: float, seed: int) -> None:
    chain = draw_chain(length, spread, seed)
    biases = [torch.tensor(float(bias), dtype=torch.float64, requires_grad=True) for bias in chain.biases]
    activation = torch.tensor(chain.entry, dtype=torch.float64)
    for weight, bias in zip(chain.weights, biases, strict=True):
        activation = torch.sigmoid(float(weight) * activation + bias)
    (0.5 * (activation - chain.target) ** 2).backward()
    expected = float(biases[0].grad)
    assert math.prod(term.value for term in terms_of(chain)) == pytest.approx(expected, rel=1e-9)
    assert first_gradient(chain) == pytest.approx(expected, rel=1e-9)


@given(st.lists(st.floats(0.01, 30.0), min_size=1, max_size=6))
def test_a_chain_can_be_built_of_any_terms(terms: list[float]) -> None:
    chain = balanced_chain(tuple(terms))
    assert first_gradient(chain) == pytest.approx(math.prod(terms), rel=1e-9)


def test_a_quarter_and_a_third_make_a_twelfth() -> None:
    assert first_gradient(balanced_chain((1 / 4, 1 / 3))) == pytest.approx(1 / 12, abs=1e-15)


@pytest.mark.parametrize("weight", [4.2, 6.9, -6.9, 15.0, 80.0])
def test_the_window_is_as_wide_as_counting_says(weight: float) -> None:
    # The grid of inputs is 1e-5 wide.
    assert window_width(weight) == pytest.approx(measured_window(weight), abs=2e-5)


def test_there_is_no_window_below_four() -> None:
    assert window_width(3.99) == 0.0
    assert measured_window(3.99) == 0.0
    assert window_width(4.0) == 0.0


def test_drawn_terms_are_those_of_chains() -> None:
    terms = draw_terms(5, 1.0, 2000, np.random.default_rng(0))
    assert terms.shape == (2000, 4)
    # |w s'(z)| <= |w| / 4, and |w| from N(0, 1) is below 1 in 68 % of all cases.
    assert 0.6827 < (np.abs(terms) < 0.25).mean() < 0.9


def test_the_paths_of_a_network_sum_up_to_its_gradient() -> None:
    network = draw_network((3, 4, 2, 5, 2), (1,), dtype=np.float64)
    example, target = np.array([0.3, -0.2, 0.9]), np.array([0.0, 1.0])
    paths = paths_of(network, example, target, (2, 3))
    assert len(paths) == 2 * 5 * 2
    total = sum(path.product for path in paths)
    assert total == pytest.approx(weight_gradient(network, example, target, (2, 3)), rel=1e-12)
    # Backpropagation itself is checked against autograd beside `feed_forward`; here the cost is moved instead.
    moved = [_cost_of_moved(network, example, target, change) for change in (1e-6, -1e-6)]
    assert total == pytest.approx((moved[0] - moved[1]) / 2e-6, rel=1e-6)


def _cost_of_moved(network, example: np.ndarray, target: np.ndarray, change: float) -> float:
    activation = example
    for index, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        own = weight[0].copy()
        if index == 0:
            own[2, 3] += change
        activation = 1.0 / (1.0 + np.exp(-(activation @ own + bias[0, 0])))
    return float(-(target * np.log(activation) + (1.0 - target) * np.log(1.0 - activation)).sum())


def test_a_linear_layer_keeps_the_gradient_as_long_as_its_scale_is_one() -> None:
    inputs = of_equal_length(np.random.default_rng(0).random((20, 30)))
    factors = factors_of_start("identity", "glorot", inputs, width=200, depth=4, seeds=range(6))
    assert factors.expected == pytest.approx(1.0)
    assert factors.measured_mean == pytest.approx(1.0, abs=0.02)


def test_goes_through_every_part_and_twice_alike(tmp_path: Path) -> None:
    first = conduct(Bench(tmp_path / "first", size="toy"))
    second = conduct(Bench(tmp_path / "second", size="toy"))
    assert first.rows == second.rows
    assert all(row.measured is not None for row in first.rows)
    exact = [row for row in first.rows if row.standing == "exact"]
    assert len(exact) == 7
    assert all(row.verdict == "within" for row in exact)
    assert all(section.parts for section in first.sections)
    assert len(first.run_files) == 3
    assert read_run(Path(first.run_files[0])).step_count == 6


@pytest.mark.slow
def test_holds_every_row_on_digits_within_half_a_minute(tmp_path: Path) -> None:
    # Of the CPU: what else the machine does is not counted.
    begun = process_time()
    report = conduct(Bench(tmp_path, size="quick"))
    assert report.missed == ()
    assert process_time() - begun < 30.0
