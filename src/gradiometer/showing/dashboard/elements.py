"""Turns the HTML of the report's parts into Dash's components: text stays text, whatever a run is called."""

from html.parser import HTMLParser
from typing import Any

from dash import html

VOID = frozenset({"br", "hr"})
"""Tags without an end."""

RENAMED = {"class": "className", "tabindex": "tabIndex", "colspan": "colSpan"}
"""Attributes that Dash's components call otherwise."""

KEPT = ("aria-", "data-", "role", "id", "title", "scope", "href", "open")
"""Beginnings of the attributes that are kept as they are; styles and handlers are none of them."""


class Elements(HTMLParser):
    """Reads HTML that this package wrote; the components that it read are in `top`."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.top: list[Any] = []
        self._open: list[tuple[str, dict[str, Any], list[Any]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin an element."""
        kept = {RENAMED.get(name, name): value or "" for name, value in attrs if name in RENAMED or is_kept(name)}
        self._open.append((tag, kept, []))
        if tag in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        """End the element that was begun last."""
        name, attributes, children = self._open.pop()
        if name != tag:
            raise ValueError(f"<{name}> is ended by </{tag}>")
        self.handle_child(component(name, attributes, children))

    def handle_data(self, data: str) -> None:
        """Add text."""
        self.handle_child(data)

    def handle_child(self, child: Any) -> None:
        """Add something to the element that is open."""
        (self._open[-1][2] if self._open else self.top).append(child)


def is_kept(name: str) -> bool:
    """Whether an attribute is kept as it is."""
    return name.startswith(KEPT)


def component(tag: str, attributes: dict[str, Any], children: list[Any]) -> Any:
    """One of Dash's components.

    Raises:
        ValueError: Dash has none of this name, or it is a script.
    """
    kind = getattr(html, tag.capitalize(), None)
    if kind is None or tag in {"script", "iframe", "object", "embed", "style"}:
        raise ValueError(f"<{tag}> is none of the elements of a page")
    if "tabIndex" in attributes:
        attributes["tabIndex"] = int(attributes["tabIndex"])
    if tag == "details":
        attributes["open"] = "open" in attributes
    return kind(children or None, **attributes)


def elements_of(text: str) -> list[Any]:
    """Components for HTML that this package wrote.

    Args:
        text: HTML in which every text of a run is escaped.

    Example:
        >>> elements_of('<p class="how">a &lt;b&gt;</p>')
        [P(children=['a <b>'], className='how')]
    """
    parser = Elements()
    parser.feed(text)
    parser.close()
    return parser.top
