"""gradiometer, where a training goes on for long ..."""

import gc

import torch
from torch import nn

import gradiometer


def test_leaves_no_circle_of_objects_behind_full_steps() -> None:
    """Python looks for circles the less often the more objects there are: what lies in one stays for good."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    inputs = torch.randn(16, 6)

    def train(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            model(inputs).square().mean().backward()
            optimizer.step()

    with gradiometer.watch(model, optimizer, overhead=1.0) as watching:
        train(15)
        gc.collect()
        gc.disable()
        try:
            train(15)
            found_count = gc.collect()
        finally:
            gc.enable()
    assert watching.run.snapshot_count == 30
    assert found_count == 0
