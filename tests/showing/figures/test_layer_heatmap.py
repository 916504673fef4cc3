import math

import pytest

from gradiometer.schema import Run
from gradiometer.showing.figures import describe_layer_heatmap, draw_layer_heatmap
from showing.made_run import SNAPSHOT_STEPS, made_run


def test_shows_every_layer_s_level_at_every_full_measurement() -> None:
    run = made_run(2)
    (heat,) = describe_layer_heatmap(run)["data"]
    levels = run.layer_column("level_db")
    for row in range(5):
        assert heat["z"][row] == pytest.approx(levels[:, row], abs=0.051)
    assert describe_layer_heatmap(run)["layout"]["xaxis"]["ticktext"] == [str(step) for step in SNAPSHOT_STEPS]
    assert heat["zmax"] == -heat["zmin"] == 40


def test_crosses_out_gradients_of_exactly_zero() -> None:
    heat, marks = describe_layer_heatmap(made_run(2, cut_at=2))["data"]
    assert set(marks["y"]) == {0, 1}
    assert heat["z"][0] == [heat["zmin"]] * 10


def test_leaves_a_gap_for_what_was_not_measured() -> None:
    run = made_run(2)
    run.layer_columns["level_db"][3, 1] = math.nan
    (heat,) = describe_layer_heatmap(run)["data"]
    assert heat["z"][1][3] is None


@pytest.mark.parametrize("hidden_count", [0, 250])
def test_draws_one_layer_and_five_hundred(hidden_count: int) -> None:
    figure = draw_layer_heatmap(made_run(hidden_count), frontier="body.0")
    assert len(figure.data[0].z) == 2 * hidden_count + 1
    assert figure.data[0].colorbar.ticksuffix == " dB"


def test_says_that_no_level_was_measured() -> None:
    assert "No level" in draw_layer_heatmap(Run()).layout.annotations[0].text
