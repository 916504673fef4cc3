"""Hostile inputs by the hundred: none crashes, starts anything, or writes outside of its folder."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fuzz.campaign import playground, run_campaign
from benchmarks.fuzz.judging import fault_of, judge, told
from benchmarks.fuzz.kinds import KINDS
from benchmarks.fuzz.requests import fault_in
from benchmarks.fuzz.run_files import tables_of
from benchmarks.fuzz.seeds import sound_run_file
from benchmarks.fuzz.witness import Witness
from benchmarks.fuzz.words import VERBS
from gradiometer.cli import app
from gradiometer.diagnosing import diagnose
from gradiometer.recording.fact_shapes import FACT_SHAPES, fits
from gradiometer.recording.opening import open_in_memory
from gradiometer.recording.plain_json import is_deeper, parse_json
from gradiometer.recording.reader import read_run, run_from
from gradiometer.recording.rows import encode_json
from gradiometer.showing.json_output import json_text
from gradiometer.showing.printable import printable, printable_json

QUICK = ("run file, read and diagnosed", "something else in its place", "settings", "end of a trial", "kept batch")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def test_survives_a_few_hundred_inputs() -> None:
    tally = run_campaign(range(200), "quick", kinds=QUICK)
    assert tally.defects == []
    assert sum(tally.counts.values()) == 200


def test_alters_a_run_file_in_which_every_table_has_rows_and_every_fact_makes_sense(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    path.write_bytes(sound_run_file())
    run = read_run(path)
    assert run.coverage.notes == ()
    assert FACT_SHAPES.keys() <= run.facts.keys()
    with closing(sqlite3.connect(path)) as connection:
        counts = {
            name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables_of(connection)
        }
    assert all(counts.values()), counts


@pytest.mark.parametrize("verb", VERBS)
def test_types_options_that_the_verb_has(verb: str) -> None:
    group: Any = typer.main.get_command(app)
    parameters = group.get_command(group.context_class(group), verb).params
    assert set(VERBS[verb][0]) <= {name for one in parameters for name in one.opts}


@pytest.mark.slow
def test_survives_five_thousand_inputs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.fuzz", "--inputs", "5000", "--seed", "slow", "--json"]
    root = Path(__file__).parents[2]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    tally = json.loads(ended.stdout)
    assert tally["defects"] == []
    assert set(tally["counts"]) == set(KINDS)
    assert ended.returncode == 0


@given(st.sampled_from(sorted(FACT_SHAPES)), JSON)
@settings(max_examples=40)
def test_diagnoses_a_run_whatever_one_of_its_facts_says(name: str, value: Any) -> None:
    connection = open_in_memory()
    try:
        connection.execute("INSERT INTO fact VALUES (?, ?)", (name, encode_json(value)))
        run = run_from(connection)
    finally:
        connection.close()
    assert (name in run.facts) == fits(name, parse_json(encode_json(value)))
    assert json.loads(json_text(diagnose(run)))["verdict"] == "unknown"


@given(st.text())
def test_leaves_nothing_in_a_text_that_a_terminal_obeys(text: str) -> None:
    shown = printable(text)
    assert not {letter for letter in shown if letter < " " and letter not in "\n\t"}
    assert shown.encode("utf-8").decode("utf-8") == shown
    assert printable(shown) == shown


@given(JSON)
def test_writes_json_that_means_the_same_and_that_no_terminal_obeys(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False)
    shown = printable_json(text)
    assert encode_json(json.loads(shown)) == encode_json(json.loads(text))
    assert "\x9b" not in shown


@pytest.mark.parametrize(("depth", "bound"), [(0, 0), (1, 0), (1, 1), (3, 2), (48, 48), (49, 48)])
def test_knows_how_deep_lists_lie_in_each_other(depth: int, bound: int) -> None:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    assert is_deeper(value, bound) == (depth > bound)


class TestJudge:
    """What finds defects is seen to find them."""

    @pytest.fixture
    def witness(self) -> Any:
        with playground() as folder:
            yield Witness(folder.parent)

    def test_sees_a_crash(self, witness: Witness) -> None:
        def crash() -> str:
            raise KeyError("lost")

        assert "KeyError: 'lost'" in judge(crash, witness)

    def test_sees_a_program_that_is_started(self, witness: Witness) -> None:
        assert "subprocess.Popen" in judge(lambda: str(subprocess.run(["true"], check=True).returncode or ""), witness)

    def test_sees_a_file_that_is_written_elsewhere(self, witness: Witness, tmp_path: Path) -> None:
        def write() -> str:
            (tmp_path / "elsewhere").write_text("x", encoding="utf-8")
            return ""

        assert "elsewhere" in judge(write, witness)

    def test_sees_a_file_that_is_deleted_elsewhere(self, witness: Witness, tmp_path: Path) -> None:
        place = tmp_path / "thesis"
        place.touch()

        def delete() -> str:
            place.unlink()
            return ""

        assert "thesis" in judge(delete, witness)

    def test_lets_pass_what_is_written_inside(self, witness: Witness) -> None:
        assert judge(lambda: str(Path("inside").write_text("", encoding="utf-8") or ""), witness) == ""

    def test_sees_what_a_terminal_obeys_and_a_code_of_no_answer(self) -> None:
        answer = told(["docs", "vanishing"])
        assert fault_of(answer) == ""
        assert "exit code 1" in fault_of(type(answer)(1, "", "oops"))
        assert "control characters" in fault_of(type(answer)(0, "\x1b[2J", ""))
        assert "without a sentence" in fault_of(type(answer)(2, "", ""))

    def test_sees_what_an_answer_of_a_page_may_not_hold(self) -> None:
        asked = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_HOST": "127.0.0.1:8050"}
        guarded = {"content-security-policy": "default-src 'none'"}
        assert fault_in(asked, 200, guarded, b"fine") == ""
        assert "500" in fault_in(asked, 500, guarded, b"")
        assert "root" in fault_in(asked, 200, guarded, b"root:x:0:0")
        assert "CORS" in fault_in(asked, 200, {**guarded, "access-control-allow-origin": "*"}, b"")
        assert "policy" in fault_in(asked, 200, {}, b"")
        assert "sent away" in fault_in(asked, 303, {**guarded, "location": "//evil.example"}, b"")
        posted = {**asked, "REQUEST_METHOD": "POST", "HTTP_ORIGIN": "https://evil.example"}
        assert "another site" in fault_in(posted, 200, guarded, b"")
