import _sqlite3
import ctypes
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from recorded_material import make_layers, make_parameters, make_snapshot

from gradiometer.recording.reader import read_run
from gradiometer.recording.writer import RunWriter
from gradiometer.schema import ExampleStats, OctaveHistogram, Snapshot, StepStats, TimeFade, Turn, UnitMarks

TURN_TABLES = ("turn", "example_statistics", "through_time", "histogram", "unit_marks")


def with_turn(snapshot: Snapshot) -> Snapshot:
    """A snapshot in which, more than ever happens, every dear measurement had its turn."""
    return replace(
        snapshot,
        turn=Turn("similarity", 0.1),
        examples=ExampleStats(tuple(float(n) for n in range(64)), tuple(range(64)), example_count=64),
        fades=(TimeFade("body.0", step_count=100, norms=tuple(1.0 / n for n in range(1, 101))),),
        histograms=tuple(
            OctaveHistogram(f"body.{index}.weight", "gradient", -20, tuple(range(30)), sample_size=32, element_count=32)
            for index in range(8)
        ),
        unit_marks=(UnitMarks("body.1", 8, 64, 2, None, (1, 5)),),
    )


@pytest.mark.slow
def test_thins_what_dear_measurements_said_with_the_snapshots_they_belong_to(tmp_path: Path):
    path, max_bytes = tmp_path / "run.db", 512 * 1024
    with RunWriter(path, max_bytes=max_bytes) as writer:
        writer.add_layers(make_layers(8))
        writer.add_parameters(make_parameters(8))
        for step in range(1500):
            writer.add_snapshot(with_turn(make_snapshot(step, 8)))
            if step % 100 == 0:
                writer.flush()
    assert writer.fault is None
    assert path.stat().st_size <= max_bytes
    connection = sqlite3.connect(path)
    kept = {step for (step,) in connection.execute("SELECT step FROM snapshot")}
    for table in TURN_TABLES:
        assert {step for (step,) in connection.execute(f"SELECT DISTINCT step FROM {table}")} == kept
    connection.close()
    assert 20 < len(kept) < 1500
    run = read_run(path)
    assert sorted(run.turns) == sorted(run.fades) == run.snapshot_steps.tolist()


def test_stays_below_its_bound_where_nearly_all_of_a_full_step_is_what_a_turn_said(tmp_path: Path):
    path, max_bytes = tmp_path / "run.db", 512 * 1024
    norms = tuple(1.0 / (3.0 + place) for place in range(256))
    examples = ExampleStats(norms, tuple(range(256)), tuple(range(10**6, 10**6 + 256)), example_count=256)
    writer = RunWriter(path, max_bytes=max_bytes)
    for step in range(300):
        writer.add_snapshot(replace(make_snapshot(step, 1), turn=Turn("per_example", 0.1), examples=examples))
    writer.close()
    assert writer.fault is None
    # The file never gives pages back, so this is the greatest size that it had.
    assert path.stat().st_size <= max_bytes
    steps = read_run(path).snapshot_steps
    assert (steps[0], steps[-1]) == (0, 299)


def test_takes_no_more_memory_the_more_often_it_thins(tmp_path: Path):
    """SQLite itself tells; a statement in words of its own each time would stay, 10 KiB each, until there are 128."""
    library = ctypes.CDLL(_sqlite3.__file__)
    library.sqlite3_memory_used.restype = ctypes.c_longlong
    held_bytes = []
    with RunWriter(tmp_path / "run.db", max_bytes=256 * 1024) as writer:
        for start in range(0, 24_000, 1000):
            for step in range(start, start + 1000):
                writer.add_step(StepStats(step=step, losses=(("train.py:1", 2.0, 1, 0),)))
            writer.add_snapshot(make_snapshot(start, 4))
            writer.flush()
            held_bytes.append(library.sqlite3_memory_used())
    # By then both groups of tables have been thinned once; what other tests have left may be let go of all the time.
    assert max(held_bytes[11:]) - held_bytes[11] < 32 * 1024
