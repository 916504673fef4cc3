"""Every optimizer that a script makes is told of, once and complete, and a treatment may change it while it is made."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from gradiometer.launching.making import OptimizerMaking


class Own(torch.optim.SGD):
    """An optimizer whose constructor goes on behind torch's."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, lr=lr)
        self.is_complete = True


class Exchanging:
    """Adds a group of its own, and makes Adam of every optimizer in its place."""

    def __init__(self) -> None:
        self.constructed: list[str] = []
        self.added = nn.Parameter(torch.ones(3))

    def while_constructing(self, optimizer: Optimizer, groups: list[dict[str, Any]]) -> None:
        groups.append({"params": [self.added]})

    def when_constructed(self, optimizer: Optimizer) -> None:
        self.constructed.append(type(optimizer).__name__)
        groups = [{"params": group["params"]} for group in optimizer.param_groups]
        optimizer.__class__ = torch.optim.Adam
        optimizer.__dict__.clear()
        torch.optim.Adam.__init__(optimizer, groups, lr=0.5)  # type: ignore[arg-type]


@contextmanager
def made_in(treatment: Any = None) -> Iterator[list[Optimizer]]:
    """The optimizers that are told of."""
    told: list[Optimizer] = []
    making = OptimizerMaking(treatment, told.append)
    before = [kind.__init__ for kind in (Optimizer, torch.optim.SGD, torch.optim.Adam)]
    making.start()
    try:
        yield told
    finally:
        making.stop()
    assert [kind.__init__ for kind in (Optimizer, torch.optim.SGD, torch.optim.Adam)] == before


def test_is_told_of_an_optimizer_once_it_is_complete() -> None:
    with made_in() as told:
        optimizer = Own(nn.Linear(2, 2).parameters(), 0.1)
    assert told == [optimizer]
    assert told[0].is_complete  # type: ignore[attr-defined]


def test_is_told_of_the_next_optimizer_where_one_could_not_be_made() -> None:
    with made_in() as told:
        with pytest.raises(ValueError, match="learning rate"):
            torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=-1.0)
        optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)
    assert told == [optimizer]


@pytest.mark.parametrize("is_grouped", [False, True])
def test_lets_a_treatment_make_another_optimizer_in_its_place(is_grouped: bool) -> None:
    treatment, layer = Exchanging(), nn.Linear(2, 2)
    given: Any = [{"params": layer.weight}, {"params": [layer.bias], "lr": 0.3}] if is_grouped else layer.parameters()
    with made_in(treatment) as told:
        optimizer = torch.optim.SGD(given, lr=0.1)
    assert told == [optimizer]
    assert treatment.constructed == ["SGD"]
    assert type(optimizer) is torch.optim.Adam
    held = [tensor for group in optimizer.param_groups for tensor in group["params"]]
    assert [id(tensor) for tensor in held] == [id(one) for one in (layer.weight, layer.bias, treatment.added)]
