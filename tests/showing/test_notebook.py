import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from torch import nn
from traitlets.config import Config

import gradiometer
from gradiometer.comparing import compare
from gradiometer.curing.callables import CureResult
from gradiometer.schema import Diagnosis, Run
from gradiometer.schema.explained import Agreement, ClassPull, ExamplePull, Nudges
from gradiometer.showing.explained_cards import as_pictures
from gradiometer.showing.grey_png import picture_address
from gradiometer.showing.notebook import CARDS, card_of, html_of, load_ipython_extension, text_of
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


def made_nudges() -> Nudges:
    """What a batch of four pictures of 8 by 8 asks of a small network."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.Tanh(), nn.Linear(6, 3))
    return gradiometer.nudges(net, nn.functional.cross_entropy, torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 0]))


def made_agreement() -> Agreement:
    """Two classes that agree, and an example of the first that asks for the opposite."""
    examples = (ExamplePull(7, 0, 5.0, -0.25, 6.25), ExamplePull(1, 0, 1.0, 0.9, 0.1), ExamplePull(2, 1, 1.0, 0.8, 0.2))
    return Agreement(examples, (ClassPull(0, 2, 0.325, 0.5), ClassPull(1, 1, None, 0.8)), 0.9, (("0.weight", "x"),))


def made_result() -> CureResult:
    """A function that was cured."""
    run, outcome = made_run(), made_outcome()
    return CureResult(
        outcome.verdict, outcome.cures, outcome.snippet, made_diagnosis(), outcome, run, Path("runs/made.db")
    )


NOUNS = {
    "Run": made_run(),
    "Diagnosis": made_diagnosis(),
    "Finding": made_finding(),
    "Comparison": compare(made_run(), made_run()),
    "Outcome": made_outcome(),
    "Trial": made_run().trials[0],
    "CureResult": made_result(),
    "Nudges": made_nudges(),
    "Agreement": made_agreement(),
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


def test_shows_what_a_batch_asks_as_pictures_outputs_layers_and_weights() -> None:
    nudges = made_nudges()
    card = card_of(nudges)
    assert nudges.inputs is not None
    assert nudges.inputs.shape == (4, 1, 8, 8)
    assert [words for _, words in card.pictures] == [f"example {i}: a {c}" for i, c in enumerate((0, 1, 2, 0))]
    assert card.pictures[1][0] == picture_address(nudges.inputs[1, 0])
    outputs, layers = card.charts
    assert nudges.wanted is not None
    assert [value for _, value, _ in outputs.rows] == pytest.approx(nudges.wanted[0].tolist())
    assert outputs.rows[0][2].startswith("+")
    assert layers.rows[0][1] == 0.0
    assert [name for name, _, _ in layers.rows] == [one.layer for one in reversed(nudges.layers) if one.error_norm]
    assert card.lines == (nudges.story(),)
    assert f"{nudges.sensitive[0].parameter}[" in card.points[0][1]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((2, 1, 5, 7), (2, 5, 7)),
        ((2, 3, 5, 7), (2, 5, 7)),
        ((2, 9, 9), (2, 9, 9)),
        ((2, 784), (2, 28, 28)),
        ((2, 16, 5, 7), None),
        ((2, 9, 30), None),
        ((2, 60), None),
        ((2, 16), None),
        ((2,), None),
    ],
)
def test_takes_inputs_for_pictures_only_where_they_can_be(shape, expected) -> None:
    shown = as_pictures(np.zeros(shape))
    assert (None if shown is None else shown.shape) == expected


def test_shows_nudges_of_a_loss_that_is_lost() -> None:
    nudges = replace(made_nudges(), loss=float("nan"), inputs=None)
    assert "nothing can be asked" in text_of(nudges)
    assert "<img" not in html_of(nudges)


def test_shows_the_examples_that_ask_for_something_else() -> None:
    card = card_of(made_agreement())
    assert card.points[0] == ("example 7", "class 0, norm 5, cosine with its class -0.25")
    assert card.charts[0].rows == (("class 0 (2 examples)", 0.325, "0.33"),)
    assert "Not measured: 0.weight." in card.lines


def test_shows_what_came_of_curing_a_function_that_needed_none() -> None:
    healthy = replace(made_result(), outcome=None, diagnosis=Diagnosis("healthy"))
    card = card_of(healthy)
    assert card.title == "Healthy"
    assert card.lines[-2:] == ("Nothing was tried: nothing is wrong.", "Everything: gradiometer report runs/made.db")
    assert "Found: vanishing, saturated." in card_of(made_result()).lines


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
    made = InteractiveShell(config=Config({"InteractiveShell": {"warn_venv": False}}))
    gradiometer.load_ipython_extension(made)
    assert "Unknown" in made.display_formatter.format(Run())[0]["text/html"]


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
