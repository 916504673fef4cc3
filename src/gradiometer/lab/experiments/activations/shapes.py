"""Chapter of `activations`: each function by itself: slope, flat parts, mean of its output, cost.

Slopes are read off torch's own backward pass in float64, not off formulas; expectations under a Gaussian are sums over
a fine grid. Maxout of two pieces is drawn with the second piece -z; its expectations are those of the greater of two
independent Gaussians, whose density is 2·density·distribution.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gradiometer.lab.bench import Bench
from gradiometer.lab.experiments.chapter import Chapter
from gradiometer.lab.networks.shapes import SHAPES, TITLES, pieces_of
from gradiometer.schema import Chart, Line, Row, Section, Table
from gradiometer.theory.critical_scale import critical_scale
from gradiometer.theory.self_normalising import self_normalising_constants
from gradiometer.units import decibels

FLAT_SHARE = 0.05
"""A function is flat where its slope is below this share of its greatest."""

ROOT_TWO = math.sqrt(2.0)

ROWS: dict[str, Row] = {
    "sigmoid": Row(
        "Greatest slope of the sigmoid", "0.25", 0.25 - 1e-9, 0.25 + 1e-9, "1/4 at 0, by arithmetic", "exact"
    ),
    "tanh": Row("Greatest slope of tanh", "1", 1.0 - 1e-9, 1.0 + 1e-9, "1 at 0, by arithmetic", "exact"),
    "gelu": Row(
        "Greatest slope of GELU",
        "Φ(√2) + √2 φ(√2) = 1.128904",
        1.128904145 - 1e-6,
        1.128904145 + 1e-6,
        "Where its second derivative, (2 - z²) φ(z), is 0",
        "exact",
    ),
    "silu": Row(
        "Greatest slope of SiLU",
        "1.099839",
        1.0998393194 - 1e-6,
        1.0998393194 + 1e-6,
        "At z = 2.399357, where its second derivative is 0",
        "exact",
    ),
    "selu": Row(
        "Greatest slope of SELU, scale times alpha",
        "1.75809934084737686",
        1.75809934084737686 - 1e-6,
        1.75809934084737686 + 1e-6,
        "Klambauer et al., Self-normalizing neural networks, 2017: their code",
        "seen",
    ),
    "selu_scale": Row(
        "SELU's scale, solved from mean 0 and variance 1 as a fixed point",
        "1.0507009873554804934",
        1.0507009873554804934 - 1e-12,
        1.0507009873554804934 + 1e-12,
        "Klambauer et al. 2017: their code",
        "seen",
    ),
    "selu_alpha": Row(
        "SELU's alpha, solved likewise",
        "1.6732632423543772848",
        1.6732632423543772848 - 1e-12,
        1.6732632423543772848 + 1e-12,
        "Klambauer et al. 2017: their code",
        "seen",
    ),
    "relu_weights": Row(
        "Weights that keep the signal through ReLU: n·Var[w]",
        "2",
        2.0 - 1e-9,
        2.0 + 1e-9,
        "He et al., Delving deep into rectifiers, 2015, equation 10",
        "exact",
    ),
    "prelu_weights": Row(
        "Weights that keep the signal through PReLU of slope a = 0.25: n·Var[w]",
        "2 / (1 + a²) = 1.882353",
        2.0 / 1.0625 - 1e-9,
        2.0 / 1.0625 + 1e-9,
        "He et al. 2015, equation 15",
        "exact",
    ),
    "sigmoid_at_ten": Row(
        "Slope of the sigmoid at 10",
        "4.5396e-5",
        4.5395e-5,
        4.5397e-5,
        "σ(10)·σ(-10), by arithmetic",
        "exact",
    ),
    "sigmoid_mean": Row(
        "Mean output of the sigmoid for centred input", "0.5", 0.5 - 1e-6, 0.5 + 1e-6, "By symmetry", "exact"
    ),
    "relu_mean": Row(
        "Mean output of ReLU for a standard Gaussian",
        "1/√(2π) = 0.398942",
        0.398942 - 1e-5,
        0.398942 + 1e-5,
        "By arithmetic",
        "exact",
    ),
    "maxout_mean": Row(
        "Mean output of maxout of two pieces for standard Gaussians",
        "1/√π = 0.564190",
        0.564190 - 1e-5,
        0.564190 + 1e-5,
        "By arithmetic",
        "exact",
    ),
}
"""What is known of the functions."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What one activation is like.

    Attributes:
        greatest_slope: Greatest slope between -40 and 40.
        slope_below: Slope at -10.
        slope_above: Slope at 10.
        flat_share: Share of standard Gaussian pre-activations where it is flat.
        flat_share_wide: The same at a spread of 5.
        mean: Mean output for standard Gaussian pre-activations.
        rms: Root mean square of the output.
        rms_slope: Root mean square of the slope: what a layer's gradient is multiplied by.
    """

    greatest_slope: float
    slope_below: float
    slope_above: float
    flat_share: float
    flat_share_wide: float
    mean: float
    rms: float
    rms_slope: float


def traced(name: str, points: Tensor) -> tuple[Tensor, Tensor]:
    """Values and slopes of an activation by torch's own backward pass.

    Args:
        name: A key of `SHAPES`.
        points: Pre-activations, float64 [point]; maxout's second piece is -z.

    Returns:
        Values and slopes [point].
    """
    points = points.detach().clone().requires_grad_()
    # At 0 both pieces of maxout are equal and torch halves the gradient between them; no unit meets that.
    before = torch.stack([points, -points]).T if name == "maxout" else points[:, None]
    values = SHAPES[name](before, torch.tensor(0.25, dtype=points.dtype))[:, 0]
    (slopes,) = torch.autograd.grad(values.sum(), points)
    return values.detach(), slopes


def traits_of(name: str) -> Traits:
    """Measure one activation."""
    wide = torch.linspace(-40.0, 40.0, 16_001, dtype=torch.float64)
    _, slopes = traced(name, wide)
    best = wide[slopes.abs().argmax()]
    _, near = traced(name, best + torch.linspace(-0.005, 0.005, 2001, dtype=torch.float64))
    greatest = float(near.abs().max())
    _, ends = traced(name, torch.tensor([-10.0, 10.0], dtype=torch.float64))
    values, slopes_here = (wide, torch.ones_like(wide)) if name == "maxout" else traced(name, wide)
    flat = (slopes_here.abs() < FLAT_SHARE * greatest).double()
    weights, wide_weights = (_weights(wide, spread, is_greater=name == "maxout") for spread in (1.0, 5.0))
    return Traits(
        greatest_slope=greatest,
        slope_below=float(ends[0]),
        slope_above=float(ends[1]),
        flat_share=float(weights @ flat),
        flat_share_wide=float(wide_weights @ flat),
        mean=float(weights @ values),
        rms=math.sqrt(float(weights @ values.square())),
        rms_slope=math.sqrt(float(weights @ slopes_here.square())),
    )


def _weights(points: Tensor, spread: float, *, is_greater: bool) -> Tensor:
    """What each point of an even grid counts for in an expectation; `is_greater`: of the greater of two Gaussians."""
    scaled = points / spread
    density = torch.exp(-0.5 * scaled.square()) / (spread * math.sqrt(2.0 * math.pi))
    if is_greater:
        density = density * (1.0 + torch.erf(scaled / ROOT_TWO))
    return density * float(points[1] - points[0])


def cost_of(name: str, elements: int, repeats: int) -> tuple[float, float]:
    """Time of an activation in torch, the least over the repeats.

    Args:
        name: A key of `SHAPES`.
        elements: Outputs of one call, float32.
        repeats: Calls that are timed.

    Returns:
        Forward and backward, nanoseconds per output.
    """
    generator = torch.Generator().manual_seed(0)
    before = torch.randn(64, elements // 64 * pieces_of(name), generator=generator).requires_grad_()
    slope, ones = torch.tensor(0.25, requires_grad=True), torch.ones(64, elements // 64)

    def forward() -> Tensor:
        return SHAPES[name](before, slope)

    after = forward()
    wanted = [before, slope] if name == "prelu" else [before]
    forward_seconds = _least_seconds(forward, repeats)
    backward_seconds = _least_seconds(lambda: torch.autograd.grad(after, wanted, ones, retain_graph=True), repeats)
    return 1e9 * forward_seconds / elements, 1e9 * backward_seconds / elements


def _least_seconds(work: Callable[[], object], repeats: int) -> float:
    """Least time of a call, seconds."""
    best = math.inf
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best


def examine_shapes(bench: Bench) -> Chapter:
    """Draw and measure every activation by itself."""
    bench.progress(0.0, "functions and slopes")
    traits = {name: traits_of(name) for name in SHAPES}
    rows = _filled(traits)
    elements, repeats = bench.pick(toy=(2**10, 2), quick=(2**16, 20), full=(2**18, 40))
    costs = {name: cost_of(name, elements, repeats) for name in SHAPES}
    weak = [name for name in traits if traits[name].greatest_slope < 1.0 - 1e-6]
    told = ", ".join(
        f"{TITLES[name]} {traits[name].greatest_slope:.4g} ({decibels(traits[name].greatest_slope):.1f} dB a layer; "
        f"{traits[name].slope_above:.2g} at 10)"
        for name in weak
    )
    sentence = f"Greatest slope below 1, of {len(traits)} activations: {told}."
    return Chapter((_shapes_section(traits), _cost_section(costs, elements)), rows, sentence)


def _filled(traits: dict[str, Traits]) -> tuple[Row, ...]:
    """The rows with what was measured."""
    scale, alpha = self_normalising_constants()
    measured = {
        **{name: traits[name].greatest_slope for name in ("sigmoid", "tanh", "gelu", "silu", "selu")},
        "selu_scale": scale,
        "selu_alpha": alpha,
        "relu_weights": critical_scale("relu").sigma_w ** 2,
        "prelu_weights": critical_scale("prelu").sigma_w ** 2,
        "sigmoid_at_ten": traits["sigmoid"].slope_above,
        "sigmoid_mean": traits["sigmoid"].mean,
        "relu_mean": traits["relu"].mean,
        "maxout_mean": traits["maxout"].mean,
    }
    return tuple(row.filled(measured[name]) for name, row in ROWS.items())


def _shapes_section(traits: dict[str, Traits]) -> Section:
    points = torch.linspace(-6.0, 6.0, 241, dtype=torch.float64)
    curves = {name: traced(name, points) for name in SHAPES}
    centred = ", ".join(TITLES[name] for name, trait in traits.items() if abs(trait.mean) < 0.01 * trait.rms)
    text = (
        "Every layer multiplies the gradient by the slope f'(z) of its activation. We read the slopes off torch's own "
        "backward pass. Three things decide what an activation does to a deep network: its greatest slope (a factor "
        "below 1 in every layer is a vanishing gradient), how much of the axis is flat (a unit there learns nothing), "
        "and the mean of its output (what is always positive pushes all units of the next layer the same way). "
        f"Zero-centred for centred input: {centred}."
    )
    values = _curves_chart(
        "What each activation passes on",
        "Maxout is drawn with its second piece -z, so that it is |z|.",
        "f(z)",
        points,
        {name: curve[0] for name, curve in curves.items()},
    )
    slopes = _curves_chart(
        "The factor on the gradient",
        "On the way back the gradient is multiplied by this, unit by unit. Where a curve lies at 0, nothing passes.",
        "f'(z)",
        points,
        {name: curve[1] for name, curve in curves.items()},
    )
    return Section("Function and slope", (text, values, slopes, _traits_table(traits)))


def _curves_chart(title: str, caption: str, y_title: str, points: Tensor, curves: dict[str, Tensor]) -> Chart:
    x = tuple(points.tolist())
    lines = tuple(Line(TITLES[name], x, tuple(curve.tolist())) for name, curve in curves.items())
    return Chart(title, caption, "pre-activation z", y_title, lines)


def _traits_table(traits: dict[str, Traits]) -> Table:
    return Table(
        "The functions in numbers",
        "Flat: slope below 5 % of the greatest. Shares, mean, size and typical slope are expectations for Gaussian "
        "pre-activations of spread 1 (and 5 where it says so).",
        (
            "activation",
            "greatest slope",
            "slope at -10",
            "slope at 10",
            "flat at spread 1, %",
            "flat at spread 5, %",
            "mean output",
            "size of output (rms)",
            "typical slope (rms)",
        ),
        tuple(
            (
                TITLES[name],
                trait.greatest_slope,
                trait.slope_below,
                trait.slope_above,
                100.0 * trait.flat_share,
                100.0 * trait.flat_share_wide,
                trait.mean,
                trait.rms,
                trait.rms_slope,
            )
            for name, trait in traits.items()
        ),
    )


def _cost_section(costs: dict[str, tuple[float, float]], elements: int) -> Section:
    names = tuple(TITLES[name] for name in costs)
    chart = Chart(
        "Time per output",
        "The least over many calls on this machine; beside a matrix product of width n, which takes n multiplications "
        "an output, all of it is little.",
        "activation",
        "time, ns per output",
        (
            Line("forward", names, tuple(cost[0] for cost in costs.values()), "bars"),
            Line("backward", names, tuple(cost[1] for cost in costs.values()), "bars"),
        ),
    )
    text = (
        f"What a function costs, forward and backward, measured in torch on {elements:,} float32 outputs with "
        f"{torch.get_num_threads()} thread(s). Maxout reads two pre-activations for each output, and its layer has "
        "twice the weights, which is not counted here; PReLU's backward pass sums up its slope's own gradient."
    )
    return Section("Cost per element", (text, chart))
