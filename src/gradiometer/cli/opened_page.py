"""Where a live page is served, and how it is said and opened once it is."""

import sys
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass

from gradiometer.cli.console import results
from gradiometer.showing.serving import LOOPBACK


@dataclass(frozen=True, slots=True)
class PageOptions:
    """The command line's options of what serves a page.

    Attributes:
        host: Where to listen; this machine alone if not said otherwise.
        port: Port to listen on; 0 for any that is free.
        token: What a browser has to know; None where none is needed or one is to be made.
        is_opened: Open the page in a browser, where there is a person at a terminal.
    """

    host: str = LOOPBACK
    port: int = 0
    token: str | None = None
    is_opened: bool = True


def announcing(name: str, options: PageOptions) -> Callable[[str], None]:
    """What says a page's address, and opens it in a browser where that is wanted.

    Args:
        name: What is served, as it is called in a sentence.
        options: The command line's.
    """

    def say(url: str) -> None:
        results().print(f"The {name} is at {url}\nEnd it with Ctrl-C.", soft_wrap=True)
        sys.stdout.flush()
        if options.is_opened and sys.stdout.isatty():
            webbrowser.open(url)

    return say
