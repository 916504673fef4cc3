"""What theory expects of a network, on a terminal: verdict, numbers, how deep and why, learning rates."""

import math

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gradiometer.theory.depth_limits import DepthLimit
from gradiometer.theory.expectation import USUAL_WIDTH, Expectation
from gradiometer.units import decibels, format_db, format_number

PHASE_STYLES: dict[str, str] = {"ordered": "yellow", "critical": "green", "chaotic": "red"}
"""Phase to its style on a terminal."""

PHASE_WORDS: dict[str, str] = {
    "ordered": "gradients vanish",
    "critical": "gradients are kept",
    "chaotic": "gradients explode",
}
"""What each phase does to gradients."""

LIMIT_WORDS: dict[str, str] = {
    "correlation": "6 xi_c: beyond it nothing is left of what told two inputs apart",
    "gradient": "6 xi_gradient: the gradient's norm has changed by a factor of 20",
    "width": "the width: gradients of two drawings of the weights differ by a factor of order e",
    "float32": "float32: a gradient of 1 at the output has left its range",
    "length": "float32: the signal itself has left its range",
}
"""What each limit of the depth comes from."""

WEIGHTS_WORDS = (
    "Weights ~ N(0, sigma_w²/fan_in), or orthogonal at gain sigma_w; biases ~ N(0, sigma_b²). A plain network of equal "
    "layers: no normalisation, no skip connections."
)


def print_expectation(expected: Expectation, console: Console) -> None:
    """Print an expectation on one screen: verdict, numbers, limits of the depth, learning rates."""
    style = PHASE_STYLES[expected.phase]
    title = Text(f" {expected.phase.upper()}: {PHASE_WORDS[expected.phase]} ", style=f"bold {style}")
    console.print(Panel(Text(verdict_of(expected)), title=title, title_align="left", border_style=style))
    console.print(table_of(number_rows(expected)))
    console.print(Text(f"\nHow {deep_in_words(expected)}", style="bold"))
    console.print(table_of(depth_rows(expected)))
    console.print(Text("\nLearning rate to begin with", style="bold"))
    console.print(rates_table(expected) if expected.learning_rates else Text(no_rate_words(expected)))
    console.print(Text(f"\n{WEIGHTS_WORDS}{bias_words(expected)}", style="dim"))


def verdict_of(expected: Expectation) -> str:
    """What the network is, what a layer does to a gradient, and how deep it may be."""
    gain_db = decibels(math.sqrt(expected.chi_1))
    unit = unit_of(expected)
    setup = f"{expected.activation}, sigma_w {expected.sigma_w:.4g}, sigma_b {expected.sigma_b:.4g}"
    setup += f", dropout {expected.dropout:g}" if expected.dropout else ""
    said = [f"{setup}: a {unit} multiplies a gradient's norm by {math.sqrt(expected.chi_1):.4g} ({format_db(gain_db)})"]
    if math.isfinite(expected.half_life):
        change = "halves" if expected.chi_1 < 1.0 else "doubles"
        said[0] += f"; it {change} every {counted(expected.half_life, unit)}"
    said.append(signal_words(expected))
    limit = expected.limits[0] if expected.limits else DepthLimit("correlation", math.inf)
    if math.isfinite(limit.layers):
        said.append(f"its tightest limit is {said_limit(limit, unit)}")
        if expected.depth is not None:
            said[-1] += f"; {counted(expected.depth, unit)} are {'more' if expected.depth > limit.layers else 'less'}"
    return ". ".join([said[0], *(sentence[0].upper() + sentence[1:] for sentence in said[1:])]) + "."


def signal_words(expected: Expectation) -> str:
    """What becomes of the signal on its way forward."""
    if math.isinf(expected.q):
        return "the signal grows without end"
    if expected.q == 0.0:
        how = "slowly, by no fixed factor" if expected.phase == "critical" else f"with every {unit_of(expected)}"
        return f"the signal fades {how}"
    if expected.correlation == 1.0:
        return "two inputs become alike" + (" slowly, by no fixed factor" if math.isinf(expected.xi_c) else "")
    return f"any two inputs end up at a correlation of {expected.correlation:.3g}"


def number_rows(expected: Expectation) -> list[tuple[str, str, str]]:
    """Name, value with unit, and meaning of each number."""
    unit = unit_of(expected)
    edge = "none" if expected.critical_sigma_w is None else f"sigma_w {expected.critical_sigma_w:.4f}"
    edge_words = f"where chi_1 is 1, at sigma_b {expected.sigma_b:.4g}"
    if expected.dropout:
        edge_words = "dropout leaves none: equal inputs come out unlike"
    rows = [
        ("q*", format_number(expected.q), "variance that pre-activations settle at"),
        ("xi_q", counted(expected.xi_q, unit), "how fast they do"),
        ("chi_1", f"{expected.chi_1:.4f}", f"factor on the squared gradient per {unit}"),
        ("xi_gradient", counted(expected.xi_gradient, unit), "how fast it changes by the factor e"),
        ("c*", format_number(expected.correlation), "correlation that two inputs settle at"),
        ("xi_c", counted(expected.xi_c, unit), "how fast they do"),
        (
            "edge of chaos",
            edge,
            edge_words,
        ),
    ]
    if expected.is_recurrent:
        bound = expected.safe_singular_value
        rows.append(
            (
                "s(W)",
                format_number(expected.largest_singular_value),
                f"largest singular value: below {bound:.4g} every gradient vanishes, above it one can explode",
            )
        )
    return rows


def depth_rows(expected: Expectation) -> list[tuple[str, str, str]]:
    """The limits of the depth, the tightest first, and how unevenly directions are treated."""
    unit = unit_of(expected)
    finite = [limit for limit in expected.limits if math.isfinite(limit.layers)]
    rows = [(counted(limit.layers, unit), "", LIMIT_WORDS[limit.name]) for limit in finite]
    if expected.phase == "critical":
        instead = "the width, the directions and the learning rate limit it instead"
        rows.append(("no limit", "", f"from correlation or gradients; {instead}"))
    return rows if expected.is_recurrent else [*rows, spread_row(expected)]


def spread_row(expected: Expectation) -> tuple[str, str, str]:
    """How unevenly directions are treated, and what the other kind of weights would give."""
    depth, step = expected.depth or 100, -1.0 if not expected.is_orthogonal else 1.0
    here, there = (
        format_number(depth * spread) for spread in (expected.spread_per_layer, expected.spread_per_layer + step)
    )
    kinds = ("orthogonal", "Gaussian") if expected.is_orthogonal else ("Gaussian", "orthogonal")
    meaning = (
        f"of the squared singular values after {depth} layers of {kinds[0]} weights; {there} with {kinds[1]} ones "
        "(0: every direction is treated alike)"
    )
    return f"spread {here}", "", meaning


def no_rate_words(expected: Expectation) -> str:
    """Why no learning rate is suggested."""
    if expected.is_recurrent:
        return "None is known from theory for weights that are shared through time; clip the gradient and search."
    return "None is suggested beyond six depth scales: move the scales towards the edge of chaos first."


def rates_table(expected: Expectation) -> Table:
    """Suggested learning rates, a row for each depth."""
    grid = Table.grid(padding=(0, 2))
    for _ in range(4):
        grid.add_column(no_wrap=True)
    adam = f"Adam (width {expected.width or USUAL_WIDTH})"
    grid.add_row(*(Text(word, style="dim") for word in ("layers", "momentum 0.9", "plain descent", adam)))
    for rates in expected.learning_rates:
        grid.add_row(str(rates.depth), *(f"{rate:.2g}" for rate in (rates.momentum, rates.plain, rates.adam)))
    return grid


def table_of(rows: list[tuple[str, str, str]]) -> Table:
    """Rows of a name, a value and what it means."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, min_width=13)
    grid.add_column(no_wrap=True)
    grid.add_column()
    for name, value, meaning in rows:
        grid.add_row(Text(name), Text(value, style="bold"), Text(meaning, style="dim"))
    return grid


def deep_in_words(expected: Expectation) -> str:
    """The heading of the limits."""
    return (
        "far back it can learn, and what limits it" if expected.is_recurrent else "deep it may be, and what limits it"
    )


def bias_words(expected: Expectation) -> str:
    """How biases take out the mean of the activation's output, where they do."""
    if expected.output_mean == 0.0:
        return ""
    return f" Each bias is {-expected.output_mean:.4g} times the sum of its unit's weights, which takes out the mean."


def said_limit(limit: DepthLimit, unit: str) -> str:
    """One limit in words."""
    return f"{counted(limit.layers, unit)} ({LIMIT_WORDS[limit.name].partition(':')[0]})"


def unit_of(expected: Expectation) -> str:
    """What depth is counted in."""
    return "step" if expected.is_recurrent else "layer"


def counted(count: float, unit: str) -> str:
    """A number of layers or steps.

    Example:
        >>> counted(1.75, "layer"), counted(384.5, "step"), counted(float("inf"), "layer")
        ('1.8 layers', '384 steps', 'never')
    """
    if not math.isfinite(count):
        return "never" if math.isinf(count) else "–"
    return f"{count:.1f} {unit}s" if count < 10.0 and count != int(count) else f"{count:.0f} {unit}s"
