"""Histograms against numpy.frexp."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from gradiometer.measuring.histograms import (
    BIN_COUNT,
    HIGHEST_EXPONENT,
    LOWEST_EXPONENT,
    ONE_BYTE,
    SAMPLE_SIZE,
    SLOT_COUNT,
    Histogram,
    OctaveCounter,
    bin_edges,
    sample_elements,
    sample_fractions,
)

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64, *sorted(ONE_BYTE, key=str)]


def expected_counts(values: np.ndarray) -> tuple[np.ndarray, int, int]:
    """Bins, zeros and non-finite values of float64 numbers by numpy."""
    magnitudes = np.abs(values[np.isfinite(values) & (values != 0)])
    exponents = np.clip(np.frexp(magnitudes)[1] - 1, LOWEST_EXPONENT, HIGHEST_EXPONENT)
    bins = np.bincount(exponents - LOWEST_EXPONENT, minlength=BIN_COUNT)
    return bins, int((values == 0).sum()), int((~np.isfinite(values)).sum())


def histograms_of(samples: Sequence[Tensor]) -> list[Histogram]:
    """Histograms of samples that are counted together."""
    counter = OctaveCounter()
    counted = [counter.add(sample, len(sample)) for sample in samples]
    counter.finish()
    rows = torch.cat(counter.found).numpy()
    assert rows.shape == (len(samples), SLOT_COUNT)
    assert sorted(counter.order) == list(range(len(samples)))
    return [one.read(rows[counter.order.index(number)]) for number, one in enumerate(counted)]


def histogram_of(tensor: Tensor) -> Histogram:
    """Histogram of one tensor, of a large one from its sample."""
    (found,) = histograms_of([sample_elements(tensor)])
    return replace(found, element_count=tensor.numel())


@given(hnp.arrays(np.float64, st.integers(0, 60), elements=st.floats(width=64)), st.sampled_from(DTYPES))
def test_every_value_falls_into_its_octave(values: np.ndarray, dtype: torch.dtype) -> None:
    tensor = torch.from_numpy(values).to(dtype)
    kept = tensor.double().numpy()
    bins, zeros, nonfinite = expected_counts(kept)
    found = histogram_of(tensor)
    assert found.counts.tolist() == bins.tolist()
    assert (found.zero_count, found.nonfinite_count) == (zeros, nonfinite)
    tiny = torch.finfo(dtype).tiny
    assert found.subnormal_count == int(((np.abs(kept) < tiny) & (kept != 0)).sum())
    assert found.counts.sum() + zeros + nonfinite == len(values) == found.sample_size


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_smallest_normal_number_is_that_of_the_format(dtype: torch.dtype) -> None:
    tiny = torch.finfo(dtype).tiny
    tensor = torch.tensor([tiny, tiny / 2, -tiny / 4, 0.0, 1.0], dtype=torch.float64).to(dtype)
    found = histogram_of(tensor)
    assert found.subnormal_count == 2
    assert found.subnormal_share == pytest.approx(0.4)


def test_edges_belong_to_the_bin_above() -> None:
    edges = bin_edges()
    assert len(edges) == BIN_COUNT + 1
    found = histogram_of(torch.from_numpy(edges[:-1].copy()))
    assert found.counts.tolist() == [1] * BIN_COUNT


def test_what_only_double_precision_holds_is_folded_into_the_ends() -> None:
    found = histogram_of(torch.tensor([5e-324, 1e-300, 1e300], dtype=torch.float64))
    assert found.counts[0] == 2
    assert found.counts[-1] == 1
    assert found.subnormal_count == 1


def test_an_empty_tensor_has_an_empty_histogram() -> None:
    found = histogram_of(torch.zeros(0, 3))
    assert found.counts.sum() == found.zero_count == found.sample_size == 0
    assert math.isnan(found.subnormal_share)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sample_of_a_large_tensor_says_how_far_off_it_may_be(dtype: torch.dtype) -> None:
    tensor = torch.randn(1000, 700).to(dtype)
    sampled = histogram_of(tensor)
    bins, _, _ = expected_counts(tensor.double().flatten().numpy())
    assert sampled.sample_size == SAMPLE_SIZE
    assert sampled.element_count == 700_000
    shares = bins / 700_000
    errors = np.array([sampled.standard_error(share) for share in shares])
    # Five standard errors, for some thirty bins are looked at; one element where a bin is all but empty.
    assert (np.abs(sampled.counts / SAMPLE_SIZE - shares) <= 5 * errors + 5 / SAMPLE_SIZE).all()


def test_the_stated_error_is_the_true_spread() -> None:
    # One fixed sample, many tensors of independent values: shares scatter as a binomial would.
    shares = []
    for _ in range(40):
        tensor = (torch.rand(300_000) < 0.25).float()
        found = histogram_of(tensor)
        shares.append(found.zero_count / found.sample_size - float((tensor == 0).double().mean()))
    stated = found.standard_error(0.25)
    assert stated == pytest.approx(math.sqrt(0.25 * 0.75 / SAMPLE_SIZE))
    # Of 300 000 elements a twentieth is read, so the true spread is a little smaller than stated.
    assert 0.6 * stated < np.std(shares) < 1.3 * stated


def test_small_tensors_are_read_whole() -> None:
    tensor = torch.randn(64, 64)
    assert torch.equal(sample_elements(tensor), tensor.flatten())
    found = histogram_of(tensor)
    assert found.standard_error(0.5) == 0.0


def test_the_sample_is_fixed_spread_out_and_draws_nothing_from_the_training() -> None:
    sample_fractions.cache_clear()
    state = torch.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()
    tensor = torch.arange(1_000_000, dtype=torch.float64)
    first, again = sample_elements(tensor), sample_elements(tensor)
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == numpy_state).all()
    assert first.min() >= 0
    assert first.max() < 1_000_000
    counts = np.bincount((first.numpy() // 100_000).astype(int), minlength=10)
    # Chi-square with nine degrees of freedom: even places exceed this once in a thousand draws.
    assert (np.square(counts - SAMPLE_SIZE / 10) / (SAMPLE_SIZE / 10)).sum() < 27.9


def test_views_are_sampled_by_their_own_order() -> None:
    tensor = torch.randn(500, 400)
    assert torch.equal(sample_elements(tensor.t()), sample_elements(tensor.t().contiguous()))


def test_samples_that_are_counted_together_are_counted_each_by_itself() -> None:
    sizes = [*range(1, 80), SAMPLE_SIZE, SAMPLE_SIZE - 1, *[300] * 40, 0]
    samples = [torch.randn(size) * 2.0**place for place, size in enumerate(sizes)]
    samples += [torch.randn(40).double(), torch.randn(70).bfloat16(), torch.zeros(50)]
    found = histograms_of(samples)
    for one, sample in zip(found, samples, strict=True):
        bins, zeros, nonfinite = expected_counts(sample.double().numpy())
        assert one.counts.tolist() == bins.tolist()
        assert (one.zero_count, one.nonfinite_count, one.sample_size) == (zeros, nonfinite, len(sample))
