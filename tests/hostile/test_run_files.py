"""Run files that came from anywhere: each row is the smallest input of a defect that the campaign found."""

import json
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from gradiometer.cli import app
from gradiometer.cli.watched import default_file
from gradiometer.curing.case import CaseRequest, case_folder
from gradiometer.diagnosing import diagnose
from gradiometer.errors import NotARunFileError, RunFileError, ScriptError
from gradiometer.launching.script import Target
from gradiometer.recording.distrust import bounded_in_time, rows_of
from gradiometer.recording.nouns import Damage
from gradiometer.recording.opening import open_in_memory, opened_for_reading
from gradiometer.recording.reader import read_run
from gradiometer.recording.series import read_grid, read_snapshots
from gradiometer.recording.writer import RunWriter
from gradiometer.schema import ExampleStats, Snapshot
from gradiometer.settings import Settings
from hostile.made_to_harm import (
    HARM,
    ORDERS,
    killed_while_writing,
    name_in_journal,
    with_tree_without_end,
    write_harmful_run,
)
from showing.dashboard.made_files import write_run


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = write_run(tmp_path_factory.mktemp("sound") / "run.db", hidden_count=2, step_count=12)
    connection = sqlite3.connect(path)
    connection.execute("VACUUM")
    connection.close()
    return path.read_bytes()


@pytest.fixture
def run_file(tmp_path: Path, sound: bytes) -> Path:
    path = tmp_path / "run.db"
    path.write_bytes(sound)
    return path


def set_fact(path: Path, name: str, value: Any) -> None:
    text = value if isinstance(value, str) and value.startswith(("[", "{")) else json.dumps(value)
    connection = sqlite3.connect(path)
    connection.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, text))
    connection.commit()
    connection.close()


@pytest.mark.parametrize("read", [read_run, lambda path: RunWriter(path, is_resumed=True)], ids=["read", "go on"])
@pytest.mark.parametrize("is_linked", [False, True])
def test_deletes_no_file_that_a_journal_names(tmp_path: Path, read: Callable[[Path], Any], is_linked: bool) -> None:
    path, thesis = killed_while_writing(tmp_path), tmp_path / "thesis.txt"
    thesis.write_text("my thesis", encoding="utf-8")
    assert read_run(path).facts["seed"] == 3
    name_in_journal(path.with_name("run.db-journal"), thesis)
    asked = tmp_path / "link" if is_linked else path
    if is_linked:
        asked.symlink_to(path)
    with pytest.raises(NotARunFileError, match="its journal names another file"):
        read(asked)
    assert thesis.read_text(encoding="utf-8") == "my thesis"


@pytest.mark.parametrize("table", ["snapshot", "step"])
def test_gives_up_a_table_without_end(tmp_path: Path, sound: bytes, table: str) -> None:
    path = tmp_path / "run.db"
    path.write_bytes(with_tree_without_end(sound, table))
    begun = time.monotonic()
    with opened_for_reading(path) as connection, bounded_in_time(connection, 0.2):
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            connection.execute(f"SELECT sum(step) FROM {table}").fetchone()
    assert time.monotonic() - begun < 30.0
    assert not [thread for thread in threading.enumerate() if thread.name == "gradiometer-reading"]


@pytest.mark.parametrize("bound", [{"most_rows": 7}, {"most_letters": 7000}])
def test_takes_no_more_rows_and_letters_than_any_file_of_its_own_has(bound: dict[str, int]) -> None:
    connection = sqlite3.connect(":memory:")
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT zeroblob(1000) FROM n"
    rows = []
    with pytest.raises(ValueError, match="in one table"):
        rows.extend(rows_of(connection, endless, **bound))
    connection.close()
    assert list(islice(rows_of(sqlite3.connect(":memory:"), endless), 9)) == [(bytes(1000),)] * 9


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("optimizers", "adam"),
        ("optimizers", [3]),
        ("optimizers", True),
        ("overhead_measured", "much"),
        ("overhead_allowed", {"a": 1}),
        ("measuring_seconds", {"a": 1}),
        ("training_seconds", float("nan")),
        ("step_count", None),
        ("step_count", 10**30),
        ("batch_size", -3),
        ("dear_costs", {"units": 3}),
        ("dear_costs", {"units": {"spent_seconds": "x"}}),
        ("loss_path", {"loss": "mse", "softmaxes": [1]}),
        ("loss_path", {"loss": "mse", "target_shape": ["a"]}),
        ("loss_path", {"loose_weights": [{}]}),
        ("flight_recorder", {"memory_bytes": "x"}),
        ("replay", {"operation": {"name": 3}}),
        ("arguments", "--epochs"),
        ("root_names", 3),
        ("repaid_step", []),
        ("process_count", None),
    ],
)
def test_leaves_out_a_fact_that_makes_no_sense_and_says_so(run_file: Path, name: str, value: Any) -> None:
    set_fact(run_file, name, value)
    run = read_run(run_file)
    assert name not in run.facts
    assert f"its fact '{name}' makes no sense" in run.coverage.line
    assert diagnose(run).verdict
    assert CliRunner().invoke(app, ["diagnose", str(run_file), "--json"]).exit_code == 0


@pytest.mark.parametrize("settings", [{"momentum": "strong"}, {"momentum": [0.9]}, {"eps": "tiny"}, {"eps": None}])
def test_takes_a_setting_that_is_no_number_for_none(run_file: Path, settings: dict[str, Any]) -> None:
    set_fact(run_file, "optimizers", [{"kind": "Adam", "settings": settings}, {"kind": "SGD", "settings": settings}])
    assert diagnose(read_run(run_file)).verdict


@pytest.mark.parametrize("depth", [60, 900, 100_000])
def test_says_that_json_without_a_bottom_is_damage(run_file: Path, depth: int) -> None:
    set_fact(run_file, "mood", "[" * depth + "]" * depth)
    with pytest.raises(NotARunFileError, match="JSON deeper than 48"):
        read_run(run_file)


def test_leaves_examples_without_an_entry_each_out_and_says_so(run_file: Path) -> None:
    stats = ExampleStats(norms=(1.0, 2.0), positions=(0, 1), data_indices=(7, 8), cosines=(0.5, 0.5))
    with RunWriter(run_file, is_resumed=True) as writer:
        writer.add_snapshot(Snapshot(step=11, examples=stats))
    before = read_run(run_file)
    assert before.examples[11].norms == (1.0, 2.0)
    connection = sqlite3.connect(run_file)
    connection.execute("UPDATE example_statistics SET data_indices_json = '[7]'")
    connection.commit()
    connection.close()
    run = read_run(run_file)
    assert not run.examples
    assert run.coverage.notes[-1].endswith(
        "a row of its table 'example_statistics' made no sense ([1, 2] entries for as many examples)"
    )
    assert run.snapshot_steps.tolist() == before.snapshot_steps.tolist()


# What numpy says of overflow goes to stderr, and nothing else comes of it.
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE layer SET greatest_slope = -0.5, fan_in = 0",
        "UPDATE parameter_statistics SET weight_rms = -1.0, update_ratio = -1e308",
        "UPDATE layer_statistics SET level_db = 1e308, gain_db = -1e308, output_rms = -1.0",
        "UPDATE snapshot SET step = step - 9000000000000000",
        "INSERT INTO through_time VALUES (0, 0, 0, 0, 'hidden', 40, 1, 2.0, 0, 3, '[]', '[]')",
    ],
)
def test_diagnoses_what_no_training_can_have_been(run_file: Path, statement: str) -> None:
    connection = sqlite3.connect(run_file)
    connection.execute(statement)
    connection.commit()
    connection.close()
    assert diagnose(read_run(run_file)).verdict
    assert CliRunner().invoke(app, ["explain", str(run_file)]).exit_code == 0


UNSHAPED = (
    *("commit", "device", "exit_code", "finished_at", "gradiometer", "hand_written_updates", "is_module"),
    *("platform", "python", "sieve", "torch", "trainer", "unguarded", "updates_measured"),
)
"""Facts that are shown, or asked for being there, and never reckoned with."""


def test_tells_of_a_run_whatever_its_facts_without_a_shape_are(run_file: Path, tmp_path: Path) -> None:
    for name in UNSHAPED:
        set_fact(run_file, name, [["a"], {"b": []}])
    files = [word for kind in ("junit", "sarif", "markdown") for word in (f"--{kind}", str(tmp_path / kind))]
    for words in (["diagnose", *files], ["diagnose", "--json"], ["explain"], ["report"], ["export", "--to", "csv"]):
        ended = CliRunner().invoke(app, [*words, str(run_file)])
        assert ended.exit_code == 0, (words, ended.exception)
    assert CliRunner().invoke(app, ["compare", str(run_file), str(run_file)]).exit_code == 0


@pytest.mark.parametrize("column", ["unit_count", "fan_in", "fan_out"])
def test_says_that_a_count_below_zero_is_damage(run_file: Path, column: str) -> None:
    with closing(sqlite3.connect(run_file)) as connection, connection:
        connection.execute(f"UPDATE layer SET {column} = -3")
    with pytest.raises(NotARunFileError, match="a count below zero"):
        read_run(run_file)


def test_leaves_out_statistics_of_steps_that_no_snapshot_has() -> None:
    with closing(open_in_memory()) as connection:
        connection.execute("INSERT INTO snapshot (step, loss) VALUES (3, 0.5), (7, 0.25)")
        values = read_snapshots(connection, Damage(), np.array([3], dtype=np.int64))
        assert values["loss"].tolist() == [0.5]
        connection.execute("INSERT INTO layer_statistics (step, layer_id, gain_db) VALUES (3, 0, -1.0)")
        axes = np.array([2, 4], dtype=np.int64), np.array([0], dtype=np.int64)
        grid = read_grid(connection, Damage(), ("layer_statistics", "layer_id"), ("gain_db",), axes)
        assert np.isnan(grid["gain_db"]).all()


@pytest.mark.parametrize("module", ["/dev/stdin", "../../elsewhere", "a/../b"])
def test_names_no_run_file_that_leads_elsewhere(tmp_path: Path, module: str) -> None:
    place = default_file(Target(None, module), Settings(folder=str(tmp_path)))
    assert place.parent == tmp_path


@pytest.mark.parametrize("module", ["/dev/stdin", "../../elsewhere", ""])
def test_names_no_case_that_leads_elsewhere(tmp_path: Path, module: str) -> None:
    with pytest.raises(ScriptError, match="There is no module"):
        case_folder(CaseRequest(Target(None, module), folder=tmp_path))


def test_reads_no_script_without_end() -> None:
    ended = CliRunner().invoke(app, ["run", "/dev/zero"])
    assert "too large for a script" in str(ended.exception)


def test_says_that_a_list_of_tables_that_is_no_text_is_damage(run_file: Path) -> None:
    content = run_file.read_bytes()
    run_file.write_bytes(content.replace(b"seen_count INTEGER", b"seen_\x8aount INTEGER"))
    with pytest.raises(RunFileError, match="is damaged"):
        read_run(run_file)


def test_writes_half_a_character_as_its_number(run_file: Path, tmp_path: Path) -> None:
    set_fact(run_file, "script", "caf\udce9.py")
    runner = CliRunner()
    for words in (["report"], ["export", "--to", "json", "--force"], ["diagnose", "--json"]):
        assert runner.invoke(app, [*words, str(run_file)]).exit_code == 0, words
    assert "caf\\udce9.py" in (tmp_path / "run.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "words", [["diagnose"], ["explain"], ["diagnose", "--json"], ["explain", "--json"]], ids=" ".join
)
def test_lets_a_terminal_obey_nothing_that_a_file_says(tmp_path: Path, words: list[str]) -> None:
    ended = CliRunner().invoke(app, [*words, str(write_harmful_run(tmp_path / "run.db", ORDERS))])
    assert ended.exit_code == 0
    assert "HEALTHY" in ended.output
    obeyed = {letter for letter in ended.output if letter in "\x1b\x07\x9b\u202e"}
    assert obeyed == set()


def test_lists_a_hostile_run_and_lets_a_terminal_obey_nothing(tmp_path: Path) -> None:
    write_harmful_run(tmp_path / "run.db", ORDERS)
    ended = CliRunner().invoke(app, ["runs", str(tmp_path)])
    assert "HEALTHY" in ended.output
    assert "\x1b" not in ended.output


def test_keeps_what_means_the_same_in_json(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["diagnose", "--json", str(write_harmful_run(tmp_path / "run.db", HARM))])
    told = json.loads(ended.stdout)
    assert HARM in json.dumps(told, ensure_ascii=False).replace('\\"', '"')
