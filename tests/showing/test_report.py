import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from browsing import assert_sound, browser, visit, wait_for_figures
from gradiometer.errors import RunFileError
from gradiometer.schema import Contrast, Diagnosis, Run
from gradiometer.showing.report import page_beside, render_report, write_report
from showing.made_run import made_diagnosis, made_outcome, made_run
from showing.made_turns import measured_fully

__all__ = ["browser"]

HOSTILE = 'encoder.</script><img src=x onerror="alert(1)">.<a href="javascript:alert(1)">x</a>.'


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def elements_of(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Elements()
    parser.feed(page)
    return parser.tags


def text_of(page: str) -> str:
    """The page's text without plotly.js."""
    body = page[: page.index('<script type="application/json"')]
    return " ".join(re.sub(r"<[^>]+>", " ", body[body.index("<main>") :]).split())


def test_says_verdict_findings_cure_figures_layers_and_cost_in_this_order() -> None:
    text = text_of(render_report(made_run(), made_diagnosis()))
    answers = ("Broken", "What is wrong", "Why", "What cures it", "What to do next", "the change as code")
    words = ("critical vanishing", "Where", "Why", "If nothing is done", "What to try", "Consequences")
    sections = ("Proved: ", "Gain ladder", "Learning speed", "Trials", "Layers, step 4", "21 of 21 layers seen")
    place = 0
    for word in (*answers, *words, *sections):
        place = text.index(word, place)
    assert "0.83 % of the training time, 1 % allowed" in text
    assert "torch 2.13.0" in text


def test_shows_what_dear_measurements_found_only_where_a_run_has_it() -> None:
    headings = ("Gradients through time", "Similarity and effective rank", "Saturated and dead units", "Magnitudes")
    text = text_of(render_report(measured_fully(made_run()), made_diagnosis()))
    places = [text.index(words) for words in ("Loss and update ratios", *headings, "Gradients of single", "Trials")]
    assert places == sorted(places)
    assert "similarity and effective rank: 2 turns, 8 ms; gradients through time: 2 turns, 8 ms" in text
    assert "gradients of single examples: norm (a batch normalisation)" in text
    bare = text_of(render_report(made_run(), made_diagnosis()))
    assert not [words for words in (*headings, "Dear measurements", "Left out") if words in bare]


def test_adds_little_to_the_page_of_a_large_network() -> None:
    run = made_run(250, prefix="a.transformer.with.long.names.")
    bare, full = (len(render_report(entry, made_diagnosis())) for entry in (run, measured_fully(run)))
    assert full - bare < 1_000_000


def test_shows_a_line_of_the_table_for_every_layer() -> None:
    text = text_of(render_report(made_run(), made_diagnosis()))
    table = text[text.index("Layers, step 4") :]
    assert all(f"body.{index} " in table for index in range(21))


def test_says_when_measuring_cost_more_than_was_allowed() -> None:
    text = text_of(render_report(made_run(overhead_measured=0.03), made_diagnosis()))
    assert "over budget: raise --overhead" in text


def test_speaks_of_no_limit_where_every_step_was_to_be_measured_in_full() -> None:
    text = text_of(render_report(made_run(overhead_measured=2.84, overhead_allowed=1.0), made_diagnosis()))
    assert "284 % of the training time, every step measured in full as asked" in text
    assert "repaid after" not in text


def test_says_that_nothing_was_proved() -> None:
    outcome = replace(made_outcome(), verdict="not shown", snippet="", control_shows_fault=False)
    text = text_of(render_report(replace(made_run(), outcome=outcome), made_diagnosis()))
    assert "Nothing is proved" in text
    assert "The change as code" not in text


def test_shows_the_contrasts_beside_the_verdict_and_warns_where_one_is_worse() -> None:
    worse = Contrast("worse", "<train.py>:18", (0.5,), (0.9,), (9.0,), 0.4, (0.1, 0.7))
    outcome = replace(made_outcome(), held_out=(), held_out_detail="the script does not evaluate", equal_time=worse)
    text = text_of(render_report(replace(made_run(), outcome=outcome), made_diagnosis()))
    assert "No held-out loss: the script does not evaluate." in text
    assert "At equal training time (9 s) 0.5 without it, 0.9 with it: +0.4" in text
    assert "Warning: at equal training time the cure is worse than the control." in text


@pytest.mark.parametrize(
    "run", [Run(), made_run(0, is_cured=False), made_run(250)], ids=["nothing", "one", "five hundred"]
)
def test_writes_a_page_under_six_megabytes_for_any_network(run: Run, tmp_path: Path) -> None:
    path = write_report(run, Diagnosis("unknown", reason="too few steps"), tmp_path / "page.html")
    assert path.stat().st_size < 6_000_000
    assert page_text_count(path, "Plotly.react") >= 1


def page_text_count(path: Path, words: str) -> int:
    return path.read_text(encoding="utf-8").count(words)


def test_embeds_plotly_once_and_points_nowhere() -> None:
    page = render_report(made_run(), made_diagnosis())
    tags = elements_of(page)
    scripts = [attributes for tag, attributes in tags if tag == "script"]
    assert len(scripts) == 3
    links = {str(value) for _, attributes in tags for name, value in attributes.items() if name in {"src", "href"}}
    anchors = {f"#{attributes['id']}" for _, attributes in tags if "id" in attributes}
    assert "#code" in links
    assert links <= {"data:,", *anchors}


def test_lets_no_layer_name_become_an_element_or_end_a_script() -> None:
    page = render_report(made_run(3, prefix=HOSTILE), made_diagnosis(HOSTILE + "1"))
    tags = elements_of(page)
    assert "img" not in {tag for tag, _ in tags}
    assert all(str(attributes["href"]).startswith("#") for tag, attributes in tags if tag == "a")
    assert page.count("</script>") == 3
    data = page.split('id="figure-data">')[1].split("</script>")[0]
    assert "onerror" in data
    assert "<a href" not in json.dumps(json.loads(data))


def test_refuses_to_write_the_page_over_the_run_file_or_where_it_can_not(tmp_path: Path) -> None:
    run_file = tmp_path / "a.run"
    with pytest.raises(RunFileError, match="--output"):
        write_report(Run(), Diagnosis("unknown"), run_file, run_file=run_file)
    with pytest.raises(RunFileError, match="Choose another place with --output FILE"):
        write_report(Run(), Diagnosis("unknown"), tmp_path / "nowhere" / "page.html")


def test_puts_the_page_beside_the_run_file_and_never_over_it() -> None:
    assert page_beside(Path("runs/a.grad")) == Path("runs/a.html")
    assert page_beside(Path("runs/a.html")) == Path("runs/a.html.report.html")


def test_renders_without_torch_and_without_importing_plotly() -> None:
    code = (
        "import sys; from gradiometer.showing.report import render_report; from gradiometer.schema import *; "
        "render_report(Run(), Diagnosis('unknown')); print('torch' in sys.modules, 'plotly' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


PAGES = {
    "cured": (made_run(), made_diagnosis()),
    "hostile": (made_run(8, prefix=HOSTILE, cut_at=5), made_diagnosis(HOSTILE + "9")),
    "five hundred layers": (made_run(250, prefix="a.transformer.with.long.names."), made_diagnosis()),
    "one layer": (made_run(0, is_cured=False), Diagnosis("healthy")),
    "nothing": (Run(), Diagnosis("unknown")),
    "measured": (measured_fully(made_run(8, prefix=HOSTILE, is_cured=False)), made_diagnosis(HOSTILE + "9")),
    "five hundred layers measured": (measured_fully(made_run(250, prefix="a.transformer.block.")), made_diagnosis()),
}

QUICK = "hostile"
"""The page that is looked at by default; the default suite draws one more in `test_pages_in_browser.py`."""


@pytest.mark.parametrize("width", [390, pytest.param(1280, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name", [name if name == QUICK else pytest.param(name, marks=pytest.mark.slow) for name in PAGES]
)
def test_draws_every_figure_in_a_browser_without_error_overflow_or_request(
    browser, tmp_path: Path, name: str, width: int
) -> None:
    path = write_report(*PAGES[name], tmp_path / "page.html")
    with visit(browser, path.as_uri(), width=width, scheme="dark" if width == 390 else "light") as seen:
        wait_for_figures(seen)
        assert seen.page.locator("[data-figure]").count() >= 4
        assert_sound(seen)
        assert seen.page.locator("svg a[*|href^='javascript']").count() == 0
