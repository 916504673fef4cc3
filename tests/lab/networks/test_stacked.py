import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from gradiometer.lab.networks.plain import draw_layers, orders, plain_network, torch_start
from gradiometer.lab.networks.shapes import SHAPES, leaky, pieces_of
from gradiometer.lab.networks.stacked import (
    History,
    accuracies_on,
    loss_gradients,
    outputs_of,
    stack_of,
    train_epochs,
    train_stack,
)

MODULES = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU, "prelu": nn.PReLU, "gelu": nn.GELU}


def problem(examples=40):
    generator = torch.Generator().manual_seed(5)
    return torch.randn(examples, 6, generator=generator), torch.randint(4, (examples,), generator=generator)


def drawn_batches(steps):
    """Eight of forty examples for each step, drawn with replacement."""
    order = torch.Generator().manual_seed(0)
    return [torch.randint(40, (8,), generator=order) for _ in range(steps)]


def trained_by_torch(model, optimizer, batches):
    """The same training with modules, autograd and torch's own optimizer."""
    inputs, labels = problem()
    losses = []
    for chosen in batches:
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(inputs[chosen]), labels[chosen])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_trains_each_network_as_torch_trains_it_alone():
    inputs, labels = problem()
    rates = [0.1, 0.3, 0.2, 0.05]
    drawn = [draw_layers([6, 5, 5, 4], torch_start, seed) for seed in range(4)]
    stack = stack_of(drawn, [SHAPES[name] for name in MODULES])
    history = train_stack(stack, inputs, labels, rates, steps=15, batch_size=8, momentum=0.9)
    for index, (name, rate) in enumerate(zip(MODULES, rates, strict=True)):
        model = plain_network(draw_layers([6, 5, 5, 4], torch_start, index), MODULES[name])
        optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
        losses = trained_by_torch(model, optimizer, drawn_batches(15))
        # float32, 15 steps of two orders of summation
        assert history.losses[:, index] == pytest.approx(losses, rel=1e-4)
        assert torch.allclose(outputs_of(stack, inputs)[index], model(inputs), rtol=1e-3, atol=1e-4)
        told = (model(inputs).argmax(1) == labels).float().mean().item()
        assert accuracies_on(stack, inputs, labels)[index] == pytest.approx(told)


def test_trains_by_adam_as_torch_does_each_network_at_its_own_rate():
    inputs, labels = problem()
    rates = [0.01, 0.003]
    drawn = [draw_layers([6, 5, 4], torch_start, seed) for seed in range(2)]
    stack = stack_of(drawn, [SHAPES["prelu"], SHAPES["sigmoid"]])
    history = train_stack(stack, inputs, labels, rates, steps=15, batch_size=8, is_adam=True)
    for index, name in enumerate(("prelu", "sigmoid")):
        model = plain_network(draw_layers([6, 5, 4], torch_start, index), MODULES[name])
        optimizer = torch.optim.Adam(model.parameters(), lr=rates[index])
        assert history.losses[:, index] == pytest.approx(
            trained_by_torch(model, optimizer, drawn_batches(15)), rel=1e-4
        )
        assert torch.allclose(stack.weights[0][index].T, model[0].weight, atol=1e-5)


@pytest.mark.parametrize("is_adam", [False, True])
def test_passes_over_all_examples_as_torch_does_and_tells_the_mean_loss_of_each_pass(is_adam):
    inputs, labels = problem()
    drawn = [draw_layers([6, 5, 4], torch_start, seed) for seed in range(2)]
    stack, rates = stack_of(drawn, [SHAPES["relu"]]), [0.3, 0.01]
    told = list(train_epochs(stack, inputs, labels, rates, epochs=3, batch_size=12, is_adam=is_adam, seed=4))
    for index, rate in enumerate(rates):
        model = plain_network(draw_layers([6, 5, 4], torch_start, index), nn.ReLU)
        kind = torch.optim.Adam if is_adam else torch.optim.SGD
        order = torch.Generator().manual_seed(4)
        batches = [chosen for _ in range(3) for chosen in orders(40, 12, order)]
        losses = np.array(trained_by_torch(model, kind(model.parameters(), lr=rate), batches))
        assert [epoch[index].item() for epoch in told] == pytest.approx(losses.reshape(3, 3).mean(axis=1), rel=1e-4)
        assert torch.allclose(outputs_of(stack, inputs)[index], model(inputs), rtol=1e-3, atol=1e-4)


def test_counts_right_answers_in_chunks_as_at_once():
    generator = torch.Generator().manual_seed(5)
    inputs, labels = torch.randn(4100, 6, generator=generator), torch.randint(4, (4100,), generator=generator)
    drawn = [draw_layers([6, 5, 4], torch_start, seed) for seed in range(3)]
    counted = accuracies_on(stack_of(drawn, [SHAPES["relu"]]), inputs, labels)
    for layers, share in zip(drawn, counted, strict=True):
        answers = plain_network(layers, nn.ReLU)(inputs).argmax(1)
        assert share == pytest.approx((answers == labels).double().mean().item(), abs=1e-12)


def test_has_maxout_take_the_greater_piece():
    inputs, labels = problem()
    layers = draw_layers([6, 3, 4], torch_start, 1, pieces=pieces_of("maxout"))
    stack = stack_of([layers], [SHAPES["maxout"]])
    weight, bias = layers[0].weight.detach().double(), layers[0].bias.detach().double()
    before = inputs.double() @ weight.T + bias
    hidden = torch.maximum(before[:, :3], before[:, 3:])
    expected = hidden @ layers[1].weight.detach().double().T + layers[1].bias.detach().double()
    assert torch.allclose(outputs_of(stack, inputs)[0].double(), expected, atol=1e-5)
    outputs, losses, gradients = loss_gradients(stack, inputs, labels)
    assert outputs.shape == (1, 40, 4)
    assert losses.item() == pytest.approx(functional.cross_entropy(expected, labels).item(), rel=1e-5)
    # a learned slope that nobody has asked for has no gradient
    assert gradients[-1].item() == 0.0


def test_says_when_a_loss_was_reached():
    falling = np.array([[4.0, 4.0], [3.0, 4.0], [2.0, math.nan], [1.0, 4.0], [0.0, 4.0]])
    history = History(falling, 1.0 - falling)
    reached = history.steps_to(2.0, window=2)
    assert reached[0] == 4.0
    assert math.isnan(reached[1])
    assert history.last_losses(2)[0] == 0.5
    assert history.last_accuracies(1)[0] == 1.0


def test_makes_leaky_relu_of_slope_one_the_identity():
    points = torch.linspace(-3.0, 3.0, 13)
    assert torch.equal(leaky(1.0)(points, torch.zeros(1)), points)
