"""`__all__` is the whole surface of the package and of every room."""

import importlib
import pkgutil
from types import ModuleType

import pytest

import gradiometer

ROOMS = sorted(
    module.name
    for module in pkgutil.walk_packages(gradiometer.__path__, "gradiometer.")
    if module.ispkg and not module.name.startswith("gradiometer.cli")
)


def public_names(module: ModuleType) -> set[str]:
    """Functions and classes of gradiometer that a module offers without an underscore, whatever its `__all__`."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and callable(value)
        and (getattr(value, "__module__", None) or "").startswith("gradiometer")
    }


@pytest.mark.parametrize("name", gradiometer.__all__)
def test_offers_every_name_that_it_lists(name):
    assert getattr(gradiometer, name) is not None


def test_offers_what_a_training_script_needs():
    assert {"watch", "check", "diagnose", "open", "Run", "Finding", "Diagnosis"} <= set(gradiometer.__all__)


def test_lists_every_name_that_it_offers():
    for name in gradiometer.__all__:
        getattr(gradiometer, name)
    assert public_names(gradiometer) <= set(gradiometer.__all__)
    assert len(gradiometer.__all__) == len(set(gradiometer.__all__))


def test_hands_out_the_same_object_as_its_home():
    for name, home in gradiometer.HOMES.items():
        original = gradiometer.ORIGINAL_NAMES.get(name, name)
        assert getattr(gradiometer, name) is getattr(importlib.import_module(home), original)


def test_says_which_name_it_does_not_have():
    with pytest.raises(AttributeError, match="'gradiometer' has no attribute 'nudge_me'"):
        gradiometer.nudge_me  # noqa: B018 - asking is the test


@pytest.mark.parametrize("room", ROOMS)
def test_has_rooms_that_hold_what_they_list(room):
    module = importlib.import_module(room)
    listed = getattr(module, "__all__", [])
    assert [name for name in listed if not hasattr(module, name)] == []
    assert len(listed) == len(set(listed))
    if listed:
        own = {name for name in public_names(module) if getattr(module, name).__module__ == room}
        assert own <= set(listed)
