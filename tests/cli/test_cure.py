import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curing.trials.trial_material import SIGMOIDS, write_script

HEALTHY = SIGMOIDS.replace("Sigmoid", "ReLU").replace("range(5)", "range(0)")
OPTIONS = ("--seeds", "3", "--workers", "2")


def cure(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gradiometer", "cure", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280, check=False)


def test_proves_a_cure_prints_one_object_and_a_patch_that_applies(tmp_path: Path) -> None:
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

    patched = cure(tmp_path, *OPTIONS, "--diff", "train.py")
    assert patched.returncode == 0
    assert patched.stdout.startswith("--- a/train.py")
    applied = subprocess.run(["patch", "-p1"], cwd=tmp_path, input=patched.stdout, text=True, check=False)
    assert applied.returncode == 0

    shown = subprocess.run(
        [sys.executable, "-m", "gradiometer", "report", "kept/run.db"], cwd=tmp_path, capture_output=True, check=False
    )
    assert shown.returncode == 0


def test_tries_nothing_on_a_healthy_script_and_says_so(tmp_path: Path) -> None:
    write_script(tmp_path, HEALTHY, steps=200)
    done = cure(tmp_path, "train.py")
    assert done.returncode == 3, done.stderr
    assert "Nothing to cure" in done.stdout

    as_json = cure(tmp_path, "--json", "train.py")
    answer = json.loads(as_json.stdout)
    assert as_json.returncode == 3
    assert (answer["outcome"], answer["cures"], answer["trials"]) == ("not shown", [], [])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "name a script to cure"),
        (("nothing.py",), "can't be read"),
        (("broken.py",), "no training step"),
        (("--seeds", "0", "broken.py"), "seeds"),
    ],
)
def test_says_what_it_could_not_do(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    (tmp_path / "broken.py").write_text("raise SystemExit('no data')\n")
    done = cure(tmp_path, *words)

    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_leaves_no_process_on_interrupt_and_goes_on_from_what_is_done(tmp_path: Path) -> None:
    write_script(tmp_path, SIGMOIDS, steps=150)
    command = [sys.executable, "-m", "gradiometer", "cure", *OPTIONS, "--json", "train.py"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    done_before = wait_for_results(tmp_path, process)
    started = family_of(process.pid)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 130, errors
    assert "goes on from here" in errors
    assert "Traceback" not in errors
    wait_until_gone(started)

    done = cure(tmp_path, *OPTIONS, "--json", "train.py")
    assert done.returncode == 0, done.stderr
    kept = {path: mark for path, mark in done_before.items() if path.exists() and path.stat().st_mtime_ns == mark}
    assert kept == done_before


def wait_for_results(folder: Path, process: "subprocess.Popen[str]") -> dict[Path, int]:
    """Wait until some trials are done; their result files with the time of their last change."""
    deadline = time.monotonic() + 120.0
    while time.monotonic() < deadline and process.poll() is None:
        results = list(folder.glob(".gradiometer/cures/*/*/trials/*/result.json"))
        if len(results) >= 3:
            return {path: path.stat().st_mtime_ns for path in results}
        time.sleep(0.02)
    raise AssertionError("no trial was done in time")


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
