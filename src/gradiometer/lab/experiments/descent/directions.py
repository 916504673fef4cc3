"""Gradients of single examples: what one asks against the average of all, and where a batch's mean points.

For n examples with gradients g_i and mean g, a batch of B drawn without repetition has a mean g_B with

    E |g_B|² = |g|² + tr(S)/B · (n - B)/(n - 1),    tr(S) = mean |g_i - g|²

and E g_B · g = |g|², so that its cosine with the true gradient is about 1 / √(1 + tr(S)/(B |g|²) · (n - B)/(n - 1)).

Source:
    McCandlish et al., "An empirical model of large-batch training", 2018, for tr(S)/|g|², the noise scale; sampling
    without repetition by the textbook formula.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradiometer.lab.networks.feed_forward import Array, FeedForward, backward, forward

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ExampleGradients:
    """The gradients of all examples at one moment of a training.

    Attributes:
        each: Gradient of each example's own cost by all weights and biases [example parameter].
        mean: Their mean, the true gradient [parameter].
    """

    each: FloatArray
    mean: FloatArray

    @property
    def noise_scale(self) -> float:
        """tr(S) / |g|²: how many examples a batch needs for a signal as strong as its noise."""
        centred = np.square(self.each).sum(axis=1).mean() - np.square(self.mean).sum()
        return float(centred / np.square(self.mean).sum())


@dataclass(frozen=True, slots=True)
class BatchDirections:
    """How well batches of one size point.

    Attributes:
        batch_size: Examples of a batch.
        cosines: Cosine of each drawn batch's gradient with the true one [draw].
        expected: What the formula says of their mean.
    """

    batch_size: int
    cosines: FloatArray
    expected: float


def example_gradients(network: FeedForward, inputs: Array, targets: Array) -> ExampleGradients:
    """Gradients of the first network's cost, one for each example; parameters layer by layer, weights then biases."""
    first = FeedForward(
        network.sizes,
        [weight[:1].astype(np.float64) for weight in network.weights],
        [bias[:1].astype(np.float64) for bias in network.biases],
        network.activation,
        network.cost,
    )
    passed = forward(first, inputs[None].astype(np.float64))
    gradients = backward(first, passed, targets[None])
    parts = []
    for activation, error in zip(passed.activations[:-1], gradients.errors, strict=True):
        parts.append(np.einsum("bi,bo->bio", activation[0], error[0]).reshape(len(inputs), -1))
        parts.append(error[0])
    each = np.concatenate(parts, axis=1)
    return ExampleGradients(each, each.mean(axis=0))


def directions_of_batches(
    gradients: ExampleGradients, batch_size: int, draws: int, generator: np.random.Generator
) -> BatchDirections:
    """Draw batches without repetition, and compare their gradients with the true one."""
    count = len(gradients.each)
    means = np.stack(
        [gradients.each[generator.choice(count, batch_size, replace=False)].mean(axis=0) for _ in range(draws)]
    )
    noise = gradients.noise_scale / batch_size * (count - batch_size) / (count - 1)
    return BatchDirections(batch_size, cosines_with(means, gradients.mean), float(1.0 / np.sqrt(1.0 + noise)))


def cosines_with(vectors: FloatArray, direction: FloatArray) -> FloatArray:
    """Cosine of each vector [vector parameter] with a direction [parameter]."""
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(direction)
    return np.asarray(vectors @ direction / np.maximum(lengths, 1e-300))


def class_agreement(gradients: ExampleGradients, labels: NDArray[np.int64], classes: int) -> FloatArray:
    """Mean cosine between the gradients of examples of two classes, an example with itself left out [class class]."""
    directions = gradients.each / np.linalg.norm(gradients.each, axis=1, keepdims=True)
    sums = np.stack([directions[labels == label].sum(axis=0) for label in range(classes)])
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    totals = sums @ sums.T
    pairs = np.outer(counts, counts)
    totals[np.diag_indices(classes)] -= counts
    pairs[np.diag_indices(classes)] -= counts
    return np.asarray(np.divide(totals, pairs, out=np.full_like(totals, np.nan), where=pairs > 0.0))


def called_by_class(network: FeedForward, inputs: Array, classes: int) -> FloatArray:
    """Share of the examples that the first network calls by each class [class]."""
    answers = forward(network, inputs[None]).output[0].argmax(axis=1)
    return np.bincount(answers, minlength=classes) / len(inputs)
