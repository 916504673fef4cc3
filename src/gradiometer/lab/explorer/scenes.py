"""The scene: one digit passes the network, and what it asks of every layer, unit and output."""

import numpy as np
import torch
from torch import Tensor

from gradiometer.activations import activation_of
from gradiometer.lab.explorer.network import DigitNetwork
from gradiometer.lab.explorer.passing import Passed, gradients_of, levels_db, pass_batch
from gradiometer.lab.explorer.training import Digits, Training, course_of
from gradiometer.measuring.nudges import sensitive_weights
from gradiometer.schema import FloatArray, SensitiveWeight
from gradiometer.schema.explored import Course, LayerScene, Scene, WeightPlace

MOST_SENSITIVE = 8


def floats(tensor: Tensor) -> tuple[float, ...]:
    """A row of numbers."""
    return tuple(tensor.tolist())


def pass_digit(network: DigitNetwork, digits: Digits, example: int) -> Passed:
    """Pass one of the digits that nothing was trained on."""
    return pass_batch(network, digits.held_inputs[example : example + 1], digits.held_labels[example : example + 1])


def slopes_at(network: DigitNetwork, layer: int, pre_activations: Tensor) -> FloatArray:
    """Slope of a layer's function at its pre-activations; 1 for an output that is handed to its cost as it is."""
    is_output = layer == network.depth
    name = ("sigmoid" if network.cost.ends_in_sigmoid else "identity") if is_output else network.settings.activation
    return np.asarray(activation_of(name).slope(pre_activations.numpy()))


def scene_of(training: Training, example: int, earlier: Course | None) -> Scene:
    """What the page shows of one digit.

    Args:
        training: The network.
        example: Rank of the digit among those that nothing was trained on.
        earlier: How the training before this one went.
    """
    network, digits = training.network, training.digits
    passed = pass_digit(network, digits, example)
    sensitive, median, share = sensitive_of(network, passed, digits.held_labels[example : example + 1])
    with torch.no_grad():
        said = network.model(digits.held_inputs).argmax(1)
    return Scene(
        course=course_of(training),
        earlier=earlier,
        epoch_steps=training.epoch_steps,
        example=example,
        label=digits.data.labels[example],
        said=int(passed.outputs[0].argmax()),
        cost=passed.cost,
        picture=floats(passed.inputs[0]),
        layers=layers_of(network, passed),
        sensitive=sensitive,
        median_gradient=median,
        zero_share=share,
        mistakes=tuple(torch.nonzero(said != digits.held_labels).flatten().tolist()),
    )


def layers_of(network: DigitNetwork, passed: Passed) -> tuple[LayerScene, ...]:
    """Every layer while one digit passes; of the output what it says."""
    found = []
    for number, level in enumerate(levels_db(passed), start=1):
        pre_activations, activations = passed.pre_activations[number - 1][0], passed.activations[number - 1][0]
        shown = network.cost.said(activations) if number == network.depth else activations
        found.append(
            LayerScene(
                number=number,
                pre_activations=floats(pre_activations),
                activations=floats(shown),
                slopes=tuple(slopes_at(network, number, pre_activations).tolist()),
                wanted=floats(-passed.activation_errors[number - 1][0]),
                errors=floats(passed.errors[number - 1][0]),
                level_db=level,
            )
        )
    return tuple(found)


def sensitive_of(network: DigitNetwork, passed: Passed, labels: Tensor) -> tuple[tuple[WeightPlace, ...], float, float]:
    """The weights and biases on which the digit's cost depends most.

    Returns:
        These, greatest gradient first; the median of all absolute gradients that are not zero (0 where all are), for
        behind a dark pixel or a closed ReLU more than half of them may be; and the share of those that are.
    """
    gradients = gradients_of(network, passed.inputs, labels)
    sizes = torch.cat([gradient.abs().flatten() for gradient in gradients.values()])
    others = sizes[sizes > 0.0]
    median = float(others.median()) if len(others) else 0.0
    sensitive, _ = sensitive_weights(gradients, MOST_SENSITIVE)
    places = tuple(place_of(network, one, median) for one in sensitive if one.gradient != 0.0)
    return places, median, float((sizes == 0.0).double().mean())


def place_of(network: DigitNetwork, found: SensitiveWeight, median: float) -> WeightPlace:
    """Where a sensitive weight is, and how it compares with the median."""
    number, _, kind = found.parameter.partition(".")
    linear = network.linears[int(number) - 1]
    tensor = linear.weight if kind == "weight" else linear.bias
    return WeightPlace(
        layer=int(number),
        unit=found.index[0],
        source=found.index[1] if kind == "weight" else None,
        value=float(tensor.detach()[found.index]),
        gradient=found.gradient,
        times_median=abs(found.gradient) / median if median > 0.0 else None,
    )
