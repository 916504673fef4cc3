"""The walk through one training step along one path: forward, error, backward, update, each with its numbers."""

import numpy as np

from gradiometer.lab.explorer.network import DigitNetwork
from gradiometer.lab.explorer.passing import Passed
from gradiometer.lab.explorer.scenes import slopes_at
from gradiometer.schema import FloatArray
from gradiometer.schema.explored import WalkStep

MOST_TERMS = 3
"""Products of a sum that are told one by one; the others are one number."""


def walk_along(
    network: DigitNetwork, passed: Passed, place: tuple[int, int, int], units: list[int], batch_gradient: float
) -> tuple[WalkStep, ...]:
    """Walk along a path.

    Args:
        network: The network.
        passed: One digit that was passed through it.
        place: Layer, unit and source of the weight that the path leads through.
        units: Units of the path from the weight's layer to the output.
        batch_gradient: The weight's gradient averaged over the next mini-batch.
    """
    layer = place[0]
    chain = [*units_below(network, passed, place), *units]
    backward = [
        backward_step(network, passed, number, chain[number - 1]) for number in range(network.depth - 1, layer - 1, -1)
    ]
    return (
        *(forward_step(network, passed, number, unit) for number, unit in enumerate(chain, start=1)),
        error_step(network, passed, chain[-1]),
        *backward,
        update_step(network, passed, place, batch_gradient),
    )


def units_below(network: DigitNetwork, passed: Passed, place: tuple[int, int, int]) -> list[int]:
    """Below the weight: its source, and from there down the unit that adds most to the one above."""
    layer, _, unit = place
    chain: list[int] = []
    for number in range(layer - 1, 0, -1):
        chain.insert(0, unit)
        weights = network.linears[number - 1].weight.detach()[unit]
        unit = int((weights * passed.below(number)[0]).abs().argmax())
    return chain


def summed(
    weights: FloatArray, passed_on: FloatArray, constant: float
) -> tuple[tuple[tuple[int, float, float], ...], float, int, float]:
    """The greatest products of a sum, the rest as one number, how many those are, and the sum."""
    products = weights * passed_on
    order = np.argsort(-np.abs(products), kind="stable")
    chosen, others = order[:MOST_TERMS], order[MOST_TERMS:]
    terms = tuple((int(one), float(weights[one]), float(passed_on[one])) for one in chosen)
    return terms, float(products[others].sum()), len(others), float(products.sum()) + constant


def forward_step(network: DigitNetwork, passed: Passed, layer: int, unit: int) -> WalkStep:
    """Sum of weight times activation below, plus bias: z; then a = φ(z), of an output what it says."""
    linear = network.linears[layer - 1]
    weights, below = linear.weight.detach()[unit].numpy(), passed.below(layer)[0].numpy()
    terms, rest, count, total = summed(weights, below, float(linear.bias.detach()[unit]))
    outgoing = passed.activations[layer - 1][0]
    shown = network.cost.said(outgoing) if layer == network.depth else outgoing
    slope = float(slopes_at(network, layer, passed.pre_activations[layer - 1][0])[unit])
    bias = float(linear.bias.detach()[unit])
    return WalkStep("forward", layer, unit, terms, rest, count, bias, total, slope, float(shown[unit]))


def error_step(network: DigitNetwork, passed: Passed, unit: int) -> WalkStep:
    """What the outputs say, what would be right, and the gradient of the cost by the path's output."""
    said = network.cost.said(passed.outputs[0]).numpy()
    wrong = passed.activation_errors[-1][0].numpy()
    chosen = np.argsort(-np.abs(wrong), kind="stable")[:MOST_TERMS]
    terms = tuple((int(one), float(said[one]), float(said[one] - wrong[one])) for one in chosen)
    slope = float(slopes_at(network, network.depth, passed.pre_activations[-1][0])[unit])
    error = float(passed.errors[-1][0, unit])
    return WalkStep("error", network.depth, unit, terms, 0.0, 0, 0.0, float(wrong[unit]), slope, error)


def backward_step(network: DigitNetwork, passed: Passed, layer: int, unit: int) -> WalkStep:
    """Gradient by a: sum of weight times error above; by z: times the slope."""
    weights = network.linears[layer].weight.detach()[:, unit].numpy()
    terms, rest, count, total = summed(weights, passed.errors[layer][0].numpy(), 0.0)
    slope = float(slopes_at(network, layer, passed.pre_activations[layer - 1][0])[unit])
    return WalkStep("backward", layer, unit, terms, rest, count, 0.0, total, slope, total * slope)


def update_step(network: DigitNetwork, passed: Passed, place: tuple[int, int, int], batch_gradient: float) -> WalkStep:
    """The weight's gradient for this digit, its mean over the mini-batch, the old weight and the new one."""
    layer, unit, source = place
    terms = ((source, float(passed.below(layer)[0, source]), float(passed.errors[layer - 1][0, unit])),)
    value, rate = float(network.linears[layer - 1].weight.detach()[unit, source]), network.settings.learning_rate
    return WalkStep("update", layer, unit, terms, 0.0, 0, value, batch_gradient, rate, value - rate * batch_gradient)
