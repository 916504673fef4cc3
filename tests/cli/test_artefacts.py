"""`--junit`, `--sarif` and `--markdown` of `diagnose`, `check` and `run`."""

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from gradiometer.cli import app
from gradiometer.cli.artefacts import Artefacts, refuse_places
from gradiometer.errors import RunFileError
from showing.made_run import write_made_run

TRAIN = """
import torch
torch.manual_seed(0)
layers = [m for _ in range(12) for m in (torch.nn.Linear(8, 8), torch.nn.Sigmoid())]
model = torch.nn.Sequential(*layers, torch.nn.Linear(8, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
for step in range(40):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()
"""


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    """A vanishing run."""
    return write_made_run(tmp_path / "ten.db")


def test_writes_three_files_beside_the_usual_output(run_file: Path, tmp_path: Path) -> None:
    junit, sarif, markdown = (tmp_path / "made" / name for name in ("junit.xml", "found.sarif", "summary.md"))
    plain = CliRunner().invoke(app, ["diagnose", str(run_file), "--json"])
    words = ["diagnose", str(run_file), "--json", "--fail-on", "warning"]
    result = CliRunner().invoke(
        app, [*words, "--junit", str(junit), "--sarif", str(sarif), "--markdown", str(markdown)]
    )
    assert result.exit_code == 3
    assert result.stdout == plain.stdout
    assert int(ElementTree.parse(junit).getroot().get("failures", "0")) >= 1
    assert json.loads(sarif.read_text())["runs"][0]["results"][0]["ruleId"] == "vanishing"
    assert markdown.read_text().startswith("## gradiometer: broken")


def test_adds_to_a_summary_and_replaces_the_others(run_file: Path, tmp_path: Path) -> None:
    junit, markdown = tmp_path / "junit.xml", tmp_path / "summary.md"
    junit.write_text("old " * 100_000)
    markdown.write_text("before\n")
    for _ in range(2):
        result = CliRunner().invoke(
            app, ["diagnose", str(run_file), "--junit", str(junit), "--markdown", str(markdown)]
        )
        assert result.exit_code == 0
    assert ElementTree.parse(junit).getroot().tag == "testsuites"
    assert markdown.read_text().startswith("before\n## gradiometer")
    assert markdown.read_text().count("## gradiometer") == 2


@pytest.mark.parametrize("option", ["--junit", "--sarif", "--markdown"])
def test_refuses_a_file_that_can_not_be_written(run_file: Path, tmp_path: Path, option: str) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "file" / "inner.xml", Path("/proc/nothing/x.xml")):
        result = CliRunner().invoke(app, ["diagnose", str(run_file), option, str(place)])
        assert isinstance(result.exception, RunFileError)
        assert str(result.exception).startswith(f"{option} {place} can't be written")


def test_refuses_one_file_for_two_things(run_file: Path, tmp_path: Path) -> None:
    same = str(tmp_path / "same.xml")
    result = CliRunner().invoke(app, ["diagnose", str(run_file), "--junit", same, "--sarif", same])
    assert "is that of --junit too" in str(result.exception)
    result = CliRunner().invoke(app, ["diagnose", str(run_file), "--sarif", str(run_file)])
    assert "is the run file too" in str(result.exception)
    assert run_file.read_bytes().startswith(b"SQLite format 3")


@pytest.mark.slow  # by default tests/ports/test_elsewhere.py shows that check writes what is asked for
def test_writes_them_after_a_check_and_fails_as_asked(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    words = ["check", "--fail-on", "warning", "--junit", "junit.xml", "--sarif", "found.sarif", "train.py"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "gradiometer", *words]
    answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 3, answer.stderr
    failed = [case.get("name") for case in ElementTree.parse(tmp_path / "junit.xml").iter("testcase") if len(case)]
    assert "vanishing" in failed
    (result, *_) = json.loads((tmp_path / "found.sarif").read_text())["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "train.py"
    assert "model(x)" in TRAIN.splitlines()[place["region"]["startLine"] - 1]


def test_refuses_a_bad_place_before_the_script_runs(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("print('ran')\n" + TRAIN)
    command = [sys.executable, "-m", "gradiometer", "run", "--junit", str(tmp_path), "train.py"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr.startswith(f"gradiometer: --junit {tmp_path} can't be written")


@pytest.mark.parametrize("name", ["half\ud800", "zero\0byte"])
def test_refuses_a_name_that_no_file_can_have(run_file: Path, name: str) -> None:
    with pytest.raises(RunFileError, match="No file can be called") as refusal:
        refuse_places(Artefacts(junit=Path(name)), run_file)
    assert repr(name) in str(refusal.value)
