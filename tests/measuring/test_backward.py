"""Backward passes are announced, whichever of torch's functions a script calls, and nothing else is."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gradiometer
from gradiometer.measuring.backward import start_listening, stop_listening
from gradiometer.session import Watch
from measuring.networks import seeded

STEPS = 12


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))


def loss_of(model: nn.Module, step: int) -> Tensor:
    generator = torch.Generator().manual_seed(step)
    inputs = torch.randn(32, 6, generator=generator)
    return F.cross_entropy(model(inputs), torch.randint(0, 3, (32,), generator=generator))


def step_by_backward(model: nn.Module, optimizer: torch.optim.Optimizer | None, step: int) -> None:
    model.zero_grad()
    loss_of(model, step).backward()
    apply_gradients(model, optimizer, [parameter.grad for parameter in model.parameters()])


def step_by_gradients(model: nn.Module, optimizer: torch.optim.Optimizer | None, step: int) -> None:
    # `parameters()` is a generator, which can be gone through only once.
    apply_gradients(model, optimizer, torch.autograd.grad(loss_of(model, step), model.parameters()))


def step_by_named_gradients(model: nn.Module, optimizer: torch.optim.Optimizer | None, step: int) -> None:
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(outputs=[loss_of(model, step)], inputs=parameters, allow_unused=True)
    apply_gradients(model, optimizer, gradients)


def step_with_inner_gradients(model: nn.Module, optimizer: torch.optim.Optimizer | None, step: int) -> None:
    """An inner loop of first order: its gradients move a copy, those of `backward` train."""
    named = dict(model.named_parameters())
    inner = torch.autograd.grad(loss_of(model, 1000 + step), list(named.values()))
    moved = {name: value - 0.1 * one for (name, value), one in zip(named.items(), inner, strict=True)}
    generator = torch.Generator().manual_seed(step)
    inputs = torch.randn(32, 6, generator=generator)
    outputs = torch.func.functional_call(model, moved, (inputs,))
    model.zero_grad()
    F.cross_entropy(outputs, torch.randint(0, 3, (32,), generator=generator)).backward()
    apply_gradients(model, optimizer, [parameter.grad for parameter in model.parameters()])


def step_with_penalty(model: nn.Module, optimizer: torch.optim.Optimizer | None, step: int) -> None:
    """The norm of the gradient is a part of the loss."""
    model.zero_grad()
    loss = loss_of(model, step)
    gradients = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
    (loss + 0.1 * sum(one.square().sum() for one in gradients)).backward()
    apply_gradients(model, optimizer, [parameter.grad for parameter in model.parameters()])


def apply_gradients(model: nn.Module, optimizer: torch.optim.Optimizer | None, gradients: list[Tensor | None]) -> None:
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        parameter.grad = gradient
    if optimizer is not None:
        optimizer.step()
        return
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 0.1 * parameter.grad


Step = Callable[[nn.Module, torch.optim.Optimizer | None, int], None]


def trained(step_once: Step, *, by_hand: bool, overhead: float | None) -> tuple[list[bytes], Watch | None]:
    with seeded():
        model = network()
    optimizer = None if by_hand else torch.optim.Adam(model.parameters(), lr=0.01)
    watching = None if overhead is None else gradiometer.watch(model, optimizer, overhead=overhead).start()
    for step in range(STEPS):
        step_once(model, optimizer, step)
    if watching is not None:
        watching.stop()
        assert not watching.session.probe.guard.is_broken, watching.run.events
    return [parameter.detach().numpy().tobytes() for parameter in model.parameters()], watching


WAYS = {
    "backward": step_by_backward,
    "gradients": step_by_gradients,
    "named_gradients": step_by_named_gradients,
    "inner_gradients": step_with_inner_gradients,
    "penalty": step_with_penalty,
}


# By hand, an inner loop of first order is not told from the training: its gradients come first.
KNOWN_APART = [
    (way, by_hand) for way in WAYS for by_hand in (False, True) if (way, by_hand) != ("inner_gradients", True)
]


@pytest.mark.parametrize(("way", "by_hand"), KNOWN_APART)
def test_sees_one_loss_a_step_and_leaves_weights_alone(way: str, by_hand: bool) -> None:  # noqa: FBT001
    bare, _ = trained(WAYS[way], by_hand=by_hand, overhead=None)
    watched, watching = trained(WAYS[way], by_hand=by_hand, overhead=1.0)
    assert watched == bare
    run = watching.run
    assert run.step_count == STEPS
    assert len(run.losses) == 1
    assert len(run.losses[0].values) == STEPS
    assert bool(run.facts["hand_written_updates"]) is by_hand


@pytest.mark.parametrize("by_hand", [False, True])
def test_measures_handed_back_gradients_as_those_of_backward(by_hand: bool) -> None:  # noqa: FBT001
    _, expected = trained(step_by_backward, by_hand=by_hand, overhead=1.0)
    for step_once in (step_by_gradients, step_by_named_gradients):
        _, found = trained(step_once, by_hand=by_hand, overhead=1.0)
        for columns in ("layer_columns", "parameter_columns"):
            for name, values in getattr(expected.run, columns).items():
                assert getattr(found.run, columns)[name] == pytest.approx(values, rel=1e-6, nan_ok=True), name
        assert found.run.losses[0].values == pytest.approx(expected.run.losses[0].values)
        gains = found.run.layer_columns["gain_db"]
        assert bool((~torch.isnan(torch.tensor(gains[:, 1:]))).all())
        assert found.diagnose().verdict == expected.diagnose().verdict


def test_keeps_the_loss_as_it_was_when_the_gradient_was_asked_for() -> None:
    with seeded():
        model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    told = []
    with gradiometer.watch(model, optimizer) as watching:
        for step in range(20):
            optimizer.zero_grad()
            loss = loss_of(model, step)
            told.append(loss.item())
            loss.backward()
            loss.detach().zero_()
            optimizer.step()
    assert watching.run.losses[0].values.tolist() == told


class Counting:
    """Counts passes, and nothing else."""

    def __init__(self) -> None:
        self.count = 0

    def before_backward(self, tensors: tuple[Tensor, ...]) -> None:
        self.count += 1

    def after_backward(self) -> None:
        pass


def test_never_calls_itself_where_somebody_else_stands_in_too() -> None:
    first, second = Counting(), Counting()
    original = torch.autograd.backward
    start_listening(first)
    ours = torch.autograd.backward

    def theirs(*args: object, **kwargs: object) -> object:
        return ours(*args, **kwargs)

    torch.autograd.backward = theirs
    try:
        stop_listening(first)
        start_listening(second)
        torch.ones(2, requires_grad=True).sum().backward()
        stop_listening(second)
        assert torch.autograd.backward is theirs
        torch.ones(2, requires_grad=True).sum().backward()
    finally:
        torch.autograd.backward = original
    assert (first.count, second.count) == (0, 1)
