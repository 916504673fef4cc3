"""Similarity and effective rank: does a layer still tell its examples apart, forward and backward.

A balanced gradient norm is not enough: a 100-layer tanh network under Glorot's initialisation keeps its norms, and yet
all inputs have become alike. Mean cosine between two examples and effective rank of the batch say so, of a layer's
outputs and of the loss gradients there. Both come from the Gram matrix of at most `MOST_EXAMPLES` examples; of long
ones a fixed random sample of features is read.

Source:
    Effective rank tr(G)^2 / ||G||_F^2, the participation ratio of G's eigenvalues: Gao, Ganguli, "On simplicity and
    complexity in the brave new world of large-scale neuroscience", Curr. Opin. Neurobiol. 2015, section 3. Cosines
    that go to one with depth: Schoenholz, Gilmer, Ganguli, Sohl-Dickstein, "Deep information propagation", ICLR 2017.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gradiometer.measuring.calls import Call, first_tensor
from gradiometer.measuring.collecting import Collector, LeftOut, StepSetting, fetch_numbers
from gradiometer.schema import LayerStats, Snapshot

MOST_EXAMPLES = 64
"""Examples whose Gram matrix is taken, evenly spaced over the batch; 2 016 pairs know a mean cosine well."""

MOST_FEATURES = 4096
"""Features that are read of each example; a cosine is then known to 1.6 % where features are alike."""

SAMPLE_SEED = 20_262


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike some vectors are.

    Attributes:
        similarity: Mean cosine over pairs of vectors that are not zero; nan for fewer than two.
        rank: Effective rank; nan where all are zero.
        count: Vectors that were compared.
    """

    similarity: Tensor
    rank: Tensor
    count: int


def likeness_of(vectors: Tensor) -> Likeness:
    """Compare vectors with each other.

    Args:
        vectors: vector features, any floating-point format, on any device; the device is not waited for.

    Returns:
        Numbers on that device; nan where a value is not finite, and for no vectors.

    Example:
        >>> found = likeness_of(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        >>> float(found.similarity), round(float(found.rank), 3)
        (0.0, 1.471)
    """
    if vectors.numel() == 0:
        nothing = torch.full((), math.nan, device=vectors.device)
        return Likeness(nothing, nothing, len(vectors))
    dtype = torch.promote_types(vectors.dtype, torch.float32)
    vectors = vectors.detach().to(dtype)
    with torch.no_grad(), torch.autocast(vectors.device.type, enabled=False):
        low, high = torch.aminmax(vectors)
        greatest = torch.maximum(-low, high)
        # Divided by their greatest value first: the squares of a vanished gradient would underflow.
        vectors = vectors / torch.where(greatest == 0.0, 1.0, greatest)
        gram = vectors @ vectors.T
        squares = gram.diagonal()
        rank = squares.sum().square() / gram.square().sum()
        lengths = torch.linalg.vector_norm(vectors, dim=1)
        is_there = lengths != 0.0
        total = (vectors / torch.where(is_there, lengths, 1.0).unsqueeze(1)).sum(0).square().sum()
        count = is_there.sum()
        similarity = (total - count) / (count * (count - 1))
        unknown = torch.full_like(similarity, math.nan)
    return Likeness(torch.where(count > 1, similarity, unknown), rank, len(vectors))


def take_vectors(tensor: Tensor, axis: int) -> Tensor:
    """One vector for each of some examples.

    Args:
        tensor: Values of a batch.
        axis: Axis of examples.

    Returns:
        vector features: at most `MOST_EXAMPLES`, of at most `MOST_FEATURES`, the same ones for every tensor of a size.
    """
    tensor = tensor.detach().movedim(axis, 0)
    stride = -(-len(tensor) // MOST_EXAMPLES)
    vectors = tensor[:: max(stride, 1)].flatten(1)
    if vectors.shape[1] > MOST_FEATURES:
        vectors = vectors.index_select(1, sample_places(vectors.shape[1], vectors.device))
    return vectors


@lru_cache(maxsize=64)
def sample_places(feature_count: int, device: torch.device) -> Tensor:
    """Which features are read: a fixed sample, drawn without touching the training's random state."""
    generator = np.random.Generator(np.random.Philox(SAMPLE_SEED))
    places = np.sort(generator.choice(feature_count, MOST_FEATURES, replace=False, shuffle=False))
    return torch.from_numpy(places).to(device, non_blocking=True)


class SimilarityCollector:
    """Compares the examples at every layer's output, of the first call of each in a step."""

    def __init__(self, setting: StepSetting) -> None:
        self.setting = setting
        self.outputs: dict[str, Likeness] = {}
        self.gradients: dict[str, Likeness] = {}
        self.without_batch: set[str] = set()

    def after_call(
        self, call: Call, module: nn.Module | None, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        """Compare outputs."""
        tensor = first_tensor(output)
        if not call.is_block and tensor is not None and call.layer not in self.outputs:
            self.compare(self.outputs, call, tensor)

    def on_gradient(self, call: Call, backward_pass: int, gradient: Tensor) -> None:
        """Compare gradients."""
        if not call.is_block and call.layer not in self.gradients:
            self.compare(self.gradients, call, gradient)

    def compare(self, found: dict[str, Likeness], call: Call, tensor: Tensor) -> None:
        """Compare the examples of one tensor."""
        axis = self.setting.batches.axis(call, tensor.shape)
        if axis is None or not tensor.is_floating_point():
            self.without_batch.add(call.layer)
        else:
            found[call.layer] = likeness_of(take_vectors(tensor, axis))

    def finish(self, snapshot: Snapshot) -> tuple[Snapshot, LeftOut]:
        """Fill in the layers' statistics."""
        found = [*self.outputs.values(), *self.gradients.values()]
        numbers = iter(fetch_numbers([number for one in found for number in (one.similarity, one.rank)]))
        outputs = {layer: (next(numbers), next(numbers)) for layer in self.outputs}
        gradients = {layer: (next(numbers), next(numbers)) for layer in self.gradients}
        layers = tuple(self.filled(stats, outputs, gradients) for stats in snapshot.layers)
        left_out = tuple((name, "its output has no axis of examples") for name in sorted(self.without_batch))
        return replace(snapshot, layers=layers), left_out

    def filled(
        self,
        stats: LayerStats,
        outputs: dict[str, tuple[float, float]],
        gradients: dict[str, tuple[float, float]],
    ) -> LayerStats:
        """One layer's statistics with what was found."""
        if stats.layer not in outputs and stats.layer not in gradients:
            return stats
        output_similarity, output_rank = outputs.get(stats.layer, (None, None))
        gradient_similarity, gradient_rank = gradients.get(stats.layer, (None, None))
        known = self.outputs.get(stats.layer) or self.gradients[stats.layer]
        return replace(
            stats,
            output_similarity=finite_or_none(output_similarity),
            output_rank=finite_or_none(output_rank),
            gradient_similarity=finite_or_none(gradient_similarity),
            gradient_rank=finite_or_none(gradient_rank),
            similarity_example_count=known.count,
        )


def finite_or_none(value: float | None) -> float | None:
    """A number, None where it is not finite."""
    return value if value is not None and math.isfinite(value) else None


def start_similarity(setting: StepSetting) -> Collector:
    """Collect a step's similarities."""
    found = SimilarityCollector(setting)
    return Collector(after_call=found.after_call, on_gradient=found.on_gradient, finish=found.finish)
