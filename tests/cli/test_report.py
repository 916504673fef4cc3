import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gradiometer.cli import app
from gradiometer.errors import RunFileError
from showing.made_run import write_made_run


@pytest.fixture
def run_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A vanishing run, in a folder without settings of its own."""
    monkeypatch.chdir(tmp_path)
    return write_made_run(tmp_path / "ten.run")


def test_writes_the_page_beside_the_run_file_and_prints_its_path(run_file: Path) -> None:
    result = CliRunner().invoke(app, ["report", str(run_file)])
    assert result.exit_code == 0
    assert result.stdout == f"{run_file.with_suffix('.html')}\n"
    assert "Broken" in run_file.with_suffix(".html").read_text(encoding="utf-8")


def test_writes_the_page_where_it_is_told(run_file: Path, tmp_path: Path) -> None:
    page = tmp_path / "elsewhere.html"
    result = CliRunner().invoke(app, ["report", str(run_file), "--output", str(page), "--json"])
    written = json.loads(result.stdout)
    assert written["report"] == page.as_posix()
    assert written["verdict"] == "broken"
    assert page.is_file()


def test_says_what_to_do_where_it_can_not_write(run_file: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["report", str(run_file), "--output", str(tmp_path / "no" / "page.html")])
    assert isinstance(result.exception, RunFileError)
    assert "--output" in str(result.exception)


def test_leaves_the_run_file_alone(run_file: Path) -> None:
    before = run_file.read_bytes()
    CliRunner().invoke(app, ["report", str(run_file)])
    assert run_file.read_bytes() == before
    assert isinstance(
        CliRunner().invoke(app, ["report", str(run_file), "--output", str(run_file)]).exception, RunFileError
    )
    assert run_file.read_bytes() == before
