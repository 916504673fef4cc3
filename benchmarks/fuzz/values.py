"""Values that are meant to do harm, and ways to put them into what is read."""

import json
import random
from typing import Any

MARK = "GRADIOMETER_WAS_HERE"
"""Name of the file that every payload here would make; nobody else makes one of that name."""

TEXTS = (
    "",
    " ",
    "\x00",
    "a\x00b",
    "line one\nline two\r\n",
    "\x1b[2J\x1b[31mHEALTHY\x1b[0m",
    "\x1b]0;title\x07\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "\x9b31m\x85\u2028\u2029",
    "\u202egnp.exe\u2066\u200b\ufeff",
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "'; DROP TABLE fact; --",
    "[link](javascript:alert(1)) `code` **bold** $math$",
    "[red]markup[/red] [/] [link=https://evil.example]x[/link]",
    "{0} {name} {} {{ %s %(x)s %n ${HOME} $(touch " + MARK + ")",
    "`touch " + MARK + "`; touch " + MARK + " | touch " + MARK,
    f"__import__('pathlib').Path('{MARK}').touch()",
    "../../../../../../etc/passwd",
    "..\\..\\windows\\win.ini",
    "/dev/zero",
    "/dev/stdin",
    "file:///etc/passwd",
    "C:\\con",
    "-rf",
    "--help",
    "~root",
    "nan",
    "inf",
    "1e400",
    "\U0001f9ea\u0301\u0301\u0301é\u4e2d",
    "\ud800",
    "x" * 100_000,
    "a.b." * 3000,
    "[" * 3000,
    "é" * 5000,
)
"""Words with control characters, markup of every kind, paths, commands, and lengths that nobody types."""

NUMBERS: tuple[Any, ...] = (
    *(0, 1, -1, 2, 255, -(2**31), 2**31, 2**53, 2**62, 2**63 - 1, -(2**63)),
    *(0.0, -0.0, 1e-320, 5e-324, 1e-30, 0.5, -0.5, 1.5, 1e30, 1e300, -1e308, 1.8e308),
    *(float("inf"), float("-inf"), float("nan")),
)
"""Ends of every number format, and what is no number."""

OTHERS: tuple[Any, ...] = (None, True, False, [], {}, [[]], {"": None}, [None], {"a": {"b": {"c": []}}})


def hostile_text(source: random.Random) -> str:
    """A text, one of those above or made of two of them."""
    chosen = source.choice(TEXTS)
    return chosen if source.random() < 0.8 else chosen[:200] + source.choice(TEXTS)[:200]


def hostile_scalar(source: random.Random) -> Any:
    """A number or a text."""
    return source.choice(NUMBERS) if source.random() < 0.6 else hostile_text(source)


def hostile_value(source: random.Random, depth: int = 0) -> Any:
    """Anything that JSON can hold."""
    draw = source.random()
    if draw < 0.6 or depth > 3:
        return hostile_scalar(source)
    if draw < 0.8:
        return source.choice(OTHERS)
    size = source.choice((1, 2, 3, 40))
    if draw < 0.9:
        return [hostile_value(source, depth + 1) for _ in range(size)]
    return {hostile_text(source)[:60]: hostile_value(source, depth + 1) for _ in range(min(size, 3))}


def altered(source: random.Random, value: Any) -> Any:
    """A value of JSON with one place in it changed, dropped or doubled.

    Args:
        source: What draws.
        value: Any value of JSON; it is not written into.
    """
    if isinstance(value, dict) and value and source.random() < 0.8:
        return altered_mapping(source, value)
    if isinstance(value, list) and value and source.random() < 0.8:
        place = source.randrange(len(value))
        draw = source.random()
        if draw < 0.15:
            return value[:place] + value[place + 1 :]
        if draw < 0.25:
            return value * 2
        return [*value[:place], altered(source, value[place]), *value[place + 1 :]]
    return hostile_value(source)


def altered_mapping(source: random.Random, value: dict[str, Any]) -> dict[str, Any]:
    """A mapping with one key dropped, renamed, added, or given an altered value."""
    name = source.choice(list(value))
    draw = source.random()
    if draw < 0.15:
        return {key: part for key, part in value.items() if key != name}
    if draw < 0.2:
        return {(hostile_text(source)[:80] if key == name else key): part for key, part in value.items()}
    if draw < 0.25:
        return {**value, hostile_text(source)[:80]: hostile_value(source)}
    return {**value, name: altered(source, value[name])}


def hostile_json(source: random.Random, text: object) -> str:
    """Text of JSON with something wrong in it: its values mostly, sometimes its letters.

    Args:
        source: Where chance comes from.
        text: JSON; or what a column holds that was altered before.
    """
    if source.random() < 0.15:
        return source.choice(("[" * 50_000, '{"a":' * 20_000, "9" * 6000, "1e999999", "NaN", "", "nul", '"\\ud800"'))
    try:
        return json.dumps(altered(source, json.loads(str(text))))
    except (ValueError, RecursionError):
        return hostile_text(source)


def damaged_bytes(source: random.Random, content: bytes, *, most: int = 16) -> bytes:
    """Bytes with a few of them changed, cut, doubled or overwritten."""
    damaged = bytearray(content)
    for _ in range(source.randint(1, most)):
        if not damaged:
            break
        place = source.randrange(len(damaged))
        draw = source.random()
        if draw < 0.6:
            damaged[place] = source.choice((0, 1, 0x7F, 0x80, 0xFF, source.randrange(256)))
        elif draw < 0.8:
            length = min(source.choice((1, 4, 60, 600)), len(damaged) - place)
            damaged[place : place + length] = source.randbytes(length)
        elif draw < 0.9:
            del damaged[place : place + source.choice((1, 16, 512))]
        else:
            damaged[place:place] = damaged[place : place + source.choice((1, 16, 512))]
    return bytes(damaged)
