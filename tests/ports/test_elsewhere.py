"""gradiometer in an interpreter that lacks what Python on Windows lacks: one process, for it takes seconds to start."""

import json
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from ports.elsewhere import run_elsewhere

TRAIN = """
import torch
torch.manual_seed(0)
layers = [m for _ in range(6) for m in (torch.nn.Linear(8, 8), torch.nn.Sigmoid())]
model = torch.nn.Sequential(*layers, torch.nn.Linear(8, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
for step in range(40):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()
"""

WATCHING = [
    ["run", "--quiet", "--seed", "1", "--file", "a.db", "--to", "tensorboard:events", "train.py"],
    ["check", "--file", "b.db", "--junit", "junit.xml", "train.py"],
    ["diagnose", "a.db"],
]

NEEDY = [["cure", "train.py"], ["replay", "a.db"]]

READING = [
    *(["report", "a.db"], ["explain", "a.db"], ["compare", "a.db", "b.db"], ["export", "a.db"], ["runs"]),
    *(["docs", "vanishing"], ["theory", "tanh", "--sigma-w", "1.3"], ["lab"]),
]

PROGRAM = """
import importlib, json, os, pkgutil, sys
assert not hasattr(os, "fork") and not hasattr(os, "getuid"), "the environment is not as it should be"
import gradiometer
from gradiometer.cli import main

verbs, imports_all = json.loads(sys.argv[1])
codes, failed = {}, {}
for words in verbs:
    try:
        code = main(words)
    except SystemExit as ending:
        code = ending.code
    codes[words[0]] = code or 0
for module in pkgutil.walk_packages(gradiometer.__path__, "gradiometer.") if imports_all else ():
    if module.name.endswith("__main__") or module.name == "gradiometer.measuring.triton_reductions":
        continue
    try:
        importlib.import_module(module.name)
    except Exception as error:
        failed[module.name] = f"{type(error).__name__}: {error}"
with open("told.json", "w") as file:
    json.dump({"codes": codes, "failed": failed}, file)
"""


def tell(
    folder: Path, verbs: list[list[str]], *, imports_all: bool
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Run verbs, one after another, and import every module; what was printed, and what came of it."""
    (folder / "train.py").write_text(TRAIN)
    (folder / "program.py").write_text(PROGRAM)
    answer = run_elsewhere(folder, "program.py", json.dumps([verbs, imports_all]))
    assert (folder / "told.json").exists(), answer.stderr
    return answer, json.loads((folder / "told.json").read_text())


@pytest.mark.slow
def test_runs_and_checks_without_forks_users_and_signals_and_says_what_cure_would_need(tmp_path: Path) -> None:
    answer, told = tell(tmp_path, WATCHING + NEEDY, imports_all=False)
    assert told["codes"] == {"run": 0, "check": 0, "diagnose": 0, "cure": 2, "replay": 2}
    sentences = [line for line in answer.stderr.splitlines() if line.startswith("gradiometer: cure, run --cure")]
    assert len(sentences) == 2
    assert "use its Subsystem for Linux" in sentences[0]
    assert "Traceback" not in answer.stderr
    assert "Told tensorboard:  tensorboard --logdir events" in answer.stderr
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert suite.get("tests") == "23"
    assert "vanishing" in [case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None]


@pytest.mark.slow
def test_reads_runs_and_imports_every_module_that_watches_or_reads(tmp_path: Path) -> None:
    _, told = tell(tmp_path, WATCHING + READING, imports_all=True)
    assert told["codes"] == {words[0]: 0 for words in WATCHING + READING}
    failed = told["failed"]
    assert all(reason.startswith("SettingsError: cure, run --cure and replay need") for reason in failed.values())
    # Trials, what cures by trials, and the guard: nothing that watches or reads.
    assert {name.split(".")[1] for name in failed} <= {"cli", "curing", "launching"}
    assert {name for name in failed if name.startswith("gradiometer.cli")} <= {
        "gradiometer.cli.curing",
        "gradiometer.cli.engines",
    }
    assert "gradiometer.launching.launch" not in failed
