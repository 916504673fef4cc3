import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gradiometer.explaining.loss_course import follow_loss, loss_in_words, smoothed
from gradiometer.schema import LossSeries
from gradiometer.units import format_number

LOSSES = st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), max_size=130)


def series(values: list[float]) -> LossSeries:
    numbers = np.array(values, dtype=np.float64)
    return LossSeries("train.py:3", 10 * np.arange(len(values)), numbers, np.isnan(numbers).astype(np.int64))


def numbers_in(text: str) -> list[str]:
    return re.findall(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?", text)


@given(LOSSES)
def test_says_no_loss_and_no_step_that_is_not_on_record(values):
    course = follow_loss(series(values))
    if course is None:
        assert not np.isfinite(values).any()
        return
    recorded = {format_number(value) for value in values if np.isfinite(value)}
    steps = {str(10 * place) for place in range(len(values))}
    assert set(numbers_in(loss_in_words(course))) <= recorded | steps


@given(LOSSES)
def test_gives_the_lowest_window_no_higher_than_both_ends(values):
    course = follow_loss(series(values))
    if course is not None:
        assert course.lowest <= min(course.first, course.last)
        assert course.first_step <= course.most_fallen_step <= course.lowest_step <= course.last_step
        assert course.nonfinite_count == int(np.isnan(values).sum())


def test_tells_a_fall_with_the_step_at_which_most_of_it_was_done():
    course = follow_loss(series([4.0, 2.0, 1.1, 1.05, 1.0]))
    assert course is not None
    assert loss_in_words(course) == (
        "The loss fell from 4 to 1 at its lowest, around step 40; nine tenths of that were done by step 20."
    )


def test_tells_a_rise_after_a_fall():
    course = follow_loss(series([4.0, 1.0, 3.0]))
    assert course is not None
    assert loss_in_words(course).endswith("Then it rose again, to 3 at step 20.")


def test_takes_the_noise_of_batches_for_no_fall():
    noise = 2.3 + 0.2 * np.random.default_rng(0).standard_normal(400)
    course = follow_loss(series(noise.tolist()))
    assert course is not None
    assert not course.has_fallen
    assert "did not move" in loss_in_words(course)


def test_names_a_loss_with_a_single_finite_value():
    course = follow_loss(series([float("nan"), 2.5]))
    assert course is not None
    assert loss_in_words(course, name="the loss at a.py:3").startswith("The loss at a.py:3 was 2.5;")


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=300))
def test_smooths_to_values_that_were_there(values):
    places, medians = smoothed(np.array(values))
    assert set(medians.tolist()) <= set(values)
    assert len(places) == len(medians)
    assert places[0] >= 0
    assert places[-1] < len(values)
