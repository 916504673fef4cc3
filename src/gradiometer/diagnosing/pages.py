"""A condition's page: what it finds, why it matters, what cures it, and what it brings about.

The words stand where the rule stands, in the docstring of the condition's own file.
"""

import inspect
import sys
from dataclasses import dataclass
from difflib import get_close_matches

from gradiometer.diagnosing import CONDITIONS
from gradiometer.diagnosing.chains import FOLLOWS_FROM
from gradiometer.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Page:
    """What there is to know of one condition, or of one cure.

    Attributes:
        name: The condition or cure.
        title: What it is, in one sentence.
        sections: Heading and text of each part.
        brings_about: Conditions that it can bring about.
        follows_from: Conditions that can bring it about.
    """

    name: str
    title: str
    sections: tuple[tuple[str, str], ...]
    brings_about: tuple[str, ...] = ()
    follows_from: tuple[str, ...] = ()


def page_of(name: str) -> Page:
    """The page of one condition.

    Args:
        name: A key of `CONDITIONS`, also written with a hyphen or a space.

    Raises:
        SettingsError: There is no such condition; the message names the nearest, or all.

    Example:
        >>> page_of("non-finite").sections[0][0]
        'What it finds'
    """
    key = key_of(name)
    if key not in CONDITIONS:
        near = get_close_matches(key, CONDITIONS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(CONDITIONS)}"
        raise SettingsError(f"there is no condition called {name!r}; {hint}")
    text = inspect.getdoc(sys.modules[CONDITIONS[key].__module__]) or ""
    title, _, rest = text.partition("\n\n")
    return Page(
        key,
        " ".join(title.split()),
        sections_of(rest),
        brings_about=tuple(entry for entry in CONDITIONS if entry in FOLLOWS_FROM.get(key, ())),
        follows_from=tuple(entry for entry in CONDITIONS if key in FOLLOWS_FROM.get(entry, ())),
    )


def is_condition(name: str) -> bool:
    """Whether a name, however it is written, is that of a condition."""
    return key_of(name) in CONDITIONS


def key_of(name: str) -> str:
    """A name as tables write it."""
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def sections_of(text: str) -> tuple[tuple[str, str], ...]:
    r"""Split the part of a docstring behind its first line.

    Args:
        text: Headings that end with a colon, each followed by indented lines.

    Example:
        >>> sections_of("What it finds:\n    Layers that\n    sleep.\n\nSource:\n    A book.")
        (('What it finds', 'Layers that sleep.'), ('Source', 'A book.'))
    """
    sections: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line and not line.startswith(" ") and line.endswith(":"):
            sections.append((line[:-1], []))
        elif line.strip() and sections:
            sections[-1][1].append(line.strip())
    return tuple((heading, " ".join(lines)) for heading, lines in sections)
