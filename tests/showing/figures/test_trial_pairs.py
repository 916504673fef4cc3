import math
from dataclasses import replace

from gradiometer.schema import Outcome, Run
from gradiometer.showing.figures import describe_trial_pairs, draw_trial_pairs
from showing.made_run import made_outcome, made_run


def test_leads_a_line_from_every_control_to_its_cured_twin() -> None:
    outcome = made_outcome()
    pairs = describe_trial_pairs(made_run())["data"][:5]
    assert [tuple(line["y"]) for line in pairs] == list(zip(outcome.control, outcome.treated, strict=True))


def test_shows_every_interval_and_names_its_confidence() -> None:
    parts = describe_trial_pairs(made_run())
    intervals = parts["data"][5]
    lows = [x - e for x, e in zip(intervals["x"], intervals["error_x"]["arrayminus"], strict=True)]
    assert [round(low, 6) for low in lows] == [-2.22, -0.9]
    assert "97.5 %" in parts["layout"]["xaxis2"]["title"]["text"]


def test_stands_a_loss_that_is_not_finite_above_all_others() -> None:
    outcome = Outcome("better", ("clip_gradients",), (math.inf, 2.0), (0.5, 0.6))
    broken, _ = describe_trial_pairs(replace(made_run(), outcome=outcome))["data"]
    assert broken["y"][0] > 2.0
    assert broken["marker"]["symbol"] == ["x", "diamond"]
    draw_trial_pairs(replace(made_run(), outcome=replace(outcome, control=(math.nan,), treated=(math.inf,))))


def test_says_that_no_trial_was_run() -> None:
    assert draw_trial_pairs(Run()).layout.annotations[0].text == "No trial was run."
