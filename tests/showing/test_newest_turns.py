import math

import pytest

from gradiometer.schema import ExampleStats, Run
from gradiometer.showing.newest_turns import (
    late_noise_scale,
    median_norm,
    names_of_fades,
    newest,
    newest_similarity,
    outliers_of,
)
from showing.made_run import made_run
from showing.made_turns import made_examples, made_fade, measured_fully


def test_takes_the_newest_turn_that_found_anything() -> None:
    assert newest({4: (), 3: ("a",), 1: ("b",)}) == (3, ("a",))
    assert newest({4: ()}) is None


def test_finds_the_newest_snapshot_with_similarities() -> None:
    assert newest_similarity(measured_fully(made_run())) == 1
    assert newest_similarity(made_run()) is None
    assert newest_similarity(Run()) is None


def test_joins_the_noise_scale_of_the_later_half_only() -> None:
    def step(trace: float) -> ExampleStats:
        return ExampleStats((1.0,), (0,), gradient_squared=2.0, trace=trace)

    scale = late_noise_scale(Run(examples={1: step(9e9), 60: step(30.0), 100: step(50.0)}))
    assert (scale.examples, scale.step_count) == (20.0, 2)
    assert math.isnan(late_noise_scale(Run()).examples)


def test_names_outliers_by_their_index_in_the_data_set_what_is_not_finite_first() -> None:
    lost, hard = outliers_of(made_examples())
    assert (lost.data_index, lost.norm, lost.ratio) == (1004, None, None)
    assert (hard.position, hard.data_index, hard.norm) == (2, 1002, 50.0)
    others = [1.0 + 0.01 * place for place in range(32) if place not in {2, 4}]
    assert hard.ratio == pytest.approx(50.0 / sorted([*others, 50.0])[15])
    assert outliers_of(made_examples(has_indices=False))[1].data_index is None
    assert median_norm(ExampleStats((None,), (0,))) is None


def test_tells_ways_through_time_apart_by_no_more_words_than_needed() -> None:
    assert names_of_fades([made_fade("a"), made_fade("b", is_reverse=True)]) == ["a", "b (reverse)"]
