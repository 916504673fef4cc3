"""Targets of several kinds, and a network that is trained on them while it is watched."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

import gradiometer
from gradiometer.schema import Run
from measuring.networks import seeded

EXAMPLES, FEATURES, CLASSES = 24, 5, 4

LossFunction = Callable[[Tensor, Tensor], Tensor]


def drawn(kind: str) -> Tensor:
    with seeded(3):
        if kind == "classes":
            classes = torch.randint(0, CLASSES - 1, (EXAMPLES,))
            classes[:3] = -100
            return classes
        if kind == "probabilities":
            return torch.randn(EXAMPLES, CLASSES).mul(2.0).softmax(1)
        if kind == "sides":
            return (torch.rand(EXAMPLES, CLASSES) < torch.tensor([0.1, 0.3, 0.5, 0.9])).float()
        return torch.randn(EXAMPLES, CLASSES) * torch.tensor([1.0, 2.0, 0.1, 5.0]) + 3.0


def trained(loss_of: LossFunction, targets: list[Tensor], out_count: int = CLASSES) -> Run:
    with seeded(5):
        model = nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), nn.Linear(8, out_count))
        inputs = torch.randn(len(targets), EXAMPLES, FEATURES)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with gradiometer.watch(model, optimizer, overhead=1.0) as watching:
        for batch, expected in zip(inputs, targets, strict=True):
            optimizer.zero_grad()
            output = model(batch)
            loss_of(output, expected).backward()
            optimizer.step()
    assert not [event for event in watching.run.events if event.kind == "fault"]
    return watching.run
