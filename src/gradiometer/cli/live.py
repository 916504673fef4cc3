"""`gradiometer live`: recorded and growing runs in a browser.

Examples:
    gradiometer live
        Show all runs in .gradiometer, recorded and growing, in a browser.
    gradiometer live run.db --port 8050 --no-browser
        Show one run on a port of your choice, and print its address.
    gradiometer live --host 0.0.0.0
        Let other machines look on; the address that is printed holds a token that they need.

Exit codes:
    0    It was ended by Ctrl-C.
    2    There are no runs, or it can't listen there; stderr says why.

Files:
    .gradiometer/   The runs and the trials of `cure`, if no other place is named; read, never changed.
    pyproject.toml  Its table [tool.gradiometer] holds the findings to ignore.
"""

from pathlib import Path
from typing import Annotated

import typer

from gradiometer.cli.completing import complete_run_file
from gradiometer.cli.topics import SERVING


def live(
    place: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN|FOLDER]",
            help="A run file or a folder; .gradiometer if not given.",
            autocompletion=complete_run_file,
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Address to listen on; this machine alone if not given.", rich_help_panel=SERVING
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(metavar="N", help="Port to listen on; any that is free if not given.", rich_help_panel=SERVING),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="WORD",
            help="What a browser must know, 16 letters or more; made for other hosts.",
            rich_help_panel=SERVING,
        ),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Open no browser.", rich_help_panel=SERVING)] = False,
) -> None:
    """Serve a dashboard of recorded runs, which grow on its pages while their trainings go on.

    It only reads. On this machine alone no token is asked for; on another address one is made and stands in the
    address that is printed. Ctrl-C ends it.
    """
    from gradiometer.cli.living import show_live
    from gradiometer.cli.opened_page import PageOptions
    from gradiometer.showing.serving import LOOPBACK

    show_live(place, PageOptions(host or LOOPBACK, port or 0, token, is_opened=not no_browser))
