"""Chapter of `initialisation`: how evenly deep networks treat directions, and deep linear networks at their best rate.

The singular values of a network's end-to-end Jacobian say what becomes of a small change in each direction. chi_1 = 1
keeps their mean square; their relative variance grows by one a layer with Gaussian weights, by nothing with orthogonal
ones, and by the unevenness of the activation's slopes on top, which is one a layer for ReLU.

Source:
    Pennington, Schoenholz, Ganguli, NeurIPS 2017; Saxe, McClelland, Ganguli, "Exact solutions to the nonlinear dynamics
    of learning in deep linear neural networks", ICLR 2014.
"""

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from gradiometer.activations import ACTIVATIONS, Activation
from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.digits import load_digits
from gradiometer.lab.experiments.chapter import Chapter
from gradiometer.lab.networks.plain import Start, draw_layers, gaussian_start, standardised, textbook_start
from gradiometer.lab.networks.shapes import leaky
from gradiometer.lab.networks.stacked import stack_of, train_stack
from gradiometer.schema import Chart, FloatArray, Line, Row, Section, Table
from gradiometer.theory.isometry import singular_spread

WIDTH = 128
DEPTHS = (1, 3, 10, 30, 100)

PENNINGTON = "Pennington et al., Resurrecting the sigmoid, 2017"
SAXE = "Saxe et al., Exact solutions to the nonlinear dynamics, 2014"

ROWS: dict[str, Row] = {
    "orthogonal": Row(
        "Share of singular values within a factor of 2 of their root mean square: 100 orthogonal tanh layers",
        "all near 1",
        0.8,
        1.0,
        PENNINGTON,
        "remembered",
    ),
    "gaussian": Row(
        "The same: 100 Gaussian tanh layers", "spread over many orders of magnitude", 0.0, 0.3, PENNINGTON, "remembered"
    ),
    "gaussian_growth": Row(
        "Relative variance of the squared singular values of 30 Gaussian linear layers, over 30",
        "1: the fourth moment of d Gaussian matrices is d + 1",
        0.7,
        1.3,
        "Fuss-Catalan numbers",
        "exact",
    ),
    "relu": Row(
        "The same for 10 orthogonal ReLU layers, over 10", "1: ReLU never has isometry", 0.7, 1.3, PENNINGTON, "exact"
    ),
    "saxe": Row(
        "Deep orthogonal linear networks at their best rates: most over fewest steps to half the loss, by depth",
        "independent of depth",
        1.0,
        2.0,
        SAXE,
        "remembered",
    ),
    "saxe_gaussian": Row(
        "Steps of the deepest Gaussian linear network over those of the orthogonal one",
        "above 1: learning time grows with depth",
        1.2,
        math.inf,
        SAXE,
        "remembered",
    ),
}
"""What is known of directions."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of deep network whose directions are looked at.

    Attributes:
        title: What it is called.
        activation: Its activation.
        sigma_w: Scale of the weights.
        is_orthogonal: Orthogonal weights; Gaussian otherwise.
        q: Variance of the first pre-activations.
    """

    title: str
    activation: Activation
    sigma_w: float
    is_orthogonal: bool
    q: float


def kinds() -> tuple[Kind, ...]:
    """The networks; tanh near its critical point, where the signal is small."""
    tanh, relu, line = (ACTIVATIONS[name] for name in ("tanh", "relu", "identity"))
    return (
        Kind("tanh, orthogonal", tanh, 1.0, is_orthogonal=True, q=0.02),
        Kind("tanh, Gaussian", tanh, 1.0, is_orthogonal=False, q=0.02),
        Kind("ReLU, orthogonal", relu, math.sqrt(2.0), is_orthogonal=True, q=1.0),
        Kind("ReLU, Gaussian", relu, math.sqrt(2.0), is_orthogonal=False, q=1.0),
        Kind("linear, Gaussian", line, 1.0, is_orthogonal=False, q=1.0),
    )


def singular_values(kind: Kind, depths: tuple[int, ...], width: int, seed: int) -> FloatArray:
    """Singular values of the Jacobian at one random input, behind each of the depths [depth unit]."""
    generator = np.random.default_rng(seed)
    before, jacobian = math.sqrt(kind.q) * generator.standard_normal(width), np.eye(width)
    found = []
    for layer in range(1, max(depths) + 1):
        drawn = generator.standard_normal((width, width))
        weight = kind.sigma_w * (np.linalg.qr(drawn)[0] if kind.is_orthogonal else drawn / math.sqrt(width))
        jacobian = weight @ (kind.activation.slope(before)[:, None] * jacobian)
        before = weight @ kind.activation.function(before)
        if layer in depths:
            found.append(np.linalg.svd(jacobian, compute_uv=False))
    return np.array(found)


def relative_variance(values: FloatArray) -> FloatArray:
    """Variance of the squares over the square of their mean [depth]."""
    squares = values**2
    return np.asarray(squares.var(axis=-1) / squares.mean(axis=-1) ** 2)


def near_share(values: FloatArray) -> FloatArray:
    """Share of the values within a factor of 2 of their root mean square [depth]."""
    size = np.sqrt(np.square(values).mean(axis=-1, keepdims=True))
    return np.asarray(((values >= size / 2.0) & (values <= 2.0 * size)).mean(axis=-1))


def linear_steps(inputs: Tensor, labels: Tensor, depths: tuple[int, ...], seeds: range, steps: int) -> FloatArray:
    """Steps until a deep linear network has halved its loss, at the best of several rates; inf for never.

    Returns:
        Means over the seeds, orthogonal and Gaussian [start depth].
    """
    starts: tuple[Start, ...] = (textbook_start("orthogonal"), gaussian_start(1.0))
    found = np.zeros((len(starts), len(depths)))
    width = inputs.shape[1]
    for index, depth in enumerate(depths):
        rates = [product / depth for product in (0.1, 0.2, 0.4, 0.8)]
        drawn = [draw_layers([*[width] * depth, 10], start, seed) for start in starts for seed in seeds]
        stack = stack_of([layers for layers in drawn for _ in rates], [leaky(1.0)])
        history = train_stack(stack, inputs, labels, rates * len(drawn), steps=steps, batch_size=64)
        reached = np.nan_to_num(history.steps_to(0.5 * math.log(10.0)), nan=np.inf)
        found[:, index] = reached.reshape(len(starts), len(seeds), len(rates)).min(axis=2).mean(axis=1)
    return found


def examine_directions(bench: Bench) -> Chapter:
    """Look at the singular values, and train deep linear networks."""
    bench.progress(0.5, "singular values of deep networks")
    depths, width = (
        bench.pick(toy=(1, 3, 10, 30), quick=DEPTHS, full=DEPTHS),
        bench.pick(toy=16, quick=WIDTH, full=WIDTH),
    )
    seeds = bench.seeds(toy=1, quick=1, full=5)
    values = {kind.title: np.array([singular_values(kind, depths, width, seed) for seed in seeds]) for kind in kinds()}
    spreads = {title: relative_variance(several) for title, several in values.items()}
    inputs, labels = standardised(load_digits())
    linear_depths = bench.pick(toy=(2, 4), quick=(4, 8, 16, 32), full=(4, 8, 16, 32, 64))
    linear_seeds = bench.seeds(toy=1, quick=1, full=3)
    bench.progress(0.52, "deep linear networks")
    steps = linear_steps(inputs, labels, linear_depths, linear_seeds, bench.pick(toy=6, quick=45, full=200))
    near = {title: near_share(several)[:, -1] for title, several in values.items()}
    rows = (
        ROWS["orthogonal"].filled_from(near["tanh, orthogonal"]),
        ROWS["gaussian"].filled_from(near["tanh, Gaussian"]),
        ROWS["gaussian_growth"].filled_from(spreads["linear, Gaussian"][:, depths.index(30)] / 30.0),
        ROWS["relu"].filled_from(spreads["ReLU, orthogonal"][:, depths.index(10)] / 10.0),
        ROWS["saxe"].filled(_ratio(steps[0].max(), steps[0].min()), seeds=len(linear_seeds)),
        ROWS["saxe_gaussian"].filled(_ratio(steps[1, -1], steps[0, -1]), seeds=len(linear_seeds)),
    )
    sentence = (
        f"Through {depths[-1]} tanh layers {100 * near['tanh, orthogonal'].mean():.0f} % of the directions keep their "
        f"size with orthogonal weights, {100 * near['tanh, Gaussian'].mean():.0f} % with Gaussian ones."
    )
    return Chapter((_section(spreads, depths), _linear_section(steps, linear_depths)), rows, sentence)


def _ratio(more: float, fewer: float) -> float:
    """Quotient of two numbers of steps; nan where neither network learned."""
    return float(more / fewer) if math.isfinite(fewer) else math.nan


def _section(spreads: dict[str, FloatArray], depths: tuple[int, ...]) -> Section:
    x = tuple(float(depth) for depth in depths)
    measured = [
        Line(title, x, tuple(np.maximum(several.mean(axis=0), 1e-4).tolist())) for title, several in spreads.items()
    ]
    theory = [
        Line(
            f"{kind.title}, theory",
            x,
            tuple(
                max(singular_spread(kind.activation, kind.q, depth, is_orthogonal=kind.is_orthogonal), 1e-4)
                for depth in depths
            ),
            "dashes",
        )
        for kind in kinds()
    ]
    chart = Chart(
        "How unevenly directions are treated",
        "Relative variance of the squared singular values: 0 treats all directions alike. Theory is for wide layers "
        "and for a signal that keeps its size; tanh's fades, so that its layers become more even with depth.",
        "layers",
        "relative variance",
        (*measured, *theory),
        "log",
        "log",
    )
    text = (
        "A gradient that keeps its length on average can still lose most of what it says: through random layers a few "
        "directions win what the others lose, more with every layer, until all gradients point the same way. "
        "Orthogonal weights treat all directions alike; what is left is the activation. Tanh near 0 is almost a line; "
        "ReLU cuts half of the units off in every layer, whatever its weights."
    )
    return Section("Directions, not lengths alone", (text, chart))


def _linear_section(steps: FloatArray, depths: tuple[int, ...]) -> Section:
    names = ("orthogonal", "Gaussian")
    table = Table(
        "Steps until the loss has halved",
        "At the best of four rates, all in proportion to 1/depth; means over the seeds.",
        ("layers", *names),
        tuple(
            (float(depth), *("never" if np.isinf(count) else float(count) for count in steps[:, index]))
            for index, depth in enumerate(depths)
        ),
    )
    text = (
        "A deep linear network is one matrix, and yet it learns as a deep network does: each layer's gradient is the "
        "product of all others. With orthogonal weights the steps that it takes hardly depend on its depth, if the "
        "rate falls as 1/depth; with Gaussian weights they grow."
    )
    return Section("Deep linear networks", (text, table))
