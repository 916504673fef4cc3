from dataclasses import replace

import pytest

from gradiometer.schema import Run
from gradiometer.showing.figures import describe_noise_scale, draw_noise_scale
from gradiometer.showing.figures.noise_scale import MAX_POINTS, caption_of_noise_scale, scales_over
from showing.made_turns import made_examples


def measured(count: int, **changes: object) -> Run:
    return Run(
        examples={10 * turn: replace(made_examples(), trace=600.0 + 100.0 * turn, **changes) for turn in range(count)}
    )


def test_joins_the_turns_up_to_each_point() -> None:
    scales = scales_over(measured(10))
    assert [step for step, _ in scales] == [20, 30, 40, 50, 60, 70, 80, 90]
    # Traces 600 to 800 over a squared gradient of 2, and the last eight of them: 800 to 1500.
    assert scales[0][1].examples == pytest.approx(350.0)
    assert scales[-1][1].examples == pytest.approx(575.0)


def test_draws_the_curve_beside_the_batch() -> None:
    curve, batch = describe_noise_scale(measured(6))["data"]
    assert curve["y"][0] == 350.0
    assert all(below < value for below, value in zip(curve["error_y"]["arrayminus"], curve["y"], strict=True))
    assert batch["y"] == [64, 64]
    assert caption_of_noise_scale(measured(6)).startswith("350 ± ")


def test_leaves_out_what_noise_hides() -> None:
    assert scales_over(measured(6, gradient_squared=-1.0)) == []
    assert "Too few" in draw_noise_scale(measured(6, gradient_squared=-1.0)).layout.annotations[0].text
    assert caption_of_noise_scale(measured(3)) == ""


def test_stays_small_for_many_turns() -> None:
    assert len(describe_noise_scale(measured(500))["data"][0]["x"]) <= MAX_POINTS


def test_says_that_nothing_was_measured() -> None:
    assert "Too few" in draw_noise_scale(Run()).layout.annotations[0].text
