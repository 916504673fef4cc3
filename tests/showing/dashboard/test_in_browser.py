"""The dashboard in a real browser, served by the real command."""

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from browsing import LOOKS, assert_sound, browser, controls_out_of_reach, visit
from gradiometer.showing.dashboard.shelf import key_of
from showing.dashboard.made_files import HARMFUL, GrowingRun, write_run
from showing.dashboard.serving_dashboard import dashboard

__all__ = ["browser"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "first.db")
    write_run(folder / "second.db", step_count=60)
    write_run(folder / "deep.db", hidden_count=150, step_count=12, every=6)
    write_run(folder / "harmful.db", prefix=HARMFUL)
    (folder / "damaged.db").write_bytes(b"SQLite format 3\x00" + bytes(500))
    (folder / "foreign.db").write_text("no run file at all")
    return folder


@pytest.fixture(scope="module")
def home(folder: Path) -> Iterator[str]:
    with dashboard(folder) as url:
        yield url


def address_of(home: str, file: Path) -> str:
    return f"{home}run/{key_of(file)}"


def wait_for_ladder(page) -> None:
    page.wait_for_selector("#gain_ladder", timeout=60_000)
    page.locator("#gain_ladder").scroll_into_view_if_needed()
    page.wait_for_selector("#gain_ladder[data-drawn] svg.main-svg", timeout=60_000)


def test_opens_a_run_without_a_word_to_anybody_else(browser, home: str, folder: Path) -> None:
    with visit(browser, address_of(home, folder / "first.db")) as seen:
        wait_for_ladder(seen.page)
        wait_for_words(seen.page, "#status", "It is finished.")
        assert seen.said == []
        assert seen.asked_elsewhere == []


@pytest.mark.slow
def test_shows_steps_blocks_and_growth_in_one_browser(browser, home: str, folder: Path) -> None:
    growing = GrowingRun(folder / "growing.db", hidden_count=40)
    for _ in range(9):
        growing.grow(is_measured=True)
    with visit(browser, address_of(home, folder / "growing.db")) as seen:
        page = seen.page
        wait_for_ladder(page)
        assert "9 of 9" in page.inner_text("#moment-words")
        assert page.inner_text("h1") in {"Broken", "At risk", "Healthy", "Unknown"}
        took = [seconds_until_shown(page, growing, count) for count in range(10, 15)]
        slider_and_play(page)
        drill_down(page)
        assert seen.said == []
        assert seen.asked_elsewhere == []
    growing.finish()
    assert median(took) < 2.0, took


def seconds_until_shown(page, growing: GrowingRun, count: int) -> float:
    growing.grow(is_measured=True)
    begun = time.monotonic()
    wait_for_words(page, "#moment-words", f"{count} of {count}")
    return time.monotonic() - begun


def wait_for_words(page, place: str, words: str) -> None:
    """Wait for some words in a place; the page's policy forbids what playwright would evaluate for it."""
    page.locator(place, has_text=words).wait_for(timeout=30_000)


def slider_and_play(page) -> None:
    page.focus("#moment")
    page.keyboard.press("Home")
    wait_for_words(page, "#moment-words", "(1 of 14)")
    page.keyboard.press("ArrowRight")
    wait_for_words(page, "#moment-words", "step 1 (2 of 14)")
    page.click("#play")
    wait_for_words(page, "#moment-words", "(14 of 14)")
    wait_for_words(page, "#play", "Play")


def drill_down(page) -> None:
    before = page.locator("#tree tbody tr").count()
    closed = page.locator("#tree button.branch[aria-expanded=false]").last
    name = closed.get_attribute("data-branch")
    closed.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(f'#tree button[data-branch="{name}"][aria-expanded=true]')
    opened = page.locator("#tree tbody tr").count()
    assert opened > before
    page.keyboard.press("Enter")
    page.wait_for_selector(f'#tree button[data-branch="{name}"][aria-expanded=false]')
    assert page.locator("#tree tbody tr").count() == before


@pytest.mark.slow
def test_shows_its_pages_whole_and_open_to_everybody(browser, home: str, folder: Path) -> None:
    compared = f"{home}compare/{key_of(folder / 'first.db')}/{key_of(folder / 'second.db')}"
    pages = {
        home: "#list table",
        address_of(home, folder / "first.db"): "#measured dl",
        address_of(home, folder / "deep.db"): "#measured dl",
        address_of(home, folder / "damaged.db"): "h1",
        compared: "#below table, #below section",
        f"{home}run/0123456789abcdef": "h1",
    }
    for address, sign in pages.items():
        for width, scheme in LOOKS:
            with visit(browser, address, width=width, scheme=scheme) as seen:
                seen.page.wait_for_selector(sign, timeout=60_000)
                look_at_all(seen.page)
                assert_sound(seen)
                assert controls_out_of_reach(seen.page) == []
                assert headings_out_of_order(seen.page) == []


def look_at_all(page) -> None:
    """Bring every figure into the window once, and wait until it is drawn."""
    page.wait_for_timeout(1500)
    page.locator("[title='not judged yet']").first.wait_for(state="detached", timeout=60_000)
    for place in page.locator("[data-figure]:visible").all():
        name = place.get_attribute("id")
        place.scroll_into_view_if_needed()
        page.wait_for_selector(f"#{name}[data-drawn] svg.main-svg", timeout=60_000)


def headings_out_of_order(page) -> list[str]:
    """Headings that leave out a level, or come before the first one."""
    levels = [
        int(one) for one in page.locator("h1:visible, h2, h3, h4").evaluate_all("all => all.map(h => h.tagName[1])")
    ]
    return [f"{before} {after}" for before, after in zip([0, *levels], levels, strict=False) if after > before + 1]


@pytest.mark.slow
def test_runs_no_script_that_a_layer_is_named_for(browser, home: str, folder: Path) -> None:
    with visit(browser, address_of(home, folder / "harmful.db")) as seen:
        wait_for_ladder(seen.page)
        assert "<script>alert(1)</script>" in seen.page.inner_text("#tree")
        look_at_all(seen.page)
        assert seen.said == []


@pytest.mark.slow
def test_lists_runs_and_compares_two_by_keyboard(browser, home: str, folder: Path) -> None:
    with visit(browser, home) as seen:
        page = seen.page
        first, second = (
            page.locator(f'button[data-key="{key_of(folder / name)}"]') for name in ("first.db", "second.db")
        )
        first.focus()
        page.keyboard.press("Enter")
        wait_for_words(page, "#picked-words", "first.db is the run before")
        second.focus()
        page.keyboard.press("Enter")
        wait_for_words(page, "#changes", "What changed")
        assert page.url == f"{home}compare/{key_of(folder / 'first.db')}/{key_of(folder / 'second.db')}"
        page.locator("#two_runs").scroll_into_view_if_needed()
        page.wait_for_selector("#two_runs[data-drawn] svg.main-svg")
        assert seen.said == []


@pytest.mark.slow
def test_says_in_a_sentence_why_a_file_cannot_be_read(browser, home: str, folder: Path) -> None:
    for name, words in (("damaged.db", "not a run file"), ("foreign.db", "not a run file")):
        with visit(browser, address_of(home, folder / name)) as seen:
            wait_for_words(seen.page, "h1", "Can't be read")
            wait_for_words(seen.page, "#head", words)
            assert seen.said == []


@pytest.mark.slow
def test_finds_a_layer_among_hundreds_by_its_name(browser, home: str, folder: Path) -> None:
    with visit(browser, address_of(home, folder / "deep.db")) as seen:
        wait_for_ladder(seen.page)
        seen.page.fill("#search", "body.117")
        wait_for_words(seen.page, "#tree-words", "1 layer found.")
        assert seen.page.locator("#tree tbody tr").last.inner_text().startswith("117")


@pytest.mark.slow
def test_says_that_it_has_ended(browser, folder: Path) -> None:
    with dashboard(folder / "first.db") as url:
        visited = visit(browser, url)
        seen = visited.__enter__()
        wait_for_words(seen.page, "#status", "It is finished.")
    wait_for_words(seen.page, "#notice", "gradiometer live")
    visited.__exit__(None, None, None)
