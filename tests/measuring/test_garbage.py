"""gradiometer, where a training goes on for long ..."""

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).with_name("run_garbage.py")


def kinds_left_by(what: str) -> list[str]:
    done = subprocess.run([sys.executable, PROGRAM, what], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.split()


def test_leaves_no_circle_of_objects_behind_full_steps() -> None:
    """Python looks for circles the less often the more objects there are: what lies in one stays for good."""
    assert kinds_left_by("training") == []


def test_finds_a_circle_that_is_left() -> None:
    assert "Linear" in kinds_left_by("circle")
