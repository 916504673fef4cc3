"""Text that a terminal shows and does not obey: names and messages may come from a file of anybody's."""

import re

OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters but for line break and tabulator, and those that turn the direction of writing: with them a name
could move the cursor, clear the screen, or read as another."""

UNWRITABLE = re.compile("[\ud800-\udfff]")
"""Halves of characters, which no encoding has: bytes of file names that were no text, read back from JSON."""

ESCAPED_IN_JSON = re.compile(f"{OBEYED.pattern[:-1]}\u2028\u2029\ud800-\udfff]")


def printable(text: str) -> str:
    """A text without what a terminal would obey; what can't be written is shown as its number.

    Example:
        >>> printable(chr(27) + "[31mred" + chr(0x202E)), len(printable("caf" + chr(0xDCE9)))
        ('[31mred', 9)
    """
    return encodable(OBEYED.sub("", text))


def encodable(text: str) -> str:
    """A text that UTF-8 can hold: what it can't is shown as its number."""
    return UNWRITABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def printable_json(text: str) -> str:
    """Text of JSON that means the same, with every letter that a terminal would obey written as its number."""
    return ESCAPED_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
