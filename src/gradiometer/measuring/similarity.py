"""Similarity and effective rank: does a layer still tell its examples apart, forward and backward.

A balanced gradient norm is not enough: a 100-layer tanh network under Glorot's initialisation keeps its norms, and yet
all inputs have become alike. Mean cosine between two examples and effective rank of the batch say so, of a layer's
outputs and of the loss gradients there. Both come from the Gram matrix of at most `MOST_EXAMPLES` examples, from which
the rank of the whole batch is estimated; of long ones a fixed random sample of features is read. The matrix is taken
at once, while its layer's values are in the cache; what it says is read of many layers together.

Source:
    Effective rank tr(G)^2 / ||G||_F^2, the participation ratio of G's eigenvalues: Gao, Ganguli, "On simplicity and
    complexity in the brave new world of large-scale neuroscience", Curr. Opin. Neurobiol. 2015, section 3. Cosines
    that go to one with depth: Schoenholz, Gilmer, Ganguli, Sohl-Dickstein, "Deep information propagation", ICLR 2017.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gradiometer.measuring.calls import Call, first_tensor
from gradiometer.measuring.collecting import Collector, Findings, FloatArray, LeftOut, StepSetting
from gradiometer.measuring.exact_format import exact_format
from gradiometer.measuring.statistics import Number
from gradiometer.schema import LayerStats, Snapshot

MOST_EXAMPLES = 32
"""Examples whose Gram matrix is taken, evenly spaced over the batch. Measured on five networks against all 128 examples
of a batch and all features: the mean cosine of half of the layers was known to 0.005, of nine in ten to 0.016; the
effective rank to 5 % and 31 %, on average 4 % too high. (Of 64 examples without the estimate 3 % and 25 %, on average
9 % too low.)"""

MOST_FEATURES = 1024
"""Features that are read of each example; a cosine is then known to 0.03 where features are alike, and the inverse of
an effective rank comes out too great by 1/1024, which is 3 % of a rank of 32."""

MOST_TOGETHER = 64
"""Gram matrices that are held until they are read together."""

SAFE_NORM = 1e-15
"""Vectors of a lesser norm, or of one above its inverse, are scaled before their products are taken."""

SAMPLE_SEED = 20_262


def likeness_of(vectors: Tensor, batch_size: int | None = None) -> Tensor:
    """Compare vectors with each other.

    Args:
        vectors: vector features, any floating-point format, on any device; the device is not waited for.
        batch_size: Vectors that there are, of which these are some; None where they are all.

    Returns:
        2, on that device: mean cosine over the pairs of vectors that are not zero (nan for fewer than two), and
        effective rank (nan where all are zero); nan where a value is not finite, and for no vectors. Of some vectors
        the effective rank of all of them is estimated: squares and products of two vectors are in tr(G)^2 and in
        ||G||_F^2 with the weight that gives each sum its expected value over all of them.

    Example:
        >>> [round(number, 3) for number in likeness_of(torch.tensor([[1.0, 0.0], [0.0, 2.0]])).tolist()]
        [0.0, 1.471]
    """
    comparison = Comparison()
    comparison.add(vectors, len(vectors) if batch_size is None else batch_size)
    comparison.finish()
    return comparison.found[0][1][0]


def read_grams(grams: Tensor, batch_size: int) -> Tensor:
    """Mean cosine and effective rank from Gram matrices.

    Args:
        grams: ... vector vector.
        batch_size: Vectors that each batch has, of which these are some.

    Returns:
        ... 2, as `likeness_of` says.
    """
    alone, together = sampling_weights(grams.shape[-1], batch_size)
    trace = grams.diagonal(dim1=-2, dim2=-1).sum(-1)
    # Divided by their trace first: squares of the products of small vectors would underflow.
    grams = grams / torch.where(trace == 0.0, 1.0, trace)[..., None, None]
    squares = grams.diagonal(dim1=-2, dim2=-1)
    own = squares.square().sum(-1)
    pairs = grams.square().sum((-2, -1)) - own
    rank = (alone * own + together * (squares.sum(-1).square() - own)) / (alone * own + together * pairs)
    is_there = squares != 0.0
    inverse = torch.where(is_there, squares, 1.0).rsqrt()
    total = (grams * inverse.unsqueeze(-1) * inverse.unsqueeze(-2)).sum((-2, -1))
    count = is_there.sum(-1)
    similarity = torch.where(count > 1, (total - count) / (count * (count - 1)), math.nan)
    return torch.stack((similarity, rank), -1)


def sampling_weights(count: int, batch_size: int | None) -> tuple[float, float]:
    """How many vectors of a batch, and how many pairs of different ones, stand for each in a sample.

    Example:
        >>> sampling_weights(2, 8), sampling_weights(1, 1)
        ((4.0, 28.0), (1.0, 1.0))
    """
    if batch_size is None or count < 2:
        return 1.0, 1.0
    return batch_size / count, batch_size * (batch_size - 1) / (count * (count - 1))


def take_vectors(tensor: Tensor, axis: int) -> Tensor:
    """One vector for each of some examples.

    Args:
        tensor: Values of a batch.
        axis: Axis of examples.

    Returns:
        vector features: at most `MOST_EXAMPLES`, of at most `MOST_FEATURES`, the same ones for every tensor of a size;
        a view where that can be.
    """
    tensor = tensor.detach()
    if axis:
        tensor = tensor.movedim(axis, 0)
    if len(tensor) > MOST_EXAMPLES:
        tensor = tensor[:: -(-len(tensor) // MOST_EXAMPLES)]
    vectors = tensor if tensor.dim() == 2 else tensor.flatten(1)
    if vectors.shape[1] > MOST_FEATURES:
        vectors = vectors.index_select(1, sample_places(vectors.shape[1], vectors.device))
    return vectors


@lru_cache(maxsize=64)
def sample_places(feature_count: int, device: torch.device) -> Tensor:
    """Which features are read: a fixed sample, drawn without touching the training's random state."""
    generator = np.random.Generator(np.random.Philox(SAMPLE_SEED))
    places = np.sort(generator.choice(feature_count, MOST_FEATURES, replace=False, shuffle=False))
    return torch.from_numpy(places).to(device, non_blocking=True)


@dataclass(slots=True)
class Shelf:
    """Gram matrices of one shape that wait to be read together.

    Attributes:
        batch_size: Vectors that each batch has, of which some were taken.
        grams: batch vector vector.
        slots: The same, batch by batch.
        takers: Numbers of the batches that it holds.
    """

    batch_size: int
    grams: Tensor
    slots: Sequence[Tensor]
    takers: list[int] = field(default_factory=list)


class Comparison:
    """Compares many batches: takes a Gram matrix of each at once, and reads many of them together.

    Attributes:
        found: What was found: numbers of some batches, and a row for each of them.
        counts: Vectors that were taken of each batch.
    """

    def __init__(self) -> None:
        self.found: list[tuple[list[int], Tensor]] = []
        self.counts: list[int] = []
        self._shelves: dict[tuple[int, int, torch.dtype, torch.device], Shelf] = {}

    def add(self, vectors: Tensor, batch_size: int, norm: Number | None = None) -> int:
        """Compare some of a batch's vectors; gives the batch's number.

        Args:
            vectors: vector features, any floating-point format; not needed any more once this returns.
            batch_size: Vectors that the batch has.
            norm: Norm of all of them where it is known. Where it is on the host already and says that no product of
                two values is lost, they need not be scaled.
        """
        number = len(self.counts)
        self.counts.append(len(vectors))
        if vectors.itemsize <= 2:
            vectors = vectors.float()
        if not (isinstance(norm, float) and SAFE_NORM < norm < 1.0 / SAFE_NORM):
            scale = torch.linalg.vector_norm(vectors, dtype=exact_format(vectors.device))
            vectors = vectors / scale.clamp_(min=torch.finfo(vectors.dtype).tiny)
        key = (batch_size, len(vectors), vectors.dtype, vectors.device)
        shelf = self._shelves.get(key)
        if shelf is None:
            grams = vectors.new_empty((MOST_TOGETHER, len(vectors), len(vectors)))
            shelf = self._shelves[key] = Shelf(batch_size, grams, grams.unbind(0))
        # Written to a given place it is out of reach of autocast, which would round the vectors.
        torch.mm(vectors, vectors.T, out=shelf.slots[len(shelf.takers)])
        shelf.takers.append(number)
        if len(shelf.takers) == MOST_TOGETHER:
            self._read(shelf)
        return number

    def _read(self, shelf: Shelf) -> None:
        if shelf.takers:
            self.found.append((shelf.takers, read_grams(shelf.grams[: len(shelf.takers)], shelf.batch_size)))
            shelf.takers = []

    def finish(self) -> None:
        """Read what waits still."""
        for shelf in self._shelves.values():
            self._read(shelf)


class SimilarityCollector:
    """Compares the examples at every layer's output, of the first call of each in a step."""

    def __init__(self, setting: StepSetting) -> None:
        self.batches = setting.batches
        self.comparison = Comparison()
        self.outputs: dict[str, int] = {}
        self.gradients: dict[str, int] = {}
        self.without_batch: set[str] = set()

    def after_call(
        self, call: Call, module: nn.Module | None, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        """Compare outputs."""
        if not call.is_block and call.layer not in self.outputs:
            tensor = first_tensor(output)
            if tensor is not None:
                self.compare(self.outputs, call, tensor, call.output_norm)

    def on_gradient(self, call: Call, backward_pass: int, gradient: Tensor) -> None:
        """Compare gradients."""
        if not call.is_block and call.layer not in self.gradients:
            self.compare(self.gradients, call, gradient, call.gradients_of(backward_pass).output_norm)

    def compare(self, found: dict[str, int], call: Call, tensor: Tensor, norm: Number | None) -> None:
        """Compare the examples of one tensor."""
        axis = self.batches.axis(call, tensor.shape)
        if axis is None or not tensor.is_floating_point():
            self.without_batch.add(call.layer)
        else:
            found[call.layer] = self.comparison.add(take_vectors(tensor, axis), tensor.shape[axis], norm)

    def end(self) -> Findings:
        """Compare what waits still."""
        self.comparison.finish()
        found, counts = self.comparison.found, self.comparison.counts
        order = [number for numbers, _ in found for number in numbers]
        outputs, gradients = self.outputs, self.gradients
        left_out = tuple((name, "its output has no axis of examples") for name in sorted(self.without_batch))

        def read(snapshot: Snapshot, arrays: Sequence[FloatArray]) -> tuple[Snapshot, LeftOut]:
            rows = np.concatenate(arrays).reshape(-1, 2).tolist() if arrays else []
            by_number: dict[int | None, list[float]] = dict(zip(order, rows, strict=True))
            layers = []
            for stats in snapshot.layers:
                forward, backward = outputs.get(stats.layer), gradients.get(stats.layer)
                known = [number for number in (forward, backward) if number is not None]
                layers.append(
                    filled(stats, by_number.get(forward), by_number.get(backward), counts[known[0]]) if known else stats
                )
            return replace(snapshot, layers=tuple(layers)), left_out

        return Findings([likeness for _, likeness in found], read)


def filled(
    stats: LayerStats, of_outputs: Sequence[float] | None, of_gradients: Sequence[float] | None, count: int
) -> LayerStats:
    """One layer's statistics with what was found."""
    output_similarity, output_rank = map(finite_or_none, of_outputs or (math.nan, math.nan))
    gradient_similarity, gradient_rank = map(finite_or_none, of_gradients or (math.nan, math.nan))
    return replace(
        stats,
        output_similarity=output_similarity,
        output_rank=output_rank,
        gradient_similarity=gradient_similarity,
        gradient_rank=gradient_rank,
        similarity_example_count=count,
    )


def finite_or_none(value: float) -> float | None:
    """A number, None where it is not finite."""
    return value if math.isfinite(value) else None


def start_similarity(setting: StepSetting) -> Collector:
    """Collect a step's similarities."""
    found = SimilarityCollector(setting)
    return Collector(after_call=found.after_call, on_gradient=found.on_gradient, end=found.end)
