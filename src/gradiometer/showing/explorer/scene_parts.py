"""The network and the digit as HTML: how its training goes, its ladder, the outputs, the weights that matter most."""

import base64
import math
from typing import Any

import numpy as np
from dash import html

from gradiometer.schema.explored import Course, Rung, Scene, WeightPlace
from gradiometer.showing.explorer.elements import pick_button, table
from gradiometer.showing.explorer.words import (
    exact,
    in_db,
    layer_name,
    level_in_words,
    settings_in_words,
    signed,
    times_in_words,
    unit_name,
)
from gradiometer.showing.grey_png import grey_png
from gradiometer.units import format_share

LEAST_SCALE_DB = 40.0
"""A ladder's axis reaches this far down at least, so that a healthy network does not look steep."""


def readout(scene: Scene) -> list[Any]:
    """How the training goes, beside the network before the last change."""
    now, before = scene.course, scene.earlier
    courses = [now] if before is None else [now, before]
    rows = [
        ["steps", *(f"{course.step:,} ({course.step / scene.epoch_steps:.3g} epochs)" for course in courses[:1])],
        ["accuracy", *(format_share(course.accuracy) for course in courses)],
        ["cost", *(exact(course.cost) for course in courses)],
        ["error at layer 1", *(level_in_words(course.ladder[-1].level_db) for course in courses)],
    ]
    if before is not None:
        rows[0].append(f"{before.step:,}")
    head = ["training", "now", "before the last change"][: len(courses) + 1]
    words = [html.P([html.Strong("Now: "), settings_in_words(now.settings)], className="quiet")]
    if before is not None:
        words.append(html.P([html.Strong("Before: "), settings_in_words(before.settings)], className="quiet"))
    if now.is_diverged:
        words.append(
            html.P(
                "The cost is not finite any more: the steps or the first weights are too large. Training has ended.",
                className="fault",
            )
        )
    return [table(head, rows, name="How the training goes"), *words]


def ladder_rows(course: Course) -> list[Any]:
    """The ladder: each layer's level as a bar, its expected level as a mark, both as numbers."""
    depth = len(course.ladder)
    levels = [value for rung in course.ladder for value in (rung.level_db, rung.expected_db) if math.isfinite(value)]
    floor, ceiling = min([-LEAST_SCALE_DB, *levels]), max([10.0, *levels])
    head = html.Div(
        [html.Span("layer"), html.Span("level of the error"), html.Span("measured"), html.Span("expected")],
        className="rung head",
    )
    return [head, *(rung_row(rung, depth, floor, ceiling) for rung in course.ladder)]


def rung_row(rung: Rung, depth: int, floor: float, ceiling: float) -> html.Div:
    """One rung."""

    def place(level_db: float) -> float:
        bounded = min(max(floor if math.isnan(level_db) else level_db, floor), ceiling)
        return 100.0 * (bounded - floor) / (ceiling - floor)

    zero, measured = place(0.0), place(rung.level_db)
    bar = {"left": f"{min(zero, measured):.2f}%", "width": f"{abs(zero - measured):.2f}%"}
    track = html.Span(
        [
            html.I(className="zero", style={"left": f"{zero:.2f}%"}),
            html.I(className="bar", style=bar),
            html.I(className="expected", style={"left": f"{place(rung.expected_db):.2f}%"}),
        ],
        className="track",
    )
    return html.Div(
        [
            html.Span(layer_name(rung.layer, depth)),
            track,
            html.Span(in_db(rung.level_db), className="number"),
            html.Span(in_db(rung.expected_db), className="number quiet"),
        ],
        className="rung",
    )


def picture_of(scene: Scene, side: int) -> list[Any]:
    """The digit, what it is, and what the network says."""
    png = base64.b64encode(grey_png(np.array(scene.picture).reshape(side, side))).decode("ascii")
    verdict = "and the network says so" if scene.said == scene.label else f"and the network says {scene.said}"
    words = f"Digit {scene.example} is a {scene.label}, {verdict}. Its cost is {exact(scene.cost)}."
    return [
        html.Img(src=f"data:image/png;base64,{png}", alt=f"A handwritten {scene.label}, {side} by {side} pixels"),
        html.P(words),
    ]


def output_rows(scene: Scene) -> html.Div:
    """Every output: what it says, what would be right, and the wanted change."""
    output, depth = scene.layers[-1], len(scene.layers)
    rows = []
    for label, (said, wanted) in enumerate(zip(output.activations, output.wanted, strict=True)):
        arrow = "▲" if wanted > 0.0 else "▼" if wanted < 0.0 else ""
        rows.append(
            [
                pick_button(str(label), depth, label, name=f"output {label}"),
                exact(said),
                "1" if label == scene.label else "0",
                html.Span([html.Span(arrow, className="up" if wanted > 0.0 else "down"), f" {signed(wanted)}"]),
            ]
        )
    return table(["output", "says", "right", "wanted change"], rows, name="Outputs", marked=scene.label)


def sensitive_rows(scene: Scene, side: int) -> list[Any]:
    """The weights on which the digit's cost depends most."""
    depth = len(scene.layers)
    if not scene.sensitive:
        return [html.P("Every gradient is zero: this digit asks for nothing.")]
    rows = [sensitive_row(one, depth, side) for one in scene.sensitive]
    first, words = scene.sensitive[0], ""
    if scene.zero_share:
        words = f"{format_share(scene.zero_share)} of all weights and biases have no gradient for this digit: a pixel "
        words += "or unit below is 0, or a slope above. Of the others half"
    words = f"{words or 'Half of all weights and biases'} have a gradient smaller than {exact(scene.median_gradient)}."
    if first.times_median is not None:
        words += f" The first one below counts {times_in_words(first.times_median)} times as much as that median."
    head = ["weight", "value", "gradient", "times the median"]
    return [html.P(words), table(head, rows, name="The most sensitive weights")]


def sensitive_row(one: WeightPlace, depth: int, side: int) -> list[Any]:
    """One of them."""
    unit = unit_name(one.layer, one.unit, depth, side)
    times = "–" if one.times_median is None else f"{times_in_words(one.times_median)} ×"
    if one.source is None:
        name: Any = pick_button(f"bias of {unit}", one.layer, one.unit)
    else:
        source = unit_name(one.layer - 1, one.source, depth, side)
        name = pick_button(f"{source} → {unit}", one.layer, one.unit, one.source)
    return [name, exact(one.value), signed(one.gradient), times]
