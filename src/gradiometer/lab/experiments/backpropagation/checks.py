"""Is backpropagation written out right, and what is a hidden layer for?

The gradients are held against torch's autograd, in float64, for both costs and several activations and shapes; and one
weight's against the plain difference quotient of the cost. Exclusive or, the smallest problem that needs a hidden
layer, is trained with one and without.

Source:
    Rumelhart, Hinton, Williams, "Learning representations by back-propagating errors", Nature 1986; Minsky and Papert,
    "Perceptrons", 1969: no single layer parts exclusive or, so that at most three of its four cases come out right.
"""

import itertools
import math
from typing import Any

import numpy as np
import torch

from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.xor import load_xor
from gradiometer.lab.experiments.chapter import Chapter
from gradiometer.lab.networks.feed_forward import (
    Array,
    Cost,
    FeedForward,
    Gradients,
    backward,
    draw_network,
    forward,
    mean_cost,
    train_epoch,
)
from gradiometer.schema import Chart, Line, Row, Section, Table

SHAPES: tuple[tuple[int, ...], ...] = ((5, 3), (7, 4, 3), (6, 5, 4, 3), (8, 4, 4, 4, 2))
ACTIVATIONS: dict[str, Any] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "softplus": torch.nn.functional.softplus,
}
COSTS: tuple[Cost, ...] = ("quadratic", "cross_entropy")

NUDGE = 1e-6
"""How far a weight is moved for the difference quotient: the cube root of float64's precision, near enough."""

SOLVED = 0.5
"""A case of exclusive or is right where the output is on the right side of this."""

ROWS: dict[str, Row] = {
    "parameters": Row(
        "weights and biases of [784, 16, 16, 10]", "13,002", 13_002, 13_002, "3Blue1Brown, part 1, 2017; arithmetic",
        "exact",
    ),
    "autograd": Row(
        "greatest difference between a gradient written out and autograd's, float64",
        "0 but for rounding", 0.0, 1e-12, "the same derivative by the chain rule", "exact",
    ),
    "quotient": Row(
        "greatest difference between a gradient and its difference quotient, relative to the greatest gradient",
        "0 but for the nudge", 0.0, 1e-6, "definition of a derivative", "exact",
    ),
    "xor, no hidden layer": Row(
        "exclusive or without a hidden layer: cases right, mean over the seeds",
        "at most 3 of 4", 0.0, 3.0, "Minsky and Papert 1969", "exact",
    ),
    "xor, cost": Row(
        "exclusive or without a hidden layer: least cost, over ln 2",
        "1", 1.0, 1.05, "the best that a line can do is to answer 1/2 everywhere", "exact",
    ),
    "xor, hidden layer": Row(
        "exclusive or with 4 hidden units: share of the seeds with all four cases right",
        "solved, in two runs of hundreds not", 0.8, 1.0, "Rumelhart, Hinton and Williams 1986", "remembered",
    ),
}  # fmt: skip
"""What the mathematics is held to."""


def autograd_gradients(network: FeedForward, inputs: Array, targets: Array) -> tuple[list[Array], list[Array]]:
    """Gradients of the summed mean costs by the weights and by the biases, by torch's autograd.

    Args:
        network: The networks, float64.
        inputs: A batch for each seed [seed batch inputs].
        targets: Its targets [seed batch outputs].
    """
    weights = [torch.from_numpy(weight.copy()).requires_grad_() for weight in network.weights]
    biases = [torch.from_numpy(bias.copy()).requires_grad_() for bias in network.biases]
    passed, wanted = torch.from_numpy(inputs), torch.from_numpy(targets)
    for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        passed = passed @ weight + bias
        passed = ACTIVATIONS[network.activation](passed) if index < len(weights) - 1 else torch.sigmoid(passed)
    if network.cost == "quadratic":
        cost = 0.5 * (passed - wanted).square().sum()
    else:
        cost = torch.nn.functional.binary_cross_entropy(passed, wanted, reduction="sum")
    found = torch.autograd.grad(cost / inputs.shape[1], [*weights, *biases])
    arrays = [gradient.numpy() for gradient in found]
    return arrays[: len(weights)], arrays[len(weights) :]


def greatest_difference() -> float:
    """Greatest absolute difference to autograd over all costs, activations and shapes."""
    differences = []
    for (place, sizes), activation, cost in itertools.product(enumerate(SHAPES), ACTIVATIONS, COSTS):
        network, inputs, targets = _case(sizes, activation, cost, place)
        own = backward(network, forward(network, inputs), targets)
        for ours, others in zip((own.weights, own.biases), autograd_gradients(network, inputs, targets), strict=True):
            differences += [float(np.abs(a - b).max()) for a, b in zip(ours, others, strict=True)]
    return max(differences)


def _case(sizes: tuple[int, ...], activation: str, cost: Cost, seed: int) -> tuple[FeedForward, Array, Array]:
    """Two networks in float64 with a batch of three for each."""
    network = draw_network(sizes, [seed, seed + 1], activation=activation, cost=cost, dtype=np.float64)
    generator = np.random.default_rng((seed, 2))
    inputs = generator.standard_normal((2, 3, sizes[0]))
    return network, inputs, generator.integers(0, 2, (2, 3, sizes[-1])).astype(np.float64)


def quotient_difference() -> tuple[float, list[tuple[str, float, float]]]:
    """Nudge every weight of a small network in turn.

    Returns:
        The greatest difference between gradient and quotient over the greatest gradient; and, for some weights, their
        name with both figures.
    """
    network, inputs, targets = _case((3, 2, 2), "sigmoid", "cross_entropy", 0)
    network = FeedForward(network.sizes, [w[:1] for w in network.weights], [b[:1] for b in network.biases])
    gradients: Gradients = backward(network, forward(network, inputs[:1]), targets[:1])
    told = []
    for layer, weight in enumerate(network.weights):
        for place in np.ndindex(weight.shape):
            kept = weight[place]
            costs = []
            for side in (1.0, -1.0):
                weight[place] = kept + side * NUDGE
                costs.append(float(mean_cost(network, inputs[0], targets[0])[0]))
            weight[place] = kept
            name = f"layer {layer + 1}, from {place[1] + 1} to {place[2] + 1}"
            told.append((name, float(gradients.weights[layer][place]), (costs[0] - costs[1]) / (2.0 * NUDGE)))
    greatest = max(abs(gradient) for _, gradient, _ in told)
    return max(abs(gradient - quotient) for _, gradient, quotient in told) / greatest, told


def train_xor(hidden: int, seeds: range, epochs: int) -> tuple[Array, Array]:
    """Train on the four cases of exclusive or by full-batch descent.

    Args:
        hidden: Hidden units; 0 for no hidden layer.
        seeds: Seeds of the first weights.
        epochs: Steps.

    Returns:
        Mean cost before the first step, and after every hundredth of all steps [point seed]; cases right at the end
        [seed].
    """
    inputs, targets = load_xor()
    sizes = (2, hidden, 1) if hidden else (2, 1)
    network = draw_network(sizes, seeds, "large")
    orders = [np.random.default_rng(seed) for seed in seeds]
    costs = [mean_cost(network, inputs, targets)]
    for epoch in range(epochs):
        train_epoch(network, inputs, targets, orders, rate=2.0, batch_size=len(inputs))
        if (epoch + 1) % max(1, epochs // 100) == 0:
            costs.append(mean_cost(network, inputs, targets))
    answers = forward(network, inputs[None]).output
    return np.array(costs), ((answers > SOLVED) == (targets > SOLVED)).sum(axis=(1, 2))


def checks_chapter(bench: Bench) -> Chapter:
    """The four equations, checked, and what a hidden layer is for."""
    difference = greatest_difference()
    quotient, told = quotient_difference()
    epochs = bench.pick(toy=20, quick=2000, full=5000)
    seeds = bench.seeds(toy=2, quick=20, full=20)
    line_costs, line_right = train_xor(0, seeds, epochs)
    layer_costs, layer_right = train_xor(4, seeds, epochs)
    solved = (layer_right == 4).astype(np.float64)
    rows = (
        ROWS["parameters"].filled(draw_network((784, 16, 16, 10), [0]).parameter_count),
        ROWS["autograd"].filled(difference),
        ROWS["quotient"].filled(quotient),
        ROWS["xor, no hidden layer"].filled_from(line_right.astype(np.float64)),
        ROWS["xor, cost"].filled_from(line_costs[-1] / math.log(2.0)),
        ROWS["xor, hidden layer"].filled_from(solved),
    )
    sentence = (
        f"The gradients written out differ from autograd's by {difference:.1e} at most; exclusive or comes out right "
        f"in {solved.mean():.0%} of the networks with a hidden layer and in {(line_right == 4).mean():.0%} of those "
        "without."
    )
    xor = _xor_section(np.linspace(0.0, epochs, len(line_costs)), line_costs, layer_costs, rows)
    return Chapter((_equations_section(told), xor), rows, sentence)


def _equations_section(told: list[tuple[str, float, float]]) -> Section:
    return Section(
        "Four equations",
        (
            "A network is trained by moving every weight a little against its gradient: the answer to how much the "
            "cost would change if this one weight changed. Nudging every weight in turn would take as many forward "
            "passes as there are weights. Backpropagation gets all of them from one pass forward and one back.",
            "Forward, layer by layer: z = a W + b and a = f(z), where a is what the layer before put out. At the end "
            "the error is delta = dC/da f'(z); with sigmoid outputs and cross-entropy that is simply a - y, output "
            "minus what was wanted. Back, layer by layer: delta_before = (delta W^T) f'(z_before). And then the "
            "gradients can be read off: dC/db = delta, dC/dW = a^T delta, each summed over the examples of the batch.",
            Table(
                "Gradients and nudges",
                f"Each weight of a small network: its gradient by backpropagation, and the change of the cost when "
                f"the weight is moved by {NUDGE:g} up and down, over {2 * NUDGE:g}.",
                ("weight", "gradient", "difference quotient"),
                tuple(told),
            ),
        ),
    )


def _xor_section(steps: Array, line_costs: Array, layer_costs: Array, rows: tuple[Row, ...]) -> Section:
    def line(name: str, costs: Array) -> Line:
        return Line(
            name,
            tuple(steps.tolist()),
            tuple(costs.mean(axis=1).tolist()),
            low=tuple(costs.min(axis=1).tolist()),
            high=tuple(costs.max(axis=1).tolist()),
        )

    right = next(row for row in rows if row.name.startswith("exclusive or without"))
    return Section(
        "What a hidden layer is for",
        (
            "Exclusive or asks for 1 where just one of two inputs is 1. Without a hidden layer the network can only "
            "draw one straight line through the plane of inputs, and no line parts the two cases from the other two: "
            f"here {right.measured:.1f} of the four cases come out right on average, and the cost can't fall below "
            "ln 2 = 0.693, that of answering a half everywhere. With hidden units each draws a line of its own, and "
            "the output puts them together. That is only possible because the error is passed back through the "
            "output to units whose right answer nobody knows.",
            Chart(
                "Learning exclusive or",
                "Mean cost of the four cases; the bands go from the least to the greatest of the seeds.",
                "step",
                "cost, nats",
                (line("no hidden layer", line_costs), line("4 hidden units", layer_costs)),
                y_scale="log",
            ),
        ),
    )
