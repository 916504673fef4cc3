import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from recorded_material import make_layers, make_parameters, make_snapshot, make_step

from gradiometer.errors import NewerRunFileError, NotARunFileError, RunFileError
from gradiometer.recording.migrations import SCHEMA_VERSION, migrate, tables_sql, version_of
from gradiometer.recording.opening import opened_for_reading
from gradiometer.recording.reader import follow, read_run
from gradiometer.recording.spacing import choose_spaced
from gradiometer.recording.writer import RunWriter
from gradiometer.schema import Event


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    path = tmp_path / "run.gradiometer"
    with RunWriter(path) as writer:
        writer.add_facts({"status": "finished", "seed": 3})
        writer.add_layers(make_layers(20))
        writer.add_parameters(make_parameters(20))
        for step in range(50):
            writer.add_step(make_step(step))
            writer.add_snapshot(make_snapshot(step, 20))
    return path


def alter(path: Path, statements: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(statements)
    connection.close()


def test_says_that_there_is_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(RunFileError, match="There is no file .* name a run file"):
        read_run(tmp_path / "nothing")


def test_says_that_a_folder_is_no_run_file(tmp_path: Path) -> None:
    with pytest.raises(NotARunFileError, match="is a folder: name a run file in it"):
        read_run(tmp_path)


def test_says_that_a_pipe_is_no_run_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotARunFileError, match="not an ordinary file"):
        read_run(tmp_path / "pipe")


@pytest.mark.parametrize("content", [b"hello", b"x" * 5000, b"SQLite format 3\0" + b"\xff" * 4080])
def test_says_that_another_file_is_no_run_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(NotARunFileError, match="name a file that 'run' wrote|is damaged"):
        read_run(tmp_path / "file")


def test_says_that_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotARunFileError, match="is empty"):
        read_run(tmp_path / "file")


def test_says_that_another_database_is_no_run_file(tmp_path: Path) -> None:
    alter(tmp_path / "other.db", "CREATE TABLE fact (name)")
    with pytest.raises(NotARunFileError, match="another program's SQLite database"):
        read_run(tmp_path / "other.db")


def test_says_how_to_read_a_newer_file(run_file: Path) -> None:
    alter(run_file, "PRAGMA user_version = 99")
    with pytest.raises(NewerRunFileError, match="update gradiometer"):
        read_run(run_file)
    with pytest.raises(NewerRunFileError, match="update gradiometer"):
        RunWriter(run_file, is_resumed=True)


@pytest.mark.parametrize("kept_share", [0.02, 0.2, 0.3, 0.5, 0.9, 0.99])
def test_says_that_a_truncated_file_is_damaged(run_file: Path, kept_share: float) -> None:
    content = run_file.read_bytes()
    run_file.write_bytes(content[: int(len(content) * kept_share)])
    if kept_share < 0.4:
        with pytest.raises(NotARunFileError, match="is damaged"):
            read_run(run_file)
        return
    run = read_run(run_file)
    assert "the run file is damaged" in run.coverage.line
    assert run.facts["seed"] == 3


def test_never_fails_in_another_way_on_a_corrupted_file(run_file: Path, tmp_path: Path) -> None:
    content = run_file.read_bytes()
    generator = np.random.default_rng(0)
    outcomes = set()
    for index in range(60):
        damaged = bytearray(content)
        start = int(generator.integers(0, len(damaged) - 600))
        damaged[start : start + 600] = generator.bytes(600)
        path = tmp_path / f"{index}.gradiometer"
        path.write_bytes(bytes(damaged))
        try:
            outcomes.add("damaged" in read_run(path).coverage.line)
        except RunFileError as error:
            outcomes.add(str(error).split("(")[0].rsplit("/")[-1].partition(" ")[2])
    assert True in outcomes


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("CREATE VIEW evil AS SELECT load_extension('evil')", "view"),
        ("CREATE TRIGGER evil AFTER INSERT ON fact BEGIN DELETE FROM step; END", "trigger"),
        ("CREATE INDEX evil ON step (abs(total_norm))", "index"),
        ("CREATE TABLE evil (a, b AS (hex(a)))", "computed"),
        ("CREATE VIRTUAL TABLE evil USING fts5 (a)", "evil"),
        ("DROP TABLE step; CREATE VIEW step AS SELECT 1 AS step", "view"),
    ],
)
def test_refuses_a_file_that_could_run_something(run_file: Path, statement: str, kind: str) -> None:
    alter(run_file, statement)
    with pytest.raises(NotARunFileError, match=kind):
        read_run(run_file)
    with pytest.raises(NotARunFileError, match=kind):
        RunWriter(run_file, is_resumed=True)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE layer_statistics SET gain_db = 'many' WHERE step = 3",
        "UPDATE layer_statistics SET gain_db = x'00ff' WHERE step = 3",
        "UPDATE layer SET role = 'boss'",
        "UPDATE layer SET name = x'00' WHERE layer_id = 1",
        "UPDATE layer SET position = 'first'",
        "UPDATE layer SET parameters_json = '{'",
        "UPDATE fact SET value_json = '" + "[" * 100_000 + "'",
        "UPDATE fact SET value_json = zeroblob(100000000)",
        "INSERT INTO outcome VALUES (1, '[]')",
        'INSERT INTO outcome VALUES (1, \'{"verdict": "best"}\')',
        "UPDATE loss SET nonfinite_count = 1e300",
        "UPDATE parameter SET shape_json = '[\"a\"]'",
        "DROP TABLE step",
        "ALTER TABLE step DROP COLUMN total_norm",
    ],
)
def test_says_that_a_file_with_senseless_values_is_damaged(run_file: Path, statement: str) -> None:
    alter(run_file, statement)
    with pytest.raises(NotARunFileError, match="is damaged"):
        read_run(run_file)


def test_ignores_statistics_of_layers_that_do_not_exist(run_file: Path) -> None:
    alter(run_file, "INSERT INTO layer_statistics (step, layer_id, gain_db) VALUES (3, 999, 1.0), (3, -5, 1.0)")
    assert read_run(run_file).layer_columns["gain_db"].shape == (50, 20)


def test_brings_an_older_file_to_today_without_touching_it(tmp_path: Path) -> None:
    path = tmp_path / "old.gradiometer"
    alter(path, tables_sql())
    alter(
        path,
        "ALTER TABLE step DROP COLUMN clipped_total_norm; PRAGMA application_id = 0x6772646d; PRAGMA user_version = 0;"
        "INSERT INTO step (step, total_norm, is_skipped) VALUES (7, 2.0, 0)",
    )
    before = path.read_bytes()
    steps = {0: "ALTER TABLE step ADD COLUMN clipped_total_norm REAL; UPDATE step SET clipped_total_norm = total_norm"}
    steps |= dict.fromkeys(range(1, SCHEMA_VERSION), "SELECT 'nothing to do'")
    with opened_for_reading(path, steps) as connection:
        assert version_of(connection) == SCHEMA_VERSION
        assert connection.execute("SELECT step, clipped_total_norm FROM step").fetchall() == [(7, 2.0)]
    assert path.read_bytes() == before
    with pytest.raises(NotARunFileError, match="No way is known"):
        read_run(path)


def test_takes_several_steps_to_today_each_whole_or_not_at_all() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    steps = {0: "CREATE TABLE a (x)", 1: "ALTER TABLE a ADD COLUMN y", 2: "CREATE TABLE b (x); SELECT nonsense"}
    migrate(connection, steps, 2)
    assert [row[1] for row in connection.execute("PRAGMA table_info(a)")] == ["x", "y"]
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, steps, 3)
    connection.rollback()
    assert version_of(connection) == 2
    assert connection.execute("PRAGMA table_info(b)").fetchall() == []
    connection.close()


def test_reads_a_large_run_in_under_a_second(tmp_path: Path) -> None:
    path = tmp_path / "run.gradiometer"
    with RunWriter(path) as writer:
        writer.add_layers(make_layers(200))
        snapshot = make_snapshot(0, 200)
        for step in range(1000):
            writer.add_snapshot(type(snapshot)(step=step, layers=snapshot.layers))
    started = time.process_time()
    run = read_run(path)
    # Processor time, since the machine that runs the tests may be busy with something else.
    assert time.process_time() - started < 1.0
    assert run.layer_columns["gain_db"].shape == (1000, 200)


def test_reads_long_texts_beside_rows_of_numbers(run_file: Path) -> None:
    text = "é" * 900_000
    with RunWriter(run_file, is_resumed=True) as writer:
        writer.add_event(Event(7, "note", text))
    assert read_run(run_file).events[-1].text == text


def test_reads_at_most_the_snapshots_that_it_may(run_file: Path) -> None:
    run = read_run(run_file, max_snapshots=10)
    assert run.snapshot_count <= 10
    assert run.snapshot_steps[0] == 0
    assert run.snapshot_steps[-1] == 49
    assert run.layer_columns["gain_db"][-1, 0] == 49.0
    assert read_run(run_file, max_snapshots=70).snapshot_count == 50


def test_reads_at_most_the_steps_that_it_may(tmp_path: Path) -> None:
    path = tmp_path / "run.gradiometer"
    with RunWriter(path) as writer:
        for step in range(5000):
            writer.add_step(make_step(step))
    run = read_run(path, max_steps=400)
    assert 200 < len(run.steps) <= 401
    assert (run.steps[0], run.steps[-1]) == (0, 4999)
    assert run.losses[0].steps.tolist() == run.steps.tolist()


@pytest.mark.parametrize("keep_count", [0, 1, 2, 7, 69, 70, 71, 72, 100, 500, 999, 1000, 2000])
def test_chooses_both_ends_and_no_more_than_asked(keep_count: int) -> None:
    steps = np.unique(np.random.default_rng(0).integers(0, 10**6, 1000))
    chosen = steps[choose_spaced(steps, keep_count)]
    assert len(chosen) <= keep_count or len(chosen) == len(steps) <= keep_count
    if 70 <= keep_count < len(steps):
        assert set(steps[:20]) | set(steps[-50:]) <= set(chosen)
        assert len(chosen) > 0.6 * keep_count


def test_follows_a_run_until_it_is_over(tmp_path: Path) -> None:
    path = tmp_path / "run.gradiometer"
    writer = RunWriter(path)
    writer.add_facts({"status": "running"})
    writer.flush()

    def train() -> None:
        for step in range(5):
            writer.add_step(make_step(step))
            time.sleep(0.05)
        writer.add_facts({"status": "finished"})
        writer.close()

    training = threading.Thread(target=train)
    training.start()
    runs = list(follow(path, poll_seconds=0.02))
    training.join()
    assert [run.facts["status"] for run in runs] == ["running"] * (len(runs) - 1) + ["finished"]
    assert runs[-1].step_count == 5


def test_yields_the_same_run_while_nothing_changes(tmp_path: Path) -> None:
    path = tmp_path / "run.gradiometer"
    RunWriter(path).close()
    looks = follow(path, poll_seconds=0.01)
    assert next(looks) is next(looks)


def copy_of_an_open_run(tmp_path: Path, *, is_log: bool) -> Path:
    """The files that a killed process leaves: with a write-ahead log, or with a journal that must be rolled back."""
    path = tmp_path / "run.gradiometer"
    RunWriter(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode = {'WAL' if is_log else 'DELETE'}")
    connection.execute("INSERT INTO fact VALUES ('seed', '3')")
    connection.execute("PRAGMA cache_size = 5")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO fact VALUES (?, ?)", [(f"f{i}", json.dumps("x" * 500)) for i in range(500)])
    folder = tmp_path / "killed"
    folder.mkdir()
    for file in tmp_path.glob("run.gradiometer*"):
        if not file.name.endswith("-shm"):
            shutil.copy(file, folder)
    connection.close()
    return folder / path.name


@pytest.mark.parametrize("is_log", [True, False])
def test_reads_what_a_killed_process_left(tmp_path: Path, is_log: bool) -> None:
    path = copy_of_an_open_run(tmp_path, is_log=is_log)
    assert path.with_name(path.name + ("-wal" if is_log else "-journal")).exists()
    assert read_run(path).facts == {"seed": 3}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user who may not write")
@pytest.mark.parametrize("is_log", [True, False])
def test_reads_what_a_killed_process_left_in_a_read_only_folder(tmp_path: Path, is_log: bool) -> None:
    path = copy_of_an_open_run(tmp_path, is_log=is_log)
    path.parent.chmod(0o555)
    for folder in (tmp_path, *tmp_path.parents):
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(0o755)
    # What Python imports late is imported before its own folder may become unreadable.
    code = """
import os, sys, urllib.parse
from gradiometer.recording.migrations import expected_columns
from gradiometer.recording.reader import read_run
expected_columns()
os.setuid(65534)
print(read_run(sys.argv[1]).facts)
"""
    ended = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("{'seed': 3}\n", "")


def test_reads_without_torch(run_file: Path) -> None:
    code = "import sys, gradiometer; gradiometer.open(sys.argv[1]); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", code, str(run_file)], check=True)
