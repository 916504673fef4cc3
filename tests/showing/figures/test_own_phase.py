import math
from dataclasses import replace

import numpy as np
import pytest

from gradiometer.schema import Run
from gradiometer.showing.figures import describe_own_phase, draw_own_phase
from gradiometer.showing.figures.own_phase import caption_of_own_phase, own_phase
from showing.made_run import made_run


def scaled(run: Run, sigma_w: float) -> Run:
    """The run with weights of this scale, of 64 inputs each, and biases of a tenth."""
    sizes = np.array([sigma_w / 8.0 if name.name.endswith("weight") else 0.1 for name in run.parameters])
    grid = np.tile(sizes, (run.snapshot_count, 1))
    return replace(run, parameter_columns={**run.parameter_columns, "weight_rms": grid})


def test_finds_the_scales_of_the_hidden_layers() -> None:
    place = own_phase(scaled(made_run(4), 1.5))
    assert place is not None
    assert place.activation == "sigmoid"
    assert place.names == ("body.0", "body.2", "body.4", "body.6")
    assert place.sigma_w.tolist() == pytest.approx([1.5] * 4)
    assert place.sigma_b.tolist() == pytest.approx([0.1] * 4)


def test_draws_its_layers_and_the_network_into_the_diagram() -> None:
    parts = describe_own_phase(scaled(made_run(3), 1.5))
    dots, star = parts["data"][-2:]
    assert (dots["name"], len(dots["x"])) == ("its layers", 3)
    assert star["x"] == [pytest.approx(1.5)]
    assert parts["data"][0]["type"] == "heatmap"


def test_says_on_which_side_of_the_edge_it_stands() -> None:
    assert "ordered; the edge of chaos is at sigma_w" in caption_of_own_phase(scaled(made_run(3), 1.0))
    layers = [
        replace(layer, activation="relu", greatest_slope=1.0) if layer.activation else layer
        for layer in made_run(3).layers
    ]
    rectified = scaled(replace(made_run(3), layers=tuple(layers)), 1.01 * math.sqrt(2.0))
    unbiased = {**rectified.parameter_columns}
    unbiased["weight_rms"] = np.where(unbiased["weight_rms"] == 0.1, 0.0, unbiased["weight_rms"])
    assert caption_of_own_phase(replace(rectified, parameter_columns=unbiased)).endswith("on the edge of chaos.")


def test_has_no_place_for_what_theory_is_not_about() -> None:
    run = made_run(3)
    names = [*run.layers[:-2], replace(run.layers[-2], activation="tanh"), run.layers[-1]]
    assert own_phase(replace(run, layers=tuple(names))) is None
    dropping = [*run.layers[:-2], replace(run.layers[-2], dropped_share=0.5), run.layers[-1]]
    assert own_phase(replace(run, layers=tuple(dropping))) is None
    assert own_phase(made_run(1)) is None
    assert own_phase(Run()) is None
    assert caption_of_own_phase(Run()) == ""
    assert "plain networks" in draw_own_phase(Run()).layout.annotations[0].text.replace("<br>", " ")
