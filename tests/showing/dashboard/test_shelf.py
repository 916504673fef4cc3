"""The table of runs: keys, changes, files that can't be read."""

import sqlite3
from pathlib import Path

import pytest

from gradiometer.diagnosing import diagnose
from gradiometer.recording.migrations import SCHEMA_VERSION
from gradiometer.showing.dashboard.listing import Listing
from gradiometer.showing.dashboard.shelf import MOST_HELD, Found, Shelf, key_of
from showing.dashboard.made_files import GrowingRun, write_run


def shelf_of(*paths: Path) -> Shelf:
    return Shelf(lambda: [Found(path) for path in paths], diagnose)


def test_knows_runs_by_its_own_keys_alone(tmp_path: Path) -> None:
    known, other = write_run(tmp_path / "known.db", step_count=4), write_run(tmp_path / "other.db", step_count=4)
    shelf = shelf_of(known)
    assert shelf.look(key_of(known)).run.step_count == 4
    assert shelf.look(key_of(other)) is None
    for path in (str(other), "../other.db", "%2e%2e/other.db", ""):
        assert shelf.look(path) is None


def test_reads_a_file_again_only_where_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "growing.db"
    growing = GrowingRun(path)
    growing.grow(is_measured=True)
    growing.writer.flush()
    shelf = shelf_of(path)
    first = shelf.look(key_of(path))
    assert shelf.look(key_of(path)) is first
    growing.grow(is_measured=True)
    growing.finish()
    later = until_newer(shelf, first)
    assert (first.run.snapshot_count, later.run.snapshot_count) == (1, 2)


def until_newer(shelf: Shelf, before):
    """Look until the run was read again: a reading is not repeated before a few times as long as it took."""
    while (seen := shelf.look(before.key)) is before:
        pass
    return seen


def test_makes_a_figure_once_for_all_browsers(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run.db", step_count=2)
    shelf, made = shelf_of(path), []
    for _ in range(10):
        shelf.look(key_of(path)).once("figure", lambda: made.append(1))
    assert made == [1]


def test_forgets_runs_that_were_asked_for_long_ago(tmp_path: Path) -> None:
    path = write_run(tmp_path / "0.db", step_count=2)
    paths = [path, *(tmp_path / f"{rank}.db" for rank in range(1, MOST_HELD + 3))]
    for copy in paths[1:]:
        copy.write_bytes(path.read_bytes())
    shelf = shelf_of(*paths)
    first = shelf.look(key_of(paths[0]))
    for one in paths[1:]:
        shelf.look(key_of(one))
    assert shelf.look(key_of(paths[0])) is not first


def newer(path: Path) -> None:
    write_run(path, step_count=2)
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()


def foreign(path: Path) -> None:
    path.write_text("a letter to nobody, long enough to be more than the beginning of a database")


def cut(path: Path) -> None:
    write_run(path, step_count=2)
    path.write_bytes(path.read_bytes()[:6000])


@pytest.mark.parametrize(
    ("make", "words"),
    [(newer, "update gradiometer"), (foreign, "not a run file"), (cut, "damaged"), (lambda path: None, "no file")],
)
def test_says_in_a_sentence_why_a_file_cannot_be_read(tmp_path: Path, make, words: str) -> None:
    path = tmp_path / "run.db"
    make(path)
    seen = shelf_of(path).look(key_of(path))
    assert words in seen.fault
    assert seen.diagnosis is None


def test_lists_runs_newest_first_with_verdicts(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / f"{rank}.db", step_count=8) for rank in range(3)]
    foreign(tmp_path / "foreign.db")
    listing = Listing(shelf_of(*paths, tmp_path / "foreign.db"))
    lines, older_count = listing.lines()
    while not all(line.verdict or line.fault for line in lines):
        lines, older_count = listing.lines()
    assert [line.path.name for line in lines] == ["foreign.db", "2.db", "1.db", "0.db"]
    assert "not a run file" in lines[0].fault
    expected = {shelf_of(path).look(key_of(path)).diagnosis.verdict for path in paths}
    assert {line.verdict for line in lines[1:]} == expected
    assert older_count == 0
