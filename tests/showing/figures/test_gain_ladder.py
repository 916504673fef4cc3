import math

import numpy as np
import pytest

from gradiometer.schema import Run
from gradiometer.showing.figures import describe_gain_ladder, draw_gain_ladder
from gradiometer.showing.figures.gain_ladder import floor_below, rungs_of
from gradiometer.showing.figures.layer_tree import MOST_ROWS, all_open, layer_tree
from showing.made_run import made_diagnosis, made_run


def trace(parts, name):
    return next(entry for entry in parts["data"] if entry.get("name") == name)


def test_draws_bars_that_lead_from_the_output_s_level_to_the_input_s() -> None:
    run = made_run()
    parts = describe_gain_ladder(run, snapshot_index=0)
    bars = [entry for entry in parts["data"] if entry["type"] == "bar"]
    total = sum(sum(entry["x"]) for entry in bars)
    expected = float(np.nansum(run.layer_column("gain_db")[0]))
    assert total == pytest.approx(expected, abs=0.05)
    slope = trace(parts, "activation's greatest slope")
    assert slope["x"] == pytest.approx([20 * math.log10(0.25)] * 10, abs=1e-3)
    assert sum(trace(parts, "saturation")["x"]) == pytest.approx(10 * (-12.6 - 20 * math.log10(0.25)), abs=0.02)
    assert len(trace(parts, "weights")["x"]) == 11


def test_marks_the_layer_at_which_the_worst_finding_sets_in() -> None:
    parts = describe_gain_ladder(made_run(), frontier="body.5")
    (shape,) = parts["layout"]["shapes"]
    assert (shape["y0"] + shape["y1"]) / 2 == 15
    assert "<b>body.5</b>" in parts["layout"]["yaxis"]["ticktext"]


def test_names_every_finding_at_the_layer_at_which_it_sets_in() -> None:
    findings = made_diagnosis("body.5").findings
    parts = describe_gain_ladder(made_run(), frontier="body.5", findings=findings)
    words = {(shape["y0"] + shape["y1"]) / 2: shape["label"]["text"] for shape in parts["layout"]["shapes"]}
    assert words == {15: "vanishing starts here", 17: "saturated"}


def test_joins_the_layers_of_closed_blocks_without_losing_a_decibel() -> None:
    run = made_run(250)
    whole = describe_gain_ladder(run, open_names=all_open(layer_tree(run.layers)))
    blocks = describe_gain_ladder(run, frontier="body.123", findings=made_diagnosis("body.200").findings)
    for cause in ("activation's greatest slope", "saturation", "weights"):
        assert sum(trace(blocks, cause)["x"]) == pytest.approx(sum(trace(whole, cause)["x"]), abs=0.5)
    assert max(trace(whole, "level")["y"]) == 500.5
    names = blocks["layout"]["yaxis"]["ticktext"]
    assert "<b>body.123</b>" in names
    assert len(names) <= MOST_ROWS
    held = {shape["label"]["text"] for shape in blocks["layout"]["shapes"]}
    assert held == {"starts here", "vanishing", "saturated"}


def test_stands_a_level_of_minus_infinity_on_a_marked_floor() -> None:
    parts = describe_gain_ladder(made_run(cut_at=7))
    marks = trace(parts, "no gradient left (−∞ dB)")
    finite = [rung.start_db for rung in rungs_of(made_run(cut_at=7), 9) if math.isfinite(rung.start_db)]
    assert marks["x"] == [floor_below(finite)] * 8
    assert marks["y"] == list(range(13, 21))
    assert all(value is not None and math.isfinite(value) for e in parts["data"] for value in e["x"])


@pytest.mark.parametrize("hidden_count", [0, 1, 250])
def test_draws_one_layer_and_five_hundred(hidden_count: int) -> None:
    figure = draw_gain_ladder(made_run(hidden_count))
    assert figure.layout.xaxis.title.text == "level (dB, relative to the output)"
    assert 150 < figure.layout.height < 2000


def test_draws_a_row_without_a_bar_for_a_gain_that_was_not_measured() -> None:
    run = made_run(2)
    run.layer_columns["gain_db"][:, 0] = math.nan
    parts = describe_gain_ladder(run)
    assert len(parts["layout"]["yaxis"]["ticktext"]) == 5
    assert len(trace(parts, "weights")["x"]) == 2


def test_gives_a_gain_that_was_not_measured_the_difference_of_the_levels_around_it() -> None:
    whole, gapped = made_run(4), made_run(4)
    gapped.layer_columns["gain_db"][0, gapped.trunk(0)[3]] = math.nan
    lengths = [
        sum(sum(entry["x"]) for entry in describe_gain_ladder(run, snapshot_index=0)["data"] if entry["type"] == "bar")
        for run in (whole, gapped)
    ]
    assert lengths[1] == pytest.approx(lengths[0], abs=0.05)


def test_says_that_there_is_no_ladder_without_measurements() -> None:
    assert "No full measurement" in draw_gain_ladder(Run()).layout.annotations[0].text
