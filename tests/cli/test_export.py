import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gradiometer.cli import app
from gradiometer.errors import SettingsError
from showing.made_run import write_made_run


@pytest.fixture
def run_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A vanishing run, in a folder without settings of its own."""
    monkeypatch.chdir(tmp_path)
    return write_made_run(tmp_path / "ten.db", hidden_count=2)


def test_writes_tables_beside_the_run_file_and_prints_their_paths(run_file: Path) -> None:
    result = CliRunner().invoke(app, ["export", str(run_file)])
    assert result.exit_code == 0
    files = [Path(line) for line in result.stdout.splitlines()]
    assert run_file.parent / "ten.tables" / "losses.csv" in files
    assert all(file.is_file() for file in files)


def test_writes_one_json_file_where_it_is_told(run_file: Path, tmp_path: Path) -> None:
    words = ["export", str(run_file), "--to", "json", "--output", str(tmp_path), "--json"]
    result = CliRunner().invoke(app, words)
    assert json.loads(result.stdout) == {"files": [(tmp_path / "ten.json").as_posix()]}
    assert "losses" in json.loads((tmp_path / "ten.json").read_text(encoding="utf-8"))["tables"]


def test_replaces_files_only_when_told(run_file: Path) -> None:
    words = ["export", str(run_file), "--to", "json"]
    assert CliRunner().invoke(app, words).exit_code == 0
    refused = CliRunner().invoke(app, words)
    assert isinstance(refused.exception, SettingsError)
    assert "--force" in str(refused.exception)
    assert CliRunner().invoke(app, [*words, "--force"]).exit_code == 0


@pytest.mark.parametrize(("option", "word"), [("--to", "excel"), ("--figures", "gif")])
def test_lists_the_formats_that_there_are(option: str, word: str, run_file: Path) -> None:
    refused = CliRunner().invoke(app, ["export", str(run_file), option, word])
    assert isinstance(refused.exception, SettingsError)
    assert f"{option} {word} is not known: choose" in str(refused.exception)
