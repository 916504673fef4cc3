import json
import math

import numpy as np
import pytest

from gradiometer.schema import Chart, Line
from gradiometer.showing.figures import describe_lab_chart, draw_lab_chart
from gradiometer.showing.figures.lab_chart import MAX_POINTS, not_drawn_words
from gradiometer.showing.palette import LINE_COLOURS
from showing.made_experiment import HOSTILE, charts


def chart_of(*lines: Line, **settings: object) -> Chart:
    return Chart("title", "caption", "x", "y", lines, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("chart", charts(), ids=lambda chart: chart.title)
def test_is_json_and_a_plotly_figure(chart: Chart) -> None:
    json.dumps(describe_lab_chart(chart), allow_nan=False)
    assert len(draw_lab_chart(chart).data) == len(describe_lab_chart(chart)["data"])


def test_draws_every_style() -> None:
    x, y = (1.0, 2.0), (3.0, 4.0)
    styles = ("line", "dashes", "points", "bars")
    data = describe_lab_chart(chart_of(*(Line(style, x, y, style) for style in styles)))["data"]
    assert [trace["type"] for trace in data] == ["scatter", "scatter", "scatter", "bar"]
    assert [trace.get("mode") for trace in data] == ["lines+markers", "lines", "markers", None]
    assert data[1]["line"]["dash"] == "dash"


def test_tells_lines_apart_by_more_than_colour() -> None:
    x = tuple(float(i) for i in range(50))
    data = describe_lab_chart(chart_of(*(Line(str(k), x, x) for k in range(15))))["data"]
    looks = {(trace["line"]["color"], trace["marker"]["symbol"]) for trace in data}
    assert len(looks) == 15
    assert {colour for colour, _ in looks} == set(LINE_COLOURS)


def test_gives_foretold_the_colour_of_measured() -> None:
    x = (1.0, 2.0)
    lines = (Line("tanh, measured", x, x, "points"), Line("relu", x, x), Line("tanh, foretold", x, x, "dashes"))
    measured, relu, foretold = describe_lab_chart(chart_of(*lines))["data"]
    assert measured["marker"]["color"] == foretold["line"]["color"] != relu["line"]["color"]


def test_closes_a_band_around_each_stretch_without_a_gap() -> None:
    line = Line("a", (1.0, 2.0, 3.0, 4.0), (1.0, 2.0, 3.0, 4.0), low=(0.0, 1.0, math.nan, 3.0), high=(2.0,) * 4)
    band, _ = describe_lab_chart(chart_of(line))["data"]
    assert band["x"] == [1.0, 2.0, 2.0, 1.0, None, 4.0, 4.0, None]
    assert band["y"] == [2.0, 2.0, 1.0, 0.0, None, 2.0, 3.0, None]


def test_puts_the_span_of_bars_and_points_on_whiskers() -> None:
    for style in ("bars", "points"):
        line = Line("a", ("b",), (5.0,), style, low=(3.0,), high=(9.0,))
        (trace,) = describe_lab_chart(chart_of(line))["data"]
        assert (trace["error_y"]["array"], trace["error_y"]["arrayminus"]) == ([4.0], [2.0])


def test_keeps_words_in_the_order_in_which_they_come() -> None:
    lines = (Line("a", ("zeta", "alpha"), (1.0, 2.0), "bars"), Line("b", ("mid", "zeta"), (1.0, 2.0), "bars"))
    axis = describe_lab_chart(chart_of(*lines))["layout"]["xaxis"]
    assert (axis["type"], axis["categoryarray"]) == ("category", ["zeta", "alpha", "mid"])


def test_places_marks_where_they_are_on_either_scale() -> None:
    line = Line("a", (1.0, 1000.0), (1.0, 2.0))
    for scale, places in (("linear", [10.0, 900.0]), ("log", [1.0, math.log10(900.0)])):
        layout = describe_lab_chart(chart_of(line, x_scale=scale, marks=((10.0, "here"), (900.0, "there"))))["layout"]
        assert [shape["x0"] for shape in layout["shapes"]] == [10.0, 900.0]
        assert [note["x"] for note in layout["annotations"]] == pytest.approx(places)
        assert [note["xanchor"] for note in layout["annotations"]] == ["left", "right"]


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_keeps_a_spike_of_a_long_line(scale: str) -> None:
    heights = np.ones(20_000)
    heights[12_345], heights[3] = 50.0, -7.0
    line = Line("a", tuple(np.arange(1.0, 20_001.0).tolist()), tuple(heights.tolist()))
    (trace,) = describe_lab_chart(chart_of(line, x_scale=scale))["data"]
    assert len(trace["x"]) <= MAX_POINTS
    assert dict(zip(trace["x"], trace["y"], strict=True))[12_346.0] == 50.0
    assert min(trace["y"]) == -7.0
    assert (trace["x"][0], trace["x"][-1]) == (1.0, 20_000.0)


def test_says_what_it_can_not_draw() -> None:
    line = Line("a", (1.0, 2.0, 3.0, 4.0), (0.0, -1.0, math.inf, math.nan))
    assert not_drawn_words(chart_of(line)) == "1 value is infinite and not drawn."
    assert "2 values of 0 or below are not drawn" in not_drawn_words(chart_of(line, y_scale="log"))
    assert not_drawn_words(charts()[0]) == ""


@pytest.mark.parametrize(("least", "decades_apart"), [(1e-80, 10), (1e-3, 1)])
def test_names_few_powers_of_ten(least: float, decades_apart: int) -> None:
    axis = describe_lab_chart(chart_of(Line("a", (1.0, 2.0), (least, 1.0)), y_scale="log"))["layout"]["yaxis"]
    assert axis["dtick"] == decades_apart


def test_says_that_there_is_nothing_to_draw() -> None:
    for chart in (chart_of(), chart_of(Line("a", (), ()))):
        parts = describe_lab_chart(chart)
        assert parts["data"] == []
        assert "Nothing was measured" in parts["layout"]["annotations"][0]["text"]


def test_hands_no_markup_to_plotly() -> None:
    line = Line(HOSTILE, (HOSTILE,), (1.0,), "bars")
    chart = Chart(HOSTILE, HOSTILE, HOSTILE, HOSTILE, (line, line), marks=((0.0, HOSTILE),))
    assert "<img" not in json.dumps(describe_lab_chart(chart))
    assert "<a " not in json.dumps(describe_lab_chart(chart))
