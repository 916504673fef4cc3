"""Prints which kinds of gradiometer's and torch's objects are left in circles: by a training, or by one on purpose.

A program, for a process of its own: what other tests have begun would be found, too.
"""

import gc
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import gradiometer

STEPS = 15


def circles_left_by(run: Callable[[], None]) -> list[str]:
    """Kinds of the objects that only a search for circles finds behind a run."""
    gc.collect()
    gc.disable()
    run()
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    kinds = {type(found) for found in gc.garbage}
    return sorted(kind.__qualname__ for kind in kinds if kind.__module__.partition(".")[0] in {"gradiometer", "torch"})


def circles_of_full_steps() -> list[str]:
    """Train with every step measured in full; the first steps are not looked at."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    inputs = torch.randn(16, 6)

    def train() -> None:
        for _ in range(STEPS):
            optimizer.zero_grad()
            model(inputs).square().mean().backward()
            optimizer.step()

    with gradiometer.watch(model, optimizer, overhead=1.0) as watching:
        train()
        found = circles_left_by(train)
    assert watching.run.snapshot_count == 2 * STEPS
    return found


def leave_a_circle() -> None:
    """What is to be found."""
    circle: list[Any] = [nn.Linear(1, 1)]
    circle.append(circle)


if __name__ == "__main__":
    found = circles_of_full_steps() if sys.argv[1] == "training" else circles_left_by(leave_a_circle)
    sys.stdout.write(" ".join(found))
