"""`gradiometer live`: recorded and growing runs in a browser."""

from pathlib import Path
from typing import Annotated

import typer


def live(
    place: Annotated[
        Path | None, typer.Argument(metavar="[RUN|FOLDER]", help="A run file or a folder; .gradiometer if not given.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; this machine alone if not given.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; any that is free if not given.")] = None,
    token: Annotated[
        str | None, typer.Option(help="What a browser must know, 16 letters or more; made for other hosts.")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Open no browser.")] = False,
) -> None:
    """Serve a dashboard of recorded runs, which grow on its pages while their trainings go on.

    It only reads. On this machine alone no token is asked for; on another address one is made and stands in the
    address that is printed. Ctrl-C ends it.
    """
    from gradiometer.cli.living import show_live
    from gradiometer.cli.opened_page import PageOptions
    from gradiometer.showing.serving import LOOPBACK

    show_live(place, PageOptions(host or LOOPBACK, port or 0, token, is_opened=not no_browser))
