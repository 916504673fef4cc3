"""Gradients through time through `watch`, against networks unrolled into single steps that autograd goes through."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from gradiometer import watch
from gradiometer.schema import Run, TimeFade
from measuring.unrolled import unroll

STEPS, BATCH, INPUTS, HIDDEN = 9, 5, 3, 4


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(5)


def step_twice(model: nn.Module, loss: Callable[[nn.Module], Tensor]) -> Run:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with watch(model, optimizer, overhead=1.0, dear=("through_time",)) as watching:
        for _ in range(2):
            optimizer.zero_grad()
            loss(model).backward()
            optimizer.step()
    assert watching.run.events == ()
    return watching.run


def norm_of(states: list[Tensor]) -> float:
    """Norm of the gradients at one time step's states, over the sequences."""
    return float(np.sqrt(sum(float(state.grad.double().square().sum()) for state in states if state.grad is not None)))


def unrolled_norms(module: nn.RNNBase, inputs: Tensor, lengths: list[int], loss: Any) -> dict[Any, list[float]]:
    """Norms by path and time step: every sequence unrolled by itself, gradients of the sum of its losses."""
    module = module.double()
    paths = module.num_layers * (2 if module.bidirectional else 1)
    found: dict[Any, list[list[Tensor]]] = {}
    total = torch.zeros((), dtype=torch.float64)
    for row, length in enumerate(lengths):
        hidden = torch.zeros(paths, module.proj_size or HIDDEN, dtype=torch.float64, requires_grad=True)
        cell = torch.zeros(paths, HIDDEN, dtype=torch.float64, requires_grad=True)
        sequence, final, _, states = unroll(module, inputs[row, :length].double(), hidden, cell)
        total = total + loss(sequence, final)
        for path, one in states.items():
            for time, state in enumerate(one):
                found.setdefault(path, [[] for _ in range(max(lengths))])[time].append(state)
    total.backward()
    return {path: [norm_of(states) for states in by_time] for path, by_time in found.items()}


def by_path(fades: tuple[TimeFade, ...]) -> dict[Any, TimeFade]:
    return {(fade.inner_layer, fade.is_reverse, fade.state): fade for fade in fades}


class Reader(nn.Module):
    """A recurrent layer, read at every step and at its end."""

    def __init__(self, rnn: nn.LSTM, lengths: list[int] | None) -> None:
        super().__init__()
        self.rnn, self.lengths = rnn, lengths

    def forward(self, x: Tensor) -> Tensor:
        given = x if self.lengths is None else pack_padded_sequence(x, self.lengths, batch_first=True)
        output, (hidden, _) = self.rnn(given)
        values = output if isinstance(output, Tensor) else output.data
        return values.square().sum() + hidden.sum()


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("lengths", [None, [9, 7, 7, 2, 1]], ids=["padded", "packed"])
def test_equals_autograd_for_a_deep_bidirectional_lstm_with_projections(lengths: list[int] | None) -> None:
    rnn = nn.LSTM(INPUTS, HIDDEN, num_layers=2, bidirectional=True, batch_first=True, proj_size=2)
    inputs = torch.randn(BATCH, STEPS, INPUTS)
    run = step_twice(Reader(rnn, lengths), lambda model: model(inputs))
    found = by_path(run.fades[1])
    expected = unrolled_norms(
        rnn, inputs, lengths or [STEPS] * BATCH, lambda output, final: output.square().sum() + final.sum()
    )
    assert set(found) == set(expected)
    for path, norms in expected.items():
        assert found[path].norms == pytest.approx(norms, rel=1e-5)
        assert (found[path].layer, found[path].step_count, found[path].example_count) == ("rnn", STEPS, BATCH)


def test_replays_dropout_between_layers_without_a_random_number_of_the_training() -> None:
    inputs = torch.randn(BATCH, STEPS, INPUTS)
    states = []
    for dear in ((), ("through_time",)):
        torch.manual_seed(8)
        model = Reader(nn.LSTM(INPUTS, HIDDEN, num_layers=2, dropout=0.5, batch_first=True), None)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with watch(model, optimizer, overhead=1.0, dear=dear) as watching:
            for _ in range(3):
                optimizer.zero_grad()
                model(inputs).backward()
                optimizer.step()
        states.append((torch.get_rng_state(), *(value.detach().clone() for value in model.parameters())))
    assert all(torch.equal(one, other) for one, other in zip(*states, strict=True))
    assert {fade.inner_layer for fade in watching.run.fades[2]} == {0, 1}
    assert watching.run.turns[2].not_measured == ()


class Loop(nn.Module):
    """A cell called once for each time step, and an output layer that is called as often but is no cell."""

    def __init__(self, cell: nn.RNNCellBase) -> None:
        super().__init__()
        self.cell, self.output = cell, nn.Linear(HIDDEN, 1)
        self.kept: list[Any] = []

    def forward(self, x: Tensor) -> Tensor:
        state, total, self.kept = None, x.new_zeros(()), []
        for time in range(x.shape[1]):
            state = self.cell(x[:, time], state)
            self.kept.append(state)
            total = total + self.output(state[0] if isinstance(state, tuple) else state).square().mean()
        return total


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
def test_measures_cells_that_are_called_in_a_loop(kind: type[nn.RNNCellBase]) -> None:
    model, inputs = Loop(kind(INPUTS, HIDDEN)), torch.randn(BATCH, STEPS, INPUTS)
    run = step_twice(model, lambda module: module(inputs))
    found = by_path(run.fades[1])
    model.double()(inputs.double())
    loss = model(inputs.double())
    states = [state if isinstance(state, tuple) else (state,) for state in model.kept]
    for place, name in enumerate(("hidden", "cell")[: len(states[0])]):
        grads = torch.autograd.grad(loss, [state[place] for state in states], retain_graph=True)
        expected = [float(grad.norm()) for grad in grads]
        assert found[0, False, name].norms == pytest.approx(expected, rel=1e-5)
        assert found[0, False, name].layer == "cell"
    assert len(found) == len(states[0])


class WrittenCell(nn.Module):
    """A cell of the user's own, with parts."""

    def __init__(self) -> None:
        super().__init__()
        self.from_input, self.from_hidden = nn.Linear(INPUTS, HIDDEN), nn.Linear(HIDDEN, HIDDEN)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        return torch.tanh(self.from_input(x) + self.from_hidden(hidden))


class WrittenLoop(Loop):
    def __init__(self) -> None:
        super().__init__(nn.RNNCell(1, 1))
        self.cell = WrittenCell()

    def forward(self, x: Tensor) -> Tensor:
        hidden, self.kept = x.new_zeros(len(x), HIDDEN), []
        for time in range(x.shape[1]):
            hidden = self.cell(x[:, time], hidden)
            self.kept.append(hidden)
        return self.output(hidden).square().mean()


def test_measures_the_outermost_of_a_cell_of_the_users_own_and_its_half_life() -> None:
    model, inputs = WrittenLoop(), torch.randn(BATCH, STEPS, INPUTS)
    (fade,) = step_twice(model, lambda module: module(inputs)).fades[1]
    model.double()
    loss = model(inputs.double())
    expected = [float(grad.norm()) for grad in torch.autograd.grad(loss, model.kept)]
    assert (fade.layer, fade.state, fade.example_count) == ("cell", "hidden", None)
    assert fade.norms == pytest.approx(expected, rel=1e-5)
    assert fade.gains == pytest.approx([norm / expected[-1] for norm in reversed(expected)], rel=1e-5)
    slope = np.polyfit(range(STEPS), np.log2(fade.gains), 1)[0]
    assert fade.half_life_steps == pytest.approx(-1 / slope, rel=1e-6)


class Stepwise(nn.Module):
    """A fused layer that is called with one time step at a time, as a decoder does it."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(INPUTS, HIDDEN, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        hidden, total = None, x.new_zeros(())
        for time in range(x.shape[1]):
            output, hidden = self.rnn(x[:, time : time + 1], hidden)
            total = total + output.square().sum()
        return total


def test_joins_the_calls_of_a_fused_layer_that_is_fed_step_by_step() -> None:
    model, inputs = Stepwise(), torch.randn(BATCH, STEPS, INPUTS)
    (fade,) = step_twice(model, lambda module: module(inputs)).fades[1]
    expected = unrolled_norms(model.rnn, inputs, [STEPS] * BATCH, lambda output, final: output.square().sum())
    assert fade.norms == pytest.approx(expected[0, False, "hidden"], rel=1e-5)


def test_is_silent_on_a_network_without_time() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    run = step_twice(model, lambda module: module(torch.ones(BATCH, 3)).sum())
    assert (run.turns, run.fades) == ({}, {})
