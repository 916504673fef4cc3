from dataclasses import replace

import numpy as np
import pytest

from gradiometer.schema import OctaveHistogram, Run
from gradiometer.showing.figures import describe_gradient_ridge, draw_gradient_ridge
from gradiometer.showing.figures.gradient_ridge import (
    HILL_HEIGHT,
    MAX_HILLS,
    MAX_OCTAVES,
    MAX_PANELS,
    NORMAL_EXPONENTS,
    caption_of_gradient_ridge,
    middle_of,
    ridges_of,
)
from showing.made_run import made_run
from showing.made_turns import measured_fully

COUNTS = (100, 300, 400, 200)


def shrinking_run(steps: tuple[int, ...] = (0, 8, 64), dtype: str = "float32") -> Run:
    """A gradient of 2^-8 that falls by an octave from each measured step to the next."""
    run = made_run(2)
    return replace(
        run,
        parameters=tuple(replace(parameter, dtype=dtype) for parameter in run.parameters),
        histograms={
            step: tuple(
                OctaveHistogram(one.name, quantity, -10 - rank, COUNTS, zero_count=1000, sample_size=2000)
                for one in run.parameters
                for quantity in ("gradient", "weight")
            )
            for rank, step in enumerate(steps)
        },
    )


def test_stands_one_hill_per_step_and_one_panel_per_layer_the_output_first() -> None:
    parts = describe_gradient_ridge(shrinking_run())
    assert [hill["name"] for hill in parts["data"]] == ["step 0", "step 8", "step 64"] * 3
    assert [note["text"] for note in parts["layout"]["annotations"]] == [
        "<b>body.4.weight</b>",
        "<b>body.2.weight</b>",
        "<b>body.0.weight</b>",
    ]
    assert parts["layout"]["yaxis"]["ticktext"] == ["0", "8", "64"]


def test_makes_a_hill_as_high_as_the_share_of_elements() -> None:
    first, second, _ = describe_gradient_ridge(shrinking_run())["data"][:3]
    assert first["customdata"] == [0, 5, 15, 20, 10, 0]
    assert (np.array(first["y"]) - 2.0) == pytest.approx(np.array(first["customdata"]) / 20.0 * HILL_HEIGHT, abs=1e-3)
    assert first["x"] == [-10, -9.5, -8.5, -7.5, -6.5, -6]
    assert np.array(second["x"]) == pytest.approx(np.array(first["x"]) - 1.0)
    assert "50 % zero" in first["hovertemplate"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_knows_every_format_s_smallest_normal_number(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    assert 2.0 ** NORMAL_EXPONENTS[dtype] == torch.finfo(getattr(torch, dtype)).smallest_normal


def test_marks_the_floor_of_a_format_that_is_near() -> None:
    shapes = describe_gradient_ridge(shrinking_run(dtype="float16"))["layout"]["shapes"]
    assert [shape["x0"] for shape in shapes] == [-14] * 3
    assert shapes[0]["label"]["text"] == "float16's floor"
    assert describe_gradient_ridge(shrinking_run(dtype="float32"))["layout"]["shapes"] == []


def test_says_where_the_middle_of_the_gradient_went() -> None:
    assert middle_of(OctaveHistogram("w", "gradient", -10, COUNTS)) == -7
    said = caption_of_gradient_ridge(shrinking_run())
    assert "2^-7 at step 0 and 2^-9 at step 64 in body.0.weight" in said
    assert said.endswith("Float32's smallest normal number is 2^-126.")
    assert caption_of_gradient_ridge(shrinking_run((4,))) == ""


def test_bounds_what_is_shown_of_a_large_network_and_a_long_run() -> None:
    large = measured_fully(made_run(250))
    panels = describe_gradient_ridge(large)["layout"]["annotations"]
    assert len(panels) == MAX_PANELS
    assert len(ridges_of(large)) == 251
    hills = describe_gradient_ridge(shrinking_run(tuple(range(40))))
    assert len(hills["data"]) == 3 * MAX_HILLS
    low, high = hills["layout"]["xaxis"]["range"]
    assert high - low <= MAX_OCTAVES


@pytest.mark.parametrize(
    "found", [{}, {3: (OctaveHistogram("body.0.weight", "gradient", zero_count=2, sample_size=2),)}]
)
def test_says_that_there_is_no_gradient_to_count(found: dict[int, tuple[OctaveHistogram, ...]]) -> None:
    run = replace(made_run(1), histograms=found)
    assert "No gradient" in draw_gradient_ridge(run).layout.annotations[0].text
    assert caption_of_gradient_ridge(run) == ""
