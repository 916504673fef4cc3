from dataclasses import asdict, replace

import pytest

from gradiometer.errors import SettingsError
from gradiometer.schema.explored import DigitData, ExplorerSettings
from gradiometer.schema.retyping import settle
from gradiometer.showing.explorer.moves import ENDLESS, MOST_FAULTS, PageState, Picked, fitted, moved, with_settings

DATA = DigitData("digits", 8, 1200, (3, 1, 3, 7, 9, 3))
TRAINED = PageState(step=50, target=50, epoch_steps=38, mistakes=(1, 4))


def pressed(state: PageState, name: str | None, label: int | None = None) -> PageState:
    return moved(state, name, state.settings, label, DATA)


def test_trains_one_step_an_epoch_or_on_and_on() -> None:
    assert pressed(TRAINED, "train-step").asked_step == 51
    assert pressed(TRAINED, "train-epoch").asked_step == 76
    playing = pressed(TRAINED, "play")
    assert playing.asked_step == 50 + ENDLESS
    assert playing.is_going_on
    paused = pressed(replace(playing, step=61), "play")
    assert paused.asked_step == 61
    assert not paused.is_going_on
    assert pressed(playing, "reset").asked_step == 0


def test_trains_another_network_for_as_long_as_the_one_before() -> None:
    other = ExplorerSettings(activation="sigmoid")
    changed = moved(TRAINED, "activation", other, None, DATA)
    assert (changed.settings, changed.step, changed.target) == (other, 0, 50)
    assert changed.is_going_on
    halfway = with_settings(replace(changed, step=20), ExplorerSettings(activation="tanh"))
    assert (halfway.step, halfway.target) == (0, 50)


def test_goes_from_digit_to_digit_of_a_class_and_from_mistake_to_mistake() -> None:
    chosen = pressed(TRAINED, "choices", 3)
    assert chosen.example == 0
    following = pressed(chosen, "next-digit", 3)
    assert [following.example, pressed(following, "next-digit", 3).example] == [2, 5]
    assert pressed(replace(chosen, example=5), "next-digit", 3).example == 0
    assert pressed(TRAINED, "next-digit").example == 1
    assert pressed(following, "choices", 7).example == 3
    assert pressed(following, "choices", None).example == 2
    assert pressed(TRAINED, "next-mistake").example == 1
    assert pressed(replace(TRAINED, example=4), "next-mistake").example == 1
    assert pressed(replace(TRAINED, mistakes=()), "next-mistake").example == 0


def test_stops_asking_after_faults_in_a_row_until_something_is_pressed() -> None:
    assert replace(TRAINED, faults=1).is_going_on
    failed = replace(TRAINED, target=60, faults=MOST_FAULTS)
    assert not failed.is_going_on
    assert pressed(failed, "tick").faults == MOST_FAULTS
    assert pressed(failed, "next-digit").is_going_on


@pytest.mark.parametrize(
    ("picked", "expected"),
    [
        (Picked(1, 15, 63), Picked(1, 15, 63)),
        (Picked(2, 3, 63), Picked(2, 3, None)),
        (Picked(11, 3, 2), Picked(3, 3, None)),
        (Picked(3, 15, 2), Picked(3, 9, 2)),
        (Picked(-4, -1, -1), Picked(1, 0, None)),
    ],
)
def test_looks_at_the_nearest_unit_that_a_network_has(picked: Picked, expected: Picked) -> None:
    assert fitted(picked, ExplorerSettings(), DATA) == expected


def test_reads_its_state_back_from_a_browser_and_nothing_else() -> None:
    assert settle(PageState, asdict(TRAINED)) == TRAINED
    with pytest.raises(SettingsError, match="step"):
        settle(PageState, {**asdict(TRAINED), "step": "50"})
    with pytest.raises(SettingsError, match="has no file"):
        settle(PageState, {**asdict(TRAINED), "file": "/etc/passwd"})
