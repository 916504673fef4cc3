"""Agreement of examples against one autograd call for each; wrong labels are found, and the model stays as it was."""

import copy
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gradiometer
from gradiometer.errors import SettingsError
from gradiometer.schema import Agreement


class Tokens(nn.Module):
    """An embedding, normalisation, a grouped convolution and a layer that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.norm = nn.LayerNorm(4)
        self.mix = nn.Conv1d(4, 4, 3, padding=1, groups=2)
        self.twice = nn.Linear(4, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.norm(self.embedding(tokens))
        hidden = torch.tanh(self.mix(hidden.transpose(1, 2)).transpose(1, 2))
        return self.head(torch.tanh(self.twice(torch.tanh(self.twice(hidden)))).mean(1))


def mlp(inputs: int = 5, hidden: int = 6, classes: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes))


def cnn() -> nn.Module:
    return nn.Sequential(
        *(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 10)),
    )


def single_gradients(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The gradient of every example's own loss, one autograd call each."""
    found = []
    for row in range(len(x)):
        loss = F.cross_entropy(model(x[row : row + 1]), y[row : row + 1])
        grads = torch.autograd.grad(loss, list(model.parameters()))
        found.append(torch.cat([grad.flatten() for grad in grads]))
    return torch.stack(found)


def batches(x: Tensor, y: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    return list(zip(x.split(size), y.split(size), strict=True))


@pytest.mark.parametrize("kind", ["mlp", "tokens"])
@pytest.mark.parametrize("size", [4, 11])
def test_agrees_with_one_autograd_call_for_each_example(kind: str, size: int):
    model = (mlp() if kind == "mlp" else Tokens()).double()
    x = torch.randn(11, 5).double() if kind == "mlp" else torch.randint(7, (11, 6))
    y = torch.tensor([0, 1, 0, 2, 1, 0, 0, 1, 2, 2, 1])
    found = gradiometer.agreement(model, F.cross_entropy, batches(x, y, size))
    gradients = single_gradients(model, x, y)
    units = F.normalize(gradients, dim=1)
    for one in found.examples:
        others = (y == y[one.index]) & (torch.arange(11) != one.index)
        cosine = float(F.cosine_similarity(units[one.index], units[others].sum(0), dim=0))
        norm = float(gradients[one.index].norm())
        assert (one.label, one.norm) == (int(y[one.index]), pytest.approx(norm, rel=1e-9))
        assert one.class_cosine == pytest.approx(cosine, abs=1e-7)
        assert one.disagreement == pytest.approx(norm * (1.0 - cosine), abs=1e-7)
    assert [one.disagreement for one in found.examples] == sorted(one.disagreement for one in found.examples)[::-1]
    assert [one.index for one in found.hardest(2)] == gradients.norm(dim=1).sort(descending=True).indices[:2].tolist()
    for label, one in enumerate(found.classes):
        own = y == label
        whole = F.cosine_similarity(units[own], gradients.sum(0)[None], dim=1).mean()
        between = [float(F.cosine_similarity(units[own].sum(0), units[y == other].sum(0), dim=0)) for other in range(3)]
        assert (one.label, one.example_count) == (label, int(own.sum()))
        assert one.whole_cosine == pytest.approx(float(whole), rel=1e-7)
        assert one.cosines == pytest.approx(between, rel=1e-7)
        assert one.own_cosine == pytest.approx(
            np.mean([each.class_cosine for each in found.examples if each.label == label])
        )
    assert (found.measured_share, found.not_measured) == (1.0, ())


def test_measures_the_layers_that_are_asked_for():
    model, x, y = mlp().double(), torch.randn(6, 5).double(), torch.tensor([0, 1, 2, 0, 1, 2])
    found = gradiometer.agreement(model, F.cross_entropy, [(x, y)], layers=["2"])
    last = sum(value.numel() for value in model[2].parameters())
    total = sum(value.numel() for value in model.parameters())
    assert found.measured_share == pytest.approx(last / total)
    norms = single_gradients(model, x, y)[:, total - last :].norm(dim=1)
    assert {one.index: one.norm for one in found.examples} == pytest.approx(dict(enumerate(norms.tolist())))


def test_knows_sums_from_means():
    model, x, y = mlp().double(), torch.randn(6, 5).double(), torch.tensor([0, 1, 2, 0, 1, 2])
    mean = gradiometer.agreement(model, F.cross_entropy, [(x, y)])
    total = gradiometer.agreement(
        model, lambda output, target: F.cross_entropy(output, target, reduction="sum"), [(x, y)], loss_divides=False
    )
    assert [one.norm for one in total.examples] == pytest.approx([one.norm for one in mean.examples])
    assert [one.class_cosine for one in total.examples] == pytest.approx([one.class_cosine for one in mean.examples])


def test_counts_all_examples_as_one_class_without_classes():
    model, x, y = nn.Linear(3, 1), torch.randn(5, 3), torch.randn(5, 1)
    found = gradiometer.agreement(model, F.mse_loss, [(x, y)])
    assert [(one.label, one.example_count) for one in found.classes] == [(None, 5)]
    assert {one.index for one in found.examples} == set(range(5))


def test_an_example_alone_in_its_class_agrees_with_nobody():
    found = gradiometer.agreement(mlp(), F.cross_entropy, [(torch.randn(3, 5), torch.tensor([0, 1, 1]))])
    alone = next(one for one in found.examples if one.label == 0)
    assert (alone.class_cosine, alone.disagreement) == (0.0, alone.norm)
    assert next(one for one in found.classes if one.label == 0).own_cosine is None


def test_leaves_the_model_exactly_as_it_was():
    model = nn.Sequential(nn.Linear(5, 4), nn.Dropout(0.5), nn.Linear(4, 3))
    before, state = copy.deepcopy(model.state_dict()), (torch.get_rng_state(), random.getstate())
    gradiometer.agreement(model, F.cross_entropy, [(torch.randn(4, 5), torch.tensor([0, 1, 2, 0]))] * 2)
    torch.set_rng_state(state[0])
    gradiometer.agreement(model, F.cross_entropy, [(torch.ones(4, 5), torch.tensor([0, 1, 2, 0]))])
    assert torch.equal(torch.get_rng_state(), state[0])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(value.grad is None for value in model.parameters())


def test_says_what_it_leaves_out():
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(2, 4, batch_first=True), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.lstm(x)[0][:, -1])

    found = gradiometer.agreement(Recurrent(), F.cross_entropy, [(torch.randn(4, 3, 2), torch.tensor([0, 1, 2, 0]))])
    assert dict(found.not_measured) == dict.fromkeys(
        [f"lstm.{name}_l0" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")], "no rule for a LSTM"
    )
    assert 0.0 < found.measured_share < 1.0


def test_refuses_what_it_can_not_tell_apart():
    model = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3))
    data = [(torch.randn(4, 5), torch.tensor([0, 1, 2, 0]))]
    with pytest.raises(SettingsError, match="told apart.*batch normalisation"):
        gradiometer.agreement(model, F.cross_entropy, data)
    with pytest.raises(SettingsError, match="told apart"):
        gradiometer.agreement(model.eval(), F.cross_entropy, [])
    assert len(gradiometer.agreement(model, F.cross_entropy, data).examples) == 4


def area_under_curve(found: Agreement, wrong: np.ndarray) -> float:
    """Chance that a wrong label stands before a right one in the ranking by disagreement."""
    is_wrong = wrong[[one.index for one in found.examples]]
    right_before = np.cumsum(~is_wrong)[is_wrong]
    return float(1.0 - right_before.mean() / (~wrong).sum())


def with_wrong_labels(seed: int) -> tuple[Tensor, Tensor, np.ndarray]:
    """The training half of scikit-learn's digits, one label in twenty changed at random; and which."""
    datasets = pytest.importorskip("sklearn.datasets")
    digits, draw = datasets.load_digits(), np.random.default_rng(seed)
    labels, wrong = digits.target[:1437].copy(), np.zeros(1437, dtype=bool)
    wrong[draw.choice(1437, 72, replace=False)] = True
    labels[wrong] = (labels[wrong] + draw.integers(1, 10, wrong.sum())) % 10
    return torch.tensor(digits.data[:1437] / 16.0, dtype=torch.float32), torch.tensor(labels), wrong


def train(model: nn.Module, x: Tensor, y: Tensor, epochs: int) -> None:
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(32):
            optimizer.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()


def found_area(kind: str, seed: int, epochs: int) -> float:
    torch.manual_seed(seed)
    x, y, wrong = with_wrong_labels(seed)
    model = mlp(64, 32, 10) if kind == "mlp" else cnn()
    train(model, x, y, epochs)
    return area_under_curve(gradiometer.agreement(model, F.cross_entropy, batches(x, y, 256)), wrong)


def test_finds_wrong_labels():
    assert found_area("mlp", 0, 5) >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mlp", "cnn"])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("epochs", [3, 10])
def test_finds_wrong_labels_with_any_seed(kind: str, seed: int, epochs: int):
    assert found_area(kind, seed, epochs) >= 0.95
