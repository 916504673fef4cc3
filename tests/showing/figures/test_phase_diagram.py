import json

import numpy as np
import pytest

from gradiometer.showing.figures import describe_phase_diagram, draw_phase_diagram
from gradiometer.showing.palette import LEVEL_SCALE
from gradiometer.theory.expectation import expect, plan_network
from gradiometer.theory.phase_map import map_around
from showing.test_palette import SEEN_BY, lab, linear_light


def described(*scales: object) -> dict:
    """The diagram of a network."""
    plan = plan_network(*scales)  # type: ignore[arg-type]
    return describe_phase_diagram(map_around(plan), expect(plan))


def test_marks_the_network_and_names_both_phases() -> None:
    parts = described("tanh", 1.3, 0.2236)
    point = parts["data"][-1]
    assert (point["name"], point["x"], point["y"]) == ("this network", [1.3], [0.2236])
    texts = [note["text"] for note in parts["layout"]["annotations"]]
    assert texts == ["<b>ordered</b>: gradients vanish", "<b>chaotic</b>: gradients explode"]


def test_draws_the_edge_of_chaos_where_a_layer_keeps_the_gradient() -> None:
    parts = described("tanh", 1.3, 0.2236)
    heat, edge = parts["data"][0], parts["data"][1]
    assert (edge["contours"]["start"], edge["contours"]["end"]) == (0.0, 0.0)
    gains = np.array(heat["customdata"])
    assert (gains[:, 0] < 0.0).all()
    assert gains[0, -1] > 0.0
    assert np.abs(np.array(heat["z"])).max() <= 3.0


def test_reaches_the_edge_of_chaos_of_a_sigmoid_whose_slope_at_zero_foretells_it_too_near() -> None:
    gains = np.array(described("sigmoid")["data"][0]["customdata"])
    assert gains.min() < 0.0 < gains.max()


@pytest.mark.parametrize("scales", [("relu",), ("sigmoid",), ("hardshrink", 1.0, 0.1), ("relu", 3.0, 2.0)])
def test_is_json_and_a_plotly_figure_for_any_network(scales: tuple) -> None:
    json.dumps(described(*scales), allow_nan=False)
    plan = plan_network(*scales)
    assert draw_phase_diagram(map_around(plan), expect(plan)).data[0].type == "heatmap"


@pytest.mark.parametrize("reader", sorted(SEEN_BY))
def test_keeps_the_phases_apart_for_every_reader(reader: str) -> None:
    cold, warm = (lab(SEEN_BY[reader] @ linear_light(LEVEL_SCALE[place][1])) for place in (1, -2))
    assert np.linalg.norm(cold - warm) > 40.0
