"""What the site's builder does beside turning Markdown into pages: hooks that it calls by their names.

Generated pages join those of `docs/`; links to files of the repository lead to where the site shows them, or become
plain text; what may scroll is open to a keyboard; and the words that the search goes by are written beside the pages.
"""

import json
import logging
import posixpath
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from docs_formulas import formula_fence
from docs_pages import FROM_THE_ROOT, ROOT, pages

from gradiometer import __version__

LOG = logging.getLogger("properdocs.hooks.gradiometer")

SHOWN_ELSEWHERE = {
    **{name: place for place, name in FROM_THE_ROOT.items()},
    "README.md": "index.md",
    "examples/README.md": "reference/scripts.md",
}
"""Files of the repository that the site shows, beside those of `docs/`, and where."""

FENCES = [
    {"name": "math", "class": "formula", "format": formula_fence},
]
"""Kinds of fenced blocks that are no code."""

LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!https?:|#|mailto:)([^)#\s]*)(#[^)\s]*)?\)")
FOR_TESTS = re.compile(r"<!-- (?:setup\b|file: |not run: ).*?-->\n?", flags=re.DOTALL)
"""What a page says to the tests that run it."""


def on_config(config: Any) -> Any:
    """Set what the configuration's file can't say: version, fences, and the pages of folders in the navigation."""
    config["extra"]["version"] = __version__
    config["mdx_configs"]["pymdownx.superfences"] = {"custom_fences": FENCES}
    config["nav"] = [opened(entry, Path(config["docs_dir"])) for entry in config["nav"]]
    return config


def opened(entry: Any, docs: Path) -> Any:
    """An entry of the navigation, with the pages of a folder in place of the folder's name."""
    if isinstance(entry, dict):
        return {
            title: [page for index, item in enumerate(items) for page in pages_of(item, docs, is_first=index == 0)]
            if isinstance(items, list)
            else items
            for title, items in entry.items()
        }
    return entry


def pages_of(item: Any, docs: Path, *, is_first: bool) -> list[Any]:
    """The pages that an item of a section stands for: of a folder its index, then the others as they are found.

    Args:
        item: An entry of the navigation.
        docs: The folder of the written pages.
        is_first: It begins its section, whose name its index then does not repeat.
    """
    if not isinstance(item, str) or not item.endswith("/"):
        return [item]
    generated = [place for place in pages() if place.startswith(item)]
    written = sorted(str(file.relative_to(docs).as_posix()) for file in (docs / item).glob("*.md"))
    first = f"{item}index.md"
    places = [place for place in (*generated, *written) if place != first]
    has_index = first in generated or first in written
    return [*([{"Overview": first} if is_first else first] if has_index else []), *places]


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages."""
    from properdocs.structure.files import File

    for place, text in pages().items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links to files of the repository to where the site shows them."""
    folder = posixpath.dirname(f"docs/{page.file.src_uri}")
    parts = re.split(r"(^```.*?^```$|`[^`\n]+`(?!\]))", FOR_TESTS.sub("", markdown), flags=re.DOTALL | re.MULTILINE)
    for index, part in enumerate(parts):
        if not part.startswith("`"):
            parts[index] = LINK.sub(lambda match: led(match, folder, page.file.src_uri), part)
    return "".join(parts)


def led(match: re.Match[str], folder: str, place: str) -> str:
    """One link, led to its place in the site; its words alone where the site does not show the file.

    Args:
        match: The link.
        folder: The folder that it starts from, in the repository.
        place: The page, for a warning.
    """
    words, target, anchor = match[1], match[2], match[3] or ""
    path = posixpath.normpath(posixpath.join(folder, target))
    inside = SHOWN_ELSEWHERE.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
    if path.startswith("examples/") and path.endswith(".py"):
        inside, anchor = "reference/scripts.md", f"#{posixpath.basename(path).replace('.', '')}"
    if inside is None or inside.rpartition("/")[2].partition(".")[1] == "":
        if not (ROOT / path).exists():
            LOG.warning("%s links to %s, which is not in the repository", place, path)
        return words
    return f"[{words}]({posixpath.relpath('docs/' + inside, folder)}{anchor})"


def on_page_content(content: str, **_: Any) -> str:
    """Let a keyboard come to what scrolls sideways: blocks of code, wide tables and formulas."""
    content = content.replace("<pre>", '<pre tabindex="0">')
    content = content.replace("<table>", '<div class="scroll" tabindex="0" role="group" aria-label="Table"><table>')
    return content.replace("</table>", "</table></div>")


class Sections(HTMLParser):
    """Reads a page's text section by section: a heading with an id begins one.

    Attributes:
        found: Id, title and text of each, the page's own first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[list[str]] = [["", "", ""]]
        self._in_heading = False
        self._in_mark = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a section at a heading; leave the heading's own link out."""
        given = dict(attrs)
        if tag in {"h2", "h3"} and given.get("id"):
            self.found.append([given["id"] or "", "", ""])
        self._in_heading = self._in_heading or tag in {"h1", "h2", "h3"}
        self._in_mark = self._in_mark or (tag == "a" and given.get("class") == "headerlink")

    def handle_endtag(self, tag: str) -> None:
        """End a heading."""
        self._in_heading = self._in_heading and tag not in {"h1", "h2", "h3"}
        self._in_mark = self._in_mark and tag != "a"

    def handle_data(self, data: str) -> None:
        """Add words to the section's title or text."""
        if not self._in_mark:
            self.found[-1][1 if self._in_heading else 2] += data


SEARCHED: list[dict[str, str]] = []
"""What the search goes by, gathered page by page."""


def on_pre_build(**_: Any) -> None:
    """Forget what an earlier build of the same process gathered."""
    SEARCHED.clear()


def on_page_context(context: Any, page: Any, **_: Any) -> Any:
    """Gather a page's sections for the search."""
    reader = Sections()
    reader.feed(page.content)
    title = reader.found[0][1].strip() or page.title
    for anchor, heading, text in reader.found:
        words = " ".join(text.split())
        if words:
            address = page.file.url + (f"#{anchor}" if anchor else "")
            SEARCHED.append({"page": title, "title": heading.strip() or title, "address": address, "text": words})
    return context


def on_post_build(config: Any) -> None:
    """Write the words of the search as a script: that loads from a folder, too, where nothing may be fetched."""
    words = json.dumps(SEARCHED, ensure_ascii=False, separators=(",", ":"))
    Path(config["site_dir"], "search_words.js").write_text(f"window.searchWords={words};\n", encoding="utf-8")
