import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gradiometer.recording.reader import read_run

CHILD = """
import sys
from pathlib import Path
from gradiometer.recording.writer import RunWriter
from recorded_material import make_layers, make_snapshot, make_step
print("ready", flush=True)
writer = RunWriter(Path(sys.argv[1]), 2**20)
writer.add_layers(make_layers(5))
for step in range(10**9):
    writer.add_step(make_step(step))
    if step % 3 == 0:
        writer.add_snapshot(make_snapshot(step, 5))
    if step % 7 == 0:
        writer.flush()
        print(step, flush=True)
"""


def kill_after(path: Path, delay_seconds: float) -> int | None:
    """Kill a recording process and return the last step that it reported as committed."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    time.sleep(delay_seconds)
    os.kill(child.pid, signal.SIGKILL)
    lines = [line for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    child.stdout.close()
    child.wait()
    return int(lines[-1]) if lines else None


def check_killed_run(path: Path, committed_step: int | None) -> None:
    if committed_step is None:
        return
    run = read_run(path)
    # Older steps may be thinned; the newest are all there.
    expected = range(max(0, committed_step - 50), committed_step + 1)
    assert set(expected) <= set(run.steps.tolist())
    assert set(range(min(20, committed_step + 1))) <= set(run.steps.tolist())
    assert {step for step in expected if step % 3 == 0} <= set(run.snapshot_steps.tolist())
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


@pytest.mark.parametrize("delay_seconds", [0.01, 0.06, 0.12, 0.2, 0.3])
def test_keeps_every_committed_step_of_a_killed_process(tmp_path: Path, delay_seconds: float) -> None:
    path = tmp_path / "run.gradiometer"
    check_killed_run(path, kill_after(path, delay_seconds))


@pytest.mark.slow
def test_keeps_every_committed_step_killed_at_fifty_random_moments(tmp_path: Path) -> None:
    moments = random.Random(0)
    reported_count = 0
    for index in range(50):
        path = tmp_path / f"{index}.gradiometer"
        committed_step = kill_after(path, moments.uniform(0.005, 0.6))
        reported_count += committed_step is not None
        check_killed_run(path, committed_step)
    assert reported_count > 25
