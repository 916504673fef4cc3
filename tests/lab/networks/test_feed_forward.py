import itertools
import math

import numpy as np
import pytest
import torch

from gradiometer.activations import ACTIVATIONS
from gradiometer.lab.experiments.backpropagation.checks import autograd_gradients
from gradiometer.lab.networks.feed_forward import (
    GAUSSIAN_BIASES,
    WEIGHT_SPREADS,
    FeedForward,
    Start,
    accuracy,
    assess,
    backward,
    batches,
    descend,
    draw_network,
    forward,
    mean_cost,
    product,
    sigmoid,
    train_epoch,
)
from gradiometer.lab.networks.single_examples import as_single, gradient_of, train_epoch_singly

SHAPES = [(3, 2), (5, 4, 3), (6, 5, 4, 3, 2)]


def batch_for(sizes: tuple[int, ...], seeds: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(11)
    inputs = generator.standard_normal((seeds, count, sizes[0]))
    return inputs, generator.random((seeds, count, sizes[-1]))


@pytest.mark.parametrize("sizes", SHAPES)
@pytest.mark.parametrize(
    ("activation", "cost", "count"),
    list(itertools.product(["sigmoid", "tanh", "relu", "softplus"], ["quadratic", "cross_entropy"], [1, 7])),
)
def test_has_the_gradients_of_autograd(sizes: tuple[int, ...], activation: str, cost: str, count: int) -> None:
    network = draw_network(sizes, [3, 4], activation=activation, cost=cost, dtype=np.float64)
    inputs, targets = batch_for(sizes, 2, count)
    own = backward(network, forward(network, inputs), targets)
    weights, biases = autograd_gradients(network, inputs, targets)
    for ours, others in zip([*own.weights, *own.biases], [*weights, *biases], strict=True):
        np.testing.assert_allclose(ours, others, rtol=0, atol=1e-12)


def test_has_the_error_of_each_example() -> None:
    network = draw_network((4, 3, 2), [0], dtype=np.float64)
    inputs, targets = batch_for((4, 3, 2), 1, 5)
    errors = backward(network, forward(network, inputs), targets).errors
    first = torch.from_numpy(inputs[0] @ network.weights[0][0] + network.biases[0][0]).requires_grad_()
    second = torch.sigmoid(first) @ torch.from_numpy(network.weights[1][0].copy()) + torch.from_numpy(
        network.biases[1][0]
    )
    cost = torch.nn.functional.binary_cross_entropy_with_logits(second, torch.from_numpy(targets[0]), reduction="sum")
    wanted = torch.autograd.grad(cost, [first, second])
    for ours, others in zip(errors, wanted, strict=True):
        np.testing.assert_allclose(ours[0], others.numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("cost", ["quadratic", "cross_entropy"])
def test_the_cost_falls_as_its_gradient_says(cost: str) -> None:
    network = draw_network((4, 3, 2), [1], cost=cost, dtype=np.float64)
    inputs, targets = batch_for((4, 3, 2), 1, 6)
    gradients = backward(network, forward(network, inputs), targets)
    squared = sum(float(np.square(each).sum()) for each in (*gradients.weights, *gradients.biases))
    before = mean_cost(network, inputs[0], targets[0])[0]
    descend(network, gradients, 1e-6)
    fallen = before - mean_cost(network, inputs[0], targets[0])[0]
    assert fallen == pytest.approx(1e-6 * squared, rel=1e-4)


@pytest.mark.parametrize("batch_size", [1, 4, 5, 20])
def test_learns_as_a_loop_over_single_examples_does(batch_size: int) -> None:
    network = draw_network((6, 4, 3), [0], dtype=np.float64)
    weights, biases = as_single(network)
    inputs, targets = (each[0] for each in batch_for((6, 4, 3), 1, 18))
    columns, wanted = [row[:, None] for row in inputs], [row[:, None] for row in targets]
    for epoch in range(3):
        rate = 0.7
        train_epoch(network, inputs, targets, [np.random.default_rng(epoch)], rate=rate, batch_size=batch_size)
        weights, biases = train_epoch_singly(
            weights, biases, columns, wanted, np.random.default_rng(epoch), rate=rate, batch_size=batch_size
        )
    for ours, others in zip([*network.weights, *network.biases], [*weights, *biases], strict=True):
        np.testing.assert_allclose(ours[0], others.T, rtol=0, atol=1e-12)


def test_a_seed_does_not_depend_on_the_others() -> None:
    inputs, targets = (each[0].astype(np.float32) for each in batch_for((6, 4, 3), 1, 30))
    trained = []
    for seeds in ([5], [2, 5, 9]):
        network = draw_network((6, 4, 3), seeds)
        for epoch in range(2):
            orders = [np.random.default_rng((seed, epoch)) for seed in seeds]
            train_epoch(network, inputs, targets, orders, rate=0.5, batch_size=10, weight_cost=0.1)
        trained.append([weight[seeds.index(5)] for weight in (*network.weights, *network.biases)])
    for alone, beside in zip(*trained, strict=True):
        # Products of several seeds may take another path through BLAS.
        np.testing.assert_allclose(alone, beside, rtol=1e-5, atol=1e-6)


def test_decay_takes_the_share_of_the_l2_term() -> None:
    network = draw_network((4, 3, 2), [0], dtype=np.float64)
    inputs, targets = (each[0] for each in batch_for((4, 3, 2), 1, 8))
    tensors = [torch.from_numpy(each.copy()).requires_grad_() for each in (*network.weights, *network.biases)]
    train_epoch(network, inputs, targets, [np.random.default_rng(0)], rate=0.3, batch_size=8, weight_cost=2.0)
    first, second, first_bias, second_bias = tensors
    z = torch.sigmoid(torch.from_numpy(inputs) @ first[0] + first_bias[0]) @ second[0] + second_bias[0]
    cost = torch.nn.functional.binary_cross_entropy_with_logits(z, torch.from_numpy(targets), reduction="sum") / 8
    cost = cost + 2.0 / (2 * 8) * (first.square().sum() + second.square().sum())
    for tensor, gradient, ours in zip(
        tensors, torch.autograd.grad(cost, tensors), (*network.weights, *network.biases), strict=True
    ):
        np.testing.assert_allclose(ours, (tensor - 0.3 * gradient).detach().numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "gelu", "softplus", "selu"])
def test_stays_in_the_precision_it_was_drawn_in(activation: str) -> None:
    network = draw_network((5, 4, 3), [0, 1], activation=activation)
    inputs, targets = (each.astype(np.float32) for each in batch_for((5, 4, 3), 2, 6))
    passed = forward(network, inputs)
    gradients = backward(network, passed, targets)
    arrays = [*passed.pre_activations, *passed.activations, *gradients.errors, *gradients.weights, *gradients.biases]
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}
    np.testing.assert_allclose(
        passed.activations[1], ACTIVATIONS[activation].function(passed.pre_activations[0].astype(np.float64)), atol=1e-6
    )


@pytest.mark.parametrize("start", list(WEIGHT_SPREADS))
def test_draws_weights_of_the_named_spread(start: Start) -> None:
    network = draw_network((300, 200, 10), [0, 1], start)
    wanted = {
        "default": 1 / math.sqrt(300),
        "large": 1.0,
        "glorot": math.sqrt(2 / 500),
        "he": math.sqrt(2 / 300),
        "uniform": math.sqrt((2 / math.sqrt(300)) ** 2 / 12),
    }[start]
    assert network.weights[0].shape == (2, 300, 200)
    assert network.weights[0].dtype == np.float32
    # 120,000 draws know their spread to 0.2 %.
    assert network.weights[0].std() == pytest.approx(wanted, rel=0.01)
    assert bool(network.biases[0].any()) == (start in GAUSSIAN_BIASES)
    assert not np.array_equal(network.weights[0][0], network.weights[0][1])


def test_counts_its_parameters() -> None:
    assert draw_network((784, 16, 16, 10), [0]).parameter_count == 784 * 16 + 16 + 16 * 16 + 16 + 16 * 10 + 10 == 13002


def test_every_epoch_sees_every_example_once() -> None:
    chosen = list(batches(23, 5, [np.random.default_rng(seed) for seed in (0, 1)]))
    assert [each.shape for each in chosen] == [(2, 5)] * 4 + [(2, 3)]
    orders = np.concatenate(chosen, axis=1)
    assert (np.sort(orders, axis=1) == np.arange(23)).all()
    assert not np.array_equal(orders[0], orders[1])


@pytest.mark.parametrize("cost", ["quadratic", "cross_entropy"])
def test_assesses_more_examples_than_it_asks_at_once(cost: str) -> None:
    network = draw_network((3, 4, 2), [0, 1], cost=cost, dtype=np.float64)
    generator = np.random.default_rng(2)
    inputs, labels = generator.standard_normal((12_001, 3)), generator.integers(0, 2, 12_001)
    targets = np.eye(2)[labels]
    share, costs = assess(network, inputs, targets)
    outputs = forward(network, inputs[None]).output
    each = (
        0.5 * (outputs - targets) ** 2
        if cost == "quadratic"
        else -(targets * np.log(outputs) + (1 - targets) * np.log1p(-outputs))
    )
    np.testing.assert_allclose(costs, each.sum(axis=2).mean(axis=1), rtol=1e-9)
    np.testing.assert_allclose(share, (outputs.argmax(axis=2) == labels).mean(axis=1))
    np.testing.assert_allclose(accuracy(network, inputs, labels), share)
    np.testing.assert_allclose(mean_cost(network, inputs, targets), costs)


def test_the_cost_stays_finite_where_an_output_is_wholly_wrong() -> None:
    network = FeedForward((1, 1), [np.full((1, 1, 1), 500.0)], [np.zeros((1, 1, 1))])
    assert mean_cost(network, np.ones((1, 1)), np.zeros((1, 1))) == pytest.approx([500.0])


def test_the_sigmoid_overflows_nowhere() -> None:
    z = np.array([-1e30, -50.0, -1.0, 0.0, 1.0, 50.0, 1e30])
    np.testing.assert_allclose(sigmoid(z), torch.sigmoid(torch.from_numpy(z)).numpy(), rtol=0, atol=1e-16)
    assert np.isnan(sigmoid(np.array([np.nan]))).all()


@pytest.mark.parametrize("inner", [1, 3])
def test_multiplies_each_seeds_matrices(inner: int) -> None:
    generator = np.random.default_rng(4)
    left, right = generator.standard_normal((2, 4, inner)), generator.standard_normal((2, inner, 5))
    wanted = np.einsum("sij,sjk->sik", left, right)
    np.testing.assert_allclose(product(left, right), wanted, rtol=1e-12)
    np.testing.assert_allclose(product(left[:1], right), np.einsum("ij,sjk->sik", left[0], right), rtol=1e-12)


def test_the_loops_gradient_is_that_of_one_example() -> None:
    network = draw_network((4, 3, 2), [0], dtype=np.float64)
    inputs, targets = batch_for((4, 3, 2), 1, 1)
    weights, biases = autograd_gradients(network, inputs, targets)
    by_bias, by_weight = gradient_of(*as_single(network), inputs[0].T, targets[0].T)
    for ours, others in zip([*by_weight, *by_bias], [*weights, *biases], strict=True):
        np.testing.assert_allclose(ours.T, others[0], rtol=0, atol=1e-12)
