"""Answers to the page's controls: the network is trained, and one digit passes it."""

from dataclasses import asdict, replace
from typing import Any

from dash import Dash, Input, Output, State, ctx, no_update

from gradiometer.errors import GradiometerError, SettingsError
from gradiometer.schema.explored import DigitData, ExplorerSettings, Scene
from gradiometer.schema.retyping import settle
from gradiometer.showing.explorer.course_figure import QUANTITIES, describe_course
from gradiometer.showing.explorer.layout import ANY, BUTTONS, CONTROLS, DIGIT_CLASS
from gradiometer.showing.explorer.moves import PageState, answered, moved
from gradiometer.showing.explorer.questions import Ask, ask_scene
from gradiometer.showing.explorer.scene_parts import ladder_rows, output_rows, picture_of, readout, sensitive_rows
from gradiometer.showing.explorer.strips import unit_strips
from gradiometer.showing.explorer.words import settings_in_words

OUTPUTS = {
    "state": Output("state", "data"),
    "mark": Output("mark", "data"),
    "notice": Output("notice", "children"),
    "play": Output("play", "children"),
    "readout": Output("readout", "children"),
    "ladder": Output("ladder", "children"),
    **{name: Output(f"{name}-figure", "figure") for name in QUANTITIES},
    "picture": Output("picture", "children"),
    "strips": Output("unit-strips", "data"),
    "outputs": Output("outputs", "children"),
    "sensitive": Output("sensitive", "children"),
}


def add_scene(application: Dash, ask: Ask, data: DigitData) -> None:
    """Let the controls act.

    Args:
        application: The page.
        ask: Asks the process in which torch runs.
        data: The digits.
    """

    @application.callback(
        output=OUTPUTS,
        inputs={
            "choices": Input("choices", "data"),
            "pressed": [Input(name, "n_clicks") for name in (*BUTTONS, "next-digit", "next-mistake")],
            "tick": Input("tick", "data"),
        },
        state={"state": State("state", "data"), "key": State("key", "data")},
    )
    def refresh(choices: Any, pressed: list[Any], tick: Any, state: Any, key: Any) -> dict[str, Any]:
        """Train towards where the page stands, and show what came of it; the clicks' counts say nothing more."""
        trigger = ctx.triggered_id
        try:
            after = moved(settle(PageState, state), trigger, settings_in(choices), label_in(choices), data)
        except SettingsError as fault:
            return {**dict.fromkeys(OUTPUTS, no_update), "notice": str(fault)}
        try:
            scene = ask_scene(ask, str(key), after)
        except GradiometerError as fault:
            failed = replace(after, faults=after.faults + 1)
            return {**dict.fromkeys(OUTPUTS, no_update), "state": asdict(failed), "notice": str(fault)}
        notice = no_update if trigger == "tick" else ""
        return {**shown(scene, data), **standing(answered(after, scene), scene), "notice": notice}


def settings_in(choices: Any) -> ExplorerSettings:
    """The network that is chosen.

    Raises:
        SettingsError: There is no such choice.
    """
    if not isinstance(choices, dict):
        raise SettingsError("No network is chosen.")
    return settle(ExplorerSettings, {name: value for name, value in choices.items() if name in CONTROLS})


def label_in(choices: dict[str, Any]) -> int | None:
    """The class of digits that is chosen; None for any.

    Raises:
        SettingsError: It is no class.
    """
    label = choices.get(DIGIT_CLASS, ANY)
    if label != ANY and type(label) is not int:
        raise SettingsError(f"{label!r} is no digit.")
    return None if label == ANY else label


def standing(state: PageState, scene: Scene) -> dict[str, Any]:
    """Where the page stands now, and a mark that changes whenever its numbers do."""
    mark = f"{scene.course.step} {scene.example} {settings_in_words(scene.course.settings)}"
    return {"state": asdict(state), "mark": mark, "play": "Pause" if state.is_playing else "Play"}


def shown(scene: Scene, data: DigitData) -> dict[str, Any]:
    """Every part of the page that a scene fills."""
    figures = {name: describe_course(one, scene.course, scene.earlier) for name, one in QUANTITIES.items()}
    return {
        "readout": readout(scene),
        "ladder": ladder_rows(scene.course),
        **figures,
        "picture": picture_of(scene, data.side),
        "strips": unit_strips(scene),
        "outputs": output_rows(scene),
        "sensitive": sensitive_rows(scene, data.side),
    }
