"""Every command that the documentation shows is one that gradiometer has."""

from typing import Any

import pytest
import typer
from docs_pages import pages
from documented_blocks import PAGES, calls_of, name_of

from gradiometer.cli import VERBS, app

WRITTEN = {name_of(page): page.read_text(encoding="utf-8") for page in PAGES}


def parse(words: tuple[str, ...]) -> None:
    """Parse a command without doing anything; files that it names need not be there."""
    group: Any = typer.main.get_command(app)
    if words[0].startswith("-"):
        group.make_parser(group.context_class(group)).parse_args(list(words))
        return
    assert words[0] in VERBS
    command = group.get_command(group.context_class(group), words[0])
    words = words[: words.index("-m") + 2] if "-m" in words else words
    command.make_parser(command.context_class(command, info_name=words[0])).parse_args(list(words[1:]))


@pytest.mark.parametrize("page", [name for name, text in WRITTEN.items() if calls_of(text)])
def test_has_every_verb_and_option_that_a_page_shows(page: str) -> None:
    for words in calls_of(WRITTEN[page]):
        parse(words)


def test_has_every_verb_and_option_that_a_generated_page_shows() -> None:
    calls = [words for text in pages().values() for words in calls_of(text)]
    assert len(calls) > len(VERBS)
    for words in calls:
        parse(words)


def test_notices_a_verb_and_an_option_that_it_does_not_have() -> None:
    with pytest.raises(AssertionError):
        parse(("heal", "train.py"))
    with pytest.raises(Exception, match="No such option"):
        parse(("run", "--sideways", "train.py"))
