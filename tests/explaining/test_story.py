import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradiometer.diagnosing import diagnose
from gradiometer.explaining.budget_words import change_in_words, tell_level, tell_updates
from gradiometer.explaining.story import tell_story
from gradiometer.gain_budget import PART_NAMES, gain_budget
from gradiometer.schema import Coverage, Diagnosis, LossSeries, Run, Snapshot
from showing.made_run import (
    made_diagnosis,
    made_run,
    made_snapshot,
    parameters_of,
    run_of_snapshots,
    sigmoid_layers,
)

POSITIVE = st.floats(0.0, 1e30) | st.just(math.nan)
ANY_LEVEL = st.floats(-1e3, 1e3) | st.sampled_from([math.nan, -math.inf])


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """A run of up to three sigmoids, some of whose numbers were not measured, are zero, or enormous."""
    hidden, steps = draw(st.integers(0, 3)), sorted(draw(st.sets(st.integers(0, 200), max_size=5)))
    layers = sigmoid_layers(hidden)
    parameters = parameters_of(layers)
    if not steps:
        return Run(layers=layers, parameters=parameters)
    run = run_of_snapshots(layers, parameters, [made_snapshot(layers, parameters, step) for step in steps])
    columns = dict(run.parameter_columns)
    for name in ("gradient_rms", "update_ratio", "weight_rms", "update_rms"):
        grid = np.array(columns[name])
        for place in range(grid.size):
            if draw(st.integers(0, 3)) == 0:
                grid.flat[place] = draw(POSITIVE)
        columns[name] = grid
    of_layers = dict(run.layer_columns)
    for name in ("level_db", "gain_db"):
        grid = np.array(of_layers[name])
        for place in range(grid.size):
            if draw(st.integers(0, 3)) == 0:
                grid.flat[place] = draw(ANY_LEVEL)
        of_layers[name] = grid
    losses = draw(st.lists(st.floats(-1e3, 1e9) | st.just(math.nan), max_size=12))
    values = np.array(losses, dtype=np.float64)
    series = LossSeries("a.py:1", np.arange(len(losses)), values, np.isnan(values).astype(np.int64))
    is_opened = draw(st.booleans())
    return replace(
        run,
        layers=layers if is_opened else (),
        parameter_columns=columns,
        layer_columns=of_layers if is_opened else {name: grid[:, :0] for name, grid in of_layers.items()},
        losses=(series,) if losses else (),
        facts=draw(st.sampled_from([{}, {"status": "running"}, {"status": "failed", "script": "a.py"}])),
    )


@settings(max_examples=40)
@given(runs())
def test_tells_a_story_of_any_run(run):
    index = run.snapshot_count - 1 if run.snapshot_count else None
    story = tell_story(run, Diagnosis("unknown", reason="too little was seen"), index)
    assert "end" in {moment.kind for moment in story.moments}
    assert story.level.sentences
    assert all(text and text[0].isupper() for text in (*story.level.sentences, *story.updates))


def test_tells_of_a_run_without_measurements_what_is_missing():
    story = tell_story(Run(), diagnose(Run()), None)
    assert story.verdict == "unknown"
    assert story.headline
    assert "No step was measured in full" in story.level.sentences[0]
    assert story.opening == ("A training loop trained for 0 steps.",)


def test_adds_its_shares_up_to_the_level():
    run = made_run()
    level = tell_level(run, 0)
    budget = gain_budget(run, 0)
    assert sum(share.share_db for share in level.shares) == pytest.approx(level.level_db, abs=1e-9)
    assert level.level_db == pytest.approx(sum(getattr(budget.totals, name) for name in PART_NAMES), abs=1e-9)
    assert [abs(share.share_db) for share in level.shares] == sorted(
        (abs(share.share_db) for share in level.shares), reverse=True
    )


def test_says_where_the_gradient_is_lost_altogether():
    level = tell_level(made_run(cut_at=5), 0)
    assert level.level_db == -math.inf
    assert level.sentences[0].endswith("was lost altogether: nothing of it is left at layer body.5.")


def test_says_that_layers_were_not_opened():
    run = replace(made_run(), layers=(), layer_columns={})
    assert tell_level(run, 0).sentences == (
        "The layers were not opened, so how the gradient changes from layer to layer is not known.",
    )


def test_tells_how_far_the_first_and_the_last_weights_move():
    run = made_run(2)
    ratios = run.parameter_columns["update_ratio"]
    names = [parameter.name for parameter in run.parameters]
    first, last = (float(np.median(ratios[5:, names.index(f"body.{place}.weight")])) for place in (0, 4))
    (text,) = tell_updates(run)
    assert f"layer body.0, nearest the input, by {first:.2e} of their size" in text
    assert f"layer body.4, nearest the output, by {last:.3g}" in text or f"{last:.2e}" in text


@pytest.mark.parametrize(
    ("level_db", "words"), [(-60.0, "shrank to 1/1e+03 of its size"), (40.0, "grew to 100 times its size")]
)
def test_says_a_level_as_a_factor(level_db, words):
    assert change_in_words(level_db) == words


def test_gives_reasons_worst_first_with_consequences_and_what_happens_otherwise():
    story = tell_story(made_run(), made_diagnosis(), 0)
    assert [reason.condition for reason in story.reasons] == ["vanishing", "saturated"]
    text = " ".join(story.reasons[0].sentences)
    assert "The cause: ten sigmoids, whose greatest slope is 1/4 (-120.4 dB)." in text
    assert "From this follows: stalled." in text
    assert "If nothing is done:" in text
    assert story.cures == made_diagnosis().findings[0].cures


def test_says_what_it_does_not_rest_on():
    unseen = Coverage(1, 3, (("a", "compiled"), ("b", "not called")))
    story = tell_story(made_run(status="running"), Diagnosis("unknown", coverage=unseen, reason="x"), 0)
    assert "not seen: a (compiled), b (not called)" in story.limits[0]
    assert "not over" in story.limits[1]


def test_holds_every_field_of_its_run_that_the_opening_names():
    (first, second) = tell_story(made_run(training_seconds=75.0, parameter_count=1234), made_diagnosis(), 0).opening
    assert first == (
        "train.py trained a network of 21 layers and 1,234 parameters with SGD (learning rate 0.1) for 300 steps in "
        "1 min 15 s."
    )
    assert second == "10 of these were measured in full, between step 0 and step 256."
    assert "examples" not in {spec.name for spec in fields(Snapshot) if spec.name in first}
