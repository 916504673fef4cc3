import math
from dataclasses import replace

import pytest

from gradiometer.noise_scale import NoiseScale
from gradiometer.schema import ExampleStats, Run, TimeFade, Turn
from gradiometer.showing.turn_words import (
    fade_db,
    half_life_in_words,
    left_out_line,
    noise_scale_in_words,
    notable_lines,
)
from showing.made_turns import made_examples, made_fade


def calm_examples(trace: float) -> ExampleStats:
    return ExampleStats((1.0,) * 32, tuple(range(32)), None, 32, 1.0, 2.0, trace)


@pytest.mark.parametrize(
    ("steps", "words"),
    [(4.0, "halves every 4 steps"), (-4.0, "doubles every 4 steps"), (math.inf, "keeps its size"), (None, "")],
)
def test_says_how_a_gradient_goes_back_through_time(steps: float | None, words: str) -> None:
    assert half_life_in_words(TimeFade("rnn", half_life_steps=steps)) == words


def test_takes_a_halving_for_six_decibels() -> None:
    assert fade_db(made_fade(halving_steps=4.0, step_count=40)) == pytest.approx(60.2, abs=0.01)
    assert fade_db(TimeFade("rnn")) == fade_db(made_fade(half_life_steps=math.inf)) == 0.0


def test_says_that_a_noise_scale_is_not_known() -> None:
    lost = NoiseScale(-3.0, 1.0, -2.0, 1.0, 6.0, 1.0, 4)
    assert "lost in the noise" in noise_scale_in_words(lost)
    assert noise_scale_in_words(replace(lost, examples=5.0, examples_error=math.nan)) == "5 examples"
    assert noise_scale_in_words(replace(lost, step_count=0)) == ""


def test_is_silent_where_nothing_is_worth_a_line() -> None:
    slow = made_fade(halving_steps=30.0)
    usual = {step: calm_examples(trace) for step, trace in ((8, 60.0), (9, 62.0))}
    assert notable_lines(Run()) == ()
    assert notable_lines(Run(fades={3: (slow,)}, examples=usual)) == ()


def test_calls_no_example_an_outlier_where_none_is_finite() -> None:
    lost = ExampleStats((None,) * 32, tuple(range(32)), None, 32, 1.0, 2.0, 60.0)
    one = ExampleStats((None, *(1.0,) * 31), tuple(range(32)), None, 32, 1.0, 2.0, 60.0)
    assert notable_lines(Run(examples={2: lost})) == ()
    assert any("(not finite)" in line for line in notable_lines(Run(examples={2: one})))


def test_remarks_a_memory_that_fades_a_batch_too_small_and_an_outlier() -> None:
    fast, backwards = made_fade("net.rnn", halving_steps=2.0), made_fade(halving_steps=-1.0, is_reverse=True)
    assert notable_lines(Run(fades={3: (backwards, fast)})) == (
        "on its way back through 40 time steps the gradient of net.rnn halves every 2 steps",
    )
    noisy = {step: calm_examples(trace) for step, trace in ((8, 900.0), (9, 1100.0))}
    (remark,) = notable_lines(Run(examples=noisy))
    assert remark == "gradient noise scale 500 ± 50 examples, in batches of 32: larger batches would pay"
    assert any("example 1004 of the data set" in line for line in notable_lines(Run(examples={7: made_examples()})))


def test_says_what_the_newest_turns_left_out_and_why() -> None:
    old = Turn("per_example", None, (("conv", "sharded"),))
    run = Run(turns={1: old, 5: Turn("per_example", None, tuple((f"norm{i}", "batch norm") for i in range(9)))})
    line = left_out_line(run)
    assert "conv" not in line
    assert line.startswith("gradients of single examples: norm0 (batch norm); ")
    assert line.endswith("and 3 more")
