import pytest

from gradiometer.schema import OctaveHistogram, Run
from gradiometer.showing.figures import describe_magnitudes, draw_magnitudes
from gradiometer.showing.figures.magnitudes import MAX_OCTAVES, MAX_ROWS, caption_of_magnitudes
from showing.made_run import made_run
from showing.made_turns import measured_fully


def test_shows_percent_of_elements_by_octave_one_panel_for_each_quantity() -> None:
    entries = (
        OctaveHistogram("w", "weight", -2, (1, 3), zero_count=4, sample_size=8, element_count=8),
        OctaveHistogram("w", "gradient", -4, (2,), sample_size=2, element_count=2),
    )
    gradients, weights = describe_magnitudes(Run(histograms={5: entries}))["data"]
    assert gradients["x"] == weights["x"] == [-3.5, -2.5, -1.5, -0.5]
    assert gradients["z"] == [[100.0, None, None, None]]
    assert weights["z"] == [[None, None, 12.5, 37.5]]


def test_counts_what_is_smaller_than_all_columns_in_the_first_one() -> None:
    entries = (
        OctaveHistogram("a", "gradient", -140, (1,), sample_size=4, element_count=4),
        OctaveHistogram("b", "gradient", 0, (4,), sample_size=4, element_count=4),
    )
    (panel,) = describe_magnitudes(Run(histograms={5: entries}))["data"]
    assert len(panel["x"]) == MAX_OCTAVES
    assert (panel["z"][0][0], panel["z"][1][-1]) == (25.0, 100.0)


def test_names_what_lies_below_the_format_s_normal_range() -> None:
    caption = caption_of_magnitudes(measured_fully(made_run(1)))
    assert caption.startswith("Step 16. Below the smallest normal number of the format: 12 % of the gradients of body.")
    assert "(float32)" in caption


def test_bounds_the_rows_of_a_large_network() -> None:
    figure = draw_magnitudes(measured_fully(made_run(250)))
    assert {len(panel.z) for panel in figure.data} == {MAX_ROWS}


@pytest.mark.parametrize("found", [{}, {3: (OctaveHistogram("w", "weight", zero_count=2, sample_size=2),)}])
def test_says_that_there_is_no_value_to_count(found: dict[int, tuple[OctaveHistogram, ...]]) -> None:
    assert "No parameter" in draw_magnitudes(Run(histograms=found)).layout.annotations[0].text
