import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.streams_apart import runner_apart
from gradiometer.cli import app
from gradiometer.errors import RunFileError, SettingsError
from gradiometer.recording.writer import RunWriter
from showing.made_run import made_outcome, write_made_run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three runs of different age, beside files that are none."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / ".gradiometer" / "runs"
    folder.mkdir(parents=True)
    for days in (0, 2, 9):
        path = write_made_run(folder / f"{days}.run", hidden_count=1)
        written_at = time.time() - 86400.0 * days - 10.0
        os.utime(path, (written_at, written_at))
    (folder / "notes.txt").write_text("mine")
    with closing(sqlite3.connect(folder / "photos.db")) as database:
        database.execute("CREATE TABLE photos (name TEXT)")
        database.commit()
    return folder


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


OTHERS = {"notes.txt", "photos.db"}


def test_lists_the_newest_run_first_and_says_what_it_left_alone(folder: Path) -> None:
    result = runner_apart().invoke(app, ["runs"])
    assert result.exit_code == 0
    assert result.stdout.index("0.run") < result.stdout.index("2.run") < result.stdout.index("9.run")
    assert all(word in result.stdout for word in ("train.py", "300", "finished", "KiB", "3 runs"))
    assert "left alone: photos.db" in result.stderr
    assert "notes.txt" not in result.output


def test_lists_one_object_with_json(folder: Path) -> None:
    written = json.loads(CliRunner().invoke(app, ["runs", str(folder), "--json"]).stdout)
    assert [entry["step_count"] for entry in written["runs"]] == [300, 300, 300]
    assert written["deleted"] == []
    assert written["skipped"][0][0].endswith("photos.db")


def test_says_how_to_record_a_run_where_there_is_none(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["runs", str(tmp_path / "nowhere")])
    assert result.exit_code == 0
    assert "gradiometer run SCRIPT" in result.stdout


def test_cleans_nothing_when_the_answer_is_no(folder: Path) -> None:
    before = names_in(folder)
    result = runner_apart().invoke(app, ["runs", "--clean"], input="n\n")
    assert "Delete 3 runs" in result.stderr
    assert names_in(folder) == before


def test_cleans_nothing_and_says_what_to_do_when_nobody_answers(folder: Path) -> None:
    before = names_in(folder)
    result = CliRunner().invoke(app, ["runs", "--clean"], input="")
    assert "add --yes" in str(result.exception)
    assert isinstance(result.exception, SettingsError)
    assert names_in(folder) == before


@pytest.mark.parametrize("words", [["--keep", "0"], ["--older-than", "3"], ["--yes"]], ids=" ".join)
def test_refuses_to_list_what_says_how_to_clean(words: list[str]) -> None:
    result = CliRunner().invoke(app, ["runs", *words])
    assert "add it, or leave them out" in str(result.exception)
    assert result.stdout == ""


def test_cleans_what_is_older_and_keeps_the_newest_and_every_other_file(folder: Path) -> None:
    assert CliRunner().invoke(app, ["runs", "--clean", "--older-than", "5", "--yes"]).exit_code == 0
    assert names_in(folder) == {"0.run", "2.run"} | OTHERS
    CliRunner().invoke(app, ["runs", "--clean", "--keep", "1"], input="y\n")
    assert names_in(folder) == {"0.run"} | OTHERS
    result = CliRunner().invoke(app, ["runs", "--clean", "--yes", "--json"])
    assert len(json.loads(result.stdout)["deleted"]) == 1
    assert names_in(folder) == OTHERS


def test_never_cleans_a_run_that_may_still_be_written(folder: Path) -> None:
    write_made_run(folder / "now.run", hidden_count=1, status="running")
    CliRunner().invoke(app, ["runs", "--clean", "--yes"])
    assert names_in(folder) == {"now.run"} | OTHERS


def test_deletes_a_run_s_companions_with_it(folder: Path) -> None:
    (folder / "9.run-shm").write_bytes(b"")
    CliRunner().invoke(app, ["runs", "--clean", "--older-than", "5", "--yes"])
    assert not any(name.startswith("9.run") for name in names_in(folder))


def test_asks_no_question_with_json(folder: Path) -> None:
    result = CliRunner().invoke(app, ["runs", "--clean", "--json"])
    assert isinstance(result.exception, SettingsError)
    assert "--yes" in str(result.exception)


@pytest.fixture
def case(folder: Path) -> Path:
    """A case of `cure` of four days ago: the diagnosed run with its outcome, and two trials."""
    case = folder.parent / "cures" / "train-0123456789ab"
    plan = case / "ba9876543210"
    for trial in (plan, plan / "trials" / "race-seed0-000000000000", plan / "trials" / "trial-seed1-000000000001"):
        trial.mkdir(parents=True)
        write_made_run(trial / "run.db", hidden_count=1)
        for name in ("spec.json", "result.json", "output.log"):
            (trial / name).write_text("{}")
    with RunWriter(plan / "run.db", is_resumed=True) as writer:
        writer.set_outcome(made_outcome())
    age(case, 4.0)
    return case


def age(folder: Path, days: float) -> None:
    for path in folder.rglob("*"):
        written_at = time.time() - 86400.0 * days
        os.utime(path, (written_at, written_at))


def test_lists_cures_with_their_trials_among_the_runs(case: Path) -> None:
    written = json.loads(CliRunner().invoke(app, ["runs", "--json"]).stdout)
    assert written["folders"] == [".gradiometer/runs", ".gradiometer/cures"]
    assert [Path(entry["path"]).name for entry in written["runs"]] == ["0.run", "2.run", case.name, "9.run"]
    entry = written["runs"][2]
    size = sum(path.stat().st_size for path in case.rglob("*") if path.is_file())
    assert (entry["kind"], entry["status"], entry["trial_count"], entry["size_bytes"]) == ("cure", "better", 2, size)

    listed = CliRunner().invoke(app, ["runs"]).stdout
    assert "(2 trials)" in " ".join(listed.split())
    assert "3 runs and 1 cure" in listed


def test_cleans_an_old_cure_with_all_its_trials(case: Path, folder: Path) -> None:
    CliRunner().invoke(app, ["runs", "--clean", "--keep", "2", "--yes"])
    assert not case.exists()
    assert names_in(folder) == {"0.run", "2.run"} | OTHERS


def test_never_cleans_a_cure_that_goes_on(case: Path) -> None:
    trial = case / "ba9876543210" / "trials" / "trial-seed1-000000000001"
    (trial / "result.json").unlink()
    (trial / "output.log").write_text("epoch 1")
    CliRunner().invoke(app, ["runs", "--clean", "--yes"])
    assert case.exists()

    age(case, 1.0)  # its parent was killed: it will never end
    CliRunner().invoke(app, ["runs", "--clean", "--yes"])
    assert not case.exists()


def test_leaves_folders_alone_that_are_no_cures(case: Path) -> None:
    (case / "notes.txt").write_text("mine")
    link = case.parent / "train-111111111111"
    link.symlink_to(case, target_is_directory=True)
    (case.parent / "models-222222222222").mkdir()
    CliRunner().invoke(app, ["runs", "--clean", "--yes"])
    assert names_in(case.parent) == {case.name, link.name, "models-222222222222"}
    assert (case / "ba9876543210" / "run.db").exists()


def test_refuses_a_folder_that_is_a_file(folder: Path) -> None:
    assert isinstance(CliRunner().invoke(app, ["runs", str(folder / "notes.txt")]).exception, RunFileError)
