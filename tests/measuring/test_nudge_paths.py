"""One weight's gradient as products: they multiply and add up to autograd's number."""

from itertools import product
from math import prod

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from nudged_networks import KINDS, nudged
from torch import Tensor, nn

import gradiometer
from gradiometer.measuring.nudge_graph import MOST_ROWS


def exact(value: float) -> object:
    """Equal to 1e-10; a bias before batch normalisation has the gradient 0, of which rounding leaves some 1e-17."""
    return pytest.approx(value, rel=1e-10, abs=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_paths_add_up_to_the_gradient_of_any_weight(kind: str):
    given = nudged(kind)
    found = gradiometer.nudges(given.model, given.loss_fn, given.x, given.y)
    for one in found.parameters:
        gradient = found.gradient(one.parameter)
        index = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
        path = found.path(one.parameter, tuple(map(int, index)), most_paths=3)
        assert path.gradient == gradient[index]
        assert (path.kind, path.total) == ("paths", exact(path.gradient)), one.parameter
        for way in path.paths:
            assert prod(term.value for term in way.terms) == exact(way.product)
        assert path.rest + sum(way.product for way in path.paths) == exact(path.total)


def test_lists_every_path_of_a_small_network():
    given = nudged("mlp")
    model, x, y = given.model, given.x[:1], given.y[:1]
    found = gradiometer.nudges(model, given.loss_fn, x, y)
    path = found.path("0.weight", (2, 1), most_paths=100)
    model.requires_grad_(False)
    hidden = torch.sigmoid(model[0](x))[0]
    before = model[2](hidden)
    error = (torch.softmax(model(x), 1) - F.one_hot(y, 3))[0]
    products = sorted(
        (
            float(x[0, 1] * hidden[2] * (1 - hidden[2]) * model[2].weight[middle, 2])
            * float((before[middle] > 0) * model[4].weight[last, middle] * error[last])
            for middle, last in product(range(4), range(3))
        ),
        key=lambda value: -abs(value),
    )
    products = [value for value in products if value != 0.0]
    assert path.path_count == len(products) == len(path.paths)
    assert [way.product for way in path.paths] == pytest.approx(products, rel=1e-10)
    assert path.rest == pytest.approx(0.0, abs=1e-15)
    first = path.paths[0].terms
    assert (first[0].name, first[0].value) == ("0[0, 2] by 0.weight[2, 1]", exact(float(x[0, 1])))
    assert [term.name.split("[")[0] for term in first] == ["0", "1", "2", "3", "4", "loss by 4"]


def test_lists_the_largest_paths_first():
    given = nudged("mlp")
    found = gradiometer.nudges(given.model, given.loss_fn, given.x, given.y)
    every = [way.product for way in found.path("0.weight", (2, 1), most_paths=1000).paths]
    few = [way.product for way in found.path("0.weight", (2, 1), most_paths=5).paths]
    assert few == pytest.approx(sorted(every, key=lambda value: -abs(value))[:5])


def test_a_skip_connection_is_a_path_of_its_own():
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.branch = nn.Linear(1, 1), nn.Linear(1, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            return x + self.branch(x)

    model = Residual().double()
    x, y = torch.tensor([[2.0]], dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    path = gradiometer.nudges(model, F.mse_loss, x, y).path("first.weight", (0, 0))
    error, weight = 2.0 * model(x).item(), model.branch.weight.item()
    assert {round(way.product, 12) for way in path.paths} == {round(2.0 * error, 12), round(2.0 * weight * error, 12)}
    assert path.total == exact(path.gradient)


def test_a_penalty_on_weights_is_a_path_of_its_own():
    model = nn.Linear(2, 1).double()
    x, y = torch.ones(3, 2, dtype=torch.float64), torch.zeros(3, 1, dtype=torch.float64)
    found = gradiometer.nudges(
        model, lambda output, target: F.mse_loss(output, target) + model.weight.square().sum(), x, y
    )
    path = found.path("weight", (0, 1))
    assert path.total == exact(path.gradient)
    assert [way.terms[0].name for way in path.paths if len(way.terms) == 1] == ["loss by weight[0, 1]"]


def test_a_weight_of_dead_units_has_no_path():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)).double()
    with torch.no_grad():
        model[0].bias.fill_(-100.0)
    found = gradiometer.nudges(model, F.mse_loss, torch.ones(2, 2).double(), torch.ones(2, 1).double())
    path = found.path("0.weight", (0, 0))
    assert (path.gradient, path.total, path.path_count, path.paths) == (0.0, 0.0, 0, ())
    assert "output 0 should" in found.story()


@pytest.mark.parametrize("has_skip", [False, True])
def test_multiplies_layer_by_layer_in_a_large_network(*, has_skip: bool):
    class Deep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(64, 64) for _ in range(4)])

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = x + torch.tanh(layer(x)) if has_skip else torch.tanh(layer(x))
            return x

    model = Deep().double()
    x = torch.randn(MOST_ROWS // 128, 64, dtype=torch.float64)
    found = gradiometer.nudges(model, F.mse_loss, x, torch.zeros_like(x))
    path = found.path("layers.0.weight", (3, 5))
    assert (path.kind, path.path_count, path.rest) == ("layers", 1, 0.0)
    assert path.total == exact(path.gradient)
    terms = path.paths[0].terms
    assert prod(term.value for term in terms) == exact(path.gradient)
    ends = ["layers.0 by layers.0.weight[3, 5], along its error", "norm of the error at tanh#4"]
    assert (len(terms) == 9) is not has_skip
    assert terms[0].name == ends[0]
    if not has_skip:
        assert terms[-1].name == ends[1]
        assert terms[-1].value == pytest.approx(found.layer("tanh#4").error_norm)
