import math
from dataclasses import replace

import numpy as np

from gradiometer.schema import Event, LossSeries, Run
from gradiometer.showing.figures import describe_loss_and_updates, describe_two_runs, draw_two_runs
from showing.made_run import made_loss, made_run


def test_puts_both_losses_above_and_both_levels_below() -> None:
    data = describe_two_runs(made_run(2), made_run(3))["data"]
    assert [(trace["name"], trace.get("yaxis", "y")) for trace in data] == [
        ("before", "y"),
        ("after", "y"),
        ("before", "y2"),
        ("after", "y2"),
    ]


def test_matches_layers_by_name_those_of_the_second_run_first() -> None:
    before, after = describe_two_runs(made_run(3), made_run(2))["data"][2:]
    assert before["hovertext"] == [f"body.{place}" for place in range(7)]
    assert after["y"][5:] == [None, None]
    assert before["y"][6] == 0.0
    assert after["y"][4] == 0.0


def test_leaves_a_gap_where_nothing_of_the_gradient_is_left() -> None:
    cut = describe_two_runs(made_run(2), made_run(2, cut_at=3))["data"][3]
    assert cut["y"][:3] == [None, None, None]
    assert cut["y"][3] is not None


def test_takes_a_logarithmic_axis_for_losses_far_apart() -> None:
    far = replace(
        made_run(1), losses=(LossSeries("a.py:1", np.arange(3), np.array([1e-4, 1.0, 2.0]), np.zeros(3, int)),)
    )
    assert describe_two_runs(made_run(1), far)["layout"]["yaxis"]["type"] == "log"
    assert "type" not in describe_two_runs(made_run(1), made_run(1))["layout"]["yaxis"]


def test_draws_what_there_is_and_says_where_there_is_nothing() -> None:
    assert "Neither" in draw_two_runs(Run(), Run()).layout.annotations[0].text
    assert len(describe_two_runs(Run(), made_run(1))["data"]) == 2


def test_marks_events_on_the_loss() -> None:
    events = (Event(9, "jump", "the loss jumped"), Event(20, "non_finite", "<b>gone</b>"), Event(3, "repaid", "paid"))
    run = replace(made_run(1), events=events, losses=(made_loss(30, nan_from=15),))
    (marks,) = [trace for trace in describe_loss_and_updates(run)["data"] if trace.get("name") == "event"]
    assert marks["x"] == [9, 20]
    assert marks["text"] == ["the loss jumped", "&lt;b&gt;gone&lt;/b&gt;"]
    assert all(math.isfinite(height) for height in marks["y"])
    silent = describe_loss_and_updates(replace(run, losses=()))["data"]
    assert "event" not in [trace.get("name") for trace in silent]
