"""The phase diagram of a run's own network: where its weights and biases stood when they were first measured."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from gradiometer.activations import ACTIVATIONS
from gradiometer.gain_budget import gain_budget, is_normalising
from gradiometer.schema import FloatArray, Run
from gradiometer.showing.figures.parts import FigureParts, draw, empty_parts, evenly_chosen, numbers, shown_name
from gradiometer.showing.figures.phase_diagram import HOW_TO_READ as HOW_TO_READ_PHASES
from gradiometer.showing.figures.phase_diagram import describe_phase_diagram
from gradiometer.showing.palette import MARK_COLOUR
from gradiometer.theory.expectation import Expectation, NetworkPlan, expect, plan_network
from gradiometer.theory.phase_map import map_around
from gradiometer.units import format_number

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

HOW_TO_READ = f"{HOW_TO_READ_PHASES} Dots are its single layers, as they were when they were first measured."

MOST_DOTS = 300
"""Layers that get a dot."""

LEAST_LAYERS = 2
"""Hidden layers with weights from which on a network has a place in the diagram."""


DRAWN_ERROR = 0.02
"""Share by which the scale of drawn weights misses the one that they were drawn with; chosen by us."""


@dataclass(frozen=True, slots=True)
class OwnPhase:
    """A plain network's place: its hidden activation, and the scales of each hidden layer, input first."""

    step: int
    activation: str
    names: tuple[str, ...]
    sigma_w: FloatArray
    sigma_b: FloatArray

    @property
    def plan(self) -> NetworkPlan:
        """The network of equal layers that stands for it: the median of its layers."""
        return plan_network(self.activation, float(np.median(self.sigma_w)), float(np.median(self.sigma_b)))


def own_phase(run: Run) -> OwnPhase | None:
    """Find a network's place.

    Args:
        run: The run.

    Returns:
        Its place; None where the theory of plain networks is not about it: no trunk, branching paths, normalising or
        recurrent layers, several hidden activations, or fewer than two hidden layers.
    """
    budget = gain_budget(run, 0)
    layers = {layer.name: layer for layer in run.layers}
    entries = [layers[entry.layer] for entry in budget.entries]
    if not entries or any(entry.members for entry in budget.entries) or "weight_rms" not in run.parameter_columns:
        return None
    hidden = [layer for layer in entries[1:] if layer.fan_in is not None]
    kinds = {layer.activation for layer in entries[1:] if layer.activation is not None}
    is_plain = not any(is_normalising(layer) or layer.dropped_share for layer in entries)
    if len(kinds) != 1 or not kinds <= set(ACTIVATIONS) or not is_plain or len(hidden) < LEAST_LAYERS:
        return None
    weights, biases = scales_of(run)
    known = [layer for layer in reversed(hidden) if weights.get(layer.name, 0.0) > 0.0]
    if len(known) < LEAST_LAYERS:
        return None
    return OwnPhase(
        step=budget.step,
        activation=next(iter(kinds)),
        names=tuple(layer.name for layer in known),
        sigma_w=np.array([weights[layer.name] * math.sqrt(layer.fan_in or 1) for layer in known]),
        sigma_b=np.array([biases.get(layer.name, 0.0) for layer in known]),
    )


def scales_of(run: Run) -> tuple[dict[str, float], dict[str, float]]:
    """Root mean square of each layer's weights, and of its biases, in the first full measurement, by layer."""
    weights: dict[str, float] = {}
    biases: dict[str, float] = {}
    for parameter, size in zip(run.parameters, run.parameter_columns["weight_rms"][0].tolist(), strict=True):
        if parameter.layer is not None and math.isfinite(size):
            (weights if len(parameter.shape) > 1 else biases).setdefault(parameter.layer, size)
    return weights, biases


@lru_cache(maxsize=8)
def expectation_of(plan: NetworkPlan) -> Expectation:
    """What theory expects, once for the figure and its caption: it takes half as long as the rest of a report."""
    return expect(plan)


def describe_own_phase(run: Run) -> FigureParts:
    """Describe the phase diagram of a run's network as plain dictionaries.

    Args:
        run: The run.

    Returns:
        The figure's parts; a figure that says so where the network has no place in such a diagram.
    """
    place = own_phase(run)
    if place is None:
        return empty_parts("Mean-field theory is about plain networks of one activation: no place to draw.")
    plan = place.plan
    parts = describe_phase_diagram(map_around(plan), expectation_of(plan))
    star = parts["data"].pop()
    return {"data": [*parts["data"], layer_dots(place), star], "layout": parts["layout"]}


def draw_own_phase(run: Run) -> "Figure":
    """Draw the phase diagram of a run's network as a plotly figure; arguments as for `describe_own_phase`."""
    return draw(describe_own_phase(run))


def caption_of_own_phase(run: Run) -> str:
    """Step, scales and where the edge lies, in words; empty where the network has no place."""
    place = own_phase(run)
    if place is None:
        return ""
    expected = expectation_of(place.plan)
    words = f"Step {place.step}, {place.activation}: sigma_w {format_number(expected.sigma_w)}, "
    words += f"sigma_b {format_number(expected.sigma_b)}: "
    edge = expected.critical_sigma_w
    if edge is not None and abs(expected.sigma_w / edge - 1.0) < DRAWN_ERROR:
        return f"{words}on the edge of chaos."
    words += expected.phase
    return f"{words}; the edge of chaos is at sigma_w {format_number(edge)}." if edge is not None else f"{words}."


def layer_dots(place: OwnPhase) -> dict[str, Any]:
    """A dot for each hidden layer; of very many for some, evenly."""
    chosen = evenly_chosen(len(place.names), MOST_DOTS)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "its layers",
        "x": numbers(place.sigma_w[chosen]),
        "y": numbers(place.sigma_b[chosen]),
        "marker": {"size": 7, "color": MARK_COLOUR, "opacity": 0.75, "line": {"color": "#ffffff", "width": 1}},
        "hovertext": [shown_name(place.names[rank]) for rank in chosen],
        "hovertemplate": "%{hovertext}: sigma_w %{x:.3g}, sigma_b %{y:.3g}<extra></extra>",
    }
