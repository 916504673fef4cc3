"""`gradiometer docs`: the page of a condition or a cure.

Examples:
    gradiometer docs
        List all conditions and cures.
    gradiometer docs vanishing
        Say what is found, why it matters, what cures it, and where the rule comes from.
    gradiometer docs redraw_weights --json
        The page of a cure as one JSON object.

Exit codes:
    0    The page is printed.
    2    There is no such condition or cure; stderr names the nearest.

Environment:
    NO_COLOR, COLUMNS  No colour; width of the terminal.
"""

from typing import Annotated

import typer

from gradiometer.cli.completing import complete_page
from gradiometer.cli.console import results, write_json
from gradiometer.cli.reading import Json


def docs(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="A condition or a cure; all are listed without one.", autocompletion=complete_page
        ),
    ] = None,
    json: Json = False,
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
