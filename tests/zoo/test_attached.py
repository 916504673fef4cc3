"""A model that is being measured can be copied, pickled and saved at any moment; what was attached leaves nothing."""

import copy
import gc
import io
import pickle
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import gradiometer
from measuring.networks import mlp
from zoo.cases import Training, cross_entropy, features
from zoo.comparing import bits, flat
from zoo.stacks import cnn


def through_torch(thing: Any) -> Any:
    """Save and load with torch."""
    buffer = io.BytesIO()
    torch.save(thing, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
    "torch.save": through_torch,
}


def start() -> Training:
    """A training of a network with buffers, with an optimizer that remembers."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(3)
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    return Training(model, [optimizer], [features(generator) for _ in range(4)], cross_entropy)


def copies_amid(training: Training, way: Callable[[Any], Any]) -> list[dict[str, bytes]]:
    """Copy model and optimizer after each part of two steps: forward, backward, update."""
    found: list[dict[str, bytes]] = []
    (optimizer,) = training.optimizers

    def note() -> None:
        model, other = way((training.model, optimizer))
        for module in model.modules():
            assert not {**module._forward_hooks, **module._forward_pre_hooks, **module._backward_hooks}
        parts = {"model": model.state_dict(), "optimizer": other.state_dict(), "kept": sorted(vars(model[0]))}
        found.append({key: bits(value) for key, value in flat(parts, "").items()})
        held = {id(parameter) for parameter in other.param_groups[0]["params"]}
        assert held == {id(parameter) for parameter in model.parameters()}

    for step in range(2):
        optimizer.zero_grad()
        loss = training.loss(training.model, training.batches[step])
        note()
        loss.backward()
        note()
        optimizer.step()
        note()
    return found


@pytest.mark.parametrize("way", COPIES)
def test_copies_are_the_same_amid_a_full_step_as_without(way: str) -> None:
    expected = copies_amid(start(), COPIES[way])
    training = start()
    with gradiometer.watch(training.model, training.optimizers, overhead=1.0) as watching:
        found = copies_amid(training, COPIES[way])
    assert watching.run.snapshot_count == 2
    assert found == expected


def test_a_copy_made_while_attached_trains_on_alone() -> None:
    training = start()
    with gradiometer.watch(training.model, training.optimizers, overhead=1.0) as watching:
        twin, optimizer = copy.deepcopy((training.model, training.optimizers[0]))
        for step in range(3):
            optimizer.zero_grad()
            training.loss(twin, training.batches[step]).backward()
            optimizer.step()
    assert watching.run.step_count == 0
    assert not watching.session.probe.guard.is_broken


def test_attaching_a_thousand_times_leaves_no_memory() -> None:
    model = cnn()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    probe = gradiometer.watch(model, optimizer, overhead=1.0).session.probe

    def attach(times: int) -> None:
        for _ in range(times):
            probe.attach()
            probe.detach()
        gc.collect()

    attach(100)
    tracemalloc.start()
    before, objects = tracemalloc.get_traced_memory()[0], len(gc.get_objects())
    attach(1000)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(gc.get_objects()) - objects < 100
    # One byte for each time and what Python's own caches take; a hook that stays would be 100 bytes each.
    assert grown < 20_000


def test_a_watch_that_has_ended_is_let_go_of_with_all_it_held() -> None:
    from torch.nn.modules import module as torch_module
    from torch.optim import optimizer as torch_optimizer

    probes: list[weakref.ref[Any]] = []
    models: list[weakref.ref[nn.Module]] = []
    for _ in range(5):
        training = start()
        with gradiometer.watch(training.model, training.optimizers, overhead=1.0) as watching:
            copies_amid(training, copy.deepcopy)
        probes.append(weakref.ref(watching.session.probe))
        models.append(weakref.ref(training.model))
    del training, watching
    gc.collect()
    assert [reference() for reference in (*probes, *models)] == [None] * 10
    assert not torch_module._global_forward_hooks
    assert not torch_module._global_forward_pre_hooks
    assert not torch_optimizer._global_optimizer_pre_hooks
    assert not torch_optimizer._global_optimizer_post_hooks
