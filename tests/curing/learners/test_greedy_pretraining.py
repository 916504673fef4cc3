"""Greedy pretraining against the published effect: deep sigmoid layers at chance, and learned after pretraining.

The setting is that of Bengio et al. (NIPS 2007) made small: plain descent at rate 0.1, batches of 50, 20 epochs. The
controls say what else cures the disease: weights at the sigmoid's own scale do, ReLU with He's weights does better.
"""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradiometer.curing import Patient, parse_cure
from gradiometer.lab.datasets.images import LabelledImages

Split = tuple[Tensor, Tensor, Tensor, Tensor]


def digits() -> Split:
    """Small images between 0 and 1: 1,400 to learn from, 397 to be tested on."""
    from sklearn.datasets import load_digits

    images, targets = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16.0, dtype=torch.float32), torch.tensor(targets)
    return x[:1400], y[:1400], x[1400:], y[1400:]


def split_of(images: LabelledImages) -> Split:
    """The first 10,000 images to learn from, all 10,000 to be tested on."""
    learned_from = (images.train_inputs[:10_000], images.train_labels[:10_000])
    x, y, x_test, y_test = map(torch.from_numpy, (*learned_from, images.test_inputs, images.test_labels))
    return x, y, x_test, y_test


def network(inputs: int, width: int, depth: int, activation: type[nn.Module]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size in [inputs, *[width] * (depth - 1)]:
        layers += [nn.Linear(size, width), activation()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def untouched(model: nn.Module, x: Tensor) -> None:
    """No change."""


def by_cure(label: str) -> Callable[[nn.Module, Tensor], None]:
    def change(model: nn.Module, x: Tensor) -> None:
        parse_cure(label).apply(Patient(model, samples=x))

    return change


def at_the_sigmoids_scale(model: nn.Module, x: Tensor) -> None:
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter, gain=4.0)
        else:
            nn.init.zeros_(parameter)


def share_right(
    split: Split,
    seed: int,
    change: Callable[[nn.Module, Tensor], None],
    depth: int = 5,
    activation: type[nn.Module] = nn.Sigmoid,
) -> float:
    """Share of test images that a network names right after 20 epochs."""
    x, y, x_test, y_test = split
    torch.manual_seed(seed)
    model = network(x.shape[1], 64 if x.shape[1] < 100 else 100, depth, activation)
    change(model, x)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(20):
        for picked in torch.randperm(len(x)).split(50):
            optimizer.zero_grad()
            F.cross_entropy(model(x[picked]), y[picked]).backward()
            optimizer.step()
    with torch.no_grad():
        return float((model(x_test).argmax(1) == y_test).float().mean())


def test_brings_deep_sigmoid_layers_from_chance_to_the_digits() -> None:
    split = digits()
    assert share_right(split, 0, untouched) < 0.15
    assert share_right(split, 0, by_cure("pretrain_layers")) > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("learner", ["rbm", "autoencoder"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_brings_deep_sigmoid_layers_to_the_digits_on_every_seed(learner: str, seed: int) -> None:
    assert share_right(digits(), seed, untouched) < 0.15
    assert share_right(digits(), seed, by_cure(f"pretrain_layers:{learner}")) > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("depth", [5, 7])
def test_brings_five_and_seven_sigmoid_layers_to_mnist(depth: int, seed: int, mnist: LabelledImages) -> None:
    split = split_of(mnist)
    assert share_right(split, seed, untouched, depth) <= 0.15
    assert share_right(split, seed, by_cure("pretrain_layers"), depth) >= 0.9


@pytest.mark.slow
def test_does_no_better_than_the_right_weights_and_worse_than_rectified_units(mnist: LabelledImages) -> None:
    split = split_of(mnist)
    pretrained = share_right(split, 0, by_cure("pretrain_layers"))
    assert share_right(split, 0, at_the_sigmoids_scale) == pytest.approx(pretrained, abs=0.03)
    rectified = share_right(split, 0, by_cure("redraw_weights:he"), activation=nn.ReLU)
    assert rectified >= 0.93
    assert rectified > pretrained
