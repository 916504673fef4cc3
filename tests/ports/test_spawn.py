"""Processes that begin anew and import the script again (`spawn`): the only way on Windows, the usual one on macOS."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gradiometer.recording.reader import read_run
from ports.elsewhere import run_elsewhere

WORKERS = """
import torch
from torch.utils.data import DataLoader, TensorDataset

class Pairs(torch.utils.data.Dataset):
    def __len__(self):
        return 24
    def __getitem__(self, index):
        return torch.full((8,), float(index)), index % 3

def main():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loader = DataLoader(Pairs(), batch_size=8, num_workers=1, multiprocessing_context="spawn")
    for x, y in loader:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    torch.save(model.state_dict(), "weights.pt")

if __name__ == "__main__":
    main()
"""

TRAINERS = """
import sys, torch, torch.multiprocessing, gradiometer

def train(rank, is_watched):
    torch.manual_seed(rank)
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
    def loop():
        for _ in range(10):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    if is_watched:
        with gradiometer.watch(model, optimizer, file=f"run{rank}.db"):
            loop()
    else:
        loop()
    torch.save(model.state_dict(), f"weights{rank}-{is_watched}.pt")

if __name__ == "__main__":
    for is_watched in (False, True):
        torch.multiprocessing.spawn(train, (is_watched,), nprocs=int(sys.argv[1]))
"""


def weights(file: Path) -> dict:
    import torch

    return torch.load(file, weights_only=True)


def are_equal(first: Path, second: Path) -> bool:
    import torch

    one, other = weights(first), weights(second)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def python(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_watches_a_script_whose_loader_spawns_workers(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(WORKERS)
    assert python(tmp_path, "train.py").returncode == 0
    (tmp_path / "weights.pt").rename(tmp_path / "plain.pt")
    answer = python(tmp_path, "-m", "gradiometer", "run", "--quiet", "--overhead", "1", "--file", "run.db", "train.py")
    assert answer.returncode == 0, answer.stderr
    run = read_run(tmp_path / "run.db")
    assert run.step_count == 3
    assert run.coverage.line == "3 of 3 layers seen"
    assert are_equal(tmp_path / "plain.pt", tmp_path / "weights.pt")
    assert answer.stderr.count("Run file:") == 1


@pytest.mark.slow
def test_watches_in_trainers_that_are_spawned(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAINERS)
    answer = python(tmp_path, "train.py", "2")
    assert answer.returncode == 0, answer.stderr
    for rank in range(2):
        assert read_run(tmp_path / f"run{rank}.db").step_count == 10
        assert are_equal(tmp_path / f"weights{rank}-False.pt", tmp_path / f"weights{rank}-True.pt")


@pytest.mark.slow
def test_watches_in_a_spawned_trainer_where_nothing_can_be_forked(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAINERS)
    answer = run_elsewhere(tmp_path, "train.py", "1")
    assert answer.returncode == 0, answer.stderr
    assert read_run(tmp_path / "run0.db").facts["status"] == "finished"
    assert are_equal(tmp_path / "weights0-False.pt", tmp_path / "weights0-True.pt")
