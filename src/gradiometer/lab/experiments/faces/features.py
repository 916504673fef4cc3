"""What the layers of a face network respond to: filters, the pictures that excite a unit most, optimised inputs.

An optimised input is found by gradient ascent: from faint noise on, a picture is changed in the direction in which a
unit's response grows, and brought back to the norm that every standardised picture has (`NORM`): without a bound the
answer would be brightness without end. Total variation, the sum of differences between neighbours, is held down
beside it: without it a late unit's best input is noise that no eye can read. For a unit of the first layer, which is
linear, the best picture of a given norm is the filter itself.

Source:
    The norm's bound: Erhan, Bengio, Courville, Vincent, "Visualizing Higher-Layer Features of a Deep Network", 2009.
    Total variation: Mahendran, Vedaldi, "Understanding Deep Image Representations by Inverting Them", CVPR 2015.
    Pictures that excite a unit most: Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gradiometer.lab.experiments.faces.folds import Pictures, Training, area_under_curve
from gradiometer.lab.networks.drawing import seeded
from gradiometer.lab.networks.face_network import CONVOLUTIONS, SIDE, responses, weight_of
from gradiometer.schema import FloatArray

NORM = float(SIDE)
"""Norm of a standardised picture: 25 times 25 numbers of variance 1."""

SMOOTHING = 1.0
"""Weight of the total variation's gradient beside the response's, both of length 1; chosen by us by eye."""

STRIDE = 0.1
"""Length of a step of the ascent as a share of `NORM`."""


@dataclass(frozen=True, slots=True)
class Excitement:
    """Where a unit responds most.

    Attributes:
        unit: The unit.
        patches: What it saw there, the most exciting first [height width] each.
        face_share: Share of faces among the pictures that they are from.
    """

    unit: int
    patches: tuple[FloatArray, ...]
    face_share: float


def optimised_inputs(
    network: nn.Sequential, layer: str, units: list[int], *, steps: int, seed: int = 0, smoothing: float = SMOOTHING
) -> Tensor:
    """Pictures to which units respond as strongly as they can.

    Args:
        network: In evaluation mode; its weights stay as they are.
        layer: `answer`, or a convolution; of this the response in the middle of the picture is taken.
        units: Which units of it.
        steps: Steps of the ascent.
        seed: Seed of the faint noise that it starts from.
        smoothing: Weight of the total variation.

    Returns:
        One picture for each unit, of norm `NORM` [unit 1 height width].
    """
    with seeded(seed):
        pictures = torch.randn(len(units), 1, SIDE, SIDE)
    pictures = to_norm(pictures)
    for step in range(steps):
        pictures.requires_grad_()
        (upward,) = torch.autograd.grad(middle_responses(network, layer, units, pictures).sum(), pictures)
        (rougher,) = torch.autograd.grad(total_variation(pictures).sum(), pictures)
        direction = to_norm(upward) - smoothing * to_norm(rougher)
        shrinking = STRIDE * (1.0 - step / steps)
        pictures = to_norm(pictures.detach() + shrinking * direction)
    return pictures


def middle_responses(network: nn.Sequential, layer: str, units: list[int], pictures: Tensor) -> Tensor:
    """Response of one unit to each picture, in its middle [picture]."""
    answered = responses(network, pictures, layer)
    own = answered[torch.arange(len(units)), torch.tensor(units)]
    return own if own.dim() == 1 else own[:, own.shape[1] // 2, own.shape[2] // 2]


def total_variation(pictures: Tensor) -> Tensor:
    """Sum of absolute differences between neighbouring pixels [picture]."""
    down = (pictures[:, :, 1:] - pictures[:, :, :-1]).abs().sum(dim=(1, 2, 3))
    across = (pictures[:, :, :, 1:] - pictures[:, :, :, :-1]).abs().sum(dim=(1, 2, 3))
    return down + across


def to_norm(pictures: Tensor) -> Tensor:
    """Each picture with the norm `NORM`; one that is all zero stays so."""
    norms = pictures.flatten(1).norm(dim=1)
    return pictures * (NORM / torch.where(norms > 0.0, norms, 1.0))[:, None, None, None]


def exciting_patches(
    network: nn.Sequential, pictures: Pictures, layer: str, units: list[int], count: int
) -> tuple[Excitement, ...]:
    """The pictures to which units respond most, cut to what the unit sees; each picture counts once.

    Args:
        network: In evaluation mode.
        pictures: All pictures.
        layer: A convolution.
        units: Which of its units.
        count: Pictures for each unit.
    """
    with torch.no_grad():
        answered = responses(network, pictures.inputs, layer)
    field, jump = field_of(layer)
    found = []
    for unit in units:
        greatest, places = answered[:, unit].flatten(1).max(dim=1)
        best = torch.argsort(greatest, descending=True, stable=True)[:count]
        columns = answered.shape[3]
        patches = tuple(
            seen_at(pictures.inputs[index, 0], int(places[index]) // columns, int(places[index]) % columns, field, jump)
            for index in best
        )
        found.append(Excitement(unit, patches, float(pictures.labels[best].mean())))
    return tuple(found)


def field_of(layer: str) -> tuple[int, int]:
    """Side of what one unit of a convolution sees, and pixels from one place of it to the next.

    Example:
        >>> field_of("conv1"), field_of("conv5")
        ((7, 1), (25, 4))
    """
    field, jump = 1, 1
    for name, shape in CONVOLUTIONS.items():
        field += (shape.side - 1) * jump
        jump *= shape.stride
        if name == layer:
            return field, jump
    raise KeyError(layer)


def seen_at(picture: Tensor, row: int, column: int, field: int, jump: int) -> FloatArray:
    """The part of a picture that a unit sees at one place; grey, as the network has it, outside [field field]."""
    half = field // 2
    framed = nn.functional.pad(picture, (half, half, half, half))
    top, left = row * jump, column * jump
    return framed[top : top + field, left : left + field].numpy().astype(np.float64)


def selectivity(network: nn.Sequential, pictures: Pictures, held_out: Tensor) -> dict[str, float]:
    """How well single units tell faces from the rest, by layer.

    The measure of a unit is the area under the curve of its response, averaged over the picture's places, on pictures
    that the network never saw; one that responds to what is no face counts as much. Units that only guess lie a little
    above 0.5, for the sign is chosen after the fact.

    Returns:
        For each convolution and `answer` the mean over its units, from 0.5 to 1.
    """
    labels = pictures.labels[held_out].numpy()
    found = {}
    with torch.no_grad():
        for layer in (*CONVOLUTIONS, "answer"):
            answered = responses(network, pictures.inputs[held_out], layer)
            means = (answered.mean(dim=(2, 3)) if answered.dim() == 4 else answered).numpy()
            areas = [area_under_curve(means[:, unit], labels) for unit in range(means.shape[1])]
            found[layer] = float(np.mean([max(area, 1.0 - area) for area in areas]))
    return found


def turned_parts(training: Training) -> dict[str, Tensor]:
    """For each convolution the part of its trained filters at a right angle to its start: what a gradient put there.

    Weight decay alone shortens filters and does not turn them.
    """
    parts = {}
    for name, start in training.start.items():
        drawn, end = start.double(), weight_of(training.network, name).double()
        parts[name] = end - (end * drawn).sum() / drawn.square().sum() * drawn
    return parts


def turned_shares(training: Training) -> dict[str, float]:
    """For each convolution the norm of the turned part over that of its filters: the sine of the angle, from 0 to 1."""
    return {
        name: float(part.norm() / weight_of(training.network, name).double().norm())
        for name, part in turned_parts(training).items()
    }


def similarities_to_start(training: Training) -> dict[str, float]:
    """For each convolution the cosine between a filter and the same as it was drawn, mean over its units."""
    found = {}
    for name, start in training.start.items():
        end = weight_of(training.network, name).double().flatten(1)
        found[name] = float(nn.functional.cosine_similarity(end, start.double().flatten(1), dim=1).mean())
    return found


def preferring_units(network: nn.Sequential, pictures: Pictures, layer: str, count: int) -> list[int]:
    """A layer's units that prefer faces most, then those that prefer the rest most.

    Args:
        network: In evaluation mode.
        pictures: All pictures.
        layer: A convolution.
        count: How many units in all, half of either kind.
    """
    with torch.no_grad():
        means = responses(network, pictures.inputs, layer).mean(dim=(2, 3)).numpy()
    labels = pictures.labels.numpy()
    areas = np.array([area_under_curve(means[:, unit], labels) for unit in range(means.shape[1])])
    ranked = np.argsort(-areas, kind="stable").tolist()
    half = count // 2
    return [*ranked[:half], *ranked[-half:]]
