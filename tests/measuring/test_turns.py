"""Whose turn it is: in the advance, afterwards and always; what it costs; and that none of it changes a training."""

import copy
import gc
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gradiometer import watch
from gradiometer.errors import SettingsError
from gradiometer.measuring.budget import TURNS_SHARE, Budget
from gradiometer.measuring.collecting import Collector
from gradiometer.measuring.dear import DEAR_MEASUREMENTS, DearMeasurement
from gradiometer.measuring.network import Network
from gradiometer.measuring.turns import Turns

RECURRENT = Network(modules=(nn.LSTM(2, 2), nn.Linear(2, 1)), has_windows=True)
PLAIN = Network(modules=(nn.Linear(2, 1), nn.ReLU()), has_windows=True)


def raise_fault(error: Exception) -> None:
    raise error


class Clockwork:
    """A training whose every second is written down: bare steps of a millisecond, measurements of known cost."""

    def __init__(self, allowed_share: float, costs: dict[str, float], core_seconds: float = 1e-3) -> None:
        def fits(network: Network) -> bool:
            return True

        def start(setting: Any) -> Collector:
            return Collector()

        self.budget = Budget(allowed_share)
        table = {name: DearMeasurement(fits, start) for name in costs}
        self.turns = Turns(tuple(costs), self.budget, table, on_fault=raise_fault)
        self.costs, self.core_seconds = costs, core_seconds

    def run(self, step_count: int) -> Iterator[tuple[int, str | None]]:
        """Every full step with whose turn it was."""
        for step in range(step_count):
            is_full, name, spent = self.budget.is_full(step), None, 0.0
            if is_full:
                name = self.turns.choose(step, PLAIN)
                spent = self.core_seconds + (self.costs[name] if name else 0.0)
            cost = self.budget.account(
                step, 1e-3 + spent, spent, was_full=is_full, turn_seconds=self.costs[name] if name else 0.0
            )
            if name is not None:
                self.turns.book(name, step, cost)
            if is_full:
                yield step, name


def test_gives_each_one_first_turn_in_the_advance() -> None:
    training = Clockwork(0.01, {"a": 1e-3, "b": 2e-3, "c": 1e-3})
    assert list(training.run(33)) == [(0, None), (1, "a"), (2, "b"), (4, "c"), (8, None), (16, None), (32, None)]


def test_keeps_to_the_budget_and_lets_a_dear_one_keep_no_other_from_its_turn() -> None:
    training = Clockwork(0.01, {"cheap": 1e-4, "dear": 2e-2})
    steps = dict(training.run(200_000))
    counts = Counter(name for name in steps.values() if name)
    seconds = training.budget.training_seconds
    assert training.budget.share <= 0.01
    spent = {name: counts[name] * cost for name, cost in training.costs.items()}
    own = TURNS_SHARE * 0.01 * seconds / 2
    # Each has its own share, and uses it but for what another turn would cost.
    assert own - 2 * training.costs["dear"] < spent["dear"] <= own
    # The cheap one is limited by the full steps that there are: it has a turn in nearly every one.
    assert counts["cheap"] + counts["dear"] > 0.85 * len(steps)
    core = training.core_seconds * len(steps)
    assert core >= (1 - TURNS_SHARE) * 0.01 * seconds * 0.95


def test_takes_turns_in_every_step_where_every_step_is_measured() -> None:
    training = Clockwork(1.0, {"a": 1.0, "b": 1e-6})
    assert [name for _, name in training.run(6)] == [None, "a", "b", "a", "b", "a"]


def test_leaves_out_what_the_network_has_not() -> None:
    def names(network: Network) -> set[str | None]:
        turns = Turns(tuple(DEAR_MEASUREMENTS), Budget(1.0), on_fault=raise_fault)
        found = set()
        for step in range(1, 12):
            name = turns.choose(step, network)
            assert name is not None
            turns.book(name, step, 0.0)
            found.add(name)
        return found

    assert names(RECURRENT) == set(DEAR_MEASUREMENTS)
    assert names(PLAIN) == set(DEAR_MEASUREMENTS) - {"through_time"}
    assert names(Network(modules=RECURRENT.modules, is_closed=True)) == {"histograms"}
    assert "through_time" in names(Network(modules=(nn.Linear(2, 2),), has_loops=True))


def small_network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def train(model: nn.Module, inputs: Tensor, steps: int, **options: Any) -> Any:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with watch(model, optimizer, **options) as watching:
        for _ in range(steps):
            optimizer.zero_grad()
            model(inputs).square().mean().backward()
            optimizer.step()
    return watching.run


def test_tells_whose_turn_it_was_and_what_each_has_cost() -> None:
    run = train(small_network(), torch.randn(8, 4), 13, overhead=1.0)
    names = [run.turns[step].measurement for step in sorted(run.turns)]
    assert names == ["similarity", "per_example", "histograms", "units"] * 3
    assert 0 not in run.turns
    costs = run.facts["dear_costs"]
    assert set(costs) == set(names)
    for name, cost in costs.items():
        own = [turn.seconds for turn in run.turns.values() if turn.measurement == name]
        assert cost["turn_count"] == 3
        assert cost["median_seconds"] >= 0.999 * float(np.median(own)) > 0.0
        assert cost["spent_seconds"] >= 0.999 * sum(own)


@pytest.mark.parametrize("dear", [(), ("histograms",)])
def test_measures_only_what_was_chosen(dear: tuple[str, ...]) -> None:
    run = train(small_network(), torch.randn(8, 4), 4, overhead=1.0, dear=dear)
    assert {turn.measurement for turn in run.turns.values()} == set(dear)
    assert bool(run.histograms) == bool(dear)
    assert not run.examples


def test_says_which_measurements_there_are_where_one_does_not_exist() -> None:
    with pytest.raises(SettingsError, match="no dear measurement 'hessian'; there are similarity"):
        watch(small_network(), dear=("hessian",))


def test_names_saturated_and_dead_units() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1))
    with torch.no_grad():
        model[0].bias[[1, 4]] = -100.0
        model[2].bias[3] = 50.0
    run = train(model, torch.randn(32, 4), 3, overhead=1.0, dear=("units",))
    marks = {one.layer: one for one in run.unit_marks[2]}
    assert (marks["1"].dead, marks["1"].dead_count, marks["1"].unit_count) == ((1, 4), 2, 6)
    assert (marks["3"].saturated, marks["3"].saturated_count, marks["3"].dead_count) == ((3,), 1, None)
    assert marks["1"].window_examples == 96


def test_names_channels_of_a_convolution() -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(27, 1))
    with torch.no_grad():
        model[0].bias[2] = -100.0
    run = train(model, torch.randn(8, 1, 5, 5), 2, overhead=1.0, dear=("units",))
    (marks,) = run.unit_marks[1]
    assert (marks.layer, marks.unit_count, marks.dead) == ("1", 3, (2,))


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.norm = nn.Embedding(9, 6), nn.LayerNorm(6)
        self.rnn = nn.LSTM(6, 5, num_layers=2, dropout=0.3, batch_first=True, bidirectional=True)
        self.output = nn.Linear(10, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.output(self.rnn(self.norm(self.embedding(tokens)))[0])


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.output = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.layers(x))


def images() -> Tensor:
    return torch.randn(6, 3, 8, 8)


ZOO: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "mlp": (small_network, lambda: torch.randn(8, 4)),
    "cnn": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Dropout(), nn.Linear(144, 2)
        ),
        images,
    ),
    "lstm": (Tagger, lambda: torch.randint(9, (4, 7))),
    "transformer": (Encoder, lambda: torch.randn(4, 5, 8)),
}


@pytest.mark.parametrize("name", sorted(ZOO))
def test_changes_no_bit_of_a_training_in_any_turn(name: str) -> None:
    make_model, make_inputs = ZOO[name]
    torch.manual_seed(2)
    model, inputs = make_model(), make_inputs()
    twin = copy.deepcopy(model)
    state = torch.get_rng_state()
    optimizer = torch.optim.Adam(twin.parameters(), lr=0.01)
    for _ in range(8):
        optimizer.zero_grad()
        twin(inputs).square().mean().backward()
        optimizer.step()
    after = torch.get_rng_state()
    torch.set_rng_state(state)
    run = train(model, inputs, 8, overhead=1.0)
    assert run.events == ()
    assert torch.equal(torch.get_rng_state(), after)
    without = {"lstm": "units"}.get(name, "through_time")
    assert {turn.measurement for turn in run.turns.values()} == set(DEAR_MEASUREMENTS) - {without}
    for one, other in zip(model.state_dict().values(), twin.state_dict().values(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("dear", sorted(DEAR_MEASUREMENTS))
def test_keeps_nothing_of_a_step_beyond_its_end(dear: str) -> None:
    model = nn.Sequential(Tagger(), nn.Tanh())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    alive = []
    with watch(model, optimizer, overhead=1.0, dear=(dear,)) as watching:
        for step in range(3):
            optimizer.zero_grad()
            tokens = torch.randint(9, (4, 7))
            output = model(tokens)
            output.retain_grad()
            output.square().mean().backward()
            optimizer.step()
            kept = [weakref.ref(tensor) for tensor in (tokens, output, output.grad)]
            # A tensor that somebody holds keeps its Python object; the flight recorder may hold the last batch.
            del tokens, output
            gc.collect()
            alive += [step for reference in kept[1:] if reference() is not None]
    assert watching.run.turns[2].measurement == dear
    assert alive == []
