from dataclasses import replace

import numpy as np
import pytest

from gradiometer.explaining.moments import KINDS
from gradiometer.explaining.timeline import tell_timeline
from gradiometer.schema import STEP_COLUMNS, Diagnosis, Event, LossSeries, Run, StepStats, columns_of
from showing.made_run import made_diagnosis, made_finding, made_run


def texts(run: Run, diagnosis: Diagnosis | None = None, kind: str | None = None) -> list[tuple[int, str]]:
    moments = tell_timeline(run, diagnosis or Diagnosis("healthy"))
    return [(moment.step, moment.text) for moment in moments if kind is None or moment.kind == kind]


def with_steps(stats: list[StepStats]) -> Run:
    return Run(steps=np.array([entry.step for entry in stats]), step_columns=columns_of(stats, STEP_COLUMNS))


def test_tells_of_a_run_without_anything_only_how_it_ended():
    assert texts(Run()) == [(0, "How the run ended is not on record, after 0 optimizer steps.")]


def test_tells_moments_in_the_order_of_their_steps():
    moments = tell_timeline(made_run(), made_diagnosis())
    ranks = [(moment.step, KINDS.index(moment.kind)) for moment in moments]
    assert ranks == sorted(ranks)
    assert moments[-1].kind == "end"


def test_says_when_the_loss_was_first_no_number():
    values, counts = np.array([2.0, 1.0, np.nan, np.nan]), np.array([0, 0, 1, 1])
    run = Run(losses=(LossSeries("a.py:1", np.array([0, 3, 5, 9]), values, counts),))
    expected = "The loss was NaN or infinite for the first time, in 2 of 4 recorded steps altogether."
    assert texts(run, kind="non_finite") == [(5, expected)]


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ([0.1, 0.1, 0.01], [(2, "The learning rate went from 0.1 to 0.01.")]),
        ([None, 0.1, None, 0.1], []),
        (
            [0.1, 0.2, 0.3, 0.2, 0.05],
            [
                (
                    1,
                    "Until step 4 the learning rate changed 4 times, from 0.1 to 0.05, at most 0.3 at step 2.",
                )
            ],
        ),
    ],
)
def test_tells_changes_of_the_learning_rate(rates, expected):
    run = with_steps([StepStats(step, learning_rate=rate) for step, rate in enumerate(rates)])
    assert texts(run, kind="learning_rate") == expected


def test_counts_steps_that_a_scaler_skipped():
    run = with_steps([StepStats(step, is_skipped=step in {2, 4}) for step in range(6)])
    expected = "A gradient scaler left out the update of 2 recorded steps between step 2 and step 4."
    assert texts(run, kind="skipped") == [(2, expected)]


def test_says_how_often_the_gradient_was_clipped():
    run = with_steps([StepStats(step, total_norm=4.0 + step, clipped_total_norm=5.0) for step in range(4)])
    clipped = replace(run, step_columns={**run.step_columns, "clipped_total_norm": np.array([4.0, 5.0, 5.0, 5.0])})
    expected = "The script clipped the gradient in 50 % of the recorded steps; its norm was 7 at most."
    assert texts(clipped, kind="gradient") == [(2, expected)]


def test_tells_when_the_gradient_exploded_against_what_came_before():
    run = made_run(2)
    grid = np.ones_like(run.parameter_columns["gradient_rms"])
    grid[5] = 500.0
    loud = replace(run, parameter_columns={**run.parameter_columns, "gradient_rms": grid})
    count = sum(parameter.element_count for parameter in run.parameters)
    found = texts(loud, kind="gradient")
    assert [step for step, _ in found] == [int(run.snapshot_steps[5])]
    assert f"{500.0 * np.sqrt(count):.3g}" in found[0][1]
    assert "500 times the median" in found[0][1]
    assert texts(run, kind="gradient") == []


def test_names_the_parameters_whose_gradient_was_no_number():
    run = made_run(1)
    counts = np.zeros_like(run.parameter_columns["gradient_rms"])
    counts[3, 1] = 7.0
    broken = replace(run, parameter_columns={**run.parameter_columns, "gradient_nonfinite_count": counts})
    expected = "The gradient of 1 of 4 parameters was NaN or infinite: body.0.bias."
    assert texts(broken, kind="non_finite") == [(4, expected)]


def test_tells_the_first_saturated_units_and_how_many_there_are_at_the_end():
    run = made_run(1)
    shares = run.layer_columns["saturated_share"].copy()
    column = run.layer_index("body.1")
    shares[:, column] = np.linspace(0.0, 0.5, run.snapshot_count)
    found = texts(replace(run, layer_columns={**run.layer_columns, "saturated_share": shares}), kind="units")
    assert [step for step, _ in found] == [1]
    assert "4 of 64 in layer body.1" in found[0][1]
    assert found[0][1].endswith("There were 32 of 64 in layer body.1 at step 256.")


def test_tells_what_follows_from_a_finding_and_where_it_begins():
    found = texts(made_run(), made_diagnosis(), kind="finding")
    assert found[0] == (
        4,
        "From here on it can be told: vanishing (critical), at layer body.1 and 1 more. From this follows: stalled.",
    )


def test_tells_three_events_of_a_kind_and_counts_the_rest():
    events = tuple(Event(step, "jump", f"the loss jumped to {step}") for step in range(10, 60, 10))
    found = texts(Run(events=(*events, Event(5, "repaid", "paid"))), kind="event")
    assert [step for step, _ in found] == [10, 20, 30]
    assert found[0][1] == "Alarm: The loss jumped to 10."
    assert found[2][1].endswith("There were 2 more, the last at step 50.")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("finished", "ran to its end"),
        ("failed", "failed"),
        ("interrupted", "interrupted"),
        ("running", "was killed"),
        ("something else", "not on record"),
    ],
)
def test_says_how_the_run_ended(status, words):
    assert words in tell_timeline(made_run(status=status), Diagnosis("healthy"))[-1].text


def test_compares_the_loss_with_the_best_constant_guess():
    steps, counts = np.arange(40), np.zeros(40, dtype=np.int64)
    run = replace(made_run(1), losses=(LossSeries("a.py:1", steps, np.linspace(2.3, 0.1, 40), counts),))
    guessed = replace(run, snapshot_columns={**run.snapshot_columns, "constant_loss": np.full(10, 2.3)})
    assert any("cost 2.3 at best; the network ended below that" in text for _, text in texts(guessed))
    still = replace(guessed, losses=(LossSeries("a.py:1", steps, np.full(40, 2.31), counts),))
    assert any("hardly does better" in text for _, text in texts(still))


def test_tells_a_finding_of_the_whole_network_without_a_layer():
    found = texts(Run(), Diagnosis("broken", (made_finding(layers=()),)), kind="finding")
    assert found[0][1].startswith("From here on it can be told: vanishing (critical).")
