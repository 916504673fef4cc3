"""Write-then-read is the identity, NaN, infinity, subnormals and emptiness included."""

import math
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradiometer.recording.reader import read_run
from gradiometer.recording.writer import RunWriter
from gradiometer.schema import (
    SNAPSHOT_COLUMNS,
    STEP_COLUMNS,
    Coverage,
    Event,
    Layer,
    LayerStats,
    Outcome,
    Parameter,
    Run,
    Snapshot,
    StepStats,
    Trial,
    columns_of,
)
from recording.run_strategies import (
    COUNTS,
    NAMES,
    TEXTS,
    json_values,
    outcomes,
    snapshot_lists,
    steps,
    trials,
    turned_snapshots,
)


def assert_same(found: Any, expected: Any) -> None:
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected), strict=True)


def assert_row_holds(columns: Mapping[str, Any], row: int, names: list[str], by_name: Mapping[str, Any]) -> None:
    for field, grid in columns.items():
        values = [getattr(by_name.get(name), field, None) for name in names]
        assert_same(grid[row], np.array([math.nan if value is None else value for value in values], dtype=np.float64))


def record(path: Path | None, add: Any) -> Run:
    writer = RunWriter(path)
    add(writer)
    writer.close()
    assert writer.fault is None
    return writer.read() if path is None else read_run(path)


@settings(max_examples=40, deadline=None)
@given(material=snapshot_lists())
def test_reads_back_every_snapshot_it_wrote(material: tuple[list[Layer], list[Parameter], list[Snapshot]]) -> None:
    known_layers, known_parameters, snapshots = material

    def add(writer: RunWriter) -> None:
        writer.add_layers(known_layers)
        writer.add_parameters(known_parameters)
        for snapshot in snapshots:
            writer.add_snapshot(snapshot)

    with TemporaryDirectory() as folder:
        for path in (Path(folder) / "run.gradiometer", None):
            run = record(path, add)
            assert run.layers == tuple(sorted(known_layers, key=lambda layer: layer.position))
            assert run.parameters == tuple(known_parameters)
            assert_same(run.snapshot_steps, np.array([s.step for s in snapshots], dtype=np.int64))
            for name, column in columns_of(snapshots, SNAPSHOT_COLUMNS).items():
                assert_same(run.snapshot_columns[name], column)
            for row, snapshot in enumerate(snapshots):
                layer_names = [layer.name for layer in run.layers]
                assert_row_holds(run.layer_columns, row, layer_names, {s.layer: s for s in snapshot.layers})
                parameter_names = [parameter.name for parameter in run.parameters]
                assert_row_holds(
                    run.parameter_columns, row, parameter_names, {s.parameter: s for s in snapshot.parameters}
                )


@settings(max_examples=40, deadline=None)
@given(stats=st.lists(steps, max_size=5, unique_by=lambda step: step.step))
def test_reads_back_every_step_it_wrote(stats: list[StepStats]) -> None:
    def add(writer: RunWriter) -> None:
        for step in stats:
            writer.add_step(step)

    run = record(None, add)
    ordered = sorted(stats, key=lambda step: step.step)
    assert_same(run.steps, np.array([step.step for step in ordered], dtype=np.int64))
    for name, column in columns_of(ordered, STEP_COLUMNS).items():
        assert_same(run.step_columns[name], column)
    expected_sites = list(dict.fromkeys(loss[0] for step in stats for loss in step.losses))
    assert [series.site for series in run.losses] == expected_sites
    for series in run.losses:
        rows = [(s.step, *loss[1:]) for s in ordered for loss in s.losses if loss[0] == series.site]
        assert_same(series.steps, np.array([row[0] for row in rows], dtype=np.int64))
        assert_same(series.values, np.array([math.nan if row[1] is None else row[1] for row in rows]))
        assert_same(series.nonfinite_counts, np.array([row[3] for row in rows], dtype=np.int64))
    assert run.fingerprints == {s.step: s.batch_fingerprint for s in stats if s.batch_fingerprint is not None}


@settings(max_examples=40, deadline=None)
@given(
    facts=st.dictionaries(NAMES, json_values, max_size=4),
    happened=st.lists(st.builds(Event, step=COUNTS, kind=TEXTS, text=TEXTS), max_size=4),
    coverage=st.builds(
        Coverage,
        seen_count=COUNTS,
        total_count=COUNTS,
        unseen=st.lists(st.tuples(TEXTS, TEXTS), max_size=3).map(tuple),
        notes=st.lists(TEXTS, max_size=3).map(tuple),
    ),
    tried=st.lists(trials, max_size=4, unique_by=lambda t: (t.cures, t.seed, t.sieve, t.run_file)),
    outcome=outcomes,
)
def test_reads_back_facts_events_coverage_and_trials(
    facts: dict[str, Any], happened: list[Event], coverage: Coverage, tried: list[Trial], outcome: Outcome
) -> None:
    def add(writer: RunWriter) -> None:
        writer.add_facts(facts)
        for event in happened:
            writer.add_event(event)
        writer.set_coverage(coverage)
        writer.add_trials(tried)
        writer.set_outcome(outcome)

    run = record(None, add)
    assert run.facts == facts
    assert run.events == tuple(happened)
    assert run.coverage == coverage
    assert run.trials == tuple(tried)
    assert run.outcome == outcome


def test_reads_an_empty_run_as_an_empty_run(tmp_path: Path) -> None:
    run = record(tmp_path / "run.gradiometer", lambda writer: None)
    assert run.step_count == 0
    assert run.snapshot_count == 0
    assert run.layer_columns["gain_db"].shape == (0, 0)
    assert run.step_columns["total_norm"].shape == (0,)
    assert run.losses == ()
    assert run.outcome is None


def test_takes_numpy_scalars_and_strange_names() -> None:
    def add(writer: RunWriter) -> None:
        writer.add_facts({"script": "caf\udce9.py", "rate": np.float32(0.5), "folder": Path("/a"), "shape": (1, 2)})
        writer.add_step(StepStats(step=np.int64(3), total_norm=np.float32(2.0)))  # type: ignore[arg-type]
        writer.add_snapshot(Snapshot(step=3, layers=(LayerStats(layer="caf\udce9", gain_db=1.0),)))

    run = record(None, add)
    assert run.facts == {"script": "caf\udce9.py", "rate": 0.5, "folder": "/a", "shape": [1, 2]}
    assert run.step_columns["total_norm"].tolist() == [2.0]
    assert run.layers[0].name == "caf\\udce9"
    assert run.layer_columns["gain_db"].tolist() == [[1.0]]


def test_keeps_measurements_of_a_layer_that_is_described_later() -> None:
    def add(writer: RunWriter) -> None:
        writer.add_snapshot(Snapshot(step=0, layers=(LayerStats(layer="head", gain_db=-3.0),)))
        writer.add_layers([Layer(name="head", kind="Linear", role="leaf", position=7)])

    run = record(None, add)
    assert run.layers == (Layer(name="head", kind="Linear", role="leaf", position=7),)
    assert run.layer_columns["gain_db"].tolist() == [[-3.0]]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 5e-324, 0.0])
def test_keeps_what_is_not_measured_apart_from_what_is_not_finite(value: float) -> None:
    run = record(None, lambda writer: writer.add_step(StepStats(step=0, losses=(("a.py:1", value, 2, 1),))))
    assert_same(run.losses[0].values, np.array([value]))
    assert run.losses[0].nonfinite_counts.tolist() == [1]


@settings(max_examples=40, deadline=None)
@given(snapshots=st.lists(turned_snapshots, max_size=3, unique_by=lambda snapshot: snapshot.step))
def test_reads_back_what_every_dear_measurement_said(snapshots: list[Snapshot]) -> None:
    run = record(None, lambda writer: [writer.add_snapshot(snapshot) for snapshot in snapshots])
    assert run.turns == {snapshot.step: snapshot.turn for snapshot in snapshots}
    assert run.examples == {one.step: one.examples for one in snapshots if one.examples is not None}
    for name in ("fades", "histograms", "unit_marks"):
        found = {step: set(nouns) for step, nouns in getattr(run, name).items()}
        assert found == {one.step: set(getattr(one, name)) for one in snapshots if getattr(one, name)}
