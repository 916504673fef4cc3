"""The page of `product`: what was measured, in text, curves and tables."""

import math

import numpy as np

from gradiometer.lab.experiments.learning_speeds.gradient_lengths import FloatArray
from gradiometer.lab.experiments.product.layer_factors import LayerFactors
from gradiometer.lab.experiments.product.unit_chains import (
    PathSum,
    Term,
    balanced_chain,
    draw_chain,
    first_gradient,
    sigmoid_slope,
    terms_of,
)
from gradiometer.lab.networks.feed_forward import Array
from gradiometer.lab.networks.watched_descent import WatchedDescent
from gradiometer.schema import Chart, Line, Row, Section, Table

SHOWN_CHAIN = (5, 1.0, 0)
"""Units, spread and seed of the chain that is shown."""


def summary(terms: dict[float, FloatArray], factors: dict[tuple[str, str], LayerFactors], rows: tuple[Row, ...]) -> str:
    """What it shows and what came out."""
    usual = _log_products(terms[1.0])
    widest = next(row for row in rows if row.name == "greatest width of the window of inputs")
    worst = max(abs(run.measured_mean / run.expected_mean - 1.0) for run in factors.values())
    return (
        f"With weights from N(0, 1) {100.0 * (np.abs(terms[1.0]) < 0.25).mean():.0f} % of the terms w s'(z) are below "
        f"a quarter, and half of all chains of {terms[1.0].shape[1] + 1} sigmoids hand the first unit less than "
        f"10^{np.median(usual):.1f} of the gradient. A term can only exceed 1 where the weight exceeds 4, and then in "
        f"a window of inputs that is at most {widest.measured:.2f} wide. In wide networks the factor of a layer is "
        f"what theory says, to {100.0 * worst:.1f} % at worst over {len(factors)} activations and scales: "
        f"{factors['sigmoid', 'default'].measured_mean:.3f} for sigmoids with the usual start, "
        f"{factors['relu', 'he'].measured_mean:.3f} for ReLU with He's. The scale that brings it to 1 follows from "
        "the activation alone."
    )


def section_on_a_chain() -> Section:
    """One chain, every term shown."""
    chain = draw_chain(*SHOWN_CHAIN)
    terms = terms_of(chain)
    text = (
        f"Take {len(chain.weights)} sigmoid units one behind the other, z_j = w_j a_(j-1) + b_j and a_j = s(z_j). "
        "Moving the first bias a little moves z_1, and what arrives at the cost has gone through every unit and every "
        "weight on the way, each of which multiplies it: dC/db_1 = s'(z_1) w_2 s'(z_2) w_3 s'(z_3) ... dC/da_n. Below "
        "are the terms of one chain with weights from N(0, 1). Watch the running product: every slope takes away at "
        "least three quarters, and only a weight above 4 could win that back."
    )
    product = math.prod(term.value for term in terms)
    check = (
        f"The product is {product:.6g}. The derivative of the cost itself, taken without the chain rule by a tiny "
        f"imaginary change of the bias, is {first_gradient(chain):.6g}."
    )
    return Section("One chain, term by term", (text, _term_table(terms), check))


def _term_table(terms: tuple[Term, ...]) -> Table:
    rows, product = [], 1.0
    for term in terms:
        product *= term.value
        rows.append((term.name, term.value, product))
    return Table(
        "The terms of dC/db1", "From the first unit to the cost.", ("term", "value", "product so far"), tuple(rows)
    )


def section_on_fractions() -> Section:
    """A quarter, a third, a twelfth."""
    chain = balanced_chain((1 / 4, 1 / 3))
    found = first_gradient(chain)
    text = (
        "A quarter times a third is a twelfth, which is less than either: multiplying fractions only ever makes them "
        "smaller, and that is all there is to a vanishing gradient. The chain below is built so that its terms are "
        "exactly these. A sigmoid at z = 0 has its greatest slope, a quarter; behind a weight of 1 the term is a "
        "quarter, behind a weight of 4/3 a third. All that arrives at the first unit is "
        f"{found:.6f}, which is 1/{1.0 / found:.0f}. A quarter and a third also meet in a wide layer: the slope's "
        "quarter, and weights drawn from U(-1/√n, 1/√n), the common start before 2010, whose variance is a third of "
        "1/n. With every layer the gradient's power then falls to 1/16 · 1/3 = 1/48 at best, its length to "
        "1/4 · √(1/3) = 0.144."
    )
    layers = np.arange(11)
    quarter, twelfth, uniform = 0.25**layers, (1 / 12.0) ** (layers / 2.0), (1 / 48.0) ** (layers / 2.0)
    x = _floats(layers)
    chart = Chart(
        "What is left of a gradient",
        "Products of equal terms; a straight line on the logarithmic scale is the same factor again and again.",
        "units or layers on the way", "share of the gradient",
        (
            Line("a quarter each: sigmoids at their best, weights 1", x, _floats(quarter)),
            Line("a quarter and a third in turn: a twelfth for two", x, _floats(twelfth)),
            Line("wide layers with uniform weights of variance 1/3n", x, _floats(uniform)),
            Line("1: balanced", x, tuple(1.0 for _ in layers)),
        ),
        y_scale="log",
    )  # fmt: skip
    return Section("A quarter, a third, a twelfth", (text, _term_table(terms_of(chain)), chart))


def section_on_distributions(terms: dict[float, FloatArray], gradients: dict[str, FloatArray]) -> Section:
    """How products are distributed over weights and starts."""
    usual = terms[1.0]
    count = usual.shape[1]
    logs = {spread: _log_products(values) for spread, values in terms.items()}
    best = max(logs, key=lambda spread: float(np.median(logs[spread])))
    exploded = sum(int((values > 0.0).sum()) for values in logs.values())
    text = (
        "One chain is an anecdote, so draw many. The logarithm of a product is a sum, and a sum of many terms is "
        f"nearly normal around its mean: products spread over orders of magnitude. Of {len(usual)} chains with weights "
        f"from N(0, 1), half keep less than 10^{np.median(logs[1.0]):.1f} of the gradient over {count} units. Larger "
        "weights do not rescue the chain: they drive units into saturation, where the slope falls faster than the "
        f"weight grows. The best median is 10^{np.median(logs[best]):.1f}, at a standard deviation of {best:g}, and of "
        f"all {len(usual) * len(logs)} chains of all spreads {exploded} hand on more than they were given."
    )
    chain_chart = _histogram(
        f"Products over {count} units of a chain",
        "Share of the chains in each half of an order of magnitude; what lies to the left of the axis is at its end.",
        {f"weights N(0, {spread:g}²)": logs[spread] for spread in (1.0, 4.0, 16.0, 100.0)},
        (-20.0, 6.0),
    )
    return Section("Over weights and starts", (text, chain_chart, *_network_parts(gradients)))


def _network_parts(gradients: dict[str, FloatArray]) -> tuple[str, Chart, Table]:
    """The gradient of a first weight over drawn networks."""
    spans = {
        name: [float(span) for span in np.log10(np.percentile(values[values > 0.0], [5.0, 50.0, 95.0]))]
        for name, values in gradients.items()
    }
    medians = [span[1] for span in spans.values()]
    text = (
        "In a network the gradient of an early weight is a sum of such products over all paths, and the start decides. "
        "Below is the size of the gradient of a weight in the first of six hidden layers, over drawn networks and "
        f"pictures. Look for the distance between the hills: {max(medians) - min(medians):.1f} orders of magnitude lie "
        "between the lowest and the highest median, and no learning rate serves both."
    )
    table = Table(
        "log10 of the gradient of a first weight, by start",
        "Zeros, which blocked ReLU units give, are left out.",
        ("start", "5th percentile", "median", "95th percentile"),
        tuple((name, *span) for name, span in spans.items()),
    )
    chart = _histogram(
        "Gradients of a weight in the first of six hidden layers",
        "Share of the weights in each half of an order of magnitude.",
        {name: np.log10(values[values > 0.0]) for name, values in gradients.items()},
        (-12.0, 2.0),
    )
    return text, chart, table


def _histogram(title: str, caption: str, values: dict[str, FloatArray], reach: tuple[float, float]) -> Chart:
    """Shares per half order of magnitude; what lies outside is counted at the ends."""
    edges = np.arange(reach[0], reach[1] + 0.25, 0.5)
    middles = _floats(0.5 * (edges[:-1] + edges[1:]))
    lines = []
    for name, logs in values.items():
        counts, _ = np.histogram(np.clip(logs, edges[0], edges[-1] - 1e-9), bins=edges)
        lines.append(Line(name, middles, _floats(counts / len(logs))))
    return Chart(title, caption, "log10 of its size", "share", tuple(lines))


def section_on_the_window(windows: dict[float, float], terms: dict[float, FloatArray]) -> Section:
    """When a term is above 1."""
    sizes, widths = np.array(list(windows)), np.array(list(windows.values()))
    best = int(widths.argmax())
    text = (
        "When does it explode? A term |w s'(z)| of 1 or more needs |w| ≥ 4, since s' ≤ 1/4. But z = w a + b itself "
        "depends on w: the inputs a over which the slope is large enough form a window of width "
        "2/|w| · ln(|w| (1 + √(1 - 4/|w|)) / 2 - 1), which closes again as the weight grows. It is widest, "
        f"{widths[best]:.3f}, at |w| = {sizes[best]:.2f}. An activation between 0 and 1 has to fall into so narrow a "
        "window in every layer at once, so chains of sigmoids seldom explode by chance. By intention it is easy: with "
        "weights of 100 and biases that keep every z at 0 each term is "
        f"{100.0 * float(sigmoid_slope(np.array(0.0))):.0f}."
    )
    window_chart = Chart(
        "Inputs for which a term is at least 1",
        "Width of the window of inputs, by the size of the weight.",
        "size of the weight", "width",
        (Line("formula", _floats(sizes), _floats(widths)),), x_scale="log", marks=((4.0, "4"),),
    )  # fmt: skip
    spreads = tuple(terms)
    above = tuple(float((np.abs(terms[spread]) >= 1.0).mean()) for spread in spreads)
    exploded = tuple(float((_log_products(terms[spread]) > 0.0).mean()) for spread in spreads)
    middle = tuple(float(np.median(_log_products(terms[spread]))) for spread in spreads)
    table = Table(
        "Terms and products by the spread of weights and biases",
        "Terms above 1 become more frequent with the spread at first, and rarer again where units saturate.",
        ("standard deviation", "share of terms of at least 1", "share of products above 1", "median log10 product"),
        tuple(zip(spreads, above, exploded, middle, strict=True)),
    )
    return Section("When it explodes", (text, window_chart, table))


def section_on_paths(sizes: tuple[int, ...], paths: PathSum) -> Section:
    """A small network, path by path."""
    total = sum(path.product for path in paths.paths)
    weight = sum(abs(path.product) for path in paths.paths)
    text = (
        f"In a network of {'-'.join(map(str, sizes))} units the weight from the first input to the first hidden unit "
        f"reaches the output by {len(paths.paths)} paths, and its gradient is the sum of their products. The paths sum "
        f"up to {total:.6g}, backpropagation gives {paths.gradient:.6g}: it is nothing but a way to add all paths "
        "without listing them. Paths of opposite sign cancel: here "
        f"{100.0 * abs(total) / weight:.0f} % of their sizes survive. In a wide layer with independent weights signs "
        "are random, so n paths add up like √n; this is why weights of variance 1/n are the natural unit."
    )
    table = Table(
        "The paths with the greatest products",
        "Units are counted from 1 in each hidden layer behind the first.",
        ("path", "product", "share of the gradient"),
        tuple(
            (" → ".join(str(unit + 1) for unit in path.units), path.product, path.product / paths.gradient)
            for path in paths.paths[:10]
        ),
    )
    return Section("Path by path", (text, table))


def section_on_balance(factors: dict[tuple[str, str], LayerFactors]) -> Section:
    """Which scale of weights keeps the product near 1."""
    text = (
        "In a wide layer the sum over many paths is predictable: a layer multiplies the gradient's length by "
        "√(σ_w² E[f'(z)²]), where σ_w²/n is the variance of the weights, and the mean goes over pre-activations z, "
        "which are normal. It is 1 at the critical scale. For ReLU half of the slopes are 1 and half are 0, so "
        "σ_w² = 2; for tanh the slope is 1 as long as signals are small, so σ_w = 1; for a sigmoid it is a quarter, so "
        "σ_w = 4, and the mean of 1/2 that every unit sends on has to be taken out by the biases, or else it saturates "
        "the next layer. At the critical scale tanh and sigmoid still lie somewhat below 1 here, since the signal "
        "comes in large, and only over the layers shrinks to where slopes are greatest. Points are measured, lines are "
        "theory, which knows only the size of the signal in the first layer."
    )
    lines = []
    for activation in dict.fromkeys(name for name, _ in factors):
        runs = {float(key[1:]): run for (name, key), run in factors.items() if name == activation and key[0] == "x"}
        scales = tuple(runs)
        lines.append(Line(f"{activation}, theory", scales, tuple(run.expected_mean for run in runs.values())))
        measured = tuple(run.measured_mean for run in runs.values())
        lines.append(Line(f"{activation}, measured", scales, measured, style="points"))
    chart = Chart(
        "Factor of a layer on the gradient's length",
        "Below 1 gradients vanish with depth, above they explode; tanh and the sigmoid without its mean are one and "
        "the same function at another scale, so their points coincide.",
        "weights as a multiple of the critical scale", "factor", tuple(lines), marks=((1.0, "critical"),),
    )  # fmt: skip
    depth = next(iter(factors.values())).measured.shape[1]
    table = Table(
        "The usual starts",
        f"Geometric mean over {depth} layers; the last column says what is left of a gradient behind 20 of them.",
        ("activation", "start", "measured", "theory", "measured to the power of 20"),
        tuple(
            (activation, start, run.measured_mean, run.expected_mean, run.measured_mean**20)
            for (activation, start), run in factors.items()
            if start[0] != "x"
        ),
    )
    return Section("What balances it", (text, chart, table))


def section_on_runs(watched: list[WatchedDescent]) -> Section:
    """The watched runs."""
    text = (
        "Sigmoids at a quarter of the critical scale, sigmoids at it and ReLUs at three times theirs, six hidden "
        "layers each, were trained under gradiometer's eyes. Their run files open with `gradiometer report`, whose "
        "gain budget is this product in decibels: there factors become sums."
    )
    return Section("What gradiometer says of them", (text, *(run.sentence() for run in watched)))


def _log_products(terms: FloatArray) -> FloatArray:
    """log10 of the size of each chain's product; a product of 0 counts as 1e-300."""
    sizes = np.maximum(np.abs(terms), 1e-300)
    return np.asarray(np.maximum(np.log10(sizes).sum(axis=1), -300.0))


def _floats(values: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
