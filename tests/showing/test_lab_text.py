import io

import pytest
from rich.console import Console

from gradiometer.schema import Row
from gradiometer.showing.lab_text import print_experiments, print_report, print_reports
from gradiometer.showing.lab_words import band_words, number_words, rows_sentence
from showing.made_experiment import ROWS, made_experiment


def printed(function, *arguments, width: int = 110, **settings) -> str:
    console = Console(file=io.StringIO(), width=width, markup=False, highlight=False, emoji=False)
    function(*arguments, console, **settings)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_prints_what_an_experiment_found() -> None:
    text = printed(print_report, made_experiment("[red]"), page="lab/page.html")
    assert "84 times slower than the last. [red]" in text
    for said in ("95.42 %", "94.7 to 95.8 %", "needs MNIST", "not run", "outside", "within", "84.2", "from memory"):
        assert said in text
    assert "Of 4 published figures 3 were run: 2 within what is accepted, 1 outside." in text
    assert "gradiometer report lab/learning-speeds/four-hidden-layers.db" in text
    assert "Page:  lab/page.html" in text


@pytest.mark.parametrize("width", [60, 80, 140])
def test_fits_any_terminal(width: int) -> None:
    text = printed(print_report, made_experiment(), page="page.html", width=width)
    assert max(len(line) for line in text.splitlines()) <= width


def test_prints_what_several_came_to() -> None:
    text = printed(print_reports, [made_experiment()], {"faces": "no [scikit]"}, index="lab/index.html")
    assert "learning-speeds       2        1        1  12.3 s" in text
    assert "outside  learning-speeds: Accuracy lost where the penalty is left out: 2.1 points" in text
    assert "could not be run  faces: no [scikit]" in text
    assert "Pages:  lab/index.html" in text


def test_lists_questions() -> None:
    assert "product  Why is it a product?" in printed(print_experiments, {"product": "Why is it a product?"})


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (1.0, 1.0, "1"),
        (float("-inf"), 2.0, "at most 2"),
        (0.03, float("inf"), "at least 0.03"),
        (0.1, 1e-5, "0.1 to 1e-05"),
    ],
)
def test_says_what_is_accepted(low: float, high: float, words: str) -> None:
    assert band_words(Row("", "", low, high, "", "own")) == words


def test_says_when_all_or_none_was_run() -> None:
    row = ROWS["speed"]
    assert rows_sentence(()) == ""
    assert rows_sentence((row, row)) == "None of 2 published figures was run."
    assert rows_sentence((row.filled(1.0), row.filled(2.0))).endswith("2 were run: all outside of what is accepted.")
    assert rows_sentence((row.filled(99.0), row.filled(98.0))).endswith("2 were run: all within what is accepted.")


@pytest.mark.parametrize(("number", "words"), [(-0.0, "0"), (123456.7, "123457"), (1234567.8, "1.235e+06")])
def test_writes_numbers_as_people_read_them(number: float, words: str) -> None:
    assert number_words(number) == words
