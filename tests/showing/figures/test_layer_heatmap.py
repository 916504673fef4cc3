import math
from dataclasses import replace

import numpy as np
import pytest

from gradiometer.schema import Run
from gradiometer.showing.figures import describe_layer_heatmap, draw_layer_heatmap
from gradiometer.showing.figures.layer_heatmap import HEAT_KINDS, caption_of_layer_heatmap
from gradiometer.showing.figures.layer_tree import MOST_ROWS, all_open, layer_tree
from showing.made_run import SNAPSHOT_STEPS, made_run


def test_shows_every_layer_s_level_at_every_full_measurement() -> None:
    run = made_run(2)
    (heat,) = describe_layer_heatmap(run)["data"]
    levels = run.layer_column("level_db")
    for row in range(5):
        assert heat["y"][row] == f"body.{row}"
        assert heat["z"][row] == pytest.approx(levels[:, row], abs=0.051)
    assert heat["x"] == [str(step) for step in SNAPSHOT_STEPS]
    assert describe_layer_heatmap(run)["layout"]["xaxis"]["ticktext"] == heat["x"]
    assert heat["zmax"] == -heat["zmin"] == 40


def test_shows_update_ratios_as_powers_of_ten_about_a_thousandth() -> None:
    run = made_run(2)
    (heat,) = describe_layer_heatmap(run, quantity="update_ratio")["data"]
    assert heat["y"] == ["body.0", "body.2", "body.4"]
    ratios = run.parameter_column("update_ratio")[:, ::2]
    assert heat["z"][2] == pytest.approx(np.log10(ratios[:, 2]), abs=0.051)
    assert (heat["zmin"] + heat["zmax"]) / 2 == math.log10(1e-3)


@pytest.mark.parametrize("quantity", ["saturated_share", "dead_share"])
def test_shows_shares_of_units_in_percent_where_they_are_judged(quantity: str) -> None:
    run = made_run(2)
    (heat,) = describe_layer_heatmap(run, quantity=quantity)["data"]
    assert heat["y"] == ["body.1", "body.3"]
    assert heat["z"] == [[12.5 if quantity == "saturated_share" else 0] * 10] * 2
    assert (heat["zmin"], heat["zmax"]) == (0, 100)


def test_crosses_out_gradients_of_exactly_zero_and_weights_that_stand_still() -> None:
    run = made_run(2, cut_at=2)
    heat, marks = describe_layer_heatmap(run)["data"]
    assert set(marks["y"]) == {"body.0", "body.1"}
    assert heat["z"][0] == [heat["zmin"]] * 10
    ratios, still = describe_layer_heatmap(run, quantity="update_ratio")["data"]
    assert set(still["y"]) == {"body.0"}
    assert ratios["z"][0] == [-6] * 10


def test_leaves_a_gap_for_what_was_not_measured() -> None:
    run = made_run(2)
    run.layer_columns["level_db"][3, 1] = math.nan
    (heat,) = describe_layer_heatmap(run)["data"]
    assert heat["z"][1][3] is None


def test_shows_deep_networks_by_blocks_with_the_frontier_on_its_own() -> None:
    run = made_run(250)
    figure = draw_layer_heatmap(run, frontier="body.7")
    rows = list(figure.data[0].y)
    assert len(rows) <= MOST_ROWS
    assert {"body.7", "body.500", "body.10 … 19"} <= set(rows)
    assert "<b>body.7</b>" in figure.layout.yaxis.ticktext
    assert figure.data[0].colorbar.ticksuffix == " dB"


def test_opens_the_blocks_that_it_is_told_to() -> None:
    run = made_run(250)
    (layers,) = describe_layer_heatmap(run, open_names=all_open(layer_tree(run.layers)))["data"]
    assert layers["y"] == [layer.name for layer in run.layers]
    (whole,) = describe_layer_heatmap(run, open_names=())["data"]
    assert whole["y"] == ["*"]


def test_says_what_stands_out_and_nothing_where_nothing_does() -> None:
    run = made_run(2)
    assert caption_of_layer_heatmap(run, quantity="saturated_share") == "Most: 12 % of body.1, first at step 0."
    assert caption_of_layer_heatmap(run, quantity="dead_share") == ""
    said = caption_of_layer_heatmap(run, quantity="update_ratio")
    assert said.startswith("Step 256: from ")
    assert said.index("body.0") < said.index("body.4")


@pytest.mark.parametrize("quantity", HEAT_KINDS)
def test_says_that_nothing_was_measured(quantity: str) -> None:
    for run in (Run(), replace(made_run(1), layer_columns={}, parameter_columns={})):
        assert "not measured" in draw_layer_heatmap(run, quantity=quantity).layout.annotations[0].text
        assert caption_of_layer_heatmap(run, quantity=quantity) == ""


def test_draws_a_single_layer() -> None:
    assert len(draw_layer_heatmap(made_run(0), frontier="body.0").data[0].z) == 1
