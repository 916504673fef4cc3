"""The page of a condition or a cure, and the list of all pages, on a terminal."""

from collections.abc import Iterable, Mapping

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gradiometer.diagnosing.pages import Page
from gradiometer.showing.wording import condition_in_words


def print_page(page: Page, console: Console) -> None:
    """Print one page: title, sections, and how a condition is linked with others."""
    console.print(Text.assemble((condition_in_words(page.name), "bold"), "\n", page.title))
    for heading, text in page.sections:
        print_section(heading, text, console)
    for heading, names in (("Follows from", page.follows_from), ("Brings about", page.brings_about)):
        if names:
            print_section(heading, ", ".join(names), console)


def print_section(heading: str, text: str, console: Console) -> None:
    """Print one section: its heading, its text indented."""
    console.print(Text(f"\n{heading}", style="bold"))
    console.print(Padding(Text(text), (0, 0, 0, 2)))


def print_pages(pages: Mapping[str, Iterable[Page]], console: Console) -> None:
    """Print all names with their titles, group by group, and how to read on."""
    for heading, group in pages.items():
        console.print(Text(heading.capitalize(), style="bold underline"))
        grid = Table.grid(padding=(0, 2))
        for page in group:
            grid.add_row(Text(page.name, style="bold"), Text(page.title))
        console.print(grid)
        console.print()
    console.print(Text("Read on:  gradiometer docs NAME", style="dim"))
