"""What one digit and the next mini-batch ask of one unit: of its bias, its weights, and the activations below it.

Source:
    The three ways are those of Sanderson, "What is backpropagation really doing?", 2017; the formulas are BP1 to BP4
    of Nielsen, "Neural networks and deep learning", 2015, chapter 2.
"""

import torch
from torch import Tensor

from gradiometer.lab.explorer.passing import Passed, pass_batch
from gradiometer.lab.explorer.scenes import floats, pass_digit, slopes_at
from gradiometer.lab.explorer.training import Training, batch_at
from gradiometer.schema.explored import Ask, ClassAsk, UnitScene

MOST_SHOWN = 5


def unit_of(training: Training, layer: int, unit: int, example: int) -> UnitScene:
    """Take apart what is asked of a unit.

    Args:
        training: The network.
        layer: Layer of the unit, counted from 1.
        unit: Its rank there.
        example: The digit.
    """
    network = training.network
    passed = pass_digit(network, training.digits, example)
    inputs, labels = batch_at(training, training.step)
    linear, error = network.linears[layer - 1], float(passed.errors[layer - 1][0, unit])
    weights, below = linear.weight.detach()[unit], passed.below(layer)[0]
    wanted_weights = -error * below
    # Where nothing is asked of any weight, those from what is brightest stand for the others.
    strength = wanted_weights.abs() if error != 0.0 else below.abs()
    shown = strength.argsort(descending=True, stable=True)[:MOST_SHOWN]
    biases, asked = batch_asks(pass_batch(network, inputs, labels), layer, unit)
    return UnitScene(
        step=training.step,
        layer=layer,
        unit=unit,
        pre_activation=float(passed.pre_activations[layer - 1][0, unit]),
        activation=float(passed.activations[layer - 1][0, unit]),
        slope=float(slopes_at(network, layer, passed.pre_activations[layer - 1][0])[unit]),
        wanted=-float(passed.activation_errors[layer - 1][0, unit]),
        wanted_pre=-error,
        bias=float(linear.bias.detach()[unit]),
        below=floats(below),
        weights=floats(weights),
        wanted_weights=floats(wanted_weights),
        wanted_below=floats(-error * weights),
        asked_by=asked_by(training, passed, layer, unit),
        batch_bias=float(biases.mean()),
        batch_weights=floats(asked.mean(0)),
        shown=tuple(shown.tolist()),
        classes=classes_of(biases, asked[:, shown], labels, int(training.digits.labels.max()) + 1),
    )


def batch_asks(batch: Passed, layer: int, unit: int) -> tuple[Tensor, Tensor]:
    """Wanted change of a unit's bias [example] and weights [example source], example by example."""
    errors = batch.errors[layer - 1][:, unit]
    return -errors, -errors[:, None] * batch.below(layer)


def asked_by(training: Training, passed: Passed, layer: int, unit: int) -> tuple[Ask, ...]:
    """What every unit of the layer above asks of a unit, greatest first; nothing above an output."""
    if layer == training.network.depth:
        return ()
    weights = training.network.linears[layer].weight.detach()[:, unit].tolist()
    wanted = (-passed.errors[layer][0]).tolist()
    asks = [Ask(above, weight, change) for above, (weight, change) in enumerate(zip(weights, wanted, strict=True))]
    return tuple(sorted(asks, key=lambda ask: -abs(ask.weight * ask.wanted)))


def classes_of(biases: Tensor, weights: Tensor, labels: Tensor, class_count: int) -> tuple[ClassAsk, ...]:
    """What each class of a mini-batch asks on average, and what all of it does."""
    found = []
    for label in range(class_count):
        own = labels == label
        count = int(own.sum())
        mean = (float(biases[own].mean()), floats(weights[own].mean(0))) if count else (None, ())
        found.append(ClassAsk(label, count, *mean))
    return (*found, ClassAsk(None, len(labels), float(biases.mean()), floats(torch.mean(weights, 0))))
