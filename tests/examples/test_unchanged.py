"""Watching an example leaves its weights bit for bit as they are without."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_every_example_ends_with_the_same_weights_watched_and_bare(tmp_path: Path) -> None:
    program = Path(__file__).with_name("compare_weights.py")
    answer = subprocess.run(
        [sys.executable, str(program), str(ROOT / "examples"), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    digests = json.loads(answer.stdout)
    assert len(digests) == len(list((ROOT / "examples").glob("*.py"))) >= 6
    for name, (bare, watched, measured_every_step) in digests.items():
        assert bare.startswith("60:"), name
        assert bare == watched == measured_every_step, name
    assert len({bare for bare, _, _ in digests.values()}) >= len(digests) - 1
