import math

import pytest
import torch

from gradiometer.activations import ACTIVATIONS
from gradiometer.errors import SettingsError
from gradiometer.lab.experiments.initialisation.extreme_depth import pictures
from gradiometer.lab.networks.plain import draw_layers, gaussian_start, textbook_start
from gradiometer.lab.networks.shapes import SHAPES
from gradiometer.lab.networks.stacked import stack_of, train_stack
from gradiometer.theory.learning_rate import layer_gradient, suggested_learning_rate


def accuracies_of_hundred_layers(start, seeds, rates, **kind):
    """Train tanh layers of 128 on digits for 200 steps, one network for each seed and rate; the last 20 steps' mean."""
    networks = [draw_layers([64, *[128] * 99, 10], start, seed) for seed in seeds]
    stack = stack_of(networks, [SHAPES["tanh"]])
    return train_stack(stack, *pictures(), rates, steps=200, batch_size=64, **kind).last_accuracies()


def test_suggests_what_was_seen_to_work_in_extreme_depth():
    # tanh, orthogonal, width 128, momentum 0.9: 2e-4 works at 1,000 layers and 1e-3 does not; 2e-3 works at 300
    assert 1e-4 <= suggested_learning_rate(1000) <= 6e-4
    assert 6e-4 <= suggested_learning_rate(300) <= 2e-3


@pytest.mark.parametrize(("optimizer", "momentum"), [("sgd", 0.9), ("sgd", 0.0), ("adam", 0.9)])
def test_falls_as_one_over_depth(optimizer, momentum):
    rates = [suggested_learning_rate(depth, optimizer=optimizer, momentum=momentum) * depth for depth in (1, 7, 1000)]
    assert rates == pytest.approx([rates[0]] * 3)


def test_suggests_for_a_sigmoid_what_it_suggests_for_the_tanh_that_it_is():
    # ½ tanh(x/2) is tanh seen through weights of 4 times the scale, which move as far at 16 times the rate
    tanh, sigmoid = (suggested_learning_rate(50, sigma_w=sigma_w) for sigma_w in (1.0, 4.0))
    assert sigmoid == pytest.approx(16.0 * tanh)


def test_expects_the_gradient_norm_of_a_sampled_layer():
    known, width, depth, entry = ACTIVATIONS["relu"], 200, 12, 0.8
    sigma_w, squares = math.sqrt(2.0), []
    for seed in range(8):
        generator = torch.Generator().manual_seed(seed)
        hidden = math.sqrt(entry) * torch.randn(width, generator=generator)
        layers = [sigma_w * torch.randn(width, width, generator=generator) / math.sqrt(width) for _ in range(depth - 2)]
        layers.append(torch.randn(1, width, generator=generator) / math.sqrt(width))
        weights = [layer.requires_grad_() for layer in layers]
        for weight in weights:
            hidden = weight @ torch.relu(hidden)
        gradients = torch.autograd.grad(hidden.sum(), weights)
        squares.append(sum(float(gradient.square().sum()) for gradient in gradients[:-1]) / (depth - 2))
    # 25 %: the norm of a ReLU network of width 200 differs by as much between drawings
    expected = layer_gradient(known, sigma_w, depth=depth, width=width, entry=entry)
    assert math.sqrt(sum(squares) / 8) == pytest.approx(expected, rel=0.25)


def test_knows_no_rate_for_what_it_does_not_know():
    with pytest.raises(SettingsError, match="choose sgd or adam"):
        suggested_learning_rate(10, optimizer="lbfgs")
    for wrong in ({"depth": 0}, {"depth": 5, "momentum": 1.0}, {"depth": 5, "width": 0}, {"depth": 5, "sigma_w": 0.0}):
        with pytest.raises(SettingsError, match="at least 1"):
            suggested_learning_rate(**wrong)
    assert layer_gradient(ACTIVATIONS["relu"], 3.0, depth=100, width=10) == math.inf
    assert suggested_learning_rate(100, gradient=math.inf) == 0.0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("kind", "optimizer", "ruin"),
    [({"momentum": 0.9}, "sgd", 5.0), ({"momentum": 0.0}, "sgd", 6.0), ({"is_adam": True}, "adam", 12.0)],
)
def test_suggests_a_rate_that_trains_a_hundred_layers_and_is_near_the_greatest(kind, optimizer, ruin):
    suggested = suggested_learning_rate(100, optimizer=optimizer, momentum=float(kind.get("momentum", 0.9)))
    rates = [suggested, ruin * suggested]
    learned, ruined = accuracies_of_hundred_layers(textbook_start("orthogonal"), (0, 0), rates, **kind)
    assert learned > 0.9
    assert ruined < 0.5


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_suggests_what_gaussian_weights_do_not_bear_in_a_hundred_layers():
    rates = [suggested_learning_rate(100)] * 3
    # orthogonal weights learn above 0.9 in as many steps
    assert max(accuracies_of_hundred_layers(gaussian_start(1.0), range(3), rates, momentum=0.9)) < 0.8
