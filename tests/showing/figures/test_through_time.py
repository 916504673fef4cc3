import pytest

from gradiometer.schema import Run
from gradiometer.showing.figures import describe_through_time, draw_through_time
from gradiometer.showing.figures.through_time import MAX_LINES, MAX_POINTS, caption_of_through_time
from showing.made_turns import made_fade


def test_draws_a_steady_fade_as_a_straight_line_in_decibels() -> None:
    run = Run(fades={3: (made_fade(step_count=2),), 7: (made_fade(halving_steps=1.0, step_count=5),)})
    (line,) = describe_through_time(run)["data"]
    assert line["x"] == [0, 1, 2, 3, 4]
    assert line["y"] == pytest.approx([0.0, -6.02, -12.04, -18.06, -24.08])
    assert caption_of_through_time(run) == "Step 7. On its way back the gradient of rnn halves every 1 steps."


def test_marks_a_gradient_of_exactly_zero_below_all_others_and_leaves_a_gap_for_the_unknown() -> None:
    run = Run(fades={3: (made_fade(gains=(1.0, None, 0.1, 0.0), stride=2),)})
    line, marks = describe_through_time(run)["data"]
    assert line["y"] == [0.0, None, -20.0, None]
    assert (line["x"], marks["x"], marks["y"]) == ([0, 2, 4, 6], [6], [-30.0])


def test_stays_small_for_many_layers_and_long_sequences() -> None:
    run = Run(fades={3: tuple(made_fade(f"rnn{i}", step_count=900) for i in range(50))})
    figure = draw_through_time(run)
    assert len(figure.data) <= MAX_LINES
    assert max(len(line.x) for line in figure.data) <= MAX_POINTS
    assert "and 46 more" in caption_of_through_time(run)


def test_says_that_nothing_recurrent_was_measured() -> None:
    assert "No recurrent layer" in draw_through_time(Run()).layout.annotations[0].text
    assert caption_of_through_time(Run()) == ""
