"""The kind of a loss, recognised by its gradient, on real losses of every kind."""

import math

import pytest
import torch
from specimens import Chain, descent, make_clusters, train
from torch import nn
from torch.nn import functional as F

from gradiometer.diagnosing import diagnose
from gradiometer.diagnosing.chance import chance_loss, is_far_below_chance, is_squared_error
from gradiometer.schema import Run


class OnClasses(nn.Module):
    def __init__(self, outputs: int, last: nn.Module) -> None:
        super().__init__()
        self.body, self.last = Chain(1, nn.ReLU(), outputs), last

    def forward(self, points):
        return self.last(self.body(points))


def run_with(outputs, last, loss_fn, targets=None) -> Run:
    torch.manual_seed(0)
    points, labels = make_clusters()
    data = (points, labels if targets is None else targets(labels))
    return train(OnClasses(outputs, last), descent(0.01), steps=4, data=data, loss_fn=loss_fn)


def column(labels):
    return (labels % 2).float()[:, None]


@pytest.mark.parametrize(
    ("outputs", "last", "loss_fn", "targets", "expected"),
    [
        (10, nn.LogSoftmax(1), F.nll_loss, None, math.log(10)),
        (10, nn.Softmax(1), lambda p, y: F.nll_loss(p.log(), y), None, math.log(10)),
        (1, nn.Sigmoid(), F.binary_cross_entropy, column, math.log(2)),
        (2, nn.LogSoftmax(1), F.nll_loss, lambda labels: labels % 2, math.log(2)),
    ],
)
def test_knows_a_cross_entropy_on_probabilities(outputs, last, loss_fn, targets, expected):
    assert chance_loss(run_with(outputs, last, loss_fn, targets)) == pytest.approx(expected)


def test_knows_a_cross_entropy_on_logits():
    torch.manual_seed(0)
    assert chance_loss(train(Chain(1, nn.ReLU()), descent(0.01), steps=4)) == pytest.approx(math.log(10))


def test_knows_a_squared_error_and_no_constant_guess_for_it():
    run = run_with(1, nn.Tanh(), F.mse_loss, lambda labels: torch.full((len(labels), 1), math.log(2.0) ** 0.5))
    assert is_squared_error(run)
    assert chance_loss(run) is None
    assert not is_far_below_chance(run, 1e-6)


def test_takes_a_cross_entropy_that_was_divided_for_none_that_is_low():
    torch.manual_seed(0)
    run = train(Chain(1, nn.ReLU()), descent(0.1), steps=4, loss_fn=lambda o, y: 1e-6 * F.cross_entropy(o, y))
    assert chance_loss(run) is None
    assert not is_far_below_chance(run, 2.3e-6)


def test_knows_nothing_of_an_empty_run():
    assert chance_loss(Run()) is None
    assert not is_far_below_chance(Run(), 0.1)
    assert not is_squared_error(Run())


def test_knows_a_loss_whose_sign_is_turned_as_one_that_makes_the_network_worse():
    torch.manual_seed(0)
    run = train(Chain(1, nn.ReLU()), descent(0.01), steps=40, loss_fn=lambda o, y: -F.cross_entropy(o, y))
    found = [finding for finding in diagnose(run).findings if finding.severity == "critical"]
    assert "diverging" in {finding.condition for finding in found}
    assert "sign of the loss is turned" in found[0].summary
