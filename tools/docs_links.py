"""Checks every link of the built documentation: `python tools/docs_links.py site`.

It reads the pages as a browser would and knows nothing of how they were made. A link inside the site has to lead to a
file that is there, and its anchor to an element with that id. Links elsewhere are listed; with `--external` each is
asked for.
"""

import argparse
import sys
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

LINKING = {"a": "href", "link": "href", "img": "src", "script": "src"}
"""Elements that lead somewhere, and the attribute that says where."""

SECONDS = 10.0
"""Time that a page elsewhere has to answer in."""


class Anchors(HTMLParser):
    """Reads the links of a page and the ids that others may lead to.

    Attributes:
        links: Where it leads.
        ids: Where others may lead.
    """

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the id and the link of an element."""
        given = dict(attrs)
        if given.get("id"):
            self.ids.add(given["id"] or "")
        target = given.get(LINKING.get(tag, ""))
        if target is not None:
            self.links.append(target)


@dataclass(frozen=True, slots=True)
class Found:
    """What a look at all links gave.

    Attributes:
        count: Links inside the site.
        broken: Page, link and what is wrong with it.
        external: Links elsewhere, with the pages that have them.
    """

    count: int
    broken: list[str]
    external: dict[str, set[str]] = field(default_factory=dict)


def check_links(site: Path) -> Found:
    """Look at every link of every page.

    Args:
        site: The folder that holds the built pages.
    """
    pages = {file.resolve(): read_page(file) for file in sorted(site.rglob("*.html"))}
    broken: list[str] = []
    external: dict[str, set[str]] = {}
    count = 0
    for page, anchors in pages.items():
        name = page.relative_to(site.resolve()).as_posix()
        for link in anchors.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme in {"http", "https"}:
                external.setdefault(link, set()).add(name)
            elif parts.scheme not in {"data", "mailto"}:
                count += 1
                fault = fault_of(page, parts, pages, site.resolve())
                broken += [f"{name}: {link}: {fault}"] if fault else []
    return Found(count, broken, external)


def read_page(file: Path) -> Anchors:
    """The links and ids of a page."""
    anchors = Anchors()
    anchors.feed(file.read_text(encoding="utf-8"))
    return anchors


def fault_of(page: Path, link: urllib.parse.SplitResult, pages: dict[Path, Anchors], site: Path) -> str | None:
    """What is wrong with a link inside the site; None where it leads somewhere.

    Args:
        page: The page that has it.
        link: The link, split.
        pages: Every page with its anchors.
        site: The site's folder.
    """
    target = (page.parent / urllib.parse.unquote(link.path)).resolve() if link.path else page
    if not target.is_relative_to(site):
        return "leads out of the site"
    if not target.is_file():
        return "there is no such file"
    anchor = urllib.parse.unquote(link.fragment)
    if anchor and target in pages and anchor not in pages[target].ids:
        return "there is no such anchor on that page"
    return None


def unanswered(link: str) -> str | None:
    """Why a page elsewhere did not answer; None where it did."""
    request = urllib.request.Request(link, headers={"User-Agent": "gradiometer documentation"})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS):
            return None
    except (urllib.error.URLError, TimeoutError, ValueError) as error:
        return str(error)


def main(words: list[str] | None = None) -> int:
    """Check a site, say what is broken, list what leads elsewhere.

    Args:
        words: The words of the command line; those of the process where None.

    Returns:
        1 where something is broken, 0 where nothing is.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("site", type=Path)
    parser.add_argument("--external", action="store_true", help="ask for every page elsewhere, too")
    arguments = parser.parse_args(words)
    found = check_links(arguments.site)
    broken = list(found.broken)
    for link, names in sorted(found.external.items()):
        fault = unanswered(link) if arguments.external else None
        print(f"elsewhere: {link} ({', '.join(sorted(names))})")
        broken += [f"{link}: {fault}"] if fault else []
    for line in broken:
        print(f"broken: {line}", file=sys.stderr)
    print(f"{found.count} links inside, {len(found.external)} elsewhere, {len(broken)} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
