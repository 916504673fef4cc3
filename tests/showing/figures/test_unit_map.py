import pytest

from gradiometer.schema import Run, UnitMarks
from gradiometer.showing.figures import describe_unit_map, draw_unit_map
from gradiometer.showing.figures.unit_map import CELLS, MAX_ROWS, caption_of_unit_map, cells_of
from showing.made_run import made_run
from showing.made_turns import measured_fully


def test_colours_the_units_that_are_marked_and_no_other() -> None:
    saturated, dead = describe_unit_map(measured_fully(made_run(2)))["data"]
    assert len(saturated["z"]) == 2
    assert [cell for cell, share in enumerate(saturated["z"][0]) if share] == [0, 63]
    assert [cell for cell, share in enumerate(dead["z"][1]) if share] == [5]


@pytest.mark.parametrize(("unit_count", "first_cells"), [(32, [0.0, 0.0, 100.0, 100.0, 0.0]), (128, [50.0, 0.0])])
def test_spreads_the_units_of_every_layer_over_the_same_width(unit_count: int, first_cells: list[float]) -> None:
    cells = cells_of(UnitMarks("a", unit_count, dead_count=1, dead=(1,)), "dead")
    assert len(cells) == CELLS
    assert cells[: len(first_cells)] == first_cells


def test_leaves_a_gap_beyond_the_last_unit_that_is_listed() -> None:
    cells = cells_of(UnitMarks("a", 64, dead_count=40, dead=tuple(range(10))), "dead")
    assert cells == [100.0] * 10 + [None] * 54


def test_shows_no_panel_for_what_was_not_judged() -> None:
    run = Run(unit_marks={3: (UnitMarks("a", 8, saturated_count=0),)})
    assert len(describe_unit_map(run)["data"]) == 1
    assert caption_of_unit_map(run) == "Step 3. Saturated: none."


def test_bounds_the_rows_of_a_deep_network() -> None:
    figure = draw_unit_map(measured_fully(made_run(250)))
    assert {len(panel.z) for panel in figure.data} == {MAX_ROWS}


def test_says_that_no_unit_was_judged() -> None:
    assert "No layer" in draw_unit_map(Run()).layout.annotations[0].text
    assert caption_of_unit_map(Run()) == ""
