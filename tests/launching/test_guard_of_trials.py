"""A guard around trials: side by side, what it refuses, and what it leaves as it was."""

import os
import sys
from pathlib import Path

import pytest

from gradiometer.launching.guard import FileGuard, quiet_environment
from launching.guarded_project import contents, make_project, run

TRIAL = """
import sys
from pathlib import Path
from gradiometer.launching.guard import FileGuard
from gradiometer.launching.limits import SeededAnew
from gradiometer.launching.script import Target, run_target
with FileGuard(Path(sys.argv[1])), SeededAnew(int(sys.argv[3])):
    ending = run_target(Target(sys.argv[2], None), when_torch_is_imported=lambda: print("torch"))
raise SystemExit(ending.exit_code)
"""

TRAINING = """
import torch
from torch import nn
torch.manual_seed(0)
model = nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
best = float("inf")
for _ in range(5):
    loss = (model(torch.randn(8, 2)) - 1).square().mean()
    optimizer.zero_grad(); loss.backward(); optimizer.step()
    if loss < best:
        best = loss.item()
        torch.save(model.state_dict(), "best.pt")
model.load_state_dict(torch.load("best.pt"))
print(best)
open("none.txt")
"""


@pytest.mark.slow
def test_runs_trials_of_a_script_side_by_side_without_a_trace(tmp_path):
    project = make_project(tmp_path / "project")
    (tmp_path / "trial.py").write_text(TRIAL)
    (project / "train.py").write_text(TRAINING)
    before = contents(project)
    results = [
        run([sys.executable, tmp_path / "trial.py", tmp_path / f"trial_{number}", "train.py", seed], project)
        for number, seed in enumerate((0, 1))
    ]
    assert contents(project) == before
    first, other = (result.stdout for result in results)
    assert first != other
    assert first.startswith("torch\n")
    saved = [(tmp_path / f"trial_{n}/files" / str(project)[1:] / "best.pt").read_bytes() for n in (0, 1)]
    assert saved[0] != saved[1]
    assert results[0].returncode == 1
    assert "No such file or directory: 'none.txt'" in results[0].stderr
    assert "gradiometer" not in results[0].stderr


def test_shares_what_the_compiler_keeps_between_trials(tmp_path):
    with FileGuard(tmp_path / "trial"):
        cache = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]) / "gradiometer_test"
        cache.mkdir(parents=True)
    assert cache.exists()
    cache.rmdir()


def call_file_io(path):
    import io

    io.FileIO(path, "w")


def call_posix(name, *arguments):
    import posix

    getattr(posix, name)(*arguments)


@pytest.mark.parametrize(
    "act",
    [
        call_file_io,
        lambda path: call_posix("unlink", path),
        lambda path: call_posix("rename", path, f"{path}.new"),
        lambda path: call_posix("truncate", path, 0),
        lambda path: call_posix("chmod", path, 0o777),
        lambda path: call_posix("utime", path),
        lambda path: call_posix("mkdir", f"{path}.folder"),
        lambda path: call_posix("symlink", path, f"{path}.link"),
        lambda path: call_posix("link", path, f"{path}.hard"),
        lambda path: call_posix("open", path, os.O_WRONLY),
        lambda path: __import__("sqlite3").Connection(path),
    ],
)
def test_refuses_what_it_cannot_redirect_and_names_file_and_trial(tmp_path, act):
    path = tmp_path / "best.pt"
    path.write_text("the user's")
    before = contents(tmp_path)
    with FileGuard(tmp_path / "trial"):
        with pytest.raises(PermissionError, match="the trial in .*/trial may not change files outside it") as caught:
            act(str(path))
        assert str(path) in str(caught.value)
    assert {name: held for name, held in contents(tmp_path).items() if not name.startswith("trial")} == before


def test_puts_every_function_back(tmp_path):
    import _io
    import io
    import posix
    import shutil
    import tempfile

    abilities = set(os.supports_dir_fd)
    directory, environment, default = tempfile.gettempdir(), dict(os.environ), sys.dont_write_bytecode
    with FileGuard(tmp_path / "trial"):
        held = os.remove, open
        assert os.remove is not posix.remove
        assert os.stat in os.supports_dir_fd
        private = tempfile.gettempdir()
        assert private != directory
    assert os.remove is posix.remove
    assert os.stat is posix.stat
    assert open is _io.open
    assert io.open is _io.open
    assert shutil.os.rename is posix.rename
    assert (set(os.supports_dir_fd), tempfile.gettempdir()) == (abilities, directory)
    assert (dict(os.environ), sys.dont_write_bytecode) == (environment, default)
    assert not Path(private).exists()
    with held[1](tmp_path / "after.txt", "w") as file:
        file.write("held functions are the originals again")
    assert (tmp_path / "after.txt").exists()
    held[0](tmp_path / "after.txt")
    assert not (tmp_path / "after.txt").exists()


def test_is_active_once_in_a_process(tmp_path):
    second = FileGuard(tmp_path / "two")
    with FileGuard(tmp_path / "one"):
        with pytest.raises(RuntimeError, match="leave the other FileGuard first"):
            second.__enter__()
        (tmp_path / "file").write_text("still guarded")
    assert not (tmp_path / "file").exists()


def test_names_a_local_place_for_every_experiment_logger(tmp_path):
    names = quiet_environment(tmp_path)
    assert names["WANDB_MODE"] == "disabled"
    assert names["MLFLOW_TRACKING_URI"].startswith("file:///")
    assert str(tmp_path) in names["MLFLOW_TRACKING_URI"]
    assert all(isinstance(value, str) for value in names.values())
