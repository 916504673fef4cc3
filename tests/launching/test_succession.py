"""A second training of the same script: set apart, so that a run holds one."""

import gc
import weakref

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from gradiometer.launching.succession import TELLING_STEPS, Succession
from gradiometer.measuring.probe import Probe
from gradiometer.session import Session


class Script:
    """A script's models and optimizers, and what the succession said of them."""

    def __init__(self) -> None:
        self.session = Session(None)
        self.joined: list[Optimizer] = []
        self.successions = 0
        self.succession = Succession(self.probe, self.joined.append, self._succeeded)
        self.succession.start()

    @property
    def probe(self) -> Probe:
        return self.session.probe

    def _succeeded(self) -> None:
        self.successions += 1

    def make(self) -> tuple[nn.Module, Optimizer]:
        model = nn.Linear(2, 1)
        return model, torch.optim.SGD(model.parameters(), lr=0.1)

    def train(self, *pairs: tuple[nn.Module, Optimizer]) -> None:
        for model, optimizer in pairs:
            optimizer.zero_grad()
            model(torch.ones(3, 2)).square().mean().backward()
            optimizer.step()

    def begin(self) -> tuple[nn.Module, Optimizer]:
        model, optimizer = self.make()
        self.probe.watch_root(model)
        self.probe.watch_optimizer(optimizer)
        self.probe.attach()
        self.train((model, optimizer))
        return model, optimizer

    def close(self) -> None:
        self.succession.stop()
        self.session.stop()


@pytest.fixture
def script():
    made = Script()
    yield made
    made.close()


def test_before_the_first_step_every_optimizer_belongs_to_the_training(script: Script) -> None:
    _, optimizer = script.make()
    assert not script.succession.takes(optimizer)


def test_an_optimizer_of_known_parameters_belongs_to_the_training(script: Script) -> None:
    model, _ = script.begin()
    assert not script.succession.takes(torch.optim.Adam(model.parameters()))


def test_optimizers_that_step_alone_are_another_training_told_once(script: Script) -> None:
    script.begin()
    later = script.make()
    assert script.succession.takes(later[1])
    for _ in range(TELLING_STEPS - 1):
        script.train(later)
    assert script.successions == 0
    for _ in range(TELLING_STEPS):
        script.train(later)
    assert script.successions == 1
    assert script.joined == []
    assert script.succession.takes(script.make()[1]), "what comes later is another training, too"


def test_an_optimizer_that_steps_by_turns_with_the_training_joins_it(script: Script) -> None:
    first = script.begin()
    late = script.make()
    assert script.succession.takes(late[1])
    for _ in range(TELLING_STEPS + 1):
        script.train(late, first)
    assert script.joined == [late[1]]
    assert script.successions == 0


def test_an_optimizer_set_apart_is_not_kept_alive(script: Script) -> None:
    script.begin()
    model, optimizer = script.make()
    assert script.succession.takes(optimizer)
    reference = weakref.ref(optimizer)
    del model, optimizer
    gc.collect()
    assert reference() is None
