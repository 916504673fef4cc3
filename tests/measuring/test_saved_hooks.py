"""No hook of a script's on saved values runs because of gradiometer, whether torch tells of them or not."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd.graph import disable_saved_tensors_hooks, save_on_cpu, saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

import gradiometer
from gradiometer.measuring.saved_hooks import SETTING_HOOKS, TELLS_OF_HOOKS, HookNotes, are_hooks_active
from gradiometer.schema import Run
from measuring.loss_material import CLASSES, EXAMPLES, FEATURES, drawn, trained
from measuring.networks import seeded

AUTOGRAD = torch._C._autograd


class Counted:
    """A pair of hooks that count how often something is unpacked."""

    def __init__(self) -> None:
        self.unpacked = 0

    def unpack(self, tensor: Tensor) -> Tensor:
        self.unpacked += 1
        return tensor

    def set(self) -> saved_tensors_hooks:
        return saved_tensors_hooks(lambda tensor: tensor, self.unpack)


@contextmanager
def noting() -> Iterator[HookNotes]:
    notes, holder = HookNotes(), object()
    notes.start(holder)
    try:
        yield notes
    finally:
        notes.stop(holder)


def made() -> Any:
    """A node that has saved its result."""
    return torch.ones(2, requires_grad=True).tanh().grad_fn


@given(actions=st.lists(st.sampled_from(["set", "end", "node"]), max_size=30), set_before=st.integers(0, 2))
def test_knows_the_nodes_that_were_made_under_hooks(actions: list[str], set_before: int) -> None:
    counted, nodes = Counted(), []
    active = [counted.set() for _ in range(set_before)]
    for hooks in active:
        hooks.__enter__()
    with noting() as notes:
        for action in actions:
            if action == "set":
                active.append(counted.set())
                active[-1].__enter__()
            elif action == "end" and active:
                active.pop().__exit__()
            elif action == "node":
                nodes.append(made())
        found = [notes.may_have_hook(node) for node in nodes]
    while active:
        active.pop().__exit__()
    assert counted.unpacked == 0
    for node, is_hooked in zip(nodes, found, strict=True):
        before = counted.unpacked
        assert node._saved_result is not None
        assert (counted.unpacked > before) == is_hooked


def test_takes_what_it_has_not_seen_for_hooked() -> None:
    before, elsewhere, notes = made(), [], HookNotes()
    assert notes.may_have_hook(made()), "nothing is noted yet"
    notes.start(notes)
    assert notes.may_have_hook(before)
    here = made()
    assert not notes.may_have_hook(here)

    def make_many() -> None:
        elsewhere.extend(made() for _ in range(before._sequence_nr() + 100))

    run_in_thread(make_many)
    assert notes.may_have_hook(elsewhere[-1]), "numbered by another thread, higher than any of this one"
    run_in_thread(lambda: elsewhere.append(notes.may_have_hook(here)))
    assert elsewhere[-1] is True, "another thread has not begun to note"
    notes.stop(notes)
    assert notes.may_have_hook(here), "nothing is noted any more"


def run_in_thread(function: Callable[[], None]) -> None:
    thread = Thread(target=function)
    thread.start()
    thread.join()


def test_takes_everything_for_hooked_where_another_thread_sets_hooks() -> None:
    def set_and_end() -> None:
        with Counted().set():
            made()

    with noting() as notes:
        node = made()
        assert not notes.may_have_hook(node)
        run_in_thread(set_and_end)
        assert notes.may_have_hook(node)


def test_takes_everything_for_hooked_where_a_single_value_gets_a_hook() -> None:
    with noting() as notes:
        output = torch.ones(2, requires_grad=True).tanh()
        assert not notes.may_have_hook(output.grad_fn)
        output.grad_fn._raw_saved_result.register_hooks(lambda tensor: tensor, lambda tensor: tensor)
        assert notes.may_have_hook(output.grad_fn)


def test_begins_anew_with_every_start() -> None:
    with noting() as notes:
        old = made()
        with Counted().set():
            pass
        second = object()
        notes.start(second)
        assert notes.may_have_hook(old)
        assert not notes.may_have_hook(made())
        notes.stop(second)
        assert not notes.may_have_hook(made()), "the first still holds"


def originals() -> list[Any]:
    return [vars(home)[name] for home, name in SETTING_HOOKS]


def test_puts_the_functions_back() -> None:
    before = originals()
    with noting():
        assert not any(now is then for now, then in zip(originals(), before, strict=True))
    assert all(now is then for now, then in zip(originals(), before, strict=True))


def test_leaves_a_function_that_a_script_has_exchanged_since() -> None:
    original, calls = AUTOGRAD._push_saved_tensors_default_hooks, []
    try:
        with noting():
            ours = AUTOGRAD._push_saved_tensors_default_hooks

            def theirs(*args: Any) -> None:
                calls.append(are_hooks_active())
                ours(*args)

            AUTOGRAD._push_saved_tensors_default_hooks = theirs
        assert AUTOGRAD._push_saved_tensors_default_hooks is theirs
        with Counted().set():
            assert are_hooks_active()
        assert calls == [False]
    finally:
        AUTOGRAD._push_saved_tensors_default_hooks = original


def test_asks_whether_hooks_are_set_and_leaves_what_forbids_them() -> None:
    counted = Counted()
    assert not are_hooks_active()
    with counted.set():
        assert are_hooks_active()
        assert AUTOGRAD._saved_tensors_hooks_get_disabled_error_message() is None
        torch.ones(2, requires_grad=True).tanh().sum().backward()
    with disable_saved_tensors_hooks("not here"):
        assert not are_hooks_active()
        assert AUTOGRAD._saved_tensors_hooks_get_disabled_error_message() == "not here"
    assert AUTOGRAD._saved_tensors_hooks_get_disabled_error_message() is None
    assert counted.unpacked == 1


def train(loss_of: Callable[[nn.Module, Tensor], Tensor], *, is_watched: bool = True) -> Run | None:
    """Three steps of a small classifier."""
    with seeded(5):
        model = nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), nn.Linear(8, CLASSES))
        inputs = torch.randn(3, EXAMPLES, FEATURES)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    watching = gradiometer.watch(model, optimizer, overhead=1.0)
    if is_watched:
        watching.start()
    for batch in inputs:
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()
    if not is_watched:
        return None
    watching.stop()
    assert not [event for event in watching.run.events if event.kind == "fault"]
    return watching.run


HIDDEN = "hooks may be set on what the loss has saved: what only that shows is not measured"


def under_hooks(counted: Counted) -> Callable[[nn.Module, Tensor], Tensor]:
    def loss_of(model: nn.Module, batch: Tensor) -> Tensor:
        output = model(batch)
        with counted.set():
            return F.cross_entropy(output, drawn("classes"))

    return loss_of


def wholly_under_hooks(counted: Counted) -> Callable[[nn.Module, Tensor], Tensor]:
    def loss_of(model: nn.Module, batch: Tensor) -> Tensor:
        with counted.set():
            return F.cross_entropy(model(batch), drawn("classes"))

    return loss_of


def with_a_hook_on_the_criterion(counted: Counted) -> Callable[[nn.Module, Tensor], Tensor]:
    def loss_of(model: nn.Module, batch: Tensor) -> Tensor:
        loss = F.cross_entropy(model(batch), drawn("classes"))
        node: Any = loss.grad_fn
        node._raw_saved_target.register_hooks(lambda tensor: tensor, counted.unpack)
        return loss

    return loss_of


@pytest.mark.parametrize("script", [under_hooks, wholly_under_hooks, with_a_hook_on_the_criterion])
def test_runs_no_hook_of_a_script(script: Callable[[Counted], Callable[[nn.Module, Tensor], Tensor]]) -> None:
    alone, watched = Counted(), Counted()
    train(script(alone), is_watched=False)
    run = train(script(watched))
    assert watched.unpacked == alone.unpacked > 0
    assert run is not None
    assert np.isnan(run.snapshot_columns["constant_loss"]).all()
    assert run.facts["loss_path"]["loss"] == "cross_entropy"
    assert HIDDEN in run.coverage.line


def test_runs_no_hook_that_was_set_before_the_watching() -> None:
    alone, watched = Counted(), Counted()
    with alone.set():
        train(lambda model, batch: F.cross_entropy(model(batch), drawn("classes")), is_watched=False)
    with watched.set():
        run = train(lambda model, batch: F.cross_entropy(model(batch), drawn("classes")))
    assert watched.unpacked == alone.unpacked > 0
    assert run is not None
    assert HIDDEN in run.coverage.line


def test_reads_the_loss_behind_a_network_that_is_checkpointed() -> None:
    def loss_of(model: nn.Module, batch: Tensor) -> Tensor:
        return F.cross_entropy(checkpoint(model, batch, use_reentrant=False), drawn("classes"))

    run, plain = train(loss_of), trained(F.cross_entropy, [drawn("classes")] * 3)
    assert run is not None
    found = run.snapshot_columns["constant_loss"]
    assert np.isfinite(found).all()
    assert found == pytest.approx(plain.snapshot_columns["constant_loss"])
    assert HIDDEN not in run.coverage.line


def test_reads_the_loss_again_once_hooks_are_set_no_more() -> None:
    steps: list[int] = []

    def loss_of(model: nn.Module, batch: Tensor) -> Tensor:
        steps.append(1)
        output = model(batch)
        if len(steps) == 2:
            with save_on_cpu():
                return F.cross_entropy(output, drawn("classes"))
        return F.cross_entropy(output, drawn("classes"))

    run = train(loss_of)
    assert run is not None
    assert np.isfinite(run.snapshot_columns["constant_loss"]).tolist() == [True, False, True]


def test_leaves_torch_its_functions_between_full_steps_and_afterwards() -> None:
    model = nn.Linear(FEATURES, CLASSES)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    before, exchanged = originals(), []
    with gradiometer.watch(model, optimizer) as watching:
        for _ in range(12):
            exchanged.append(any(now is not then for now, then in zip(originals(), before, strict=True)))
            optimizer.zero_grad()
            F.cross_entropy(model(torch.ones(EXAMPLES, FEATURES)), drawn("classes")).backward()
            optimizer.step()
    assert all(now is then for now, then in zip(originals(), before, strict=True))
    full = set(watching.run.snapshot_steps.tolist())
    assert 0 < len(full) < 12
    # Where torch tells of hooks by itself, nothing is ever exchanged.
    assert exchanged == [not TELLS_OF_HOOKS and step in full for step in range(12)]
