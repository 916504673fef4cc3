"""A real browser for tests of pages: one way to open a page, to see what it says and asks for, and to find its faults.

The browser is the system's Chromium, driven through playwright; a test that asks for it is skipped where there is none.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

BROWSER_OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

SERIOUS = frozenset({"serious", "critical"})
"""How axe-core calls faults that keep people from using a page."""

LOOKS = ((1280, "light"), (1280, "dark"), (390, "light"), (390, "dark"))
"""Widths in pixels and colour schemes that every page is looked at in: a desk and a phone."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window; a test file that imports this fixture shares one among its tests."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=executable, args=BROWSER_OPTIONS)
        yield browser
        browser.close()


@dataclass(frozen=True, slots=True)
class Visit:
    """A page that is open.

    Attributes:
        page: The page, as playwright drives it.
        address: Where it came from.
        said: All that it wrote to the console, errors that nobody caught, and dialogs.
        asked: Address of everything that it asked for, itself among them.
    """

    page: Any
    address: str
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @property
    def asked_elsewhere(self) -> list[str]:
        """What it asked for that it does not hold itself, and that does not come from where it came from."""
        home = self.address if self.address.startswith("file:") else "/".join(self.address.split("/")[:3])
        return [url for url in self.asked if not url.startswith(("data:", "blob:", home))]


@contextmanager
def visit(
    browser: Any, address: str, *, width: int = 1280, scheme: str = "light", height: int = 800
) -> Iterator[Visit]:
    """Open a page and close it at the end.

    Args:
        browser: The fixture.
        address: `file:` or `http:` address of the page.
        width: Of the window, pixels.
        scheme: `light` or `dark`.
        height: Of the window, pixels.
    """
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    seen = Visit(page, address)
    page.on("console", lambda message: seen.said.append(message.text))
    page.on("pageerror", lambda error: seen.said.append(str(error)))
    page.on("dialog", lambda dialog: (seen.said.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: seen.asked.append(request.url))
    page.goto(address, timeout=120_000)
    yield seen
    page.close()


def wait_for_figures(seen: Visit, figure_count: int | None = None) -> None:
    """Wait until a static page has drawn its figures; each has what plotly draws into, and something drawn in it.

    Args:
        seen: The page.
        figure_count: How many there are to be; as many as there are places if not given.
    """
    page = seen.page
    page.wait_for_selector("body[data-drawn]", timeout=120_000)
    places = page.locator("[data-figure]").count()
    assert page.evaluate("document.body.dataset.drawn") == str(places if figure_count is None else figure_count)
    assert page.evaluate(FIGURES_WITHOUT_MARKS) == []


def assert_sound(seen: Visit) -> None:
    """Assert what holds for every page: silent, at home, as wide as the window, nothing cut off, open to everybody."""
    page = seen.page
    page.evaluate("for (const folded of document.querySelectorAll('details')) folded.open = true")
    assert seen.said == []
    assert seen.asked_elsewhere == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.evaluate(NAMES_CUT_OFF) == []
    assert page.evaluate(LEGENDS_WITHOUT_ROOM) == []
    assert serious_faults(page) == []


def serious_faults(page: Any) -> list[str]:
    """What axe-core finds serious or critical: rule, where, and why."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    # What plotly draws is one picture with words of its own: its thousands of marks are not looked at one by one.
    violations = axe.Axe().run(page, context={"exclude": [["[data-figure] svg"]]}).response["violations"]
    return [
        f"{rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in violations
        for node in rule["nodes"]
        if rule["impact"] in SERIOUS
    ]


def controls_out_of_reach(page: Any) -> list[str]:
    """The controls that a keyboard does not come to: Tab is pressed from the top until every one had its turn."""
    count = page.evaluate(LIST_CONTROLS)
    for _ in range(count + 1):
        page.keyboard.press("Tab")
    missed: list[str] = page.evaluate(CONTROLS_MISSED)
    return missed


LIST_CONTROLS = """() => {
  const kinds = "a[href], button, input, select, textarea, summary, [tabindex]:not([tabindex='-1'])";
  window.controlsToReach = new Set([...document.querySelectorAll(kinds)].filter(
    (control) => control.checkVisibility({ visibilityProperty: true }) && !control.disabled));
  document.addEventListener("focusin", (event) => window.controlsToReach.delete(event.target));
  document.activeElement.blur();
  return window.controlsToReach.size;
}"""

CONTROLS_MISSED = "() => [...window.controlsToReach].map((control) => control.outerHTML.slice(0, 160))"

FIGURES_WITHOUT_MARKS = """() => {
  const marks = "path, image, rect.legendtoggle, .annotation-text, text";
  return [...document.querySelectorAll("[data-figure]")]
    .filter((figure) => !figure.querySelector("svg.main-svg")
      || ![...figure.querySelectorAll(marks)].some((mark) => mark.getBoundingClientRect().width > 0))
    .map((figure) => figure.id);
}"""

NAMES_CUT_OFF = """() => {
  const cut = [];
  for (const figure of document.querySelectorAll("[data-figure]")) {
    const frame = figure.getBoundingClientRect();
    for (const text of figure.querySelectorAll(".infolayer text, [class*=tick] text")) {
      const box = text.getBoundingClientRect();
      if (box.width && (box.left < frame.left - 1 || box.right > frame.right + 1)) {
        cut.push(figure.id + ": " + text.textContent);
      }
    }
  }
  return cut;
}"""

LEGENDS_WITHOUT_ROOM = """() => {
  const height = (element) => element.getBoundingClientRect().height;
  const high = (figure, what) => Math.max(0, ...[...figure.querySelectorAll(what)].map(height));
  return [...document.querySelectorAll("[data-figure]")]
    .filter((figure) => figure.querySelector(".legend"))
    .filter((figure) => high(figure, ".legend .scrollbar") > 1 || high(figure, ".nsewdrag") < 100)
    .map((figure) => figure.id);
}"""
