import json
import math

import numpy as np
import pytest

from gradiometer.schema import HeatMap
from gradiometer.showing.figures import describe_lab_heat_map, draw_lab_heat_map
from gradiometer.showing.figures.lab_heat_map import MAX_CELLS
from gradiometer.showing.palette import AMOUNT_SCALE
from showing.made_experiment import HOSTILE, heat_maps
from showing.test_palette import SEEN_BY, lab, linear_light


def map_of(x: tuple, y: tuple, values: np.ndarray, **settings: object) -> HeatMap:
    return HeatMap("title", "caption", "x", "y", x, y, values, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("heat", heat_maps(), ids=lambda heat: heat.title)
def test_is_json_and_a_plotly_figure(heat: HeatMap) -> None:
    json.dumps(describe_lab_heat_map(heat), allow_nan=False)
    assert draw_lab_heat_map(heat).data[0].type == "heatmap"


def test_leaves_a_gap_for_what_is_not_finite() -> None:
    values = np.array([[1.0, math.nan], [math.inf, 4.0]])
    cells = describe_lab_heat_map(map_of(("a", "b"), ("c", "d"), values))["data"][0]
    assert cells["z"] == [[1.0, None], [None, 4.0]]
    assert (cells["zmin"], cells["zmax"]) == (1.0, 4.0)
    assert cells["text"] == [["a, c", "b, c"], ["a, d", "b, d"]]


def test_has_both_sides_of_zero_alike_where_it_is_diverging() -> None:
    values = np.array([[-1.0, 3.0]])
    cells = describe_lab_heat_map(map_of((1.0, 2.0), (1.0,), values, is_diverging=True))["data"][0]
    assert (cells["zmin"], cells["zmax"]) == (-3.0, 3.0)


def test_draws_the_way_on_axes_of_numbers_and_on_named_ones() -> None:
    values = np.arange(9.0).reshape(3, 3)
    even = map_of((0.0, 1.0, 2.0), (0.0, 1.0, 2.0), values, path=((0.5, 1.5), (2.0, 0.0)))
    by_ratio = map_of((1.0, 10.0, 100.0), ("a", "b", "c"), values, path=((10.0, 1.5), (55.0, 0.0)))
    assert [describe_lab_heat_map(even)["data"][1][axis] for axis in "xy"] == [[0.5, 2.0], [1.5, 0.0]]
    assert [describe_lab_heat_map(by_ratio)["data"][1][axis] for axis in "xy"] == [[1.0, 1.5], [1.5, 0.0]]
    assert describe_lab_heat_map(by_ratio)["data"][3]["hovertext"] == ["start", "end"]


def test_thins_a_large_map_and_keeps_its_ends() -> None:
    values = np.add.outer(np.arange(500.0), np.arange(400.0))
    cells = describe_lab_heat_map(map_of(tuple(np.arange(400.0).tolist()), tuple(np.arange(500.0).tolist()), values))[
        "data"
    ][0]
    assert np.shape(cells["z"]) == (MAX_CELLS, MAX_CELLS)
    assert (cells["z"][0][0], cells["z"][-1][-1]) == (0.0, 898.0)


@pytest.mark.parametrize("values", [np.zeros((0, 0)), np.full((1, 1), math.nan)])
def test_says_that_there_is_nothing_to_draw(values: np.ndarray) -> None:
    names = ("a",) * len(values)
    parts = describe_lab_heat_map(map_of(names, names, values))
    assert parts["data"] == []
    assert "Nothing was measured" in parts["layout"]["annotations"][0]["text"]


def test_hands_no_markup_to_plotly() -> None:
    heat = HeatMap(HOSTILE, HOSTILE, HOSTILE, HOSTILE, (HOSTILE,), (HOSTILE,), np.ones((1, 1)), unit=HOSTILE)
    assert "<img" not in json.dumps(describe_lab_heat_map(heat))


@pytest.mark.parametrize("reader", sorted(SEEN_BY))
def test_grows_evenly_brighter_for_every_reader(reader: str) -> None:
    brightness = np.array([lab(SEEN_BY[reader] @ linear_light(colour))[0] for _, colour in AMOUNT_SCALE])
    steps = np.diff(brightness)
    assert (steps > 10.0).all()
    assert steps.max() < 1.8 * steps.min()
