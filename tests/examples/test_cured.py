"""The main job on the example of the README: the control stays at chance, the proved cure trains."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "ten_sigmoids.py"


@pytest.mark.slow
def test_proves_a_cure_for_ten_sigmoids_that_trains_above_ninety_percent(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gradiometer", "cure", "--json", str(EXAMPLE)]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False)
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    assert told["outcome"] == "better"
    assert told["findings"][0]["condition"] == "vanishing"
    assert told["interval"][1] < 0.0
    assert told["snippet"]
    winner = [trial for trial in told["trials"] if trial["cure"] == "+".join(told["cures"]) and trial["seed"] > 0]
    control = [trial for trial in told["trials"] if not trial["cure"] and trial["seed"] > 0]
    assert len(winner) == len(control) >= 3
    assert all(last_accuracy(trial["run_file"]) > 0.90 for trial in winner)
    assert all(last_accuracy(trial["run_file"]) < 0.15 for trial in control)


def last_accuracy(run_file: str) -> float:
    """The last accuracy that a trial's script printed, a fraction."""
    log = Path(run_file).with_name("output.log").read_text()
    return float(re.findall(r"accuracy ([\d.]+)%", log)[-1]) / 100.0
