from dataclasses import replace

import pytest

from gradiometer.schema import Run
from gradiometer.showing.figures import describe_loss_and_updates, draw_loss_and_updates
from showing.made_run import made_loss, made_run


def test_shows_the_loss_of_every_step_and_the_update_ratio_of_every_layer() -> None:
    run = made_run(2)
    loss, *ratios = [entry for entry in describe_loss_and_updates(run)["data"] if "lines" in entry["mode"]]
    assert loss["y"] == pytest.approx(run.losses[0].values, rel=1e-4)
    assert [line["name"] for line in ratios] == ["body.0", "body.2", "body.4"]
    assert {line["yaxis"] for line in ratios} == {"y2"}


def test_shows_the_band_of_usual_update_ratios() -> None:
    (band,) = describe_loss_and_updates(made_run())["layout"]["shapes"]
    assert (band["yref"], band["y0"], band["y1"]) == ("y2", 1e-4, 1e-2)


def test_marks_the_steps_whose_loss_was_not_finite() -> None:
    run = replace(made_run(1), losses=(made_loss(300, nan_from=120),))
    (marks,) = [e for e in describe_loss_and_updates(run)["data"] if e.get("name") == "loss is NaN or infinite"]
    assert (min(marks["x"]), max(marks["x"])) == (120, 299)


def test_draws_a_loss_that_was_never_finite() -> None:
    run = replace(made_run(1), losses=(made_loss(5, nan_from=0),))
    assert draw_loss_and_updates(run).data[1].y[0] == 1.0


def test_takes_a_logarithmic_axis_for_a_loss_that_fell_far() -> None:
    series = made_loss(300)
    series.values[200:] = 1e-3
    assert describe_loss_and_updates(replace(made_run(1), losses=(series,)))["layout"]["yaxis"]["type"] == "log"


def test_draws_what_there_is_and_says_when_there_is_nothing() -> None:
    assert len(draw_loss_and_updates(replace(Run(), losses=(made_loss(1),))).data) == 1
    assert "Neither" in draw_loss_and_updates(Run()).layout.annotations[0].text
