import numpy as np
import pytest

from gradiometer.schema import Run
from gradiometer.showing.figures import describe_learning_speed, draw_learning_speed
from showing.made_run import SNAPSHOT_STEPS, made_run


def test_shows_the_norm_of_every_bias_s_gradient() -> None:
    run = made_run(2)
    lines = [entry for entry in describe_learning_speed(run)["data"] if "lines" in entry["mode"]]
    assert [line["name"] for line in lines] == ["body.0", "body.2", "body.4"]
    assert lines[0]["x"] == list(SNAPSHOT_STEPS)
    rms = run.parameter_column("gradient_rms")[:, 1]
    assert lines[0]["y"] == pytest.approx([8.0 * value for value in rms], rel=1e-3)


def test_draws_the_harmed_layer_thick_and_names_it() -> None:
    parts = describe_learning_speed(made_run(3), frontier="body.3")
    lines = [entry for entry in parts["data"] if "lines" in entry["mode"]]
    (thick,) = [entry for entry in lines if entry["line"]["width"] > 3.0]
    assert [entry["name"] for entry in lines if entry["showlegend"]] == [entry["name"] for entry in lines]
    assert thick["name"].startswith("body.2 ")
    assert thick["line"]["width"] > 3


def test_marks_a_gradient_of_exactly_zero() -> None:
    run = made_run(2, cut_at=2)
    marks = [entry for entry in describe_learning_speed(run)["data"] if entry.get("name") == "exactly zero"]
    assert marks[0]["x"] == list(SNAPSHOT_STEPS)
    smallest = np.nanmin(run.parameter_column("gradient_rms")[run.parameter_column("gradient_rms") > 0]) * 8
    assert marks[0]["y"][0] == pytest.approx(smallest / 10)


@pytest.mark.parametrize("hidden_count", [0, 250])
def test_names_the_unit_for_one_layer_and_for_five_hundred(hidden_count: int) -> None:
    figure = draw_learning_speed(made_run(hidden_count))
    assert "loss per unit of bias" in figure.layout.yaxis.title.text
    assert len(figure.data) <= 62


def test_says_that_no_gradient_was_measured() -> None:
    assert "No layer" in draw_learning_speed(Run()).layout.annotations[0].text
