"""The walk through one training step as HTML: each step with its formula and its numbers."""

from collections.abc import Sequence
from typing import Any

from dash import html

from gradiometer.schema.explored import WalkStep
from gradiometer.showing.dashed_attributes import attributes
from gradiometer.showing.explorer.words import exact, layer_name, signed, unit_name

PHASES: dict[str, str] = {
    "forward": "Forward pass",
    "error": "Error",
    "backward": "Backward pass",
    "update": "Update",
}
"""The phases in their order."""


def walk_card(walk: Sequence[WalkStep], place: int, side: int, cost_formula: str) -> list[Any]:
    """One step of the walk, and where on the walk it is.

    Args:
        walk: All steps.
        place: Rank of this one.
        side: Width of a picture, pixels.
        cost_formula: The cost, in symbols.
    """
    step, depth = walk[place], depth_of(walk)
    marks = [
        html.Li(words, className="now" if phase == step.phase else None, **current_mark(phase == step.phase))
        for phase, words in PHASES.items()
        if any(one.phase == phase for one in walk)
    ]
    unit = unit_name(step.layer, step.unit, depth, side)
    title = f"Step {place + 1} of {len(walk)}: {PHASES[step.phase]}, {unit}"
    lines = {
        "forward": forward_lines,
        "error": error_lines,
        "backward": backward_lines,
        "update": update_lines,
    }[step.phase](step, depth, side)
    formula = cost_formula if step.phase == "error" else formula_of(step, depth)
    return [
        html.Ol(marks, className="phases", **attributes("aria", label="Phases of a training step")),
        html.H3(title),
        html.P(formula, className="formula"),
        html.Div([html.P(line) for line in lines], className="numbers"),
    ]


def current_mark(is_current: bool) -> dict[str, Any]:  # noqa: FBT001 - two call sites, beside each other
    """What tells a screen reader which of several is meant."""
    return attributes("aria", current="step") if is_current else {}


def depth_of(walk: Sequence[WalkStep]) -> int:
    """The output's number: the walk goes forward up to it."""
    return max(step.layer for step in walk)


def formula_of(step: WalkStep, depth: int) -> str:
    """The rule of a step, in symbols."""
    if step.phase == "forward":
        last = "what it says is made of z by the cost" if step.layer == depth else "a = φ(z)"
        return f"z = Σ w · a(below) + b,  {last}"
    if step.phase == "backward":
        return "∂C/∂a = Σ w(above) · ∂C/∂z(above),  ∂C/∂z = φ′(z) · ∂C/∂a"
    return "∂C/∂w = a(below) · ∂C/∂z,  w ← w − η · average of ∂C/∂w over the mini-batch"


def sum_words(step: WalkStep, layer: int, depth: int, side: int) -> str:
    """The products of a sum: the greatest by name, the others as one number."""
    products = [
        f"{exact(left)} · {exact(right)} [{unit_name(layer, unit, depth, side)}]" for unit, left, right in step.terms
    ]
    rest = [f"({signed(step.rest)} from {step.rest_count} others)"] if step.rest_count else []
    return " + ".join([*products, *rest])


def forward_lines(step: WalkStep, depth: int, side: int) -> list[str]:
    """A unit adds up, and answers."""
    result = "It says" if step.layer == depth else "a = φ(z) ="
    return [
        f"z = {sum_words(step, step.layer - 1, depth, side)} + ({signed(step.constant)} bias) = {exact(step.total)}",
        f"{result} {exact(step.result)}",
    ]


def error_lines(step: WalkStep, depth: int, side: int) -> list[str]:
    """What the outputs say beside what would be right."""
    lines = [
        f"output {label}: says {exact(said)}, right is {exact(right)}: error {signed(said - right)}"
        for label, said, right in step.terms
    ]
    slope = f"∂C/∂z = {exact(step.total)} · {exact(step.slope)} = {exact(step.result)}"
    return [*lines, f"Of output {step.unit}: {slope if step.slope != 1.0 else f'∂C/∂z = {exact(step.result)}'}"]


def backward_lines(step: WalkStep, depth: int, side: int) -> list[str]:
    """The error comes back through the weights, and through the slope."""
    return [
        f"∂C/∂a = {sum_words(step, step.layer + 1, depth, side)} = {exact(step.total)}",
        f"∂C/∂z = {exact(step.slope)} · {exact(step.total)} = {exact(step.result)}",
    ]


def update_lines(step: WalkStep, depth: int, side: int) -> list[str]:
    """From the gradient to the new weight."""
    source, activation, error = step.terms[0]
    name = unit_name(step.layer - 1, source, depth, side)
    return [
        f"For this digit: ∂C/∂w = {exact(activation)} [{name}] · {exact(error)} = {exact(activation * error)}",
        f"Average over the mini-batch: {exact(step.total)}",
        f"w: {step.constant:.10g} − {exact(step.slope)} · {exact(step.total)} = {step.result:.10g}".replace("-", "−"),
        "“Train 1 step” takes this step, for all weights at once.",
    ]


def lit_units(step: WalkStep, depth: int) -> dict[str, Any]:
    """Which cells a step uses: those that it adds up, and the one that it is about."""
    layer = {"forward": step.layer - 1, "error": depth, "backward": step.layer + 1, "update": step.layer - 1}[
        step.phase
    ]
    return {
        "phase": layer_name(step.layer, depth),
        "read": layer,
        "units": [unit for unit, *_ in step.terms],
        "layer": step.layer,
        "unit": step.unit,
    }
