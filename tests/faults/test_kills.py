"""`kill -9` at random moments; the same program as `benchmarks/kills.py`, with fewer kills."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "kills.py"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_leaves_whole_files_and_no_process_when_it_is_killed_at_random_moments() -> None:
    answer = subprocess.run(
        [sys.executable, str(PROGRAM), "--count", "10", "--seed", "1"],
        capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stdout.splitlines()[-1].startswith("10 kills, 0 faults")
