"""What the page says, word by word, of answers that a network gave or that were made by hand."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gradiometer.lab.datasets.digits import load_digits
from gradiometer.lab.explorer.answering import Pages, answer_question, open_pages
from gradiometer.lab.explorer.training import digits_of
from gradiometer.schema.explored import ExplorerSettings, Question, Rung, Scene, UnitScene, WeightScene
from gradiometer.showing.explorer.course_figure import QUANTITIES, describe_course
from gradiometer.showing.explorer.scene_parts import ladder_rows, output_rows, readout, sensitive_rows
from gradiometer.showing.explorer.strips import unit_strips, weight_strip
from gradiometer.showing.explorer.unit_parts import class_table, unit_card
from gradiometer.showing.explorer.walk_parts import lit_units, walk_card
from gradiometer.showing.explorer.weight_parts import factor_words, product_line, weight_card

SETTINGS = ExplorerSettings(activation="sigmoid", start="glorot", units=6)
NUMBER = re.compile(r"[−+]?\d[\d.,]*(?:e[+-]\d+)?")


@pytest.fixture(scope="module")
def pages() -> Pages:
    return open_pages(digits_of(load_digits()))


@pytest.fixture(scope="module")
def asked(pages: Pages) -> Callable[..., Any]:
    return lambda kind, **words: answer_question(pages, Question("a", kind, SETTINGS, 5, 0, **words))


@pytest.fixture(scope="module")
def scene(asked) -> Scene:
    return asked("scene")


@pytest.fixture(scope="module")
def unit(asked) -> UnitScene:
    return asked("unit", layer=2, unit=4)


@pytest.fixture(scope="module")
def weight(asked) -> WeightScene:
    return asked("weight", layer=2, unit=4, source=1)


def text_of(part: Any) -> str:
    """All words of a part of the page, elements apart."""
    if isinstance(part, list | tuple):
        return " ".join(map(text_of, part))
    return text_of(part.children) if hasattr(part, "children") else "" if part is None else str(part)


def read(words: str) -> list[float]:
    return [float(found.replace("−", "-").replace(",", "")) for found in NUMBER.findall(words)]


def test_prints_factors_that_multiply_to_the_product_it_prints(weight: WeightScene) -> None:
    for product in (*weight.paths, weight.by_layers):
        assert product is not None
        line = product_line(product, 3, 8)
        printed = [read(text_of(part.children[0]))[0] for part in line[1:] if "factor" in str(part.className)]
        assert len(printed) == len(product.factors)
        assert math.prod(printed) == pytest.approx(read(text_of(line[0]))[0], rel=1e-3)


def test_names_every_factor_of_a_path(weight: WeightScene) -> None:
    words = [factor_words(factor, 3, 8) for factor in weight.paths[0].factors]
    above = weight.paths[0].factors[2].unit
    assert words == [
        "activation of hidden 1 unit 1",
        "slope of hidden 2 unit 4",
        f"weight hidden 2 unit 4 → output {above}",
        f"error of output {above}",
    ]


def test_shows_the_sum_over_paths_beside_autograds_number(weight: WeightScene) -> None:
    text = text_of(weight_card(weight, 3, 8))
    assert "sum over 10 paths" in text
    assert "The other 5 paths together" in text
    assert f"{weight.gradient:.12g}".replace("-", "−") in text
    assert "No path" in text_of(weight_card(replace(weight, paths=(), path_count=0), 3, 8))
    many = text_of(weight_card(replace(weight, path_count=10**14), 3, 8))
    assert many.index("Layer by layer") < many.index("Path by path")
    assert "1 × 10¹⁴ paths" in many


def test_says_what_is_asked_of_a_unit_and_who_asks(unit: UnitScene) -> None:
    text = text_of(unit_card(unit, 3, 8))
    rows = text[text.index("product") : text.index("together")]
    products = [ask.weight * ask.wanted for ask in unit.asked_by]
    assert sum(products) == pytest.approx(unit.wanted)
    assert "5 others" in rows
    for way in ("1 Change the bias", "2 Change the weights", "3 Change the activations below"):
        assert way in text
    classes = text_of(class_table(unit, 3, 8))
    assert classes.count("–") >= sum(one.count == 0 for one in unit.classes)
    assert "average" in classes


def test_walks_with_numbers_that_add_up(weight: WeightScene) -> None:
    for place, step in enumerate(weight.walk):
        card = text_of(walk_card(weight.walk, place, 8, "C = cost"))
        assert f"Step {place + 1} of {len(weight.walk)}" in card
        assert lit_units(step, 3)["unit"] == step.unit
        if step.phase == "update":
            old, rate, gradient, new = read(card[card.index("w: ") : card.index("“Train")])
            assert abs(old - rate * gradient - new) < 1e-6


def test_tells_how_the_training_goes_beside_the_one_before(scene: Scene) -> None:
    before = replace(scene.course, settings=ExplorerSettings(), accuracy=0.5)
    text = text_of(readout(replace(scene, earlier=before)))
    assert "5 (0.132 epochs)" in text
    assert "before the last change" in text
    assert "2 × 16 ReLU, He" in text
    assert "not finite any more" in text_of(readout(replace(scene, course=replace(scene.course, is_diverged=True))))
    figure = describe_course(QUANTITIES["accuracy"], scene.course, before)
    assert [trace["name"] for trace in figure["data"]] == ["before", "now"]


def test_draws_a_ladder_also_where_nothing_arrives(scene: Scene) -> None:
    rungs = (Rung(3, 0.0, 0.0), Rung(2, -20.0, -19.0), Rung(1, -math.inf, math.nan))
    rows = ladder_rows(replace(scene.course, ladder=rungs))
    assert [text_of(row).split()[0] for row in rows[1:]] == ["output", "hidden", "hidden"]
    assert "−∞ dB" in text_of(rows[-1])
    assert "nan" not in str(rows[-1])


def test_lists_outputs_and_sensitive_weights(scene: Scene) -> None:
    outputs = text_of(output_rows(scene))
    assert outputs.count("▲") == 1
    assert outputs.count("▼") == 9
    text = text_of(sensitive_rows(scene, 8))
    assert "times as much as that median" in text
    assert "Every gradient is zero" in text_of(sensitive_rows(replace(scene, sensitive=()), 8))


def test_hands_the_browser_a_cell_for_every_unit_and_weight(scene: Scene, asked, unit: UnitScene) -> None:
    assert [len(layer["cells"]) for layer in unit_strips(scene)["layers"]] == [6, 6, 10]
    assert weight_strip(unit, 3, 8)["columns"] == 0
    first = weight_strip(asked("unit", layer=1), 3, 8)
    assert (first["columns"], len(first["cells"]), first["names"][-1]) == (8, 64, "pixel (7, 7)")
