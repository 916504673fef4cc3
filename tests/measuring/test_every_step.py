"""Between full steps gradiometer counts every step, and records losses as they were."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gradiometer
from gradiometer.measuring.copying_behind import CopyBehind
from gradiometer.recording.reader import read_run
from measuring.networks import seeded


@pytest.mark.parametrize("optimizer_count", [0, 1, 2])
def test_counts_every_step_and_tells_the_losses_of_those_it_records(optimizer_count: int) -> None:
    with seeded():
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    parts = {0: [], 1: [model], 2: [model[0], model[2]]}[optimizer_count]
    optimizers = [torch.optim.SGD(part.parameters(), lr=0.01) for part in parts]
    inputs, targets = torch.randn(16, 4), torch.randint(0, 2, (16,))
    told = []
    with gradiometer.watch(model, optimizers or None, overhead=0.002) as watching:
        for _ in range(1_500):
            model.zero_grad()
            loss = F.cross_entropy(model(inputs), targets)
            told.append(loss.item())
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
    run = watching.run
    assert run.facts["step_count"] == 1_500
    series = run.losses[0]
    assert series.steps.tolist()[:200] == list(range(200))
    assert len(series.steps) < 1_500  # the budget is too small to record every one
    assert series.values.tolist() == [told[step] for step in series.steps]
    expected_rate = 0.01 if optimizers else float("nan")
    assert run.step_columns["learning_rate"][-1] == pytest.approx(expected_rate, nan_ok=True)


def test_brings_numbers_over_in_their_order() -> None:
    numbers = [torch.tensor(3.0), torch.tensor([2.5], dtype=torch.float64), torch.tensor(7), torch.tensor(float("nan"))]
    copies = CopyBehind(numbers)
    assert copies.is_there
    assert copies.numbers() == pytest.approx([3.0, 2.5, 7.0, float("nan")], nan_ok=True)
    assert CopyBehind([]).numbers() == []


CHILD = """
import sys, torch, gradiometer
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
gradiometer.watch(model, optimizer, file=sys.argv[1]).start()
inputs = torch.ones(8, 4)
while True:
    optimizer.zero_grad()
    model(inputs).square().mean().backward()
    optimizer.step()
    print(flush=True)
"""


def test_loses_no_more_than_the_last_commit_to_a_kill(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path / "run.db")], stdout=subprocess.PIPE)
    assert child.stdout is not None
    for _ in range(50):
        child.stdout.readline()
    time.sleep(1.0)  # several commits
    os.kill(child.pid, signal.SIGKILL)
    child.stdout.close()
    child.wait()
    run = read_run(tmp_path / "run.db")
    assert set(range(50)) <= set(run.losses[0].steps.tolist())
