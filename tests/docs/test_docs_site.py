import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from docs_hook import Sections, on_page_markdown, opened
from docs_links import check_links
from docs_pages import pages
from documented_blocks import ROOT

from browsing import LOOKS, browser, controls_out_of_reach, serious_faults, visit

__all__ = ["browser"]

SEEN = ("index.html", "start.html", "guides/nan.html", "conditions/vanishing.html", "theory.html", "reference/api.html")
"""A page of each kind."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it: strictly, so that a link in a page that leads nowhere fails."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "properdocs", "build", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "DISABLE_MKDOCS_2_WARNING": "true"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def leaves(entry: Any) -> list[str]:
    """The pages of an entry of the navigation."""
    if isinstance(entry, dict):
        return [page for items in entry.values() for page in leaves(items)]
    return [page for item in entry for page in leaves(item)] if isinstance(entry, list) else [entry]


def test_has_every_page_once_in_the_navigation() -> None:
    configuration = yaml.safe_load((ROOT / "properdocs.yml").read_text(encoding="utf-8"))
    listed = leaves([opened(entry, ROOT / "docs") for entry in configuration["nav"]])
    written = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]
    assert sorted(listed) == sorted([*written, *pages()])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_builds_a_site_without_a_broken_link(site: Path) -> None:
    found = check_links(site)
    assert found.broken == []
    assert found.count > 1000


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_shows_pages_that_everybody_can_read(browser: Any, site: Path, width: int, scheme: str) -> None:
    for name in SEEN:
        with visit(browser, (site / name).as_uri(), width=width, scheme=scheme) as seen:
            page = seen.page
            assert seen.said == []
            assert all(address.startswith(site.as_uri()) for address in seen.asked)
            assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), name
            assert serious_faults(page) == [], name
            assert page.locator("h1").count() == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_finds_words_in_a_folder_without_a_server(browser: Any, site: Path) -> None:
    with visit(browser, (site / "guides" / "nan.html").as_uri()) as seen:
        page = seen.page
        page.keyboard.press("/")
        page.keyboard.type("forget gate")
        options = page.locator("#search-results a")
        assert options.count() > 0
        assert "open forget gates" in options.first.inner_text().lower()
        page.keyboard.press("ArrowDown")
        assert options.nth(1).get_attribute("aria-selected") == "true"
        page.keyboard.press("ArrowUp")
        page.keyboard.press("Enter")
        page.wait_for_url("**/cures/open_forget_gates.html**")
        assert seen.said == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_lets_a_keyboard_come_to_everything(browser: Any, site: Path) -> None:
    with visit(browser, (site / "conditions" / "vanishing.html").as_uri()) as seen:
        assert controls_out_of_reach(seen.page) == []


class Page:
    """What the hook asks of a page: where it comes from."""

    def __init__(self, place: str) -> None:
        self.file = self
        self.src_uri = place


@pytest.mark.parametrize(
    ("place", "written", "shown"),
    [
        ("guides/nan.md", "[a](../../examples/nan_half_way.py)", "[a](../reference/scripts.md#nan_half_waypy)"),
        ("truth.md", "[a](architecture.md#words)", "[a](architecture.md#words)"),
        ("log.md", "[a](../CHANGELOG.md)", "[a](reference/changelog.md)"),
        ("log.md", "[a](../benchmarks/overhead.py)", "a"),
        ("log.md", "[a](https://example.org/)", "[a](https://example.org/)"),
        ("log.md", "`[a](../benchmarks/overhead.py)`", "`[a](../benchmarks/overhead.py)`"),
        ("log.md", "<!-- setup\n```python\nx = 1\n```\n-->\nafter", "after"),
    ],
)
def test_leads_links_to_where_the_site_shows_a_file(place: str, written: str, shown: str) -> None:
    assert on_page_markdown(written, page=Page(place)) == shown


def test_warns_of_a_link_to_a_file_that_is_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    on_page_markdown("[a](../benchmarks/gone.py)", page=Page("log.md"))
    assert "log.md links to benchmarks/gone.py, which is not in the repository" in caplog.text


def test_searches_the_sections_of_a_page_by_their_headings() -> None:
    reader = Sections()
    reader.feed(
        '<h1 id="t">Title<a class="headerlink" href="#t">#</a></h1><p>Before.</p>'
        '<h2 id="part">A <code>part</code><a class="headerlink" href="#part">#</a></h2><p>Its text.</p>'
    )
    assert reader.found == [["", "Title", "Before."], ["part", "A part", "Its text."]]
