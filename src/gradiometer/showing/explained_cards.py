"""What `gradiometer.nudges` and `gradiometer.agreement` found, as cards for a notebook."""

import math

import numpy as np

from gradiometer.schema import FloatArray
from gradiometer.schema.explained import Agreement, ClassPull, ExamplePull, Nudges
from gradiometer.schema.nudge_words import place_of
from gradiometer.showing.card import Card, Chart, level_chart
from gradiometer.showing.grey_png import picture_address
from gradiometer.units import decibels, format_number, format_share

MOST_PICTURES = 6
"""Examples whose picture is shown."""

MOST_OUTPUTS = 12
"""Outputs of the first example that are drawn, those with the greatest wanted change."""

MOST_WEIGHTS = 5
"""Sensitive weights, and examples, that are listed."""

LEAST_SIDE = 8
"""Side of a square picture whose pixels come as one row of numbers; fewer numbers are hardly a picture."""


def card_of_nudges(nudges: Nudges) -> Card:
    """Nudges: the story of the first example, its picture, what is asked of outputs, layers and weights."""
    is_known = math.isfinite(nudges.loss)
    return Card(
        mood="info" if is_known else "broken",
        title=f"Nudges of {nudges.example_count} example{'s' if nudges.example_count != 1 else ''}",
        lines=(nudges.story(),) if is_known else (f"The loss is {nudges.loss}: nothing can be asked.",),
        points=sensitive_points(nudges),
        charts=tuple(chart for chart in (output_chart(nudges), layer_chart(nudges)) if chart is not None),
        pictures=pictures_of(nudges),
    )


def sensitive_points(nudges: Nudges) -> tuple[tuple[str, str], ...]:
    """The weights to which the loss responds most."""
    points = []
    for weight in nudges.sensitive[:MOST_WEIGHTS]:
        times = f", {format_number(weight.times_median)} times the median weight" if weight.times_median else ""
        points.append(("sensitive", f"{place_of(weight)}: gradient {format_number(weight.gradient)}{times}"))
    return tuple(points)


def output_chart(nudges: Nudges) -> Chart | None:
    """Output and wanted change of the first example, in the order of the outputs; None where they are not known."""
    outputs, wanted = nudges.outputs, nudges.wanted
    if outputs is None or wanted is None or wanted.ndim != 2 or not np.isfinite(wanted[0]).all():
        return None
    chosen = sorted(np.argsort(-np.abs(wanted[0]), kind="stable")[:MOST_OUTPUTS].tolist())
    rows = tuple(
        (f"output {place} (is {format_number(float(outputs[0, place]))})", change, signed(change))
        for place in chosen
        for change in (float(wanted[0, place]),)
    )
    heading = "Wanted change of each output of the first example, in proportion"
    return Chart(heading, rows, float(np.abs(wanted[0]).max()))


def signed(value: float) -> str:
    """A number with its sign.

    Example:
        >>> signed(0.25), signed(-3.0), signed(0.0)
        ('+0.25', '-3', '0')
    """
    return f"+{format_number(value)}" if value > 0.0 else format_number(value)


def layer_chart(nudges: Nudges) -> Chart | None:
    """The strength of what is asked at each layer, relative to the last; None where nothing came to it."""
    norms = [(layer.layer, layer.error_norm) for layer in nudges.layers if layer.error_norm is not None]
    if not norms or not 0.0 < norms[-1][1] < math.inf:
        return None
    levels = [(name, decibels(norm / norms[-1][1])) for name, norm in norms]
    return level_chart(levels, "Strength of the wanted change at each layer, relative to the last (top)")


def pictures_of(nudges: Nudges) -> tuple[tuple[str, str], ...]:
    """Pictures of the first examples where the input is one, each with its class."""
    shown = None if nudges.inputs is None else as_pictures(nudges.inputs[:MOST_PICTURES])
    if shown is None:
        return ()
    classes = nudges.targets
    return tuple(
        (picture_address(pixels), f"example {place}" + (f": a {classes[place]}" if classes is not None else ""))
        for place, pixels in enumerate(shown)
    )


def as_pictures(inputs: FloatArray) -> FloatArray | None:
    """Inputs as pictures [example height width]; None where they are none.

    Pictures come as [example channel height width] with one or three channels, which are averaged, as squares
    [example side side], or as rows of numbers [example side*side].
    """
    if inputs.ndim == 4 and inputs.shape[1] in (1, 3):
        return np.asarray(inputs.mean(axis=1))
    side = math.isqrt(inputs.shape[-1])
    if inputs.ndim == 3 and inputs.shape[1] == inputs.shape[2] >= LEAST_SIDE:
        return inputs
    if inputs.ndim == 2 and side >= LEAST_SIDE and side * side == inputs.shape[1]:
        return inputs.reshape(-1, side, side)
    return None


def card_of_agreement(agreement: Agreement) -> Card:
    """An agreement: how far classes agree in themselves, and the examples that ask for something else."""
    count = len(agreement.examples)
    lines = [f"Gradients over {format_share(agreement.measured_share)} of the weights."]
    if agreement.not_measured:
        names = ", ".join(name for name, _ in agreement.not_measured[:3])
        more = f" and {len(agreement.not_measured) - 3} more" if len(agreement.not_measured) > 3 else ""
        lines.append(f"Not measured: {names}{more}.")
    if count:
        lines.append("Those that ask most for what their class does not; a wrong label is found among the first.")
    rows = tuple(
        (class_in_words(one), one.own_cosine, f"{one.own_cosine:.2f}")
        for one in agreement.classes
        if one.own_cosine is not None
    )
    return Card(
        mood="info",
        title=f"Agreement of {count} examples in {len(agreement.classes)} classes",
        lines=tuple(lines),
        points=tuple((f"example {pull.index}", pull_in_words(pull)) for pull in agreement.examples[:MOST_WEIGHTS]),
        charts=(Chart("Cosine of a class's examples with the others of their class", rows, 1.0),),
    )


def class_in_words(one: ClassPull) -> str:
    """A class with the number of its examples."""
    name = "all" if one.label is None else f"class {one.label}"
    return f"{name} ({one.example_count} examples)"


def pull_in_words(pull: ExamplePull) -> str:
    """How hard one example pulls, and where."""
    label = "" if pull.label is None else f"class {pull.label}, "
    return f"{label}norm {format_number(pull.norm)}, cosine with its class {pull.class_cosine:.2f}"
