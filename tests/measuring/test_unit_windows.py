"""Saturated and dead units against counts made with numpy."""

import numpy as np
import pytest
import torch

from gradiometer.activations import ACTIVATIONS, activation_of
from gradiometer.measuring.unit_windows import ABOVE_ZERO, WINDOW_BATCHES, UnitWindow, count_where


def shares(window: UnitWindow) -> tuple[float | None, float | None, int]:
    saturated, dead, examples = window.shares()
    return (
        None if saturated is None else float(saturated),
        None if dead is None else float(dead),
        examples,
    )


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "hardtanh", "softsign"])
def test_a_unit_is_saturated_by_its_slope_on_most_examples(name: str) -> None:
    activation = ACTIVATIONS[name]
    generator = np.random.default_rng(3)
    pre = generator.normal(0.0, 1.0, (200, 6)) * np.array([0.1, 1.0, 30.0, 300.0, 3000.0, 1.0])
    pre[:, 5] = np.where(np.arange(200) < 189, 100.0, 0.0)  # flat on 94.5 %: not saturated
    flat = np.abs(activation.slope(pre)) < 0.05 * activation.greatest_slope
    expected = float((flat.mean(0) >= 0.95).mean())
    window = UnitWindow()
    window.add(activation, torch.from_numpy(pre), torch.from_numpy(activation.function(pre)), 1)
    saturated, dead, examples = shares(window)
    assert saturated == pytest.approx(expected)
    assert dead is None
    assert examples == 200


def test_a_unit_is_dead_only_if_no_example_of_the_window_wakes_it() -> None:
    relu = activation_of("relu")
    window = UnitWindow()
    pre = torch.full((10, 4), -1.0)
    window.add(relu, pre, pre.relu(), 1)
    assert shares(window)[1] == 1.0
    awake = pre.clone()
    awake[3, 2] = 0.5
    window.add(relu, awake, awake.relu(), 1)
    assert shares(window)[1] == 0.75


def test_a_window_forgets_what_is_older_than_sixteen_batches() -> None:
    relu = activation_of("relu")
    window = UnitWindow()
    awake, asleep = torch.ones(4, 2), -torch.ones(4, 2)
    window.add(relu, awake, awake.relu(), 1)
    for _ in range(2 * WINDOW_BATCHES):
        window.add(relu, asleep, asleep.relu(), 1)
    assert shares(window)[1] == 1.0


def test_channels_are_units_of_a_convolution() -> None:
    relu = activation_of("relu")
    pre = torch.randn(5, 3, 8, 8)
    pre[:, 1] = -1.0
    window = UnitWindow()
    window.add(relu, pre, pre.relu(), 1)
    assert shares(window)[1] == pytest.approx(1 / 3)


def test_a_layer_that_changes_its_width_starts_anew() -> None:
    relu = activation_of("relu")
    window = UnitWindow()
    window.add(relu, -torch.ones(4, 2), torch.zeros(4, 2), 1)
    window.add(relu, torch.ones(4, 3), torch.ones(4, 3), 1)
    assert shares(window)[1:] == (0.0, 4)


def test_an_empty_batch_counts_for_nothing() -> None:
    window = UnitWindow()
    window.add(activation_of("relu"), torch.zeros(0, 4), torch.zeros(0, 4), 1)
    assert shares(window) == (None, None, 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    ("shape", "unit_dim"), [((700, 16), 1), ((700, 13), 1), ((3, 90, 8), 2), ((5, 6, 7, 9), 1), ((24,), 0), ((1, 8), 1)]
)
def test_counts_the_examples_of_every_unit(shape: tuple[int, ...], unit_dim: int, dtype: torch.dtype) -> None:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    values.view(-1)[::5] = float("nan")
    units = values.movedim(unit_dim, 0).reshape(shape[unit_dim], -1).double().numpy()
    other_dims = tuple(dim for dim in range(len(shape)) if dim != unit_dim)
    assert count_where(values, ABOVE_ZERO, other_dims).tolist() == [int(np.sum(unit > 0)) for unit in units]


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "prelu", "relu6", "hardtanh", "hardsigmoid", "threshold"])
@pytest.mark.parametrize("is_overwritten", [False, True])
def test_a_unit_is_linear_where_it_never_leaves_one_steep_piece(name: str, is_overwritten: bool) -> None:
    activation = ACTIVATIONS[name]
    generator = np.random.default_rng(7)
    scales = np.array([0.5, 0.5, 0.5, 5.0, 9.0, 0.4])
    shifts = np.array([2.0, -2.0, 0.3, 20.0, -20.0, 0.5])
    window = UnitWindow()
    batches = [generator.uniform(-1.0, 1.0, (40, 6)) * scales + shifts for _ in range(3)]
    for pre in batches:
        output = torch.from_numpy(activation.function(pre))
        window.add(activation, None if is_overwritten else torch.from_numpy(pre), output, 1)
    seen = np.concatenate(batches)
    places = np.searchsorted(np.array(activation.kinks), seen)
    is_one_piece = (places == places[0]).all(0)
    expected = float((is_one_piece & (activation.slope(seen) != 0.0).all(0)).mean())
    share = window.linear_share()
    if is_overwritten and name != "relu":
        assert share is None
    else:
        assert share == pytest.approx(expected)


@pytest.mark.parametrize("name", ["sigmoid", "gelu", "hardswish"])
def test_judges_no_linear_units_of_an_activation_that_is_curved(name: str) -> None:
    window = UnitWindow()
    window.add(ACTIVATIONS[name], torch.ones(8, 3), torch.ones(8, 3), 1)
    assert window.linear_share() is None
