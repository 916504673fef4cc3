"""`gradiometer docs`: the page of a condition or a cure."""

from typing import Annotated

import typer

from gradiometer.cli.console import results, write_json


def docs(
    name: Annotated[str | None, typer.Argument(help="A condition or a cure; all are listed without one.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Say what a condition or a cure is.

    Of a condition: what is found, why it matters, what cures it, where the rule comes from. Of a cure: what it
    changes, when it helps, what it costs, its source.
    """
    from gradiometer.curing import CURES
    from gradiometer.curing.pages import cure_page_of
    from gradiometer.diagnosing import CONDITIONS
    from gradiometer.diagnosing.pages import is_condition, page_of
    from gradiometer.showing.page_text import print_page, print_pages

    if name is not None:
        page = page_of(name) if is_condition(name) else cure_page_of(name)
        write_json(page) if json else print_page(page, results())
        return
    pages = {"conditions": [page_of(one) for one in CONDITIONS], "cures": [cure_page_of(one) for one in CURES]}
    write_json(pages) if json else print_pages(pages, results())
