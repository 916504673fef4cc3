"""First weights at the scale that theory says keeps the gradient, for the hand-written networks."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradiometer.lab.networks.feed_forward import Array, FeedForward
from gradiometer.theory.critical_scale import critical_scale


def draw_critical(
    sizes: Sequence[int],
    seeds: Sequence[int],
    activation: str,
    inputs: Array,
    *,
    scale: float = 1.0,
    dtype: type[np.floating[Any]] = np.float32,
) -> FeedForward:
    """Draw one network for each seed on the edge of chaos.

    Args:
        sizes: Units of each layer, the input first.
        seeds: One for each network.
        activation: The hidden units' activation.
        inputs: What will be given [example inputs]; the first layer brings them to the size that theory asks for.
        scale: Factor on the weights between hidden layers: 1 is critical, below it gradients vanish, above explode.
        dtype: Of the weights.

    Returns:
        Networks whose hidden weights are N(0, (scale sigma_w)² / fan_in) and whose biases take out the mean of the
        activation's output, b = -W m, where it has one. The output layer is N(0, 1 / fan_in), its biases 0.

    Source:
        `gradiometer.theory.critical_scale`.
    """
    wanted, last = critical_scale(activation), len(sizes) - 2
    generators = [np.random.default_rng(seed) for seed in seeds]
    entry = wanted.entry_rms / math.sqrt(float(np.square(inputs).sum(axis=1).mean()))
    weights, biases = [], []
    for index, (fan_in, outputs) in enumerate(zip(sizes, sizes[1:], strict=False)):
        hidden = scale * wanted.sigma_w / math.sqrt(fan_in)
        spread = entry if index == 0 else 1.0 / math.sqrt(fan_in) if index == last else hidden
        drawn = np.stack([spread * generator.standard_normal((fan_in, outputs)) for generator in generators])
        shift = np.stack([wanted.sigma_b * generator.standard_normal((1, outputs)) for generator in generators])
        mean_taken = wanted.output_mean * drawn.sum(axis=1, keepdims=True) if index else 0.0
        biases.append((shift * (0 < index < last) - mean_taken).astype(dtype))
        weights.append(drawn.astype(dtype))
    return FeedForward(tuple(sizes), weights, biases, activation)
