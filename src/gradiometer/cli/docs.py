"""`gradiometer docs`: a condition's page."""

from typing import Annotated

import typer

from gradiometer.cli.console import results, write_json


def docs(
    name: Annotated[str | None, typer.Argument(help="The condition; all are listed without one.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Say what a condition is: what is found, why it matters, what cures it, where the rule comes from."""
    from gradiometer.diagnosing import CONDITIONS
    from gradiometer.diagnosing.pages import page_of
    from gradiometer.showing.page_text import print_page, print_pages

    if name is not None:
        page = page_of(name)
        write_json(page) if json else print_page(page, results())
        return
    pages = [page_of(condition) for condition in CONDITIONS]
    write_json({"conditions": pages}) if json else print_pages(pages, results())
