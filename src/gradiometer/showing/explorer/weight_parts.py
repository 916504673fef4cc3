"""One weight as HTML: its gradient as a sum over paths, term by term, beside autograd's."""

from typing import Any

from dash import html

from gradiometer.schema.explored import Factor, Product, WeightScene
from gradiometer.showing.explorer.elements import table
from gradiometer.showing.explorer.words import exact, layer_name, paths_in_words, signed, unit_name

MANY_PATHS = 100_000
"""From so many paths on the product by layers comes first, and paths are folded away: a few explain next to nothing."""


def weight_card(weight: WeightScene, depth: int, side: int) -> list[Any]:
    """Everything about one weight.

    Args:
        weight: The weight.
        depth: The output's number.
        side: Width of a picture, pixels.
    """
    source, unit = (
        unit_name(weight.layer - 1, weight.source, depth, side),
        unit_name(weight.layer, weight.unit, depth, side),
    )
    parts = [paths_part(weight, depth, side), layers_part(weight, depth, side)]
    return [
        html.H3(f"From {source} to {unit}"),
        html.P(f"The weight is {exact(weight.value)}. Its gradient for this digit is {signed(weight.gradient)}."),
        check_table(weight),
        *(parts if weight.path_count < MANY_PATHS else reversed(parts)),
    ]


def check_table(weight: WeightScene) -> html.Div:
    """The sum over paths beside autograd's number."""
    rows: list[list[Any]] = [
        [f"sum over {paths_in_words(weight.path_count)}", f"{weight.total:.12g}".replace("-", "−")],
        ["autograd", f"{weight.gradient:.12g}".replace("-", "−")],
        ["difference", f"{weight.total - weight.gradient:.2g}".replace("-", "−")],
    ]
    return table(["gradient", "value"], rows, name="The gradient, found in two ways")


def paths_part(weight: WeightScene, depth: int, side: int) -> html.Div:
    """The greatest paths, and the others as one number."""
    if not weight.paths:
        return html.Div(
            [
                html.H4("Path by path"),
                html.P(
                    "No path: what stands below the weight is 0, or every way to the cost is closed by a slope of 0."
                ),
            ]
        )
    items = [html.Li(product_line(path, depth, side)) for path in weight.paths]
    listed = len(weight.paths)
    count = weight.path_count - listed
    others = f"The other {paths_in_words(count)} together: {signed(weight.rest)}"
    words = "Every way from the weight to the cost gives one product; the gradient is their sum. The greatest:"
    tail = [html.P(others)] if count else []
    return html.Div(
        [html.H4("Path by path"), html.P(words, className="quiet"), html.Ol(items, className="paths"), *tail]
    )


def layers_part(weight: WeightScene, depth: int, side: int) -> html.Div:
    """All paths as one product, layer by layer."""
    if weight.by_layers is None:
        return html.Div()
    words = (
        "All paths at once: how much of the error there is at the output, what each layer hands on of it, and this "
        "weight's share of what arrives. Where layers hand on less than 1 each, early weights starve."
    )
    return html.Div(
        [
            html.H4("Layer by layer"),
            html.P(words, className="quiet"),
            html.Div(product_line(weight.by_layers, depth, side), className="paths"),
        ]
    )


def product_line(product: Product, depth: int, side: int) -> list[Any]:
    """Factors with what they are, and what they multiply up to."""
    parts: list[Any] = [html.Strong(f"{signed(product.value)} = ")]
    for rank, factor in enumerate(product.factors):
        if rank:
            parts.append(html.Span(" × ", className="times"))
        parts.append(
            html.Span(
                [html.B(exact(factor.value)), html.Small(factor_words(factor, depth, side))],
                className=f"factor {factor.kind}",
            )
        )
    return parts


def factor_words(factor: Factor, depth: int, side: int) -> str:
    """What a factor is.

    Example:
        >>> factor_words(Factor("slope", 2, 7, 0.2), 3, 8)
        'slope of hidden 2 unit 7'
    """
    unit = unit_name(factor.layer, factor.unit, depth, side)
    source = unit_name(factor.layer - 1, factor.source, depth, side)
    above = layer_name(factor.layer + 1, depth)
    words = {
        "activation": f"activation of {unit}",
        "slope": f"slope of {unit}",
        "weight": f"weight {source} → {unit}",
        "error": f"error of {unit}",
        "share": f"share of {source} → {unit}",
        "gain": f"gain from {above} to {layer_name(factor.layer, depth)}",
        "norm": "error at the output",
    }
    return words[factor.kind]
