import pytest

from gradiometer.schema import Run
from gradiometer.showing.figures import describe_similarity, draw_similarity
from gradiometer.showing.figures.similarity import MAX_ROWS, caption_of_similarity
from showing.made_run import made_run
from showing.made_turns import measured_fully


def test_shows_forward_and_backward_cosines_and_ranks_from_the_input_up() -> None:
    run = measured_fully(made_run(2))
    cosine, backward, rank, backward_rank = describe_similarity(run)["data"]
    assert cosine["x"] == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0])
    assert backward["x"] == pytest.approx([0.0, 0.025, 0.05, 0.075, 0.1])
    assert rank["x"] == pytest.approx([32.0, 32**0.75, 32**0.5, 32**0.25, 1.0], rel=1e-3)
    assert backward_rank["x"][-1] == 10.0
    assert (cosine["xaxis"], rank["xaxis"]) == ("x", "x2")
    assert caption_of_similarity(run) == "Step 1. 32 examples were compared."


def test_gives_layers_without_a_number_no_row() -> None:
    run = measured_fully(made_run(2))
    for name in ("output_similarity", "output_rank", "gradient_similarity", "gradient_rank"):
        run.layer_columns[name][1, 0] = float("nan")
    assert len(describe_similarity(run)["data"][0]["x"]) == 4


def test_bounds_the_rows_of_a_deep_network() -> None:
    assert len(draw_similarity(measured_fully(made_run(250))).data[0].x) == MAX_ROWS


def test_says_that_no_batch_was_compared() -> None:
    assert "No layer" in draw_similarity(Run()).layout.annotations[0].text
    assert caption_of_similarity(made_run()) == ""
