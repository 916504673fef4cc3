import re

import numpy as np

from gradiometer.schema import Run
from gradiometer.showing.figure_words import MOST_SERIES, alternative_of
from gradiometer.showing.figures import describe_gain_ladder, describe_layer_heatmap, describe_loss_and_updates
from gradiometer.showing.main_captions import MAIN_CAPTIONS
from gradiometer.showing.page_terms import FIRST_MET, TERMS, terms_block, terms_line
from gradiometer.showing.report import FIGURE_TEXTS
from showing.made_experiment import HOSTILE
from showing.made_run import LINEAR_GAIN_DB, SIGMOID_GAIN_DB, made_run


def test_says_axes_and_course_of_a_line() -> None:
    words = alternative_of("Loss", describe_loss_and_updates(made_run()))
    assert words.startswith("Loss. Across: step (optimizer steps). Upwards: loss (mean of the step), update ratio")
    first, last = made_run().losses[0].values[[0, -1]]
    assert f"from {first:.3g} to {last:.3g}" in words


def test_says_the_range_of_colours() -> None:
    run = made_run()
    levels = run.layer_columns["level_db"]
    words = alternative_of("Levels", describe_layer_heatmap(run))
    assert f"{np.min(levels):.3g} to 0" in words


def test_says_why_nothing_is_drawn() -> None:
    assert "no " in alternative_of("Gain ladder", describe_gain_ladder(Run(), snapshot_index=None)).lower()


def test_counts_the_series_that_it_leaves_out() -> None:
    lines = [{"type": "scatter", "name": f"line {place}", "y": [1.0, 2.0]} for place in range(MOST_SERIES + 3)]
    words = alternative_of("Many", {"data": lines, "layout": {}})
    assert words.count("from 1 to 2") == MOST_SERIES
    assert words.endswith("3 more series.")


def test_says_a_series_of_words_and_bars_by_its_numbers() -> None:
    bars = {
        "type": "bar",
        "orientation": "h",
        "name": "gain<br>by cause",
        "x": [-12.0, None, 3.0],
        "y": ["a", "b", "c"],
    }
    assert alternative_of("Gains", {"data": [bars], "layout": {}}) == "Gains. gain by cause: -12 to 3."
    nothing = {"type": "scatter", "name": "", "x": [None], "y": [None]}
    assert alternative_of("Bar", {"data": [nothing], "layout": {}}) == "Bar."


def test_says_in_captions_where_most_is_lost() -> None:
    run = made_run()
    told = {name: caption(run, len(run.snapshot_steps) - 1) for name, caption in MAIN_CAPTIONS.items()}
    drift = 0.02 * np.log2(257)
    whole = 10 * (SIGMOID_GAIN_DB + LINEAR_GAIN_DB - 2 * drift)
    assert f"to {whole:+.1f} dB at body.0" in told["gain_ladder"]
    assert f"weakened most in body.19, by {SIGMOID_GAIN_DB - drift:+.1f} dB" in told["gain_ladder"]
    factor = float(re.search(r"body.0 learns (\S+) million times slower than body.20", told["learning_speed"]).group(1))
    assert factor * 1e6 == np.float64(f"{10 ** (-whole / 20):.2g}")
    assert told["loss_and_updates"].startswith("The loss was 2.3 at the start")
    assert "over 5 pairs" in told["trial_pairs"]


def test_says_nothing_of_a_run_without_measurements() -> None:
    assert [caption(Run(), None) for caption in MAIN_CAPTIONS.values()] == [""] * len(MAIN_CAPTIONS)


def test_explains_words_where_they_are_first_met() -> None:
    assert set(FIRST_MET) <= set(FIGURE_TEXTS)
    assert {name for names in FIRST_MET.values() for name in names} <= set(TERMS)
    assert "<b>dB</b>: decibel" in terms_line(("dB",))
    assert terms_line(()) == ""
    assert terms_block().count("<dt>") == len(TERMS)


def test_lets_no_name_become_an_element() -> None:
    parts = {"data": [{"type": "bar", "name": HOSTILE, "y": [1.0]}], "layout": {}}
    assert "<img" not in alternative_of("Hostile", parts)
