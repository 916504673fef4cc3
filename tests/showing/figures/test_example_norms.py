from gradiometer.schema import ExampleStats, Run
from gradiometer.showing.figures import describe_example_norms, draw_example_norms
from gradiometer.showing.figures.example_norms import caption_of_example_norms
from showing.made_run import made_run
from showing.made_turns import made_examples, measured_fully


def test_names_outliers_at_their_points_and_all_others_not() -> None:
    usual, outliers, median = describe_example_norms(Run(examples={4: made_examples()}))["data"]
    assert len(usual["x"]) == 30
    assert {2, 4}.isdisjoint(usual["x"])
    assert (outliers["x"], outliers["y"], outliers["text"]) == ([2], [50.0], ["1002"])
    assert median["y"][0] == median["y"][1]


def test_names_outliers_by_their_place_where_the_data_set_is_not_known() -> None:
    outliers = describe_example_norms(Run(examples={4: made_examples(has_indices=False)}))["data"][1]
    assert (outliers["text"], outliers["name"]) == (["2"], "outlier, by its place")


def test_says_step_share_outliers_and_noise_scale_with_its_error() -> None:
    caption = caption_of_example_norms(measured_fully(made_run()))
    assert caption.startswith("Step 4: 32 of 64 examples, over 50 % of the weights.")
    assert "example 1004 of the data set (not finite), example 1002 of the data set (42.7 times the median)" in caption
    # Traces 600 and 1000 over a squared gradient of 2: 300 and 500, mean 400, half their distance the error.
    assert caption.endswith("Gradient noise scale (from 2 steps): 400 ± 100 examples.")


def test_says_that_no_example_was_measured() -> None:
    assert "No example" in draw_example_norms(Run()).layout.annotations[0].text
    nothing = ExampleStats((None, 0.0), (0, 1), example_count=2)
    assert "No example" in draw_example_norms(Run(examples={1: nothing})).layout.annotations[0].text
    assert caption_of_example_norms(Run(examples={1: nothing})) != ""
