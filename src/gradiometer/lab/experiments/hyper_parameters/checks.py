"""What experiment `hyper-parameters` is checked by: known noise scales, and Nielsen's own first tries.

For linear regression the noise scale is known. With loss (x.w - y)²/2, inputs from N(0, I) in n dimensions, targets
x.w* + e with e from N(0, s²), and d = w - w*, an example's gradient is (x.d - e) x. Its mean is d, and by Isserlis'
theorem the trace of its covariance is n (|d|² + s²) + |d|²; so the noise scale is n (1 + s²/|d|²) + 1.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

from gradiometer.lab.datasets.images import LabelledImages, one_hot
from gradiometer.lab.networks.feed_forward import accuracy, draw_network, train_epoch
from gradiometer.noise_scale import NoiseTerms, noise_scale, noise_terms
from gradiometer.schema import FloatArray

NIELSEN_EXAMPLES = 50_000
"""Training pictures that Nielsen's first lambda is meant for."""

SMALL_EXAMPLES = 1_000
"""Training pictures of his smaller tries."""

SMALL_VALIDATION = 100
"""Pictures that these are judged by."""


@dataclass(frozen=True, slots=True)
class Try:
    """One of Nielsen's tries.

    Attributes:
        hidden: Units of the hidden layer; 0 for none.
        is_small: Whether it is on the first 1,000 pictures, judged by 100, instead of on all.
        eta: Learning rate.
        lmbda: His lambda; the decay of a step is eta times lambda over the number of training pictures.
        published: Share of the validation pictures told right after each epoch that he prints.
    """

    hidden: int
    is_small: bool
    eta: float
    lmbda: float
    published: tuple[float, ...]


TRIES: dict[str, Try] = {
    "the first try": Try(30, False, 10.0, 1000.0, (0.1030, 0.0990, 0.1009)),  # noqa: FBT003
    "smaller and faster": Try(0, True, 10.0, 1000.0, (0.10, 0.10, 0.10)),  # noqa: FBT003
    "lambda scaled with it": Try(0, True, 10.0, 20.0, (0.12, 0.14, 0.25, 0.18)),  # noqa: FBT003
    "a greater rate": Try(0, True, 100.0, 20.0, (0.10, 0.10, 0.10, 0.10)),  # noqa: FBT003
    "a smaller rate": Try(0, True, 1.0, 20.0, (0.62, 0.42, 0.43, 0.61)),  # noqa: FBT003
}
"""Nielsen's tries in his order, cross-entropy, batches of 10, weights from N(0, 1/n)."""


def repeat_try(images: LabelledImages, tried: Try, seeds: range) -> FloatArray:
    """Make a try again.

    Where the data set is smaller than his, lambda is scaled with it, so that the decay of a step is his.

    Args:
        images: The pictures.
        tried: The try.
        seeds: One network for each; side by side.

    Returns:
        Share of the validation pictures told right [seed epoch].
    """
    count = SMALL_EXAMPLES if tried.is_small else len(images.train_inputs)
    judged = SMALL_VALIDATION if tried.is_small else len(images.validation_inputs)
    # In double precision the weights that grow ninefold in each step stay finite for the epochs that he prints.
    dtype = np.float64 if tried.is_small else np.float32
    inputs = images.train_inputs[:count].astype(dtype)
    targets = one_hot(images.train_labels[: len(inputs)], images.classes, dtype)
    sizes = [images.pixels, *([tried.hidden] if tried.hidden else []), images.classes]
    network = draw_network(sizes, seeds, dtype=dtype)
    orders = [np.random.default_rng(seed) for seed in seeds]
    lmbda = tried.lmbda * len(inputs) / (SMALL_EXAMPLES if tried.is_small else NIELSEN_EXAMPLES)
    found = []
    for _ in tried.published:
        train_epoch(network, inputs, targets, orders, rate=tried.eta, batch_size=10, weight_cost=lmbda)
        validation = images.validation_inputs[:judged].astype(dtype)
        found.append(accuracy(network, validation, images.validation_labels[:judged]))
    return np.stack(found, axis=1)


def error_over_all_batches(seed: int = 0) -> float:
    """Greatest relative error of the estimated terms, averaged over every batch of two that can be drawn.

    The population is six examples of a linear regression in three dimensions; batches are drawn with replacement, so
    there are 36, and their average is the estimator's expectation, without any sampling.
    """
    draw = np.random.default_rng(seed)
    inputs, targets, weights = draw.standard_normal((6, 3)), draw.standard_normal(6), draw.standard_normal(3)
    gradients = (inputs @ weights - targets)[:, None] * inputs
    mean = gradients.mean(axis=0)
    known = (float(mean @ mean), float(np.square(gradients - mean).sum(axis=1).mean()))
    terms = [terms_of_batch(gradients[[first, second]]) for first, second in product(range(6), repeat=2)]
    found = (np.mean([one.gradient_squared for one in terms]), np.mean([one.trace for one in terms]))
    return max(abs(float(value) / truth - 1.0) for value, truth in zip(found, known, strict=True))


def sampled_over_known(seed: int, *, batches: int, dimensions: int = 20, noise: float = 2.0) -> float:
    """Noise scale that is estimated on a sampled linear regression, over the known one."""
    draw = np.random.default_rng(seed)
    distance = draw.standard_normal(dimensions)
    known = dimensions * (1.0 + noise * noise / float(distance @ distance)) + 1.0
    terms = []
    for _ in range(batches):
        inputs = draw.standard_normal((64, dimensions))
        residuals = inputs @ distance - noise * draw.standard_normal(64)
        terms.append(terms_of_batch(residuals[:, None] * inputs))
    return noise_scale(terms).examples / known


def terms_of_batch(gradients: FloatArray) -> NoiseTerms:
    """Both terms from the gradients of a batch's examples [example weight]."""
    mean = gradients.mean(axis=0)
    return noise_terms(np.square(gradients).sum(axis=1), float(mean @ mean))
