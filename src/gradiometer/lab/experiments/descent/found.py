"""What `descent` finds, part by part, for its rows and its page."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradiometer.lab.experiments.descent.directions import BatchDirections
from gradiometer.lab.experiments.descent.paths import Plane, WayDown

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Contest:
    """One way down, online, by mini-batches or by full batches.

    Attributes:
        tried: Learning rate to the training with the first seed.
        ways: At the best rate, one for each seed.
        epochs: Times that every example was seen.
    """

    tried: dict[float, WayDown]
    ways: tuple[WayDown, ...]
    epochs: int

    @property
    def best(self) -> WayDown:
        """The first seed at the best rate."""
        return self.ways[0]


@dataclass(frozen=True, slots=True)
class Surface:
    """The cost on a plane: where the plane lies, the grid's lines, and the cost there [y x]."""

    plane: Plane
    x: FloatArray
    y: FloatArray
    costs: FloatArray


@dataclass(frozen=True, slots=True)
class Moment:
    """The gradients of single examples at one moment of a training.

    Attributes:
        name: Which moment.
        directions: How well batches point, by their size.
        cosines: Cosine of each example's gradient with the true one [example].
        agreement: Mean cosine between examples of two classes [class class].
        noise_scale: Noise over signal, examples.
        difference: Mean of the single gradients against that of backpropagation over all, relative.
        asked: What each example asks of the outputs, target minus answer [example output].
    """

    name: str
    directions: tuple[BatchDirections, ...]
    cosines: FloatArray
    agreement: FloatArray
    noise_scale: float
    difference: float
    asked: FloatArray

    @property
    def formula_error(self) -> float:
        """Greatest relative difference between the mean cosine of batches and the formula."""
        return max(abs(float(run.cosines.mean()) / run.expected - 1.0) for run in self.directions)


@dataclass(frozen=True, slots=True)
class Curvature:
    """The greatest curvature at a point, and multiples of one over it to the costs of full-batch descent from there."""

    greatest: float
    runs: dict[float, FloatArray]


@dataclass(frozen=True, slots=True)
class Alone:
    """Training on a single example.

    Attributes:
        label: Its class.
        shares: Share of unseen pictures that are called by that class, before each step [step].
        costs: Mean cost of all training examples [step].
    """

    label: int
    shares: FloatArray
    costs: FloatArray
