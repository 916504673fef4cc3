import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from curing.trials.trial_material import SIGMOIDS, write_script
from gradiometer.cli import main

HEALTHY = SIGMOIDS.replace("Sigmoid", "ReLU").replace("range(5)", "range(0)")
OPTIONS = ("--seeds", "3", "--workers", "2")


def cure(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gradiometer", "cure", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280, check=False)


Answer = tuple[int, str, str]


@pytest.fixture
def called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Answer]:
    """Call the command line in this process, which has torch already: exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> Answer:
        code = 0
        try:
            main(list(words))
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        return code, *capsys.readouterr()

    return call


@pytest.mark.slow
def test_proves_a_cure_prints_one_object_and_a_patch_that_applies(
    tmp_path: Path, called: Callable[..., Answer]
) -> None:
    write_script(tmp_path, SIGMOIDS, steps=200)
    done = cure(tmp_path, *OPTIONS, "--json", "--file", "kept/run.db", "train.py")

    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["outcome"] == "better"
    assert answer["cures"]
    assert answer["findings"][0]["condition"]
    assert len(answer["control"]) == len(answer["treated"]) == 3
    assert answer["interval"][0] <= answer["difference"] <= answer["interval"][1] < 0.0
    assert answer["snippet"]
    assert {"cure", "seed", "run_file", "final_loss"} <= set(answer["trials"][0])
    assert all(Path(trial["run_file"]).exists() for trial in answer["trials"])
    assert (tmp_path / "kept" / "run.db").exists()
    assert "3 seeds, 200 steps each, about" in done.stderr
    assert "Traceback" not in done.stderr

    code, patch, _ = called("cure", *OPTIONS, "--diff", "train.py")
    assert code == 0
    assert patch.startswith("--- a/train.py")
    applied = subprocess.run(["patch", "-p1"], cwd=tmp_path, input=patch, text=True, check=False)
    assert applied.returncode == 0
    assert called("report", "kept/run.db")[0] == 0


@pytest.mark.slow
def test_tries_nothing_on_a_healthy_script_and_says_so(tmp_path: Path, called: Callable[..., Answer]) -> None:
    write_script(tmp_path, HEALTHY, steps=200)
    done = cure(tmp_path, "train.py")
    assert done.returncode == 3, done.stderr
    assert "Nothing to cure" in done.stdout

    code, output, _ = called("cure", "--json", "train.py")
    answer = json.loads(output)
    assert code == 3
    assert (answer["outcome"], answer["cures"], answer["trials"]) == ("not shown", [], [])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "name a script to cure"),
        (("nothing.py",), "can't be read"),
        pytest.param(("broken.py",), "no training step", marks=pytest.mark.slow),
        (("--seeds", "0", "broken.py"), "seeds"),
    ],
)
def test_says_what_it_could_not_do(
    tmp_path: Path, called: Callable[..., Answer], words: tuple[str, ...], message: str
) -> None:
    (tmp_path / "broken.py").write_text("raise SystemExit('no data')\n")
    code, _, errors = called("cure", *words)

    assert code == 2
    assert message in errors
    assert "Traceback" not in errors


@pytest.mark.slow
def test_leaves_no_process_on_interrupt_and_goes_on_from_what_is_done(tmp_path: Path) -> None:
    write_script(tmp_path, SIGMOIDS, steps=150)
    done_before = interrupted(tmp_path, result_count=3)
    done_later = interrupted(tmp_path, result_count=len(done_before) + 1)
    # A trial that was done is not done again.
    assert done_before.items() < done_later.items()


def interrupted(folder: Path, result_count: int) -> dict[Path, int]:
    """Cure until so many trials are done, interrupt it, and give their results with the times of the last change."""
    command = [sys.executable, "-m", "gradiometer", "cure", *OPTIONS, "--json", "train.py"]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # A shell that runs these tests in the background has its children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    deadline = time.monotonic() + 120.0
    while len(results_in(folder)) < result_count:
        assert process.poll() is None
        assert time.monotonic() < deadline, "no trial was done in time"
        time.sleep(0.02)
    started = family_of(process.pid)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "goes on from here" in errors
    assert "Traceback" not in errors
    wait_until_gone(started)
    return results_in(folder)


def results_in(folder: Path) -> dict[Path, int]:
    """Result files of the trials that are done, with the time of their last change."""
    found = folder.glob(".gradiometer/cures/*/*/trials/*/result.json")
    return {path: path.stat().st_mtime_ns for path in found}


def family_of(pid: int) -> list[int]:
    """A process and all that come from it."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = [pid]
    try:
        for child in children.read_text().split():
            found += family_of(int(child))
    except OSError:
        pass
    return found


def wait_until_gone(pids: list[int]) -> None:
    """The trials are gone at once, the server behind them a moment later."""
    deadline = time.monotonic() + 15.0
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, [pid for pid in pids if is_alive(pid)]
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
