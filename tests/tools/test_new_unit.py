"""Stubs are complete: they parse, lint, stand in their tables, and their tests fail until someone fills them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLES = {"condition": "src/gradiometer/diagnosing/__init__.py", "cure": "src/gradiometer/curing/__init__.py"}


@pytest.fixture
def copied_tree(tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(
        ROOT / "src/gradiometer", tmp_path / "src/gradiometer", ignore=shutil.ignore_patterns("__pycache__")
    )
    return tmp_path


def stub(tree: Path, kind: str, name: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools/new_unit.py"), kind, name, "--root", str(tree)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("kind", "room", "entry"),
    [("condition", "diagnosing", '    "crooked": find_crooked,'), ("cure", "curing", '    "crooked": Crooked,')],
)
def test_stubs_a_unit_that_lints_and_stands_in_its_table(copied_tree, kind, room, entry):
    finished = stub(copied_tree, kind, "crooked")
    assert finished.returncode == 0, finished.stderr
    assert f"src/gradiometer/{room}/crooked.py" in finished.stdout
    assert entry in (copied_tree / TABLES[kind]).read_text().splitlines()
    written = [str(copied_tree / line) for line in finished.stdout.splitlines() if not line.startswith("next:")]
    assert len(written) >= 3
    lint = [sys.executable, "-m", "ruff", "check", "--no-cache", *written]
    checked = subprocess.run(lint, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    tests = copied_tree / f"tests/{room}/test_crooked.py"
    test = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", str(tests)]
    assert "2 failed" in subprocess.run(test, capture_output=True, text=True, check=False).stdout


def test_adds_a_new_condition_to_the_import_contract(copied_tree):
    stub(copied_tree, "condition", "crooked")
    assert '    "gradiometer.diagnosing.crooked",' in (copied_tree / "pyproject.toml").read_text().splitlines()


def test_does_not_stub_over_what_is_there(copied_tree):
    stub(copied_tree, "cure", "crooked")
    table = (copied_tree / TABLES["cure"]).read_text()
    finished = stub(copied_tree, "cure", "crooked")
    assert finished.returncode == 1
    assert "is there already" in finished.stderr
    assert (copied_tree / TABLES["cure"]).read_text() == table


@pytest.mark.parametrize("name", ["", "Two words", "Crooked", "class"])
def test_says_which_names_a_stub_can_have(copied_tree, name):
    finished = stub(copied_tree, "condition", name)
    assert finished.returncode == 1
    assert "NAME=lower_case_words" in finished.stderr
