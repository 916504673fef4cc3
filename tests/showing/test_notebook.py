import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import gradiometer
from gradiometer.comparing import compare
from gradiometer.schema import Run
from gradiometer.showing.notebook import CARDS, card_of, load_ipython_extension
from gradiometer.units import format_db
from showing.made_run import made_diagnosis, made_finding, made_outcome, made_run

HOSTILE = "<script>alert(1)</script>"


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def shell() -> InteractiveShell:
    # IPython warns of a virtual environment that is not its own, and warnings are errors here.
    made = InteractiveShell(config=Config({"InteractiveShell": {"warn_venv": False}}))
    load_ipython_extension(made)
    return made


NOUNS = {
    "Run": made_run(),
    "Diagnosis": made_diagnosis(),
    "Finding": made_finding(),
    "Comparison": compare(made_run(), made_run()),
    "Outcome": made_outcome(),
}


@pytest.mark.parametrize("name", NOUNS)
def test_shows_a_noun_as_a_page_and_as_text(name: str, shell: InteractiveShell) -> None:
    shown, _ = shell.display_formatter.format(NOUNS[name])
    card = card_of(NOUNS[name])
    assert card.title in shown["text/html"]
    assert shown["text/plain"].startswith(card.title.upper())
    tags = Tags()
    tags.feed(shown["text/html"])
    assert tags.open == []
    assert "script" not in tags.seen


def test_has_a_card_for_every_noun_that_people_hold() -> None:
    assert {name for _, name in CARDS} == set(NOUNS)


def test_shows_a_runs_story_and_its_levels(shell: InteractiveShell) -> None:
    run = made_run(2)
    page = shell.display_formatter.format(run)[0]["text/html"]
    assert "train.py trained a network of 5 layers" in page
    assert "ran to its end" in page
    assert page.index("body.4") < page.index("body.0</span>")
    shown = re.findall(r"text-align:right'>([^<]+)<", page)
    assert shown in [[format_db(level) for level in row[::-1]] for row in run.layer_columns["level_db"].tolist()]


def test_shows_a_run_without_anything(shell: InteractiveShell) -> None:
    shown, _ = shell.display_formatter.format(Run())
    assert "Unknown" in shown["text/html"]
    assert "No step was measured" not in shown["text/plain"]


def test_makes_names_harmless(shell: InteractiveShell) -> None:
    for noun in (made_run(1, prefix=HOSTILE), made_finding(layers=(HOSTILE,), summary=HOSTILE)):
        page = shell.display_formatter.format(noun)[0]["text/html"]
        assert "<script" not in page
        assert "&lt;script&gt;" in page


def test_offers_itself_as_an_extension() -> None:
    assert gradiometer.load_ipython_extension is load_ipython_extension


def test_needs_no_call_where_ipython_runs_before_it_is_used() -> None:
    program = (
        "from IPython.core.interactiveshell import InteractiveShell\nshell = InteractiveShell.instance()\n"
        "import sys, gradiometer\nrun = gradiometer.Run()\n"
        "shown = shell.display_formatter.format(run)[0]\n"
        "print('text/html' in shown, 'torch' in sys.modules, 'plotly' in sys.modules)\n"
    )
    words = [sys.executable, "-c", program]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[-3:] == [
        "True",
        "False",
        "False",
    ]
