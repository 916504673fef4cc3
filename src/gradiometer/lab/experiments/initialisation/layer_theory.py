"""Chapter of `initialisation`: what theory says of a layer, beside what drawn networks do.

chi_1 = sigma_w² E[phi'(√q z)²] is the factor of a layer on the squared gradient, q' = sigma_w² E[phi(√q z)²] + sigma_b²
the map of the pre-activations' variance. Measured: tanh networks of 50 layers, 64 Gaussian inputs, a Gaussian gradient
at the output; the factor is the geometric mean over the 40 layers in the middle.

Source:
    Poole et al., NeurIPS 2016; Schoenholz et al., ICLR 2017.
"""

import math
from dataclasses import dataclass

import numpy as np

from gradiometer.activations import ACTIVATIONS
from gradiometer.lab.bench import Bench
from gradiometer.lab.experiments.chapter import Chapter
from gradiometer.schema import Chart, FloatArray, Line, Row, Section, Table
from gradiometer.theory.correlation_map import chi, fixed_correlation
from gradiometer.theory.critical_scale import critical_sigma_w
from gradiometer.theory.length_map import fixed_length, length_depth_scale, next_length

TANH = ACTIVATIONS["tanh"]
DEPTH, EDGE, LOOKED_AT = 50, 5, 25

LINE: dict[float, tuple[float, float]] = {
    1e-4: (1.0860, 0.0457),
    0.001: (1.1892, 0.1073),
    0.01: (1.4242, 0.2733),
    0.05: (1.7610, 0.5700),
    0.1: (1.9861, 0.8058),
    0.2: (2.2852, 1.1645),
    0.3: (2.5051, 1.4612),
    0.5: (2.8432, 1.9710),
}
"""sigma_b² to sigma_w² and q* on tanh's critical line, as printed to four decimals."""

POINTS: dict[float, tuple[float, float, float]] = {
    1.0: (0.1936, 0.7590, 1.75),
    1.3: (0.3153, 0.8802, 1.79),
    1.76: (0.5695, 0.9998, 1.52),
    2.5: (1.0640, 1.1335, 1.18),
    4.0: (2.1955, 1.3424, 0.87),
}
"""sigma_w² to q*, chi_1 and xi_q of tanh at sigma_b² = 0.05, as printed."""

SETTINGS: tuple[tuple[float, float], ...] = (
    (0.9, 0.1),
    (1.0, 0.0),
    (1.3, 0.2236),
    (1.327, 0.2236),
    (1.5, 0.1),
    (2.0, 0.3),
)
"""Scales of weights and biases that are drawn."""

DROPOUT_RATES = (0.01, 0.05, 0.1, 0.3, 0.5)

PAPER = "Schoenholz et al., Deep information propagation, 2017"
BY_QUADRATURE = "Recomputed by Gauss-Hermite quadrature with 101 nodes"
OURS = "Own runs, 10 seeds"

ROWS: dict[str, Row] = {
    "line": Row(
        "Critical line of tanh: farthest sigma_w² from the eight printed, sigma_b² from 1e-4 to 0.5",
        "1.0860 to 2.8432; 1.7610 at sigma_b² = 0.05",
        0.0,
        6e-5,
        BY_QUADRATURE,
        "exact",
    ),
    "line_q": Row("The same for q*", "0.0457 to 1.9710", 0.0, 6e-5, BY_QUADRATURE, "exact"),
    "points_q": Row(
        "Fixed points of tanh at sigma_b² = 0.05: farthest q* from the five printed",
        "0.1936 to 2.1955",
        0.0,
        6e-5,
        BY_QUADRATURE,
        "exact",
    ),
    "points_chi": Row("The same for chi_1", "0.7590 to 1.3424", 0.0, 6e-5, BY_QUADRATURE, "exact"),
    "points_xi": Row("The same for xi_q", "1.75 to 0.87", 0.0, 6e-3, BY_QUADRATURE, "exact"),
    "sign": Row(
        "Share of drawn networks that shrink or grow the gradient as the sign of log chi_1 says, |chi_1 - 1| > 0.03",
        "ordered: vanishing, chaotic: exploding",
        1.0,
        1.0,
        PAPER + ", abstract",
        "seen",
    ),
    "dropout": Row(
        "Greatest c* of a critical tanh network with dropout, rates 0.01 to 0.5",
        "below 1: dropout destroys the critical point",
        0.0,
        0.9999,
        PAPER + ", abstract",
        "seen",
    ),
    "relu": Row("chi_1 of ReLU at sigma_w² = 2", "1", 1.0 - 1e-9, 1.0 + 1e-9, "sigma_w²/2", "exact"),
}
"""What is known of the maps; the rows of gain and length are made from `SETTINGS`."""


@dataclass(frozen=True, slots=True)
class DrawnNetwork:
    """What one drawn network did.

    Attributes:
        gain: Factor of a layer on the squared gradient, geometric mean over the layers in the middle.
        length: Variance of the pre-activations at layer 25.
    """

    gain: float
    length: float


def drawn_network(sigma_w: float, sigma_b: float, width: int, seed: int) -> DrawnNetwork:
    """Draw a tanh network, pass 64 inputs forward and a random gradient back."""
    generator = np.random.default_rng(seed)
    signal = generator.standard_normal((64, width))
    weights, slopes, length = [], [], math.nan
    for layer in range(DEPTH):
        weight = (sigma_w / math.sqrt(width)) * generator.standard_normal((width, width))
        before = signal @ weight + sigma_b * generator.standard_normal(width)
        signal = np.tanh(before)
        weights.append(weight)
        slopes.append(1.0 - signal**2)
        if layer + 1 == LOOKED_AT:
            length = float(np.square(before).mean())
    gradient, powers = generator.standard_normal((64, width)), []
    for weight, slope in zip(reversed(weights), reversed(slopes), strict=True):
        gradient = (gradient * slope) @ weight.T
        powers.append(float(np.square(gradient).sum()))
    middle = powers[EDGE - 1 : DEPTH - EDGE]
    return DrawnNetwork((middle[-1] / middle[0]) ** (1.0 / (len(middle) - 1)), length)


def expected_gain(sigma_w: float, sigma_b: float) -> float:
    """chi_1, at the layers that are measured: q moves on for ever where its fixed point is 0."""
    q, factors = 1.0 * sigma_w**2 + sigma_b**2, []
    for _ in range(DEPTH):
        factors.append(chi(TANH, q, sigma_w))
        q = next_length(TANH, q, sigma_w, sigma_b)
    middle = factors[EDGE : DEPTH - EDGE]
    return math.exp(sum(map(math.log, middle)) / len(middle))


def expected_length(sigma_w: float, sigma_b: float) -> float:
    """Variance of the pre-activations at layer 25, from inputs of variance 1."""
    q = sigma_w**2 + sigma_b**2
    for _ in range(LOOKED_AT - 1):
        q = next_length(TANH, q, sigma_w, sigma_b)
    return q


def examine_theory(bench: Bench) -> Chapter:
    """Compute the maps, draw the networks, compare."""
    bench.progress(0.22, "theory against drawn networks")
    seeds, widths = bench.seeds(toy=1, quick=10, full=40), bench.pick(toy=(20,), quick=(100,), full=(100, 200, 300))
    measured = {
        (width, setting): [drawn_network(*setting, width, seed) for seed in seeds]
        for width in widths
        for setting in SETTINGS
    }
    rows = [*_exact_rows(), *_gain_rows(measured), _sign_row(measured)]
    worst = max(row.measured or 0.0 for row in rows if row.unit == "%" and "gradient" in row.name)
    sentence = (
        f"Theory foretells a layer's factor on the squared gradient to {worst:.1f} % at worst, over {len(SETTINGS)} "
        f"scales at {len(widths)} width(s)."
    )
    return Chapter((_section(measured),), tuple(rows), sentence)


def _exact_rows() -> list[Row]:
    """What is computed alone, beside what is printed."""
    line = [(critical_sigma_w(TANH, math.sqrt(square)), printed) for square, printed in LINE.items()]
    points = []
    for square, printed in POINTS.items():
        sigma_w, sigma_b = math.sqrt(square), math.sqrt(0.05)
        q = fixed_length(TANH, sigma_w, sigma_b)
        points.append(((q, chi(TANH, q, sigma_w), length_depth_scale(TANH, sigma_w, sigma_b)), printed))
    far = [max(abs(found[part] - printed[part]) for found, printed in points) for part in range(3)]
    sigma_w, _ = critical_sigma_w(TANH, math.sqrt(0.05))
    overlaps = [fixed_correlation(TANH, sigma_w, math.sqrt(0.05), dropout=rate) for rate in DROPOUT_RATES]
    return [
        ROWS["line"].filled(max(abs(found[0] ** 2 - printed[0]) for found, printed in line)),
        ROWS["line_q"].filled(max(abs(found[1] - printed[1]) for found, printed in line)),
        ROWS["points_q"].filled(far[0]),
        ROWS["points_chi"].filled(far[1]),
        ROWS["points_xi"].filled(far[2]),
        ROWS["dropout"].filled(max(overlaps)),
        ROWS["relu"].filled(chi(ACTIVATIONS["relu"], 1.0, math.sqrt(2.0))),
    ]


Drawn = dict[tuple[int, tuple[float, float]], list[DrawnNetwork]]


def _gain_rows(measured: Drawn) -> list[Row]:
    """For each scale and width how far gain and length are from theory, per cent."""
    rows = []
    for (width, (sigma_w, sigma_b)), several in measured.items():
        where = f"sigma_w {sigma_w:g}, sigma_b {sigma_b:g}, width {width}"
        gain = math.exp(float(np.mean([math.log(drawn.gain) for drawn in several])))
        distance = 100.0 * abs(gain / expected_gain(sigma_w, sigma_b) - 1.0)
        row = Row(
            f"A layer's factor on the squared gradient against chi_1: {where}", "within 1", 0.0, 2.0, OURS, "own", "%"
        )
        rows.append(row.filled(distance, seeds=len(several)))
        if (sigma_w, sigma_b) == (1.0, 0.0):
            continue
        length = float(np.mean([drawn.length for drawn in several]))
        distance = 100.0 * abs(length / expected_length(sigma_w, sigma_b) - 1.0)
        most = 8.0 if width < 200 else 2.0
        row = Row(f"q at layer 25 against theory: {where}", f"within {most:g}", 0.0, most, OURS, "own", "%")
        rows.append(row.filled(distance, seeds=len(several)))
    return rows


def _sign_row(measured: Drawn) -> Row:
    """Whether gradients shrink and grow where they should."""
    agreeing = [
        (drawn.gain < 1.0) == (expected < 1.0)
        for (_, setting), several in measured.items()
        if abs((expected := expected_gain(*setting)) - 1.0) > 0.03
        for drawn in several
    ]
    return ROWS["sign"].filled(float(np.mean(agreeing)), seeds=len(agreeing))


def _section(measured: Drawn) -> Section:
    expected = {setting: expected_gain(*setting) for setting in SETTINGS}
    order: FloatArray = np.array(sorted(expected.values()))
    widths = sorted({width for width, _ in measured})
    lines = [Line("theory", tuple(order.tolist()), tuple(order.tolist()), "dashes")]
    for width in widths:
        pairs = sorted(
            (expected[setting], math.exp(float(np.mean([math.log(drawn.gain) for drawn in measured[width, setting]]))))
            for setting in SETTINGS
        )
        lines.append(
            Line(f"width {width}", tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs), "points")
        )
    chart = Chart(
        "A layer's factor on the squared gradient",
        "Each point is one scale of weights and biases; theory is the diagonal. Left of 1 gradients vanish, right of 1 "
        "they explode.",
        "chi_1, theory",
        "measured",
        tuple(lines),
    )
    table = Table(
        "Tanh's critical line",
        "The scales at which a layer neither shrinks nor grows the gradient, and the variance q* of the "
        "pre-activations there.",
        ("sigma_b²", "sigma_w²", "printed", "q*", "printed"),
        tuple(
            (square, sigma_w**2, printed[0], q, printed[1])
            for square, printed in LINE.items()
            for sigma_w, q in [critical_sigma_w(TANH, math.sqrt(square))]
        ),
    )
    text = (
        "Before any training, theory says what a wide random layer does: q, the variance of its pre-activations, "
        "follows a map with a fixed point q*, and chi_1 = sigma_w² E[phi'(√q* z)²] is the layer's factor on the "
        "squared gradient. We draw networks of 50 tanh layers, and measure the factor in the 40 in the middle. What "
        "holds a layer to within a per cent does not hold a network to that: over 40 layers one per cent becomes 49."
    )
    return Section("Theory against measurement", (text, chart, table))
