import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gradiometer.curing.trials.verdict import Pair, compare


def pairs_of(control: list[float], treated: list[float], start: float | None = 3.0) -> list[Pair]:
    return [Pair(c, t, start) for c, t in zip(control, treated, strict=True)]


def test_agrees_with_scipys_paired_test() -> None:
    control, treated = [2.3, 2.2, 2.4, 2.35], [1.9, 2.0, 1.8, 2.1]
    expected = stats.ttest_rel(treated, control).confidence_interval(0.95)
    comparison = compare(pairs_of(control, treated))

    assert comparison.interval == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert comparison.difference == pytest.approx(np.mean(treated) - np.mean(control))
    assert comparison.verdict == "better"


def test_agrees_with_scipys_unpaired_test_where_batches_differ() -> None:
    control, treated = [2.3, 2.2, 2.4, 2.35], [1.9, 2.0, 1.8, 2.1]
    expected = stats.ttest_ind(treated, control, equal_var=False).confidence_interval(0.95)
    comparison = compare(pairs_of(control, treated), is_paired=False)

    assert comparison.interval == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert "unpaired" in comparison.detail


def test_widens_the_interval_for_every_cure_compared() -> None:
    pairs = pairs_of([2.3, 2.2, 2.4], [1.9, 2.0, 1.8])
    alone, among_three = compare(pairs), compare(pairs, comparison_count=3)

    assert among_three.confidence == pytest.approx(1 - 0.05 / 3)
    assert alone.interval is not None
    assert among_three.interval is not None
    assert among_three.interval[0] < alone.interval[0]
    assert among_three.interval[1] > alone.interval[1]


def test_shows_nothing_where_the_interval_holds_zero() -> None:
    assert compare(pairs_of([2.3, 2.2, 2.4], [2.0, 2.5, 2.2])).verdict == "not shown"


def test_calls_a_sure_but_tiny_improvement_none() -> None:
    comparison = compare(pairs_of([2.0, 2.0, 2.0], [1.99, 1.99, 1.989]))

    assert comparison.interval is not None
    assert comparison.interval[1] < 0.0
    assert comparison.verdict == "not shown"
    assert "too small" in comparison.detail


def test_calls_a_cure_worse_that_raises_the_loss() -> None:
    assert compare(pairs_of([1.0, 1.1, 1.05], [2.0, 2.2, 2.1])).verdict == "worse"


def test_counts_a_control_that_blew_up_with_the_loss_it_started_from() -> None:
    comparison = compare(pairs_of([math.inf] * 3, [0.5, 0.6, 0.55], start=2.3))

    assert comparison.verdict == "better"
    assert comparison.difference == pytest.approx(0.55 - 2.3)
    assert "3 of 3" in comparison.detail


def test_is_not_misled_by_how_far_out_controls_are_thrown() -> None:
    # Starting losses of a table in raw units, five seeds, and where standardised inputs ended.
    starts, ends = [2.2e7, 3.8e5, 7.7e6, 1.5e6, 1.1e7], [0.415, 0.424, 0.407, 0.406, 0.425]
    lost = [Pair(math.inf, end, start) for end, start in zip(ends, starts, strict=True)]
    assert compare(lost, comparison_count=10).verdict == "better"
    thrown = [Pair(start * 1e6, end, 3.0) for end, start in zip(ends, starts, strict=True)]
    assert compare(thrown, comparison_count=10).verdict == "better"


def test_does_not_call_a_cure_better_that_only_stays_finite_at_the_starting_loss() -> None:
    assert compare(pairs_of([math.inf] * 3, [2.3, 2.4, 2.2], start=2.3)).verdict == "not shown"


def test_calls_a_cure_worse_that_takes_every_finite_loss_away() -> None:
    assert compare(pairs_of([1.0, 1.0, 1.0], [math.inf] * 3)).verdict == "worse"
    assert compare(pairs_of([1.0, 1.0, 1.0], [0.1, 0.1, math.inf])).verdict == "not shown"


def test_says_that_one_pair_is_too_few() -> None:
    comparison = compare(pairs_of([2.0], [0.1]))

    assert comparison.verdict == "not shown"
    assert comparison.interval is None
    assert "--seeds" in comparison.detail
    assert compare([]).verdict == "not shown"


def test_gives_a_point_where_all_differences_are_equal() -> None:
    comparison = compare(pairs_of([2.0, 3.0], [1.0, 2.0]))
    assert comparison.interval == (-1.0, -1.0)
    assert "few" in comparison.detail
    assert compare(pairs_of([2.0, 2.0], [1.0, 1.0]), is_paired=False).interval == (-1.0, -1.0)


@given(
    st.lists(st.tuples(st.floats(0.1, 10.0), st.floats(0.1, 10.0)), min_size=2, max_size=6),
    st.integers(-6, 6),
)
def test_judges_alike_whatever_the_losses_scale(losses: list[tuple[float, float]], power: int) -> None:
    scale = 2.0**power  # exact, so that even borderline cases stay what they are
    plain = compare([Pair(c, t) for c, t in losses])
    scaled = compare([Pair(c * scale, t * scale) for c, t in losses])
    assert plain.verdict == scaled.verdict


def test_finds_nothing_in_noise_about_as_rarely_as_it_says() -> None:
    generator = np.random.default_rng(0)
    draws = generator.normal(2.0, 0.5, size=(2000, 2, 4))
    wrong = sum(compare(pairs_of(list(c), list(t))).verdict != "not shown" for c, t in draws)
    # Both tails together are 5 %; three standard deviations of 2000 draws are 1.5 %.
    assert wrong / 2000 < 0.065


def test_calls_nothing_worse_for_a_control_that_counts_with_its_start() -> None:
    pairs = [Pair(1e9, 50.0, 3.0), Pair(1e9, 51.0, 3.0), Pair(1e9, 50.5, 3.0), Pair(1e9, 49.0, 3.0)]
    assert compare(pairs).verdict == "not shown"
