"""A process beside a training comes to its end when the training lets go of it, however that happens."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

STANDING = """
import json, os, sys, threading
from gradiometer.beside import stand_beside

alone = threading.Event()
stand_beside(alone.set)
print(json.dumps([os.nice(0), os.environ["OMP_NUM_THREADS"], sys.argv[1]]), flush=True)
if sys.argv[1] != "it ends first":
    assert alone.wait(30)
    open("alone", "w").close()
"""

TRAINING = """
import json, os, sys, time
from gradiometer.beside import start_beside

process = start_beside("standing", sys.argv[1])
told = json.loads(process.stdout.readline())
print(json.dumps([os.nice(0), *told]), flush=True)
if sys.argv[1] == "the training is killed":
    time.sleep(60)
if sys.argv[1] == "the training ends first":
    process.stdin.close()
print(process.wait(), flush=True)
"""


def training(folder: Path, word: str) -> "subprocess.Popen[str]":
    """A process that holds another beside it."""
    (folder / "standing.py").write_text(STANDING)
    command = [sys.executable, "-c", TRAINING, word]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=environment)


def test_steps_back_beside_a_training_and_ends_after_it(tmp_path: Path) -> None:
    first, last = training(tmp_path, "the training ends first").communicate(timeout=60)[0].splitlines()
    priority_of_training, priority, threads, word = json.loads(first)
    assert priority > priority_of_training
    assert (threads, word, last) == ("1", "the training ends first", "0")
    assert (tmp_path / "alone").exists()


def test_does_not_wait_for_the_training_where_the_process_beside_ends_first(tmp_path: Path) -> None:
    assert training(tmp_path, "it ends first").communicate(timeout=60)[0].splitlines()[-1] == "0"


def test_ends_after_a_training_that_was_killed(tmp_path: Path) -> None:
    process = training(tmp_path, "the training is killed")
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    deadline = time.monotonic() + 30.0
    while not (tmp_path / "alone").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (tmp_path / "alone").exists()
