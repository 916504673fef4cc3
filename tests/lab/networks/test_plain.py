import math

import pytest
import torch
from torch import nn

from gradiometer.lab.datasets.digits import load_digits
from gradiometer.lab.networks.plain import (
    critical_start,
    draw_layers,
    gaussian_start,
    linear_of,
    orders,
    plain_network,
    sigmoid_start,
    standard_start,
    standardised,
    textbook_start,
    train_plain,
    xavier_normal_start,
)
from gradiometer.theory.critical_scale import critical_scale


@pytest.mark.parametrize(
    ("start", "variance"),
    [
        (standard_start, 1.0 / (3.0 * 300)),
        (textbook_start("glorot"), 2.0 / 600),
        (sigmoid_start, 16.0 * 2.0 / 600),
        (textbook_start("he"), 2.0 / 300),
        (xavier_normal_start, 2.0 / 600),
        (gaussian_start(1.5), 2.25 / 300),
        (critical_start(critical_scale("relu"), 1.0), 2.0 / 300),
    ],
)
def test_draws_hidden_weights_of_the_variance_that_the_start_names(start, variance):
    layers = draw_layers([300, 300, 300, 10], start, 0)
    # 3 %: the sampling error of 90,000 weights is half a per cent
    assert layers[1].weight.var().item() == pytest.approx(variance, rel=0.03)
    assert layers[1].bias.abs().max().item() == 0.0


def test_draws_orthogonal_weights_with_all_singular_values_one():
    layer = draw_layers([20, 20, 10], textbook_start("orthogonal"), 3)[0]
    assert torch.linalg.svdvals(layer.weight.detach()).tolist() == pytest.approx([1.0] * 20, abs=1e-5)


def test_leaves_the_global_random_state_alone_and_draws_the_same_again():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, second = (draw_layers([5, 4, 3], standard_start, 1) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first[0].weight, second[0].weight)
    assert not torch.equal(first[0].weight, draw_layers([5, 4, 3], standard_start, 2)[0].weight)


def test_copies_a_weight_and_a_bias_into_a_layer():
    weight, bias = torch.arange(6.0).reshape(2, 3), torch.tensor([7.0, 8.0])
    layer = linear_of(weight, bias)
    assert layer(torch.tensor([1.0, 0.0, -1.0])).tolist() == [5.0, 6.0]
    weight.zero_()
    assert layer.weight.detach()[1].tolist() == [3.0, 4.0, 5.0]


def test_orders_each_example_once_a_pass_and_leaves_out_what_fills_no_batch():
    generator = torch.Generator().manual_seed(2)
    first, second = (list(orders(20, 6, generator)) for _ in range(2))
    assert [len(chosen) for chosen in first] == [6, 6, 6]
    assert len(set(torch.cat(first).tolist())) == 18
    assert not torch.equal(torch.cat(first), torch.cat(second))


def test_trains_a_plain_network_on_digits():
    inputs, labels = standardised(load_digits())
    assert inputs.mean().item() == pytest.approx(0.0, abs=1e-5)
    assert inputs.std().item() == pytest.approx(1.0, abs=1e-5)
    model = plain_network(draw_layers([64, 16, 10], textbook_start("he"), 0), nn.ReLU)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses, accuracies = train_plain(model, optimizer, inputs, labels, steps=60, batch_size=32)
    assert losses[0] == pytest.approx(math.log(10.0), rel=0.5)
    assert losses[-1] < 1.0
    assert accuracies[-1] > 0.7
