"""Whatever befalls gradiometer amid a training, the training goes on as if nobody watched it; see `table`."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from faults.table import FAULTS
from gradiometer.recording.reader import read_run

QUICK = (
    "no memory for a reduction",
    "the run file is deleted",
    "a fork that trains on",
    "os._exit",
    "a fault with stderr taken away",
)
"""Faults of the default suite; one process that has torch loaded runs all of them."""

SLOW = tuple(name for name in FAULTS if name not in QUICK)

Ended = Mapping[str, Any]


def met(names: tuple[str, ...], folder: Path) -> Mapping[str, Ended]:
    """Run the scripts of faults, unwatched and watched."""
    command = [sys.executable, "-m", "faults.run_faults", str(folder), *names]
    tests = Path(__file__).parents[1]
    answer = subprocess.run(
        command, cwd=tests, capture_output=True, text=True, check=False, timeout=800,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr[-2000:]
    found: Mapping[str, Ended] = json.loads(answer.stdout)
    return found


def check(name: str, ended: Ended) -> None:
    """Assert what must hold after a fault."""
    fault, bare, watched = FAULTS[name], ended["bare"], ended["watched"]
    assert watched["weights"] == bare["weights"] != ""
    assert watched["output"] == bare["output"]
    assert watched["code"] == (bare["code"] if fault.code is None else fault.code), watched["errors"]
    assert watched["errors"].count("Traceback") == bare["errors"].count("Traceback"), watched["errors"]
    if fault.told:
        assert watched["errors"].count(fault.told) == max(1, bare["errors"].count(fault.told)), watched["errors"]
    file = Path(ended["folder"]) / "runs" / "run.db"
    if fault.recorded is None:
        assert not file.exists()
        return
    run = read_run(file)
    recorded = [event.text for event in run.events if event.kind == "fault"]
    assert len(recorded) == bool(fault.recorded)
    assert all(fault.recorded in text for text in recorded)
    assert run.facts["status"] == fault.status


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Ended]:
    return met(QUICK, tmp_path_factory.mktemp("quick"))


@pytest.mark.parametrize("name", QUICK)
def test_leaves_a_training_as_it_is_through(name: str, quick: Mapping[str, Ended]) -> None:
    check(name, quick[name])


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Ended]:
    return met(SLOW, tmp_path_factory.mktemp("slow"))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SLOW)
def test_leaves_a_training_as_it_is_also_through(name: str, slow: Mapping[str, Ended]) -> None:
    check(name, slow[name])


FULL = """
import os, sys, torch
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs = torch.randn(32, 8)
for step in range(60):
    optimizer.zero_grad(); model(inputs).square().mean().backward(); optimizer.step()
    if step == 30:
        {amid}
    if step > 30:
        import time; time.sleep(0.02)
print(sum(one.double().sum().item() for one in model.parameters()).hex())
"""
MOUNTED = {
    "a file system without room": "open({place!r} + '/rest', 'wb', 0).write(bytes(2**20)) if {is_watched} else None",
}


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system")
@pytest.mark.parametrize("name", MOUNTED)
def test_leaves_a_training_as_it_is_through_a_file_system_that_fails(name: str, tmp_path: Path) -> None:
    place, script = tmp_path / "disk", tmp_path / "train.py"
    place.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(place)]
    if subprocess.run(mounting, check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a file system")
    try:
        outputs = []
        for is_watched in (False, True):
            script.write_text(FULL.replace("{amid}", MOUNTED[name].format(place=str(place), is_watched=is_watched)))
            words = ["-m", "gradiometer", "run", "-q", "--overhead", "1", "--file", str(place / "run.db")]
            command = [sys.executable, *(words if is_watched else []), str(script)]
            answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
            assert answer.returncode == 0, answer.stderr
            assert "Traceback" not in answer.stderr
            outputs.append(answer.stdout)
        assert outputs[0] == outputs[1] != ""
        assert answer.stderr.count("gradiometer: Recording stopped") == 1
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
