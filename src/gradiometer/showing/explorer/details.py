"""Answers to what is picked: one unit, one weight, and the walk along it."""

from dataclasses import asdict
from typing import Any

from dash import Dash, Input, Output, State, ctx, no_update

from gradiometer.errors import GradiometerError, SettingsError
from gradiometer.schema.explored import DigitData, UnitScene, WeightScene
from gradiometer.schema.retyping import settle
from gradiometer.showing.explorer.moves import PageState, Picked, fitted
from gradiometer.showing.explorer.questions import Ask, ask_unit, ask_weight
from gradiometer.showing.explorer.strips import weight_strip
from gradiometer.showing.explorer.unit_parts import class_table, unit_card
from gradiometer.showing.explorer.walk_parts import lit_units, walk_card
from gradiometer.showing.explorer.weight_parts import weight_card
from gradiometer.showing.explorer.words import COST_FORMULAS

OUTPUTS = {
    "unit": Output("unit-card", "children"),
    "classes": Output("class-table", "children"),
    "weights": Output("weight-strip", "data"),
    "card": Output("weight-card", "children"),
    "weight": Output("weight", "data"),
    "picked": Output("picked-shown", "data"),
    "settled": Output("settled", "data"),
    "notice": Output("notice", "children", allow_duplicate=True),
    "tick": Output("tick", "data", allow_duplicate=True),
}

WALK_OUTPUTS = {
    "card": Output("walk-card", "children"),
    "lit": Output("lit", "data"),
    "place": Output("walk-at", "data"),
}


def add_details(application: Dash, ask: Ask, data: DigitData) -> None:
    """Let units and weights be picked.

    Args:
        application: The page.
        ask: Asks the process in which torch runs.
        data: The digits.
    """

    @application.callback(
        output=OUTPUTS,
        inputs={"mark": Input("mark", "data"), "picked": Input("picked", "data")},
        state={"state": State("state", "data"), "key": State("key", "data"), "tick": State("tick", "data")},
        prevent_initial_call=True,
    )
    def take_apart(mark: Any, picked: Any, state: Any, key: Any, tick: Any) -> dict[str, Any]:
        """Show the unit and the weight; where the process has ended, have the network trained again."""
        try:
            page = settle(PageState, state)
            if ctx.triggered_id == "mark" and page.step < page.target:
                # A training on its way to a step is told about when it is there; meanwhile its course is enough.
                return {**dict.fromkeys(OUTPUTS, no_update), "settled": mark}
            own = fitted(settle(Picked, picked), page.settings, data)
            unit, weight = ask_unit(ask, str(key), page, own), ask_weight(ask, str(key), page, own)
        except GradiometerError as fault:
            # Another tick than the last one, whatever it was, has the scene asked for anew.
            return {**dict.fromkeys(OUTPUTS, no_update), "notice": str(fault), "tick": f"{tick} again"}
        depth = page.settings.hidden_layers + 1
        return {**shown(unit, weight, depth, data.side), "settled": mark, "notice": no_update, "tick": no_update}


def shown(unit: UnitScene, weight: WeightScene, depth: int, side: int) -> dict[str, Any]:
    """Every part of the page that a unit and a weight fill."""
    return {
        "unit": unit_card(unit, depth, side),
        "classes": class_table(unit, depth, side),
        "weights": weight_strip(unit, depth, side),
        "card": weight_card(weight, depth, side),
        "weight": asdict(weight),
        "picked": asdict(Picked(weight.layer, weight.unit, weight.source)),
    }


def add_walk(application: Dash, data: DigitData) -> None:
    """Let the page walk along the weight that is shown."""

    @application.callback(
        output=WALK_OUTPUTS,
        inputs={
            "weight": Input("weight", "data"),
            "back": Input("walk-back", "n_clicks"),
            "onward": Input("walk-next", "n_clicks"),
        },
        state={"place": State("walk-at", "data"), "state": State("state", "data")},
        prevent_initial_call=True,
    )
    def walk(weight: Any, back: Any, onward: Any, place: Any, state: Any) -> dict[str, Any]:
        """Show one step of the walk; behind its end it begins again. Before the first weight has come, nothing."""
        if weight is None:
            return dict.fromkeys(WALK_OUTPUTS, no_update)
        steps = settle(WeightScene, weight).walk
        change = {"walk-next": 1, "walk-back": -1}.get(str(ctx.triggered_id), 0)
        if not steps or type(place) is not int:
            raise SettingsError("There is no such step of the walk.")
        at = (min(place, len(steps) - 1) + change) % len(steps)
        cost = COST_FORMULAS[settle(PageState, state).settings.cost]
        depth = max(step.layer for step in steps)
        return {"card": walk_card(steps, at, data.side, cost), "lit": lit_units(steps[at], depth), "place": at}
