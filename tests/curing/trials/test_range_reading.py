import math

import numpy as np
import pytest

from gradiometer.curing.trials.range_reading import EDGE_SAFETY, MOST, SAFETY, rate_from
from gradiometer.curing.trials.range_test import RANGE_STEPS, STEPS_PER_DECADE
from gradiometer.schema import FloatArray, LossSeries, Run

FACTORS = [1e-5 * 10 ** (step / STEPS_PER_DECADE) for step in range(RANGE_STEPS)]
BATCHES = {step: f"batch {step}" for step in range(RANGE_STEPS)}
HARDNESS = 0.5 * np.random.default_rng(0).standard_normal(RANGE_STEPS)
"""What the loss of each batch lies above the usual: more than is ever learned in these tests."""


def run_of(
    losses: "list[float] | FloatArray",
    bases: list[list[float]] | None = None,
    batches: dict[int, str] | None = None,
) -> Run:
    """A range test, or a still run, with these losses."""
    steps = np.arange(len(losses))
    is_bad = ~np.isfinite(losses)
    series = LossSeries("train.py:9", steps, np.where(is_bad, np.nan, losses), is_bad.astype(np.int64))
    multipliers = [[step, factor] for step, factor in enumerate(FACTORS[: len(losses)])]
    facts = {"range_test": {"base_rates": bases or [[1.0]], "multipliers": multipliers}}
    return Run(losses=(series,), facts=facts, fingerprints=BATCHES if batches is None else batches)


def valley(bottom: int, count: int = RANGE_STEPS) -> list[float]:
    """A loss that stays, falls to its least within twenty steps and rises again."""
    return [2.0 + 0.02 * min(20, abs(step - bottom)) for step in range(count)]


def rise(begin: int) -> FloatArray:
    """A loss that stays and then grows with the rate."""
    return np.array([2.0 + 0.1 * max(0, step - begin) for step in range(RANGE_STEPS)])


DOWN = 40 - round(20 * (1 - MOST))
"""Step at which a valley's loss with its bottom at 40 is down."""


def test_takes_a_seventh_of_the_rate_at_which_the_loss_is_down() -> None:
    result = rate_from(run_of(valley(40)))
    assert result.rate == pytest.approx(FACTORS[DOWN] / SAFETY, rel=0.3)  # the mean of five steps lags by one
    assert result.label == f"change_learning_rate:={result.rate:g}"
    assert "a seventh of that" in result.reason


def test_multiplies_rates_that_differ_and_sets_one_that_all_share() -> None:
    one = rate_from(run_of(valley(40)))
    several = rate_from(run_of(valley(40), [[0.5, 0.05], [0.5]]))
    assert several.factor == one.rate
    assert several.label == f"change_learning_rate:x{several.factor:g}"
    assert rate_from(run_of(valley(40), [[0.5], [0.5]])).label == f"change_learning_rate:={several.rate:g}"


@pytest.mark.parametrize("scale", [2.0**20, 2.0**-20])
def test_does_not_change_with_the_scale_of_the_loss(scale: float) -> None:
    losses = np.array(valley(35))
    assert rate_from(run_of(losses * scale)) == rate_from(run_of(losses))
    noisy, still = losses + HARDNESS, 2.4 + HARDNESS
    assert rate_from(run_of(noisy * scale), run_of(still * scale)) == rate_from(run_of(noisy), run_of(still))
    risen = rate_from(run_of((rise(70) + HARDNESS) * scale), run_of((2.0 + HARDNESS) * scale))
    assert risen == rate_from(run_of(rise(70) + HARDNESS), run_of(2.0 + HARDNESS))


def test_reads_what_the_noise_of_batches_hides_where_a_still_run_tells_it() -> None:
    noisy = np.array(valley(40)) + HARDNESS
    assert rate_from(run_of(noisy)).rate is None
    assert rate_from(run_of(noisy), run_of(2.4 + HARDNESS)) == rate_from(run_of(valley(40)))


@pytest.mark.parametrize("batches", [{**BATCHES, 20: "another"}, {}])
def test_goes_by_the_losses_alone_where_a_still_run_saw_other_batches(batches: dict[int, str]) -> None:
    noisy = np.array(valley(40)) + HARDNESS
    assert rate_from(run_of(noisy), run_of(2.4 + HARDNESS, batches=batches)) == rate_from(run_of(noisy))
    short = run_of(2.4 + HARDNESS[:50])
    assert rate_from(run_of(noisy), short) == rate_from(run_of(noisy))
    assert rate_from(run_of(noisy), Run()) == rate_from(run_of(noisy))


def test_takes_the_steps_of_a_test_that_ended_before_its_still_run() -> None:
    noisy = np.array(valley(40, 60)) + HARDNESS[:60]
    assert rate_from(run_of(noisy), run_of(2.4 + HARDNESS)).rate == rate_from(run_of(valley(40))).rate


def test_says_where_the_loss_never_falls() -> None:
    noise = 2.3 + 0.1 * np.random.default_rng(0).standard_normal(RANGE_STEPS)
    for losses in ([2.3] * RANGE_STEPS, list(noise), [2.3 + 0.1 * step for step in range(RANGE_STEPS)]):
        result = rate_from(run_of(losses))
        assert result.rate is None
        assert result.label is None
        assert "did not fall at any rate" in result.reason


def test_calls_no_fall_what_differences_that_scatter_more_and_more_give_by_chance() -> None:
    for seed in range(20):
        scatter = np.array(FACTORS) ** 0.3 * np.random.default_rng(seed).standard_normal(RANGE_STEPS)
        result = rate_from(run_of(2.0 + 0.05 * scatter + HARDNESS), run_of(2.0 + HARDNESS))
        assert result.rate is None or "nothing was learned" in result.reason


def test_stays_below_the_rise_where_nothing_is_learned_and_the_scripts_rate_is_of_another_size() -> None:
    result = rate_from(run_of(rise(90) + HARDNESS), run_of(2.0 + HARDNESS))
    assert result.rate == pytest.approx(FACTORS[93] / EDGE_SAFETY, rel=0.3)
    assert "nothing was learned" in result.reason
    assert result.label == f"change_learning_rate:={result.rate:g}"
    early = rate_from(run_of(rise(20) + HARDNESS), run_of(2.0 + HARDNESS))
    assert early.rate == pytest.approx(FACTORS[23] / EDGE_SAFETY, rel=0.3)


def test_finds_none_where_nothing_is_learned_at_a_rate_of_the_scripts_size() -> None:
    at_twenty = next(step for step, factor in enumerate(FACTORS) if factor > EDGE_SAFETY)
    result = rate_from(run_of(rise(at_twenty) + HARDNESS), run_of(2.0 + HARDNESS))
    assert result.label is None
    assert "the one that is set is of the size that it bears" in result.reason


def test_says_where_the_test_came_to_nothing() -> None:
    assert "finite in 3 steps" in rate_from(run_of([2.0, 1.9, 1.8, math.nan, 1.0])).reason
    assert "recorded no loss" in rate_from(Run()).reason
    assert rate_from(Run(facts={"refusal": "LBFGS searches"})).reason == "LBFGS searches"


def test_leaves_out_what_comes_after_a_loss_that_is_not_finite() -> None:
    losses = valley(40)
    losses[55:] = [math.nan, *([0.0] * (len(losses) - 56))]
    result = rate_from(run_of(losses))
    assert result.rate is not None
    assert result == rate_from(run_of(losses[:55]))


def test_says_where_the_loss_had_not_risen_yet() -> None:
    falling = [2.0 - 0.02 * step for step in range(RANGE_STEPS)]
    assert "had not risen yet" in rate_from(run_of(falling)).reason
    assert "had not risen yet" not in rate_from(run_of(valley(40))).reason
