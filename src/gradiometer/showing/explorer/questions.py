"""What a page asks, put together from what its controls and stores hold."""

from collections.abc import Callable
from typing import cast

from gradiometer.schema.explored import Answer, Question, QuestionKind, Scene, UnitScene, WeightScene
from gradiometer.showing.explorer.moves import PageState, Picked

Ask = Callable[[Question], Answer]
"""Asks one question; raises a GradiometerError where there is no answer, whose words the page shows."""


def ask_scene(ask: Ask, key: str, state: PageState) -> Scene:
    """Ask how the network is, and what the digit makes of it."""
    return cast(Scene, ask(Question(key, "scene", state.settings, state.asked_step, state.example)))


def ask_unit(ask: Ask, key: str, state: PageState, picked: Picked) -> UnitScene:
    """Ask about the unit that was picked."""
    return cast(UnitScene, ask(question_of("unit", key, state, picked)))


def ask_weight(ask: Ask, key: str, state: PageState, picked: Picked) -> WeightScene:
    """Ask about the weight that was picked."""
    return cast(WeightScene, ask(question_of("weight", key, state, picked)))


def question_of(kind: QuestionKind, key: str, state: PageState, picked: Picked) -> Question:
    """A question about a unit or weight of the network as it is now."""
    return Question(key, kind, state.settings, state.step, state.example, picked.layer, picked.unit, picked.source)
