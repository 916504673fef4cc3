"""JSON from a run file, parsed within bounds."""

import json
from typing import Any

MAX_DEPTH = 48
"""Lists and mappings within each other; what we write goes eight deep, and who shows a value walks down in it."""


def parse_json(text: str) -> Any:
    """Parse JSON as it is written by `encode_json`, NaN and infinity among its numbers.

    Raises:
        ValueError: It is no JSON, or lists and mappings lie deeper in each other than in any that we write.

    Example:
        >>> parse_json('{"shape": [2, 3], "rate": Infinity}')
        {'shape': [2, 3], 'rate': inf}
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(f"JSON deeper than {MAX_DEPTH}") from None
    # Few texts have as many brackets: the others need no walk.
    if text.count("[") + text.count("{") > MAX_DEPTH and is_deeper(value, MAX_DEPTH):
        raise ValueError(f"JSON deeper than {MAX_DEPTH}")
    return value


def is_deeper(value: Any, depth: int) -> bool:
    """Whether lists and mappings lie more than so deep in each other.

    Example:
        >>> is_deeper([[1]], 1), is_deeper([{"a": 1}], 2), is_deeper(7, 0)
        (True, False, False)
    """
    layer = [value]
    for _ in range(depth + 1):
        layer = [part for one in layer if isinstance(one, dict | list) for part in parts_of(one)]
        if not layer:
            return False
    return True


def parts_of(value: dict[str, Any] | list[Any]) -> list[Any]:
    """What a list or mapping holds."""
    return list(value.values()) if isinstance(value, dict) else value
