"""Small training scripts for trials, and the specs that run them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from gradiometer.curing.trials.runner import TrialRunner
from gradiometer.curing.trials.spec import TrialSpec

SIGMOIDS = """\
import torch
from torch import nn

inputs = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
targets = (inputs[:, :1] > 0).float()
layers = [nn.Linear(8, 16), nn.Sigmoid()]
for _ in range(5):
    layers += [nn.Linear(16, 16), nn.Sigmoid()]
model = nn.Sequential(*layers, nn.Linear(16, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(STEPS):
    picked = torch.randperm(64)[:16]
    loss = nn.functional.binary_cross_entropy_with_logits(model(inputs[picked]), targets[picked])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
"""Six sigmoid layers that do not learn; `STEPS` is to be filled in."""

DROPOUT = """\
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

data = TensorDataset(torch.arange(80.0).reshape(40, 2), torch.zeros(40, 1))
loader = DataLoader(data, batch_size=8, shuffle=True)
model = nn.Sequential(nn.Linear(2, 8), nn.Sigmoid(), nn.Dropout(0.5), nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
for epoch in range(3):
    for inputs, targets in loader:
        noise = torch.randn(8, 2)
        loss = (model(inputs / 80 + noise) - targets).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""
"""Dropout inside the model, a shuffled loader and noise outside of it, all from the global generator."""

GAN = """\
import torch
from torch import nn

generator = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
discriminator = nn.Sequential(nn.Linear(2, 8), nn.Sigmoid(), nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 1))
first = torch.optim.SGD(discriminator.parameters(), lr=0.05)
second = torch.optim.SGD(generator.parameters(), lr=0.05)
score = nn.BCEWithLogitsLoss()
for step in range(12):
    real = torch.randn(8, 2) + 3
    fake = generator(torch.randn(8, 4))
    loss = score(discriminator(real), torch.ones(8, 1)) + score(discriminator(fake.detach()), torch.zeros(8, 1))
    first.zero_grad()
    loss.backward()
    first.step()
    second.zero_grad()
    score(discriminator(fake), torch.ones(8, 1)).backward()
    second.step()
"""
"""Two roots, two optimizers, two losses."""


class Silent:
    """Progress that nobody watches; keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.sieves: list[tuple[str, int]] = []
        self.done_count = 0

    def say(self, text: str) -> None:
        self.lines.append(text)

    def begin(self, sieve: str, trial_count: int) -> None:
        self.sieves.append((sieve, trial_count))

    def advance(self) -> None:
        self.done_count += 1


def write_script(folder: Path, text: str, *, steps: int = 20, name: str = "train.py") -> Path:
    """Put a script into a folder."""
    script = folder / name
    script.write_text(text.replace("STEPS", str(steps)))
    return script


def spec_for(folder: Path, text: str, *, steps: int = 20, **settings: Any) -> TrialSpec:
    """A trial of a script, in a folder of its own."""
    script = write_script(folder, text, steps=steps)
    spec = TrialSpec(
        script=script.name, module=None, arguments=(), working_directory=str(folder), folder="", patience_seconds=60.0
    )
    return replace(spec, **settings).placed_in(folder / "trials")


def runner_for(spec: TrialSpec, folder: Path, **settings: Any) -> TrialRunner:
    """A runner for trials like this one."""
    return TrialRunner(replace(spec, **settings), folder / "runner", 2, Silent())
