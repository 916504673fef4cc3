"""Trains networks on the device without float64, watched and unwatched, and writes what came of it as JSON."""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import gradiometer
from gradiometer.measuring.reductions import reduce_plainly, reduction_for
from ports.narrow_device import OnDevice, moved, register_device

NETWORKS = {
    "linear": lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 3)),
    "convolution": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3)
    ),
}


def train(name: str, *, on_device: bool, is_watched: bool) -> tuple[list[Tensor], Any]:
    torch.manual_seed(0)
    model = NETWORKS[name]()
    x, y = torch.randn(8, 6), torch.randint(0, 3, (8,))
    if on_device:
        model, x, y = moved(model), OnDevice(x), OnDevice(y)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, foreach=False)
    watching = gradiometer.watch(model, optimizer, overhead=1.0)
    if is_watched:
        watching.start()
    for _ in range(12):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    watching.stop()
    held = [parameter.detach() for parameter in model.parameters()]
    return [one.held if isinstance(one, OnDevice) else one for one in held], watching.run


def main() -> None:
    register_device()
    told = {}
    for name in NETWORKS:
        plain, _ = train(name, on_device=True, is_watched=False)
        weights, run = train(name, on_device=True, is_watched=True)
        _, expected = train(name, on_device=False, is_watched=True)
        told[name] = {
            "is_equal": all(torch.equal(one, other) for one, other in zip(plain, weights, strict=True)),
            "coverage": run.coverage.line,
            "faults": [event.text for event in run.events if event.kind == "fault"],
            "snapshots": run.snapshot_count,
            "turns": {turn.measurement: turn.not_measured for turn in run.turns.values()},
            "levels": run.layer_columns["level_db"].tolist() if run.snapshot_count else [],
            "levels_on_cpu": expected.layer_columns["level_db"].tolist(),
            "is_plain": reduction_for("slim") is reduce_plainly,
        }
    Path(sys.argv[1]).write_text(json.dumps(told))


if __name__ == "__main__":
    main()
