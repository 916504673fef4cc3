"""Nouns to JSON, the same for every verb: one object, every field by its own name.

JSON has no NaN and no infinity, and parsers differ in what they make of them; they are written as the strings
`"nan"`, `"inf"` and `"-inf"`.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradiometer.showing.printable import printable_json


def plain(value: Any) -> Any:
    """Turn a noun, or anything made of nouns, numbers, arrays, mappings and sequences, into what JSON can hold.

    Args:
        value: Dataclasses become objects with every field, in order; arrays and sequences lists; paths strings.

    Returns:
        Values of str, int, float, bool, None, list and dict only. Anything unknown becomes its text.

    Example:
        >>> plain({"level_db": float("-inf"), "layers": ("body.0",)})
        {'level_db': '-inf', 'layers': ['body.0']}
    """
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return plain_collection(value)


def plain_collection(value: Any) -> Any:
    """Turn what holds other values into what JSON can hold; the second half of `plain`."""
    if is_dataclass(value) and not isinstance(value, type):
        return {spec.name: plain(getattr(value, spec.name)) for spec in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(entry) for entry in value]
    return value.as_posix() if isinstance(value, Path) else str(value)


def json_text(value: Any) -> str:
    """Write a noun as one JSON object of text, ending with a line break.

    Example:
        >>> print(json_text({"verdict": "healthy"}), end="")
        {
          "verdict": "healthy"
        }
    """
    return printable_json(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)) + "\n"


def json_for_html(value: Any) -> str:
    r"""Write a value as JSON that can stand inside a `<script>` element: no text of it can end the element.

    Example:
        >>> json_for_html({"layer": "</script>"})
        '{"layer":"\\u003c/script\\u003e"}'
    """
    text = json.dumps(plain(value), separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
