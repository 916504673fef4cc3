"""Nouns read back from plain values, as JSON leaves them, every type checked on the way."""

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from gradiometer.errors import SettingsError

Noun = TypeVar("Noun")


def settle(kind: type[Noun], value: Any) -> Noun:
    """Read a noun back, with the nouns in it.

    Args:
        kind: The noun, a dataclass of numbers, words, tuples and other such nouns; fields may be None where they
            say so.
        value: Dictionaries, lists, numbers, words and None.

    Raises:
        SettingsError: It does not fit; the message names the field.

    Example:
        >>> from gradiometer.schema.explored import ExplorerSettings
        >>> settle(ExplorerSettings, {"units": 30}).units
        30
    """
    settled: Noun = _settled(kind, value, kind.__name__)
    return settled


def _settled(kind: Any, value: Any, place: str) -> Any:
    origin = get_origin(kind)
    if is_dataclass(kind):
        return _settled_noun(kind, value, place)
    if origin is Literal and value in get_args(kind):
        return value
    if origin in (Union, types.UnionType):
        rest = [one for one in get_args(kind) if one is not types.NoneType]
        return None if value is None else _settled(rest[0], value, place)
    if origin is tuple and isinstance(value, list | tuple):
        parts = get_args(kind)
        each = [parts[0]] * len(value) if parts[-1] is ... else list(parts)
        if len(each) == len(value):
            return tuple(_settled(one, part, place) for one, part in zip(each, value, strict=True))
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if kind in (int, str, bool) and type(value) is kind:
        return value
    raise SettingsError(f"{place}: {str(value)[:80]!r} is not what belongs there.")


def _settled_noun(kind: Any, value: Any, place: str) -> Any:
    if not isinstance(value, Mapping):
        raise SettingsError(f"{place}: {str(value)[:80]!r} is not what belongs there.")
    known = {one.name for one in fields(kind)}
    if not known.issuperset(value):
        raise SettingsError(f"{place} has no {', '.join(sorted(map(str, set(value) - known)))}.")
    hints = _hints(kind)
    try:
        return kind(**{name: _settled(hints[name], part, f"{place}.{name}") for name, part in value.items()})
    except TypeError as fault:
        raise SettingsError(f"{place}: {fault}.") from fault


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)
