"""`gradiometer live` and `gradiometer run --live`, as real processes."""

import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from gradiometer.cli.living import DEFAULT_PLACE, run_files
from gradiometer.recording.reader import read_run
from gradiometer.showing.dashboard.shelf import key_of
from showing.dashboard.made_files import write_run

COMMAND = [sys.executable, "-m", "gradiometer"]

SCRIPT = """
import time
import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
optimizer = torch.optim.SGD(model.parameters(), 0.1)
inputs, targets = torch.randn(32, 8), torch.randint(0, 3, (32,))
for step in range(60):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(inputs), targets).backward()
    optimizer.step()
    time.sleep(PAUSE)
torch.save(model.state_dict(), "weights.pt")
"""


def answer(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as response:
        return response.read().decode()


def test_finds_runs_and_trials_below_a_folder(tmp_path: Path) -> None:
    plan = tmp_path / "cures" / "train-0123456789ab" / "0123456789ab"
    trial = plan / "trials" / "trial-seed0-0"
    for folder in (tmp_path / "runs", plan, trial):
        folder.mkdir(parents=True)
        write_run(folder / "run.db", step_count=1)
    (trial / "spec.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("no run")
    (tmp_path / "elsewhere.db").symlink_to("/etc/hostname")
    found = {one.path: one.case for one in run_files(tmp_path, is_folder=True)}
    assert found == {
        tmp_path / "runs" / "run.db": None,
        plan / "run.db": None,
        trial / "run.db": plan / "run.db",
    }
    assert [one.path for one in run_files(plan / "run.db", is_folder=False)] == [plan / "run.db", trial / "run.db"]


def test_serves_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert run_files(tmp_path / DEFAULT_PLACE, is_folder=True) == []


def test_says_that_a_place_is_not_there(tmp_path: Path) -> None:
    done = subprocess.run([*COMMAND, "live", "nowhere.db"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("gradiometer: There is no file or folder nowhere.db")


@pytest.mark.slow
def test_serves_one_run_to_this_machine_until_it_is_told_to_end(tmp_path: Path) -> None:
    path = write_run(tmp_path / "train.db", step_count=4)
    command = [*COMMAND, "live", str(path), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().rpartition(" ")[2].strip()
        home, _, key = url.partition("run/")
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", home)
        assert key == key_of(path)
        assert "4 steps" in json.loads(answer(f"{home}marks/{key}"))["status"]
        process.send_signal(signal.SIGINT)
        said, faults = process.communicate(timeout=60)
    assert "Traceback" not in faults
    assert process.returncode == 0


@pytest.mark.slow
def test_asks_for_a_token_on_other_addresses(tmp_path: Path) -> None:
    command = [*COMMAND, "live", str(tmp_path), "--host", "0.0.0.0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().rpartition(" ")[2].strip()
        port = re.search(r":(\d+)/\?token=[\w-]{40,}$", url).group(1)
        with pytest.raises(urllib.error.HTTPError, match="401"):
            answer(f"http://127.0.0.1:{port}/marks/list")
        process.terminate()


@pytest.mark.slow
def test_serves_a_run_beside_its_training_and_ends_with_it(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT.replace("PAUSE", "0.1"))
    command = [*COMMAND, "run", "--quiet", "--live", "--file", "run.db", "train.py"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        url = process.stderr.readline().removeprefix("Live: ").strip()
        home, _, key = url.partition("run/")
        seen = steps_seen(process, f"{home}marks/{key}")
        rest = process.stderr.read()
    assert process.returncode == 0
    assert len(seen) >= 5
    assert seen == sorted(seen)
    assert rest.count("Open the dashboard again:  gradiometer live") == 1
    with pytest.raises(urllib.error.URLError):
        answer(home)


def steps_seen(process: subprocess.Popen[str], url: str) -> list[int]:
    """How many steps the dashboard tells of, each time it is another number, until the training is over."""
    seen: list[int] = []
    ending = time.monotonic() + 120
    while time.monotonic() < ending:
        status = json.loads(answer(url))["status"]
        told = re.search(r"([\d,]+) steps?", status)
        count = int(told.group(1).replace(",", "")) if told else 0
        if count and (not seen or count != seen[-1]):
            seen.append(count)
        if "It is finished" in status:
            return seen
        time.sleep(0.2)
    return seen


@pytest.mark.slow
def test_ends_the_dashboard_of_a_run_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT.replace("PAUSE", "1.0"))
    command = [*COMMAND, "run", "--quiet", "--live", "--file", "run.db", "train.py"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        url = process.stderr.readline().removeprefix("Live: ").strip()
        answer(url)
        process.kill()
    ending = time.monotonic() + 60
    while time.monotonic() < ending:
        try:
            answer(url)
        except urllib.error.URLError:
            return
        time.sleep(0.2)
    pytest.fail("it still answers")


@pytest.mark.slow
def test_trains_the_same_weights_with_and_without_a_dashboard(tmp_path: Path) -> None:
    import torch

    weights, losses = [], []
    for name, options in (("with", ["--live"]), ("without", [])):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "train.py").write_text(SCRIPT.replace("PAUSE", "0.0"))
        words = [*COMMAND, "run", "--quiet", *options, "--file", "run.db", "train.py"]
        subprocess.run(words, cwd=folder, capture_output=True, check=True)
        weights.append(torch.load(folder / "weights.pt"))
        losses.append(read_run(folder / "run.db").loss.values.tolist())
    assert losses[0] == losses[1]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
