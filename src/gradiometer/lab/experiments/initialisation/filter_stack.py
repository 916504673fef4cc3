"""Part of `initialisation`: the convolutions of a VGG network, and how weights of spread 0.01 shrink their gradient.

He's weights of a 3 by 3 convolution with d filters have the spread √(2 / (9 d)). Weights drawn at 0.01 everywhere are
5.9, 4.2, 2.9 and 2.1 times too small at 64, 128, 256 and 512 filters; from conv10 down to conv2 that multiplies up to
1 / (5.9 · 4.2² · 2.9² · 2.1⁴) = 1 / 17,000 of the gradient.

Source:
    He et al., ICCV 2015, section 2.2, "comparisons with Xavier initialization".
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from gradiometer.schema import Row

FILTERS = (64, 64, 128, 128, 256, 256, 512, 512, 512, 512)
"""Filters of conv1 to conv10 of VGG-B; pictures are halved behind every second one."""

SMALL = 0.01
TEXT = "He et al. 2015, section 2.2"

VGG_ROWS: dict[str, Row] = {
    "64": Row("He's spread for 64 filters of 3 by 3", "0.059", 0.0585, 0.0595, TEXT, "remembered"),
    "128": Row("He's spread for 128 filters of 3 by 3", "0.042", 0.0415, 0.0425, TEXT, "remembered"),
    "256": Row("He's spread for 256 filters of 3 by 3", "0.029", 0.0285, 0.0295, TEXT, "remembered"),
    "512": Row("He's spread for 512 filters of 3 by 3", "0.021", 0.0205, 0.0215, TEXT, "remembered"),
    "shrinking": Row(
        "How many times weights of spread 0.01 shrink the gradient more, conv10 to conv2, with the printed spreads",
        "1.7e4",
        16_500.0,
        17_500.0,
        TEXT,
        "exact",
    ),
    "measured": Row(
        "The same, measured on two drawn networks of these filters",
        "1.7e4",
        0.8 * 17_020.0,
        1.2 * 17_020.0,
        TEXT,
        "exact",
    ),
}
"""What is known of the filters."""


def printed_spreads() -> dict[str, float]:
    """√(2 / (9 d)) for each number of filters."""
    return {str(filters): math.sqrt(2.0 / (9.0 * filters)) for filters in sorted(set(FILTERS))}


def shrinking() -> float:
    """Product of He's spreads, rounded as printed, over 0.01, from conv10 down to conv2."""
    rounded = {filters: round(100.0 * math.sqrt(2.0 / (9.0 * filters)), 1) for filters in FILTERS}
    return math.prod(rounded[filters] for filters in FILTERS[1:])


def measured_shrinking(side: int, divisor: int) -> float:
    """Gradient at the bottom of conv2 over that at the top of conv10: He's weights over weights of spread 0.01.

    Args:
        side: Height and width of the pictures, pixels; a power of two.
        divisor: What the filters are divided by; the spread of 0.01 grows with its root.
    """
    filters = tuple(max(2, count // divisor) for count in FILTERS)
    ratios = []
    for seed, is_small in ((0, False), (1, True)):
        generator = torch.Generator().manual_seed(seed)
        spreads = [SMALL * math.sqrt(divisor) if is_small else math.sqrt(2.0 / (9.0 * count)) for count in filters]
        ratios.append(gradient_ratio(filters, spreads, side, generator))
    return ratios[0] / ratios[1]


def gradient_ratio(filters: tuple[int, ...], spreads: list[float], side: int, generator: torch.Generator) -> float:
    """Draw the convolutions, and pass a random gradient from the output of the last down to the input of the second.

    Args:
        filters: Filters of each convolution.
        spreads: Spread of each one's weights.
        side: Height and width of the pictures, pixels.
        generator: What is drawn from.

    Returns:
        Spread of the gradient there over its spread here.
    """
    signal = torch.randn(4, 3, side, side, generator=generator)
    bottom: Tensor | None = None
    for index, (count, spread) in enumerate(zip(filters, spreads, strict=True)):
        weight = spread * torch.randn(count, signal.shape[1], 3, 3, generator=generator)
        if index == 1:
            bottom = signal = signal.detach().requires_grad_()
        signal = functional.conv2d(signal, weight, padding=1).relu()
        if index % 2 and signal.shape[-1] > 1:
            signal = functional.max_pool2d(signal, 2)
    assert bottom is not None
    top = torch.randn(signal.shape, generator=generator)
    (found,) = torch.autograd.grad(signal, bottom, top)
    return float(found.std() / top.std())
