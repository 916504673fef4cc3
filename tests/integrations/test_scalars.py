import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gradiometer.integrations.scalars import (
    MOST_CHARTS,
    MOST_HISTOGRAMS,
    SCALARS,
    Row,
    Told,
    log2_bins,
    rows_of,
)
from gradiometer.integrations.tracker import TRACKERS
from gradiometer.schema import Run
from showing.made_run import made_run
from showing.made_turns import made_histograms, measured_fully


def by_step(rows: tuple[Row, ...]) -> dict[int, Row]:
    return {row.step: row for row in rows}


def test_tells_the_numbers_that_stand_in_the_run() -> None:
    run = made_run(hidden_count=2)
    rows = by_step(rows_of(run)[0])
    place = run.layer_index("body.1")
    for moment, step in enumerate(run.snapshot_steps.tolist()):
        values = rows[step].values
        for name in ("level_db", "gain_db", "saturated_share"):
            told, measured = values.get(f"gradiometer_{name}/body.1"), run.layer_columns[name][moment, place]
            assert told == measured or (told is None and math.isnan(measured))
    assert [rows[step].values["gradiometer/loss"] for step in run.losses[0].steps.tolist()] == pytest.approx(
        run.losses[0].values.tolist(), abs=0.0
    )
    assert rows[299].values["gradiometer/overhead_fraction"] == run.facts["overhead_measured"]


def test_tells_the_level_at_the_input_as_the_trunk_has_it() -> None:
    run = made_run(hidden_count=2)
    rows = by_step(rows_of(run)[0])
    names = [layer.name for layer in run.layers]
    for moment, step in enumerate(run.snapshot_steps.tolist()):
        positions = run.layer_columns["trunk_position"][moment]
        farthest = int(np.nanargmax(positions))
        assert names[farthest] == "body.0"
        assert rows[step].values["gradiometer/level_at_input_db"] == run.layer_columns["level_db"][moment, farthest]


def test_tells_of_a_growing_run_what_is_new_and_nothing_twice() -> None:
    run = made_run(hidden_count=2)
    first, told = rows_of(run)
    assert told == Told(256, 299)
    assert rows_of(run, told) == ((), told)
    early, _ = rows_of(run, Told(256, 250))
    assert [row.step for row in early] == list(range(251, 300))
    assert not any(name.startswith("gradiometer_") for row in early for name in row.values)
    assert len(first) == 300


def test_tells_of_no_more_steps_than_a_chart_draws_but_of_every_full_one() -> None:
    run = made_run(hidden_count=2)
    rows, _ = rows_of(run, most_step_rows=10)
    steps = {row.step for row in rows}
    assert set(run.snapshot_steps.tolist()) <= steps
    assert 299 in steps
    assert len(steps) <= 10 + run.snapshot_count


@pytest.mark.parametrize("most_numbers", [100, 400, 2000])
def test_tells_about_as_many_numbers_as_it_may_the_newest_among_them(most_numbers: int) -> None:
    run = made_run(hidden_count=2)
    rows, told = rows_of(run, most_numbers=most_numbers)
    all_rows, told_all = rows_of(run)
    count = sum(len(row.values) for row in rows)
    assert most_numbers / 5 <= count <= most_numbers + 50
    assert count < sum(len(row.values) for row in all_rows)
    assert told == told_all
    steps = {row.step for row in rows}
    assert {int(run.snapshot_steps[-1]), int(run.steps[-1])} <= steps


@pytest.mark.parametrize("hidden_count", [2, 10, 500])
def test_makes_no_more_charts_of_a_quantity_than_a_screen_shows(hidden_count: int) -> None:
    rows, _ = rows_of(made_run(hidden_count))
    names = {name for row in rows for name in row.values}
    for scalar in SCALARS:
        charts = [name for name in names if name.startswith(f"{scalar.name}/")]
        assert len(charts) <= MOST_CHARTS
        if scalar.name == "gradiometer_gain_db":
            assert charts


def test_joins_the_gains_of_a_block_to_their_sum() -> None:
    run = made_run(hidden_count=500)
    rows = by_step(rows_of(run)[0])
    told = [value for name, value in rows[0].values.items() if name.startswith("gradiometer_gain_db/")]
    assert sum(told) == pytest.approx(np.nansum(run.layer_columns["gain_db"][0]), rel=1e-9)


def test_tells_no_number_that_is_not_finite_and_counts_losses_that_are_not() -> None:
    run = made_run(hidden_count=2, cut_at=2)
    values = [value for row in rows_of(run)[0] for value in row.values.values()]
    assert not np.isfinite(run.layer_columns["level_db"]).all()
    assert np.isfinite(values).all()


def test_tells_every_name_of_its_table_and_no_other() -> None:
    rows, _ = rows_of(measured_fully(made_run(hidden_count=2)))
    told = {name for row in rows for name in row.values}
    for name in told:
        assert any(name == one.name or (one.is_by_layer and name.startswith(f"{one.name}/")) for one in SCALARS)


def test_tells_histograms_by_powers_of_two_of_a_bounded_number_of_parameters() -> None:
    histograms = made_histograms([f"layer.{place}.weight" for place in range(100)])
    run = made_run(hidden_count=2)
    told = rows_of(Run(snapshot_steps=run.snapshot_steps[:1], histograms={0: histograms}))[0][0]
    names = {one.parameter for one in told.histograms}
    assert len(names) == MOST_HISTOGRAMS
    assert {"layer.0.weight", "layer.99.weight"} <= names
    counts, edges = log2_bins(told)["gradiometer_log2_weight/layer.0.weight"]
    assert (counts, edges) == ([125, 250, 500, 125], [-6.0, -5.0, -4.0, -3.0, -2.0])


def test_loads_neither_torch_nor_a_tracker_where_none_is_asked_for() -> None:
    modules = [f"gradiometer.integrations.{name}" for name in TRACKERS]
    listed = ", ".join([*modules, "gradiometer.integrations.told_beside", "gradiometer.integrations.sinking"])
    words = f"import {listed}, sys; print([m for m in ('torch', 'tensorboard', *{TRACKERS!r}) if m in sys.modules])"
    done = subprocess.run([sys.executable, "-P", "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_describes_every_number_on_the_page_of_every_tracker() -> None:
    folder = Path(__file__).parents[2] / "docs" / "integrations"
    for tracker in TRACKERS:
        page = (folder / f"{tracker}.md").read_text(encoding="utf-8")
        for scalar in SCALARS:
            name = scalar.name + "/LAYER" * scalar.is_by_layer
            assert f"| `{name}` | {scalar.unit} | {scalar.text} |" in page, (tracker, name)
