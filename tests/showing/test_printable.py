"""What a terminal obeys, by Unicode's own tables."""

import json
import unicodedata

import pytest

from gradiometer.showing.printable import printable, printable_json

TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
"""Classes of what embeds, overrides or isolates a direction of writing: Unicode Standard Annex 9, table 4."""

MARKS = {"\u061c", "\u200e", "\u200f"}
"""The marks ALM, LRM and RLM of the same annex, section 2.6, which have classes of letters."""

EVERY = [chr(number) for number in range(0x20000) if not 0xD800 <= number < 0xE000]
"""All characters of the planes that have controls, but for the halves of characters, which are no text."""


@pytest.fixture(scope="module")
def obeyed() -> set[str]:
    controls = {letter for letter in EVERY if unicodedata.category(letter) == "Cc"} - {"\n", "\t"}
    return controls | MARKS | {letter for letter in EVERY if unicodedata.bidirectional(letter) in TURNING}


def test_takes_out_of_a_text_what_a_terminal_obeys_and_nothing_else(obeyed: set[str]) -> None:
    assert set(EVERY) - set(printable("".join(EVERY))) == obeyed


def test_writes_no_letter_into_json_that_a_terminal_obeys(obeyed: set[str]) -> None:
    text = json.dumps("".join(EVERY), ensure_ascii=False)
    shown = printable_json(text)
    assert not set(shown) & obeyed
    assert json.loads(shown) == json.loads(text)
