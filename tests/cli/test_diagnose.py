import json
import os
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.streams_apart import runner_apart
from gradiometer.cli import app
from gradiometer.errors import NotARunFileError, SettingsError
from gradiometer.schema import Diagnosis, Finding
from showing.made_run import write_made_run


@pytest.fixture
def run_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A vanishing run, in a folder without settings of its own."""
    monkeypatch.chdir(tmp_path)
    return write_made_run(tmp_path / "ten.run")


def test_prints_the_verdict_first_and_the_next_command_last(run_file: Path) -> None:
    result = CliRunner().invoke(app, ["diagnose", str(run_file)])
    assert result.exit_code == 0
    assert "BROKEN" in result.stdout.splitlines()[0]
    assert result.stdout.rstrip().endswith("gradiometer cure train.py --epochs 3")
    assert "vanishing" in result.stdout
    assert len(result.stdout.splitlines()) <= 40


def test_prints_one_object_and_nothing_else_with_json(run_file: Path) -> None:
    result = runner_apart().invoke(app, ["diagnose", str(run_file), "--json"])
    written = json.loads(result.stdout, parse_constant=lambda word: 1 / 0)
    assert list(written) == [*(spec.name for spec in fields(Diagnosis)), "measured"]
    assert written["verdict"] == "broken"
    assert list(written["findings"][0]) == [spec.name for spec in fields(Finding)]
    assert result.stderr == ""


@pytest.mark.parametrize("options", [["--fail-on", "critical"], ["--fail-on", "info", "--json"]])
def test_ends_with_exit_code_three_on_a_finding_as_severe_as_asked(run_file: Path, options: list[str]) -> None:
    assert CliRunner().invoke(app, ["diagnose", str(run_file), *options]).exit_code == 3


def test_takes_severity_and_ignore_list_from_the_settings(run_file: Path) -> None:
    settings = run_file.with_name("pyproject.toml")
    settings.write_text("[tool.gradiometer]\nfail_on = 'critical'\n")
    assert CliRunner().invoke(app, ["diagnose", str(run_file)]).exit_code == 3
    settings.write_text("[tool.gradiometer]\nfail_on = 'info'\n[[tool.gradiometer.ignore]]\nreason = 'a toy'\n")
    result = CliRunner().invoke(app, ["diagnose", str(run_file)])
    assert result.exit_code == 0
    assert "ignored" in result.stdout
    assert "(a toy)" in result.stdout


def test_refuses_a_severity_that_is_none(run_file: Path) -> None:
    result = CliRunner().invoke(app, ["diagnose", str(run_file), "--fail-on", "bad"])
    assert isinstance(result.exception, SettingsError)
    assert "choose critical, warning or info" in str(result.exception)


def test_refuses_a_file_that_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no run")
    result = CliRunner().invoke(app, ["diagnose", str(tmp_path / "notes.txt")])
    assert isinstance(result.exception, NotARunFileError)


@pytest.mark.parametrize("verb", ["diagnose", "report"])
def test_opens_a_run_without_torch_in_under_a_second(run_file: Path, verb: str) -> None:
    code = (
        "import sys\nfrom gradiometer.cli import main\n"
        "try:\n    main([sys.argv[1], sys.argv[2]])\nfinally:\n"
        "    print('torch' in sys.modules, 'plotly' in sys.modules, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, verb, str(run_file)]
    # Installed packages are compiled: so is this one after its first start, whatever the machine does otherwise.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    elapsed: list[float] = []
    # A busy machine makes a start longer and never shorter, also in processor time: caches and cores are shared. So one
    # start that is fast enough shows what the program needs, and ten that are not show that it needs more.
    while len(elapsed) < 10 and not (elapsed and elapsed[-1] < 1.0):
        before, begun = os.times(), time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        after = os.times()
        used = after.children_user + after.children_system - before.children_user - before.children_system
        elapsed.append(min(used, time.perf_counter() - begun))
    assert done.returncode == 0, done.stderr
    assert done.stderr.split()[-2:] == ["False", "False"]
    assert min(elapsed) < 1.0
