"""Statistics against numpy in float64."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gradiometer.measuring.statistics import count_nonfinite, measure_norm, split_norm, thin_examples


@given(
    st.lists(st.floats(-4, 4).filter(lambda value: value == 0.0 or abs(value) > 1e-6), min_size=1, max_size=50),
    st.integers(-38, 37),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_norm_is_exact_over_the_whole_range(values: list[float], exponent: int, dtype: torch.dtype) -> None:
    tensor = torch.tensor(values, dtype=torch.float64).mul(10.0**exponent).to(dtype)
    expected = math.hypot(*tensor.tolist())
    assert float(measure_norm(tensor)) == pytest.approx(expected, rel=1e-6, abs=0.0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_norm_of_half_formats_is_summed_in_single(dtype: torch.dtype) -> None:
    tensor = torch.full((4096,), 100.0, dtype=dtype)
    assert float(measure_norm(tensor)) == pytest.approx(6400.0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_counted(bad: float) -> None:
    norm, count = split_norm(torch.tensor([1.0, bad, bad]))
    assert not np.isfinite(float(norm))
    assert int(count) == 2
    assert int(count_nonfinite(torch.tensor([1.0, bad]))) == 1


def test_an_empty_tensor_has_norm_zero() -> None:
    norm, count = split_norm(torch.zeros(0))
    assert float(norm) == 0.0
    assert int(count) == 0


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(0, 3))
def test_thinning_keeps_all_units_and_bounds_the_rest(shape: list[int], unit_dim: int) -> None:
    unit_dim = min(unit_dim, len(shape) - 1)
    tensor = torch.zeros(shape)
    thinned = thin_examples(tensor, unit_dim, most_elements=64)
    assert thinned.shape[unit_dim] == shape[unit_dim]
    assert all(left >= min(full, 8) for left, full in zip(thinned.shape, shape, strict=True))
    assert thinned.numel() <= tensor.numel()


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_measures_the_norm_of_complex_numbers_over_the_whole_range_of_their_format(size: float) -> None:
    values = torch.tensor([3.0 + 4.0j, 12.0j]) * size
    assert float(measure_norm(values)) == pytest.approx(13.0 * size, rel=1e-6)
    assert float(measure_norm(values.conj())) == pytest.approx(13.0 * size, rel=1e-6)
