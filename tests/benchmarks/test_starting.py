"""Every program of the benchmarks can be started."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = ["benchmarks.cures", pytest.param("benchmarks.truth", marks=pytest.mark.slow)]


@pytest.mark.slow
@pytest.mark.parametrize("module", PROGRAMS)
def test_says_how_it_is_used(module: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert answer.returncode == 0, answer.stderr
    assert "usage" in answer.stdout
