"""The gradient of one weight taken apart: as a sum over paths, as one product layer by layer, and as a walk."""

import torch

from gradiometer.lab.explorer.network import DigitNetwork
from gradiometer.lab.explorer.passing import Passed, gradients_of
from gradiometer.lab.explorer.scenes import pass_digit, slopes_at
from gradiometer.lab.explorer.training import Training, batch_at
from gradiometer.lab.explorer.walking import walk_along
from gradiometer.lab.explorer.ways import Ways, ways_from
from gradiometer.schema.explored import Factor, Product, WeightScene


def weight_of(training: Training, layer: int, unit: int, source: int | None, example: int) -> WeightScene:
    """Take the gradient of one weight apart.

    Args:
        training: The network.
        layer: Layer that the weight leads into, counted from 1.
        unit: Unit there.
        source: Unit below; None for the one whose weight has the greatest gradient.
        example: The digit.
    """
    network = training.network
    passed = pass_digit(network, training.digits, example)
    below = passed.below(layer)[0]
    place = int(below.abs().argmax()) if source is None else source
    ways = ways_from(network, passed, layer)
    labels = training.digits.held_labels[example : example + 1]
    gradient = float(gradients_of(network, passed.inputs, labels)[f"{layer}.weight"][unit, place])
    batch_gradient = float(gradients_of(network, *batch_at(training, training.step))[f"{layer}.weight"][unit, place])
    value, activation = float(network.linears[layer - 1].weight.detach()[unit, place]), float(below[place])
    paths = paths_of(network, passed, ways, layer, unit, place)
    total = activation * float(ways.total[unit])
    new_value = value - network.settings.learning_rate * batch_gradient
    return WeightScene(
        step=training.step,
        layer=layer,
        unit=unit,
        source=place,
        value=value,
        gradient=gradient,
        total=total,
        path_count=ways.counts[unit] if activation != 0.0 else 0,
        paths=paths,
        rest=total - sum(path.value for path in paths),
        by_layers=product_by_layers(passed, layer, unit, place),
        batch_gradient=batch_gradient,
        new_value=new_value,
        walk=walk_along(network, passed, (layer, unit, place), ways.units[unit, 0].tolist(), batch_gradient),
    )


def paths_of(
    network: DigitNetwork, passed: Passed, ways: Ways, layer: int, unit: int, source: int
) -> tuple[Product, ...]:
    """The greatest ways from a weight to the cost, factor by factor."""
    activation = float(passed.below(layer)[0, source])
    found = []
    for value, units in zip(ways.products[unit].tolist(), ways.units[unit].tolist(), strict=True):
        if value * activation != 0.0:
            factors = [Factor("activation", layer - 1, source, activation), *factors_along(network, passed, units)]
            found.append(Product(tuple(factors), activation * value))
    return tuple(found)


def factors_along(network: DigitNetwork, passed: Passed, units: list[int]) -> list[Factor]:
    """Slopes and weights on the way from a unit to the cost, and the error at its end."""
    first = network.depth - len(units) + 1
    factors = []
    for layer, unit in enumerate(units, start=first):
        slope = float(slopes_at(network, layer, passed.pre_activations[layer - 1][0])[unit])
        if layer < network.depth or network.cost.ends_in_sigmoid:
            factors.append(Factor("slope", layer, unit, slope))
        if layer < network.depth:
            above = units[layer - first + 1]
            weight = float(network.linears[layer].weight.detach()[above, unit])
            factors.append(Factor("weight", layer + 1, above, weight, source=unit))
    error = float(passed.activation_errors[-1][0, units[-1]])
    return [*factors, Factor("error", network.depth, units[-1], error)]


def product_by_layers(passed: Passed, layer: int, unit: int, source: int) -> Product | None:
    """One product for all paths together; None where no error arrives at the weight's layer."""
    norms = [float(torch.linalg.vector_norm(error)) for error in passed.errors]
    if not all(norm > 0.0 for norm in norms[layer - 1 :]):
        return None
    direction = float(passed.errors[layer - 1][0, unit]) / norms[layer - 1]
    share = direction * float(passed.below(layer)[0, source])
    gains = [Factor("gain", number, 0, norms[number - 1] / norms[number]) for number in range(layer, len(norms))]
    factors = (Factor("share", layer, unit, share, source=source), *gains, Factor("norm", len(norms), 0, norms[-1]))
    value = 1.0
    for factor in factors:
        value *= factor.value
    return Product(factors, value)
