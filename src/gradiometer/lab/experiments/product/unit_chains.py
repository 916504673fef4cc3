"""Chains of single sigmoid units, one to a layer: there the gradient of an early bias is one product.

With z_j = w_j a_(j-1) + b_j and a_j = s(z_j), the gradient of the first bias is

    dC/db_1 = s'(z_1) · w_2 s'(z_2) · ... · w_n s'(z_n) · dC/da_n

In a network with several units to a layer it is the sum of such products over all paths from the bias to the output.

Source:
    M. Nielsen, "Neural Networks and Deep Learning", 2015, chapter 5, with the exercise on the window of inputs.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradiometer.activations import ACTIVATIONS
from gradiometer.lab.networks.feed_forward import FeedForward, backward, forward

FloatArray = NDArray[np.float64]

TINY_STEP = 1e-30
"""Imaginary step of a derivative without subtraction, so that nothing is lost to rounding."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Single sigmoid units one behind the other; the cost is half the squared distance from a target.

    Attributes:
        weights: One for each unit [unit].
        biases: One for each unit [unit].
        entry: What the first unit is given.
        target: What the last unit is to answer.
    """

    weights: FloatArray
    biases: FloatArray
    entry: float
    target: float = 0.0


@dataclass(frozen=True, slots=True)
class Term:
    """One factor of a gradient: what it is, and its value."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Path:
    """One way from a weight to the cost: the unit it takes in each hidden layer behind the first, and its product."""

    units: tuple[int, ...]
    product: float


@dataclass(frozen=True, slots=True)
class PathSum:
    """The gradient of a weight taken apart: every path, greatest first, and what backpropagation says of their sum."""

    paths: tuple[Path, ...]
    gradient: float


def sigmoid(z: Any) -> Any:
    """The logistic function of a real or complex number or array."""
    return 0.5 * (np.tanh(0.5 * z) + 1.0)


def sigmoid_slope(z: FloatArray) -> FloatArray:
    """Its derivative."""
    return ACTIVATIONS["sigmoid"].slope(np.asarray(z, dtype=np.float64))


def terms_of(chain: Chain) -> tuple[Term, ...]:
    """The factors of dC/db_1, from the first unit to the cost."""
    activation, terms = chain.entry, []
    for index, (weight, bias) in enumerate(zip(chain.weights, chain.biases, strict=True)):
        z = float(weight * activation + bias)
        if index:
            terms.append(Term(f"w{index + 1}", float(weight)))
        terms.append(Term(f"s'(z{index + 1})", float(sigmoid_slope(np.array(z)))))
        activation = float(sigmoid(z))
    return (*terms, Term(f"dC/da{len(chain.weights)}", activation - chain.target))


def first_gradient(chain: Chain) -> float:
    """dC/db_1 by a complex step of the cost itself: knows nothing of the chain rule, exact to rounding."""
    activation: Any = chain.entry
    for index, (weight, bias) in enumerate(zip(chain.weights, chain.biases, strict=True)):
        moved = bias + 1j * TINY_STEP if index == 0 else bias
        activation = sigmoid(weight * activation + moved)
    cost = 0.5 * (activation - chain.target) ** 2
    return float(np.imag(cost) / TINY_STEP)


def draw_chain(length: int, spread: float, seed: int) -> Chain:
    """A chain with weights and biases from N(0, spread²) and an entry from [0, 1)."""
    generator = np.random.default_rng(seed)
    weights, biases = spread * generator.standard_normal((2, length))
    return Chain(weights, biases, float(generator.random()))


def draw_terms(length: int, spread: float, count: int, generator: np.random.Generator) -> FloatArray:
    """The terms w_j s'(z_j) of many drawn chains, behind the first unit [chain term]."""
    activation = generator.random(count)
    terms = []
    for index in range(length):
        weights, biases = spread * generator.standard_normal((2, count))
        z = weights * activation + biases
        if index:
            terms.append(weights * sigmoid_slope(z))
        activation = sigmoid(z)
    return np.stack(terms, axis=1)


def balanced_chain(terms: tuple[float, ...]) -> Chain:
    """A chain whose terms w_j s'(z_j) behind the first unit are as asked, every unit at z = 0 where its slope is 1/4.

    Each unit then answers 1/2, so the bias that keeps the next one at zero is minus half its weight. The target makes
    dC/da_n = 4, which undoes the slope of the first unit: dC/db_1 is the product of the terms.
    """
    weights = np.array([1.0, *(4.0 * term for term in terms)])
    biases = -0.5 * weights
    biases[0] = -1.0
    return Chain(weights, biases, entry=1.0, target=0.5 - 4.0)


def window_width(weight: float) -> float:
    """Greatest range of inputs over which |w s'(w a + b)| is at least 1, whatever the bias; 0 below |w| = 4.

    Example:
        >>> round(window_width(6.9), 3)
        0.448
    """
    size = abs(weight)
    if size < 4.0:
        return 0.0
    return 2.0 / size * math.log(0.5 * size * (1.0 + math.sqrt(1.0 - 4.0 / size)) - 1.0)


def measured_window(weight: float, samples: int = 200_001) -> float:
    """The same by counting: the share of inputs in [-1, 1] that pass, times 2, for the bias that centres the window."""
    inputs = np.linspace(-1.0, 1.0, samples)
    passed = np.abs(weight * sigmoid_slope(weight * inputs)) >= 1.0
    return float(2.0 * passed.mean())


def paths_of(network: FeedForward, example: FloatArray, target: FloatArray, weight: tuple[int, int]) -> list[Path]:
    """The gradient of a first-layer weight, path by path, greatest first; their sum is the gradient.

    Args:
        network: One network, float64, with sigmoid units and cross-entropy.
        example: What it is given [input].
        target: What is wanted [output].
        weight: Input and hidden unit that the weight joins.
    """
    passed = forward(network, example[None, None])
    slopes = [sigmoid_slope(z[0, 0]) for z in passed.pre_activations[:-1]]
    error = passed.output[0, 0] - target
    source, first = weight
    paths = []
    for later in itertools.product(*(range(width) for width in network.sizes[2:])):
        product, before = float(example[source] * slopes[0][first]), first
        for layer, unit in enumerate(later, start=1):
            slope = slopes[layer][unit] if layer < len(slopes) else error[unit]
            product *= float(network.weights[layer][0, before, unit] * slope)
            before = unit
        paths.append(Path(later, product))
    return sorted(paths, key=lambda path: -abs(path.product))


def weight_gradient(network: FeedForward, example: FloatArray, target: FloatArray, weight: tuple[int, int]) -> float:
    """The gradient of a first-layer weight by backpropagation."""
    gradients = backward(network, forward(network, example[None, None]), target[None, None])
    return float(gradients.weights[0][0, weight[0], weight[1]])
