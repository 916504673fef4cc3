"""Every static page in a real browser: drawn, silent, at home, open to everybody, on a desk and on a phone."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from browsing import LOOKS, assert_sound, browser, controls_out_of_reach, visit, wait_for_figures
from gradiometer.comparing import compare
from gradiometer.diagnosing import diagnose
from gradiometer.recording.reader import read_run
from gradiometer.schema import Diagnosis, Run
from gradiometer.showing.comparison_page import write_comparison_page
from gradiometer.showing.lab_page import write_lab_index, write_lab_page
from gradiometer.showing.report import write_report
from gradiometer.showing.theory_page import write_theory_page
from gradiometer.theory.expectation import expect, plan_network
from gradiometer.theory.phase_map import map_around
from showing.made_experiment import made_experiment
from showing.made_run import made_diagnosis, made_run
from showing.made_turns import measured_fully

__all__ = ["browser"]

EXAMPLES = Path(__file__).parents[2] / "examples"


def report_of(run: Run, diagnosis: Diagnosis) -> Callable[[Path], Path]:
    return lambda folder: write_report(run, diagnosis, folder / "page.html", run_file=folder / "run.db")


def report_of_script(script: str, *arguments: str, steps: int) -> Callable[[Path], Path]:
    """What someone gets who runs one of the examples and asks for its report."""

    def written(folder: Path) -> Path:
        file = folder / "run.db"
        command = [sys.executable, "-m", "gradiometer", "run", "--quiet", "--seed", "0", "--steps", str(steps)]
        words = [*command, "--file", str(file), str(EXAMPLES / script), *arguments]
        subprocess.run(words, cwd=folder, capture_output=True, check=True)
        run = read_run(file)
        return write_report(run, diagnose(run), folder / "page.html", run_file=file)

    return written


def theory_page(folder: Path) -> Path:
    plan = plan_network("tanh", 1.3, 0.2236)
    return write_theory_page(expect(plan), map_around(plan), folder / "page.html")


def lab_page(folder: Path) -> Path:
    return write_lab_page(made_experiment(), folder / "page.html", question="How much slower?")


def lab_index(folder: Path) -> Path:
    report = made_experiment()
    page = folder / "page.html"
    return write_lab_index({"speeds.html": report}, {"faces": "needs skimage"}, {report.name: "How much?"}, page)


def comparison_page(folder: Path) -> Path:
    before, after = made_run(is_cured=False), made_run(3, is_cured=False, batch_size=32)
    return write_comparison_page(compare(before, after), before, after, folder / "page.html")


PAGES: dict[str, Callable[[Path], Path]] = {
    "a cure with its outcome": report_of(measured_fully(made_run()), made_diagnosis()),
    "a thousand layers": report_of(made_run(500, prefix="a.transformer.with.long.names."), made_diagnosis()),
    "nothing measured": report_of(Run(), Diagnosis("unknown", reason="no step was taken")),
    "ten sigmoids": report_of_script("ten_sigmoids.py", steps=120),
    "a healthy run": report_of_script("healthy_residual_cnn.py", steps=60),
    "a run that became NaN": report_of_script("nan_half_way.py", "--lr", "0.3", steps=400),
    "a lab page": lab_page,
    "the lab's index": lab_index,
    "the theory page": theory_page,
    "a comparison": comparison_page,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_shows_every_page_whole_and_open_to_everybody(browser, tmp_path: Path, name: str) -> None:
    path = PAGES[name](tmp_path)
    assert path.stat().st_size < 6_000_000
    for width, scheme in LOOKS:
        with visit(browser, path.as_uri(), width=width, scheme=scheme) as seen:
            wait_for_figures(seen)
            assert_sound(seen)
            assert controls_out_of_reach(seen.page) == []


@pytest.mark.slow
def test_explains_a_cured_run_on_a_phone(browser, tmp_path: Path) -> None:
    path = report_of(made_run(), made_diagnosis())(tmp_path)
    with visit(browser, path.as_uri(), width=390, scheme="dark") as seen:
        wait_for_figures(seen)
        assert controls_out_of_reach(seen.page) == []
        assert opens_with_enter(seen.page)
        assert_sound(seen)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a cure with its outcome", "a thousand layers", "a lab page", "the theory page"])
def test_prints_every_figure_whole_unfolded_and_dark_on_light(browser, tmp_path: Path, name: str) -> None:
    path = PAGES[name](tmp_path)
    with visit(browser, path.as_uri(), width=390, scheme="dark") as seen:
        wait_for_figures(seen)
        seen.page.evaluate(WATCH_PAPER)
        seen.page.pdf(format="A4")
        paper = seen.page.evaluate("window.paperSeen")
        assert paper == {"cut": [], "folded": 0, "text": "#22262c"}
        wait_for_figures(seen)
        assert_sound(seen)


def opens_with_enter(page) -> bool:
    """Fold everything, then open what can be opened by keyboard alone."""
    page.evaluate("for (const folded of document.querySelectorAll('details')) folded.open = false")
    for summary in page.locator("summary").all():
        summary.focus()
        page.keyboard.press("Enter")
    return page.evaluate("[...document.querySelectorAll('details')].every((folded) => folded.open)")


WATCH_PAPER = """() => {
  const [width, height] = [186, 273].map((millimetres) => millimetres / 25.4 * 96);
  window.addEventListener("beforeprint", () => {
    const isCut = (place) => place.querySelector(".main-svg").getBoundingClientRect().width > width
      || place.getBoundingClientRect().height > height;
    window.paperSeen = {
      cut: [...document.querySelectorAll("[data-figure]")].filter(isCut).map((place) => place.id),
      folded: document.querySelectorAll("details:not([open])").length,
      text: getComputedStyle(document.documentElement).getPropertyValue("--text").trim(),
    };
  });
}"""
"""Notes what goes to paper: A4 without its margins of 12 mm."""
