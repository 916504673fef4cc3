"""One version, told everywhere alike; and telling it loads nothing that is not needed to tell it."""

import re
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from gradiometer import __version__
from gradiometer.cli import app

ROOT = Path(__file__).parents[2]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def releases() -> list[tuple[str, str]]:
    """Version and date of every release in the changelog, in its order."""
    return re.findall(r"^## (\d+\.\d+\.\d+) \((\d{4}-\d{2}-\d{2})\)$", CHANGELOG, flags=re.MULTILINE)


def test_has_a_semantic_version_that_stands_in_one_place():
    assert re.fullmatch(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", __version__)
    assert "version" in PROJECT["dynamic"]
    assert "version" not in PROJECT


def test_tells_its_version_on_one_line():
    told = CliRunner().invoke(app, ["--version"])
    assert told.exit_code == 0
    version = sys.version_info
    python = re.escape(f"{version.major}.{version.minor}.{version.micro}")
    assert re.fullmatch(rf"gradiometer {re.escape(__version__)} \(Python {python}\S*, torch \d\S*\)\n", told.stdout)
    assert CliRunner().invoke(app, ["-V"]).stdout == told.stdout


def test_tells_of_its_newest_release_first():
    assert releases()[0] == (__version__, str(CITATION["date-released"]))
    assert CHANGELOG.index("## Unreleased\n") < CHANGELOG.index(f"## {__version__} ")
    dates = [date.fromisoformat(day) for _, day in releases()]
    assert dates == sorted(dates, reverse=True)


def test_can_be_cited():
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["version"] == __version__
    assert CITATION["license"] == PROJECT["license"]
    assert [author["name"] for author in CITATION["authors"]] == ["The gradiometer developers"]
    # What the format's schema asks for, and of what this file takes beside it what it allows.
    required = {"authors", "cff-version", "message", "title"}
    allowed = required | {"abstract", "date-released", "keywords", "license", "type", "version"}
    assert required <= set(CITATION) <= allowed
    assert CITATION["type"] in {"dataset", "software"}


def test_claims_only_versions_of_python_that_it_admits():
    claimed = [
        tuple(map(int, words.rpartition(" ")[2].split(".")))
        for words in PROJECT["classifiers"]
        if re.search(r"Python :: 3\.\d+$", words)
    ]
    least = tuple(map(int, PROJECT["requires-python"].removeprefix(">=").split(".")))
    assert min(claimed) == least


@pytest.mark.parametrize("word", ["--version", "--help"])
def test_answers_without_the_libraries_that_train_read_and_draw(word):
    command = [sys.executable, "-X", "importtime", "-m", "gradiometer", word]
    asked = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in asked.stderr.splitlines()}
    assert "gradiometer" in loaded
    assert loaded & {"torch", "numpy", "scipy", "plotly", "dash", "ray", "transformers"} == set()
