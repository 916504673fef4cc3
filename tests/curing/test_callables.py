"""`gradiometer.cure(train)`: functions that can be imported, and functions that exist in one process only."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import gradiometer
from gradiometer.curing.callables import CureResult, cure, is_importable, name_of, script_of
from gradiometer.curing.trials.local import run_trials
from gradiometer.errors import NoTrainingError, ScriptError, SettingsError
from gradiometer.recording.reader import read_run

MODULE = """\
import torch
from torch import nn


def train(kind=nn.Sigmoid, hidden=5, steps=150):
    inputs = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
    targets = (inputs[:, :1] > 0).float()
    layers = [nn.Linear(8, 16), kind()]
    for _ in range(hidden):
        layers += [nn.Linear(16, 16), kind()]
    model = nn.Sequential(*layers, nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(steps):
        picked = torch.randperm(64)[:16]
        loss = nn.functional.binary_cross_entropy_with_logits(model(inputs[picked]), targets[picked])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def train_well():
    train(nn.ReLU, 0, 200)
"""

PROGRAM = """\
import json, sys
import gradiometer, lesson

def within():
    return gradiometer.cure({function}, seconds=60, seeds=3, is_quiet=True)

if __name__ == "__main__":
    {before}
    result = within()
    print(str(result))
    print(json.dumps([result.verdict, result.is_proved, bool(result.snippet), str(result.file)]))
"""


def program(folder: Path, function: str, before: str = "pass") -> tuple[str, list[object]]:
    """What a program says that cures a function, in a process of its own: its text, and the last line's values."""
    (folder / "lesson.py").write_text(MODULE)
    script = folder / "program.py"
    script.write_text(PROGRAM.replace("{function}", function).replace("{before}", before))
    done = subprocess.run([sys.executable, str(script)], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text, _, last = done.stdout.strip().rpartition("\n")
    return text, json.loads(last)


def train_quickly() -> None:
    """Half a training, at the top of a module."""
    inputs = torch.randn(32, 4)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(40):
        loss = (model(inputs) - inputs[:, :1]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_is_a_public_name() -> None:
    assert gradiometer.cure is cure


def test_tells_functions_that_another_process_can_import() -> None:
    assert is_importable(train_quickly)
    assert is_importable(run_trials)
    assert not is_importable(lambda: None)
    assert not is_importable(nn.Linear(2, 2))
    assert f"call({train_quickly.__module__!r}, 'train_quickly')" in script_of(train_quickly)
    assert name_of(lambda: None) == "test_tells_functions_that_another_process_can_import._locals_._lambda_"


def test_runs_a_closure_in_forks_of_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lengths: list[int] = []

    def train() -> None:
        train_quickly()
        lengths.append(1)
        Path("note.txt").write_text("written")
        sys.stdout.write("trained")

    train()
    (tmp_path / "note.txt").unlink()
    result = cure(train, steps=30, seconds=5, is_quiet=True)

    assert isinstance(result, CureResult)
    assert read_run(result.file).step_count == 30
    assert result.run.facts["threads"] == 1
    # What it did in the fork is neither in this process nor in the user's folder.
    assert lengths == [1]
    assert not (tmp_path / "note.txt").exists()
    assert str(result.file) in str(result)
    assert str(result).startswith("Found: ")


@pytest.mark.slow
def test_says_why_a_function_took_no_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def fail() -> None:
        raise ValueError("no data here")

    with pytest.raises(ScriptError, match="no data here"):
        cure(fail, seconds=5, is_quiet=True)
    with pytest.raises(NoTrainingError, match="no training step"):
        cure(lambda: None, seconds=5, is_quiet=True)


@pytest.mark.slow
def test_refuses_to_be_called_again_in_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def train() -> None:
        gradiometer.cure(train_quickly)

    with pytest.raises(ScriptError, match="again"):
        cure(train, seconds=5, is_quiet=True)


@pytest.mark.gpu
def test_refuses_to_fork_a_process_that_uses_cuda() -> None:
    torch.zeros(1, device="cuda")
    with pytest.raises(SettingsError, match="CUDA is in use"):
        cure(lambda: None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "before"), [("lesson.train", "pass"), ("lambda: lesson.train()", "lesson.train(steps=3)")]
)
def test_proves_a_cure_for_a_function(tmp_path: Path, function: str, before: str) -> None:
    text, (verdict, is_proved, has_snippet, file) = program(tmp_path, function, before)

    assert (verdict, is_proved, has_snippet) == ("better", True, True)
    assert "Final loss changed by -" in text
    assert read_run(str(file)).outcome is not None


@pytest.mark.slow
def test_has_nothing_to_cure_where_a_function_trains_well(tmp_path: Path) -> None:
    text, (verdict, is_proved, has_snippet, _) = program(tmp_path, "lesson.train_well")

    assert (verdict, is_proved, has_snippet) == ("not shown", False, False)
    assert "Nothing to cure" in text
