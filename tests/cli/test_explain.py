import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.streams_apart import runner_apart
from gradiometer.cli import app
from gradiometer.errors import GradiometerError, SettingsError
from gradiometer.explaining.layer_story import LayerStory
from gradiometer.explaining.story import Story
from showing.made_run import write_made_run

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


@pytest.fixture
def run_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A vanishing run, in a folder without settings of its own."""
    monkeypatch.chdir(tmp_path)
    return write_made_run(tmp_path / "ten.db")


def test_prints_the_verdict_first_and_the_command_to_try_next_last(run_file: Path) -> None:
    result = CliRunner().invoke(app, ["explain", str(run_file)])
    assert result.exit_code == 0
    assert "BROKEN" in result.stdout.splitlines()[0]
    assert "gradiometer cure train.py" in result.stdout.splitlines()[-1]


def test_prints_one_object_and_nothing_else_with_json(run_file: Path) -> None:
    whole = runner_apart().invoke(app, ["explain", str(run_file), "--json"])
    one = runner_apart().invoke(app, ["explain", str(run_file), "--layer", "body.0", "--json"])
    for result, noun in ((whole, Story), (one, LayerStory)):
        written = json.loads(result.stdout, parse_constant=lambda word: 1 / 0)
        assert list(written) == [spec.name for spec in fields(noun)]
        assert result.stderr == ""


def test_tells_of_one_layer(run_file: Path) -> None:
    result = CliRunner().invoke(app, ["explain", str(run_file), "--layer", "body.1"])
    assert result.stdout.startswith("body.1  Sigmoid")
    refused = CliRunner().invoke(app, ["explain", str(run_file), "--layer", "nobody"])
    assert isinstance(refused.exception, SettingsError)
    assert "it has 21, among them" in str(refused.exception)


def test_lists_examples_of_the_whole_run(run_file: Path) -> None:
    result = CliRunner().invoke(app, ["explain", str(run_file), "--examples"])
    assert "No step of this run measured single examples." in result.stdout
    written = json.loads(CliRunner().invoke(app, ["explain", str(run_file), "--examples", "--json"]).stdout)
    assert written["example_count"] == 0
    both = CliRunner().invoke(app, ["explain", str(run_file), "--examples", "--layer", "body.0"])
    assert isinstance(both.exception, SettingsError)


def test_refuses_a_file_that_is_missing(run_file: Path) -> None:
    assert isinstance(CliRunner().invoke(app, ["explain", "no.db"]).exception, GradiometerError)


@pytest.mark.slow
@pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.stem)
def test_tells_the_story_of_every_example(script: Path, run_file: Path) -> None:
    words = [sys.executable, "-m", "gradiometer", "run", "-q", "--steps", "30", "--file", "example.db", str(script)]
    subprocess.run(words, capture_output=True, check=True)
    result = CliRunner().invoke(app, ["explain", "example.db"])
    assert result.exit_code == 0, result.exception
    assert "30 optimizer steps" in " ".join(result.stdout.split())
    told = json.loads(CliRunner().invoke(app, ["explain", "example.db", "--json"]).stdout)
    assert all(0 <= moment["step"] < 30 for moment in told["moments"])
