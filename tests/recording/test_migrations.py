import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from recorded_material import make_layers, make_snapshot

from gradiometer.recording.migrations import MIGRATIONS, SCHEMA_VERSION, expected_columns, migrate
from gradiometer.recording.reader import read_run
from gradiometer.recording.writer import RunWriter
from gradiometer.schema import ExampleStats

VERSION_1 = Path(__file__).with_name("version_1.sql").read_text(encoding="utf-8")
"""The tables as the first gradiometer wrote them, word for word."""

VERSION_2 = Path(__file__).with_name("version_2.sql").read_text(encoding="utf-8")
"""The tables of version 2, word for word."""

VERSION_3 = Path(__file__).with_name("version_3.sql").read_text(encoding="utf-8")
"""The tables of version 3, word for word."""

OLD_TABLES = {1: VERSION_1, 2: VERSION_2, 3: VERSION_3}


def tables_of(connection: sqlite3.Connection) -> Mapping[str, frozenset[tuple[object, ...]]]:
    """Name, type, duty and place in the key of every column of every table, in any order of columns."""
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {name: frozenset(row[1:] for row in connection.execute(f"PRAGMA table_info({name})")) for name in names}


@pytest.fixture
def version_1_file(tmp_path: Path) -> Path:
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path)
    connection.executescript(
        f"{VERSION_1}; PRAGMA application_id = 0x6772646d; PRAGMA user_version = 1;"
        "INSERT INTO fact VALUES ('status', '\"finished\"');"
        "INSERT INTO layer VALUES (0, 'body.0', 'Linear', 'leaf', 0, NULL, NULL, NULL, 8, 4, 8, '[]');"
        "INSERT INTO parameter VALUES (0, 'body.0.weight', 'body.0', '[8, 4]', 'float32', 1, 1);"
        "INSERT INTO snapshot (step, loss) VALUES (0, 2.5), (7, 1.5);"
        "INSERT INTO layer_statistics (step, layer_id, gain_db) VALUES (0, 0, -12.0), (7, 0, -3.0);"
        "INSERT INTO parameter_statistics (step, parameter_id, update_ratio) VALUES (0, 0, 1e-3), (7, 0, 1e-4);"
        "INSERT INTO step (step, is_skipped) VALUES (0, 0), (7, 0);"
        "INSERT INTO trial (cures_json, seed, sieve, run_file, status, step_count, detail)"
        " VALUES ('[]', 3, 'race', 'run.db', 'done', 40, '');"
    )
    connection.close()
    return path


@pytest.fixture
def version_2_file(tmp_path: Path) -> Path:
    path = tmp_path / "newer.db"
    connection = sqlite3.connect(path)
    connection.executescript(
        f"{VERSION_2}; PRAGMA application_id = 0x6772646d; PRAGMA user_version = 2;"
        "INSERT INTO layer VALUES (0, 'body.0', 'Linear', 'leaf', 0, NULL, NULL, NULL, 8, 4, 8, '[]');"
        "INSERT INTO parameter VALUES (0, 'body.0.weight', 'body.0', '[8, 4]', 'float32', 1, 1);"
        "INSERT INTO snapshot (step, loss, input_rms) VALUES (0, 2.5, 1.25);"
        "INSERT INTO layer_statistics (step, layer_id, dead_share, output_similarity) VALUES (0, 0, 0.5, 0.25);"
        "INSERT INTO parameter_statistics (step, parameter_id, learning_rate) VALUES (0, 0, 1e-3);"
    )
    connection.close()
    return path


@pytest.mark.parametrize("version", sorted(OLD_TABLES))
def test_leads_every_older_version_to_the_tables_of_today(version: int):
    assert sorted(MIGRATIONS) == sorted(OLD_TABLES) == list(range(1, SCHEMA_VERSION))
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(f"{OLD_TABLES[version]}; PRAGMA user_version = {version};")
    migrate(connection)
    today = sqlite3.connect(":memory:", isolation_level=None)
    today.executescript(Path("src/gradiometer/recording/tables.sql").read_text(encoding="utf-8"))
    assert tables_of(connection) == tables_of(today)
    assert {name: {column[0] for column in found} for name, found in tables_of(today).items()} == expected_columns()
    for each in (connection, today):
        each.close()


def test_reads_a_file_of_the_first_version_and_leaves_it_as_it_was(version_1_file: Path):
    before = version_1_file.read_bytes()
    run = read_run(version_1_file)
    assert run.layer_columns["gain_db"][:, 0].tolist() == [-12.0, -3.0]
    assert run.parameter_columns["update_ratio"][:, 0].tolist() == [1e-3, 1e-4]
    assert run.newest_of("output_similarity").tolist() == pytest.approx([float("nan")], nan_ok=True)
    assert (run.turns, run.examples, run.fades, run.histograms, run.unit_marks) == ({}, {}, {}, {}, {})
    assert [trial.seed for trial in run.trials] == [3]
    assert version_1_file.read_bytes() == before


def test_adds_to_a_file_of_the_first_version(version_1_file: Path):
    with RunWriter(version_1_file, is_resumed=True) as writer:
        writer.add_layers(make_layers(1))
        writer.add_snapshot(make_snapshot(9, 1))
    assert read_run(version_1_file).snapshot_steps.tolist() == [0, 7, 9]


def test_reads_a_file_of_the_second_version_with_what_is_new_left_empty(version_2_file: Path):
    run = read_run(version_2_file)
    assert run.snapshot_columns["input_rms"].tolist() == [1.25]
    assert run.layer_columns["output_similarity"].tolist() == [[0.25]]
    for name in ("input_spread_db", "stale_gradient_norm", "target_mean", "constant_loss", "batch_accuracy"):
        assert np.isnan(run.snapshot_columns[name]).all(), name
    assert np.isnan(run.layer_columns["linear_share"]).all()
    assert np.isnan(run.parameter_columns["weight_decay"]).all()
    assert np.isnan(run.parameter_columns["twin_share"]).all()
    assert (run.layers[0].dropped_share, run.parameters[0].optimizer) == (None, None)


def test_adds_what_is_new_to_a_file_of_the_second_version(version_2_file: Path):
    with RunWriter(version_2_file, is_resumed=True) as writer:
        writer.add_snapshot(replace(make_snapshot(9, 1), constant_loss=0.75))
    run = read_run(version_2_file)
    assert run.snapshot_columns["constant_loss"].tolist() == pytest.approx([float("nan"), 0.75], nan_ok=True)


def test_reads_a_file_of_the_third_version_without_cosines_and_adds_them(tmp_path: Path):
    path = tmp_path / "third.db"
    connection = sqlite3.connect(path)
    connection.executescript(
        f"{VERSION_3}; PRAGMA application_id = 0x6772646d; PRAGMA user_version = 3;"
        "INSERT INTO snapshot (step) VALUES (0);"
        "INSERT INTO example_statistics (step, example_count, nonfinite_count, norms_json, positions_json)"
        " VALUES (0, 2, 0, '[1.0, 2.0]', '[0, 1]');"
    )
    connection.close()
    assert read_run(path).examples[0] == ExampleStats((1.0, 2.0), (0, 1), example_count=2)
    known = ExampleStats((1.0, 2.0), (0, 1), example_count=2, cosines=(0.5, None))
    with RunWriter(path, is_resumed=True) as writer:
        writer.add_snapshot(replace(make_snapshot(9, 0), examples=known))
    assert read_run(path).examples[9] == known
