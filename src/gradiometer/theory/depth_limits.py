"""How deep a network may be, and what sets the limit.

The rule of the field, six xi_c, is about correlation alone: beyond it two inputs have become alike (or unrelated) and
nothing of what told them apart is left. On the edge of chaos that limit is gone, and others remain: the width, the
number format, the singular values (`isometry`) and the learning rate (`learning_rate`).

Source:
    Schoenholz et al. 2017, section 5, for six xi_c; Hanin, "Which neural net architectures give rise to exploding and
    vanishing gradients?", NeurIPS 2018, for the width.
"""

import math
from dataclasses import dataclass

DEPTH_SCALES = 6.0
"""Networks train to about this many xi_c."""

SMALLEST_NORMAL, LARGEST = 2.0**-126, 2.0**128
"""The range of float32."""


@dataclass(frozen=True, slots=True)
class DepthLimit:
    """One thing that limits the depth.

    Attributes:
        name: `correlation`, `gradient`, `width`, `float32` or `length`.
        layers: Depth at which it sets in; inf where it never does.
    """

    name: str
    layers: float


def depth_limits(
    *, chi_1: float, xi_c: float, xi_gradient: float, length_growth: float, width: int | None
) -> tuple[DepthLimit, ...]:
    """Everything that limits the depth of a plain network, the tightest first.

    Args:
        chi_1: Factor on the squared gradient per layer.
        xi_c: Depth scale of the correlation; nan where there is no fixed length.
        xi_gradient: Depth scale of the squared gradient.
        length_growth: Factor on the signal's variance per layer where it has no fixed length; 1 where it has one.
        width: Units of a hidden layer; None for not known.

    Returns:
        The limits. `correlation`: six xi_c. `gradient`: six xi_gradient, over which the gradient's norm changes by a
        factor of e³ = 20; left out where it is the same, in the ordered phase. `width`: as many layers as units, where
        the norms of gradients differ between two drawings of the weights by a factor of order e. `float32`: where a
        gradient that is 1 at the output leaves the range of normal float32 numbers. `length`: where a signal without
        fixed length does.
    """
    gradient_range = LARGEST if chi_1 > 1.0 else SMALLEST_NORMAL
    signal_range = LARGEST if length_growth > 1.0 else SMALLEST_NORMAL
    limits = [
        DepthLimit("correlation", DEPTH_SCALES * xi_c),
        DepthLimit("gradient", math.nan if xi_gradient == xi_c else DEPTH_SCALES * xi_gradient),
        DepthLimit("width", math.inf if width is None else float(width)),
        DepthLimit("float32", layers_to(gradient_range, chi_1)),
        DepthLimit("length", layers_to(signal_range, length_growth)),
    ]
    return tuple(sorted((limit for limit in limits if not math.isnan(limit.layers)), key=lambda limit: limit.layers))


def layers_to(bound: float, factor: float) -> float:
    """Layers until a norm that begins at 1 reaches a bound, when its square is multiplied by `factor` per layer.

    Returns:
        The layers; inf where it is kept, 1 where it is lost at once.

    Example:
        >>> layers_to(2.0**-126, 0.25)
        126.0
    """
    if factor == 0.0:
        return 1.0
    return math.inf if abs(factor - 1.0) < 1e-9 else math.log(bound) / (0.5 * math.log(factor))
