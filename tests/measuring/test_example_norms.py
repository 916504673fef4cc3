"""Per-example norms through `watch`, against a loop that differentiates each example's part of the loss by itself."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset, TensorDataset

from gradiometer import watch
from gradiometer.noise_scale import noise_terms
from gradiometer.schema import ExampleStats, Run

BATCH = 8


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(3)


def step_once(model: nn.Module, loss: Callable[[nn.Module], Tensor], *, pass_count: int = 1) -> Run:
    """Two steps that move nothing; the second one is the measurement's first turn."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with watch(model, optimizer, overhead=1.0, dear=("per_example",)) as watching:
        for _ in range(2):
            optimizer.zero_grad()
            for _ in range(pass_count):
                loss(model).backward()
            optimizer.step()
    assert watching.run.events == ()
    return watching.run


def oracle(
    model: nn.Module, example_losses: Callable[[nn.Module], list[Tensor]], names: set[str] | None = None
) -> list[float]:
    """Norm of every example's own gradient over some parameters, in float64, one backward pass each."""
    model = model.double()
    found = []
    for loss in example_losses(model):
        parameters = {name: value for name, value in model.named_parameters() if names is None or name in names}
        grads = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True, retain_graph=True)
        found.append(sum(float(grad.square().sum()) for grad in grads if grad is not None) ** 0.5)
    return found


def cosine_oracle(model: nn.Module, example_losses: Callable[[nn.Module], list[Tensor]]) -> list[float]:
    """Cosine of every example's gradient with the sum of the others', in float64, one backward pass each."""
    found = []
    for loss in example_losses(model.double()):
        grads = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True, retain_graph=True)
        found.append(torch.cat([grad.flatten() for grad in grads if grad is not None]))
    total = torch.stack(found).sum(0)
    return [float(nn.functional.cosine_similarity(one, total - one, dim=0)) for one in found]


def found_in(run: Run) -> ExampleStats:
    assert list(run.examples) == [1]
    return run.examples[1]


class Convolutional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.GroupNorm(2, 8)
        self.second = nn.Conv2d(8, 8, 3, groups=2)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(x)))
        return self.head(torch.relu_(self.second(x)).mean((2, 3)))


class Tied(nn.Module):
    """An embedding tied to the output layer, a layer used twice, and sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.norm = nn.LayerNorm(6)
        self.twice = nn.Linear(6, 6)
        self.output = nn.Linear(6, 11, bias=False)
        self.output.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        x = x + torch.tanh(self.twice(self.norm(x)))
        return self.output(torch.tanh(self.twice(x)))


def cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """Mean over everything, as a script writes it."""
    return nn.functional.cross_entropy(output.flatten(0, -2), target.flatten())


@pytest.mark.parametrize(
    ("model", "inputs", "target"),
    [
        (Convolutional(), torch.randn(BATCH, 3, 9, 9), torch.randint(5, (BATCH,))),
        (Tied(), torch.randint(11, (BATCH, 7)), torch.randint(11, (BATCH, 7))),
    ],
    ids=["cnn", "tied"],
)
def test_measures_the_norm_of_every_examples_gradient(model: nn.Module, inputs: Tensor, target: Tensor) -> None:
    run = step_once(model, lambda module: cross_entropy(module(inputs), target))
    found = found_in(run)
    given = inputs.double() if inputs.is_floating_point() else inputs
    expected = oracle(
        model,
        lambda module: [cross_entropy(module(given[row : row + 1]), target[row : row + 1]) for row in range(BATCH)],
    )
    assert found.norms == pytest.approx(expected, rel=1e-5)
    assert found.cosines == pytest.approx(
        cosine_oracle(
            model,
            lambda module: [cross_entropy(module(given[row : row + 1]), target[row : row + 1]) for row in range(BATCH)],
        ),
        abs=1e-4,
    )
    assert found.positions == tuple(range(BATCH))
    assert (found.example_count, found.measured_share, found.nonfinite_count) == (BATCH, 1.0, 0)
    assert found.data_indices is None
    assert run.turns[1].not_measured == ()
    batch = sum(float(value.grad.double().square().sum()) for value in model.parameters())
    terms = noise_terms(np.square(expected), batch)
    assert found.trace == pytest.approx(terms.trace, rel=1e-4)
    assert found.gradient_squared == pytest.approx(terms.gradient_squared, rel=1e-3, abs=1e-4 * terms.trace)


def test_counts_examples_over_the_batches_of_an_accumulated_step() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))
    batches = [torch.randn(3, 4), torch.randn(5, 4)]
    calls = iter([*batches, *batches])
    run = step_once(model, lambda module: module(next(calls)).square().sum() / 8.0, pass_count=2)
    found = found_in(run)
    rows = torch.cat(batches).double()
    expected = oracle(model, lambda module: [module(row.unsqueeze(0)).square().sum() for row in rows])
    assert found.norms == pytest.approx(expected, rel=1e-5)
    assert found.positions == tuple(range(8))


def test_measures_evenly_spaced_examples_of_a_large_batch() -> None:
    model, inputs = nn.Linear(4, 2), torch.randn(600, 4)
    found = found_in(step_once(model, lambda module: module(inputs).square().mean()))
    assert found.positions == tuple(range(0, 600, 3))
    rows = inputs.double()[::3]
    expected = oracle(model, lambda module: [module(row).square().mean() for row in rows])
    assert found.norms == pytest.approx(expected, rel=1e-5)


def test_tells_norms_in_true_units_under_a_gradient_scaler() -> None:
    model, inputs = nn.Linear(4, 2), torch.randn(BATCH, 4)
    optimizer, scaler = torch.optim.SGD(model.parameters(), lr=0.0), torch.amp.GradScaler("cpu", init_scale=512.0)
    with watch(model, optimizer, overhead=1.0, dear=("per_example",)) as watching:
        for _ in range(2):
            optimizer.zero_grad()
            scaler.scale(model(inputs).square().mean()).backward()
            scaler.step(optimizer)
            scaler.update()
    expected = oracle(model, lambda module: [module(row).square().mean() for row in inputs.double()])
    assert found_in(watching.run).norms == pytest.approx(expected, rel=1e-5)


def test_names_the_outlier_of_a_batch() -> None:
    model, inputs = nn.Linear(4, 2), torch.randn(32, 4)
    inputs[13] *= 40.0
    found = found_in(step_once(model, lambda module: module(inputs).square().mean()))
    assert found.outliers() == (13,)


class Normalised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before, self.norm, self.after = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(torch.tanh(self.norm(self.before(x))))


def test_refuses_what_lies_before_a_batch_normalisation_that_trains() -> None:
    model, inputs = Normalised(), torch.randn(BATCH, 4)
    run = step_once(model, lambda module: module(inputs).square().mean())
    reasons = dict(run.turns[1].not_measured)
    assert set(reasons) == {"before.weight", "before.bias", "norm.weight", "norm.bias"}
    assert all("batch normalisation in training mode" in reason for reason in reasons.values())
    found = found_in(run)
    assert found.measured_share == pytest.approx(14 / (14 + 42))
    hidden = torch.tanh(model.norm(model.before(inputs))).detach().double()
    expected = oracle(
        model, lambda module: [module.after(row).square().mean() for row in hidden], {"after.weight", "after.bias"}
    )
    assert found.norms == pytest.approx(expected, rel=1e-5)


def test_measures_behind_a_batch_normalisation_that_does_not_train() -> None:
    model, inputs = Normalised(), torch.randn(BATCH, 4)
    model(inputs)
    model.eval()
    found = found_in(step_once(model, lambda module: module(inputs).square().mean()))
    expected = oracle(model, lambda module: [module(row.unsqueeze(0)).square().mean() for row in inputs.double()])
    assert found.measured_share == 1.0
    assert found.norms == pytest.approx(expected, rel=1e-5)


class Elsewhere(nn.Module):
    """A weight that is used by a functional call too, and a layer inside a checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.hidden, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.shared(x)) + nn.functional.linear(x, self.shared.weight)
        return self.last(checkpoint(self.hidden, x, use_reentrant=False))


def test_refuses_weights_used_elsewhere_and_layers_inside_a_checkpoint() -> None:
    model, inputs = Elsewhere(), torch.randn(BATCH, 4)
    run = step_once(model, lambda module: module(inputs).square().mean())
    reasons = dict(run.turns[1].not_measured)
    assert reasons["shared.weight"] == "used outside of its layer too"
    assert reasons["hidden.weight"] == "inside a checkpoint: its input would have to be kept"
    hidden = model.hidden(torch.tanh(model.shared(inputs)) + nn.functional.linear(inputs, model.shared.weight))
    rows, names = hidden.detach().double(), {"last.weight", "last.bias"}
    expected = oracle(model, lambda module: [module.last(row).square().mean() for row in rows], names)
    last_and_bias = found_in(run).norms
    assert len(last_and_bias) == BATCH
    assert all(norm >= least * (1 - 1e-5) for norm, least in zip(last_and_bias, expected, strict=True))


def test_gives_no_noise_scale_where_gradients_were_there_before() -> None:
    model, inputs = nn.Linear(4, 2), torch.randn(BATCH, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with watch(model, optimizer, overhead=1.0, dear=("per_example",)) as watching:
        for _ in range(2):
            model(inputs).square().mean().backward()
            optimizer.step()
    assert found_in(watching.run).trace is None
    # The weights have no rate: every example's gradient is the same in both steps, whatever was there before.
    squares = [
        sum(part.square().sum() for part in torch.autograd.grad(model(row).square().mean(), list(model.parameters())))
        for row in inputs
    ]
    assert found_in(watching.run).norms == pytest.approx([math.sqrt(float(square)) for square in squares], rel=1e-5)
    assert "gradients were there before" in dict(watching.run.turns[1].not_measured)["gradient noise scale"]


class Numbered(Dataset[tuple[Tensor, int]]):
    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.full((4,), float(index)), index


@pytest.mark.parametrize("worker_count", [0, 2])
def test_names_the_examples_of_a_shuffled_loader(worker_count: int) -> None:
    model = nn.Linear(4, 2)
    loader = DataLoader(Numbered(), batch_size=BATCH, shuffle=True, num_workers=worker_count)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    seen = []
    with watch(model, optimizer, overhead=1.0, dear=("per_example",)) as watching:
        for _ in range(2):
            for inputs, indices in loader:
                seen.append(tuple(indices.tolist()))
                optimizer.zero_grad()
                model(inputs.double().float()).square().mean().backward()
                optimizer.step()
    found = watching.run.examples
    assert {step: found[step].data_indices for step in range(1, 6)} == dict(enumerate(seen[1:], start=1))


def test_names_no_example_of_a_batch_that_no_loader_gave() -> None:
    model = nn.Linear(4, 2)
    loader = DataLoader(TensorDataset(torch.randn(16, 4)), batch_size=BATCH)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with watch(model, optimizer, overhead=1.0, dear=("per_example",)) as watching:
        for (inputs,) in loader:
            optimizer.zero_grad()
            model(torch.randn_like(inputs)).square().mean().backward()
            optimizer.step()
    assert found_in(watching.run).data_indices is None


def test_knows_the_data_where_a_shared_layer_was_called_once_for_nothing() -> None:
    class Peeking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(3, 3), nn.Linear(3, 1)

        def forward(self, x: Tensor) -> Tensor:
            self.body(x)
            return self.head(self.body(x))

    model = Peeking()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(TensorDataset(torch.randn(16, 3)), batch_size=BATCH)
    with watch(model, optimizer, overhead=1.0, dear=("per_example",)) as watching:
        for (inputs,) in loader:
            optimizer.zero_grad()
            model(inputs).square().mean().backward()
            optimizer.step()
    assert found_in(watching.run).data_indices == tuple(range(BATCH, 2 * BATCH))


def test_tells_the_same_cosines_of_a_vanished_gradient():
    inputs, target = torch.randn(BATCH, 4), torch.randint(3, (BATCH,))
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    found = [
        found_in(step_once(model, lambda module, scale=scale: cross_entropy(module(inputs), target) * scale)).cosines
        for scale in (1.0, 2.0**-90)
    ]
    assert found[1] == pytest.approx(found[0], abs=1e-4)
    assert None not in found[0]


def test_takes_cosines_within_each_of_several_batches():
    inputs, target = torch.randn(BATCH, 4), torch.randint(3, (BATCH,))
    model = nn.Linear(4, 3)
    once = found_in(step_once(model, lambda module: cross_entropy(module(inputs), target)))
    twice = found_in(step_once(model, lambda module: cross_entropy(module(inputs), target), pass_count=2))
    assert twice.cosines == once.cosines * 2


def test_knows_no_cosine_of_an_example_alone_or_without_a_gradient():
    alone = found_in(step_once(nn.Linear(4, 3), lambda module: module(torch.ones(1, 4)).square().mean()))
    assert alone.cosines == (None,)
    inputs = torch.randn(BATCH, 4)
    inputs[2] = 0.0
    model = nn.Linear(4, 3, bias=False)
    assert found_in(step_once(model, lambda module: module(inputs).square().mean())).cosines[2] is None
