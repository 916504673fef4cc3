"""Attributes of HTML elements whose names have a dash, for pages made of Dash components."""

from typing import Any


def attributes(family: str, **values: object) -> dict[str, Any]:
    """Attributes of a family whose names have a dash, which Python's words can't have.

    Example:
        >>> attributes("aria", label="Outputs")
        {'aria-label': 'Outputs'}
    """
    return {f"{family}-{name}": value for name, value in values.items()}
