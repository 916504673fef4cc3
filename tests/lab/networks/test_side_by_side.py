"""Classifiers trained side by side, against each one trained by itself in torch."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradiometer.lab.networks.side_by_side import (
    Training,
    accuracies,
    as_sequential,
    draw_layers,
    glorot_weights,
    he_weights,
    orders,
    put_side_by_side,
    sigmoid_glorot_weights,
    silent_output,
    train_epochs,
    uniform_weights,
)


@pytest.fixture
def examples() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(30, 6, generator=generator), torch.randint(0, 3, (30,), generator=generator)


def train_alone(model: nn.Sequential, examples: tuple[Tensor, Tensor], optimizer: torch.optim.Optimizer) -> None:
    generator = torch.Generator().manual_seed(4)
    for _ in range(3):
        for chosen in orders(30, 8, generator):
            optimizer.zero_grad()
            F.cross_entropy(model(examples[0][chosen]), examples[1][chosen]).backward()
            optimizer.step()


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_trains_each_network_as_torch_does_alone_at_its_own_rate(
    examples: tuple[Tensor, Tensor], activation: str
) -> None:
    drawn = [draw_layers((6, 5, 4, 3), draw, seed) for seed, draw in enumerate((he_weights, glorot_weights))]
    together = put_side_by_side(drawn, activation)
    for _ in train_epochs(together, *examples, Training(3, 8, (0.3, 0.7), seed=4)):
        pass
    for rank, rate in enumerate((0.3, 0.7)):
        model = as_sequential(drawn[rank], activation)
        train_alone(model, examples, torch.optim.SGD(model.parameters(), rate))
        linears = [module for module in model if isinstance(module, nn.Linear)]
        for layer, linear in enumerate(linears):
            assert torch.allclose(together.weights[layer][rank].T, linear.weight, atol=1e-6)
            assert torch.allclose(together.biases[layer][rank, 0], linear.bias, atol=1e-6)


def test_trains_by_adam_as_torch_does_alone(examples: tuple[Tensor, Tensor]) -> None:
    drawn = [draw_layers((6, 5, 3), glorot_weights, seed) for seed in range(2)]
    together = put_side_by_side(drawn, "sigmoid")
    for _ in train_epochs(together, *examples, Training(3, 8, (0.01, 0.01), is_adam=True, seed=4)):
        pass
    model = as_sequential(drawn[1], "sigmoid")
    train_alone(model, examples, torch.optim.Adam(model.parameters(), 0.01))
    assert torch.allclose(together.weights[0][1].T, model[0].weight, atol=1e-6)


def test_counts_right_answers_of_each_network(examples: tuple[Tensor, Tensor]) -> None:
    drawn = [draw_layers((6, 5, 3), he_weights, seed) for seed in range(3)]
    together = put_side_by_side(drawn, "relu")
    for rank, share in enumerate(accuracies(together, *examples)):
        hidden = torch.relu(examples[0] @ drawn[rank][0][0].T)
        answers = (hidden @ drawn[rank][1][0].T).argmax(1)
        assert share == pytest.approx(float((answers == examples[1]).float().mean()))


def test_tells_the_loss_of_each_epoch(examples: tuple[Tensor, Tensor]) -> None:
    layers = [*draw_layers((6, 5), he_weights, 0), silent_output(5, 3)]
    together = put_side_by_side([layers] * 2, "relu")
    told = list(train_epochs(together, *examples, Training(2, 30, (0.0, 1.0))))
    assert told[0].tolist() == pytest.approx([torch.tensor(3.0).log().item()] * 2)
    assert told[1][0] == told[0][0]
    assert told[1][1] < told[0][1]


@pytest.mark.parametrize(
    ("draw", "spread"),
    [
        (uniform_weights, (1.0 / (3 * 400)) ** 0.5),
        (glorot_weights, (2.0 / 600) ** 0.5),
        (sigmoid_glorot_weights, 4.0 * (2.0 / 600) ** 0.5),
        (he_weights, (2.0 / 400) ** 0.5),
    ],
)
def test_draws_weights_with_the_published_spread(draw: object, spread: float) -> None:
    assert callable(draw)
    weight = draw(200, 400, torch.Generator().manual_seed(0))
    assert weight.std().item() == pytest.approx(spread, rel=0.02)
