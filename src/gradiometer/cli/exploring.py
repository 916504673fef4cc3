"""What `lab explorer` does: the page in this process, torch in another behind it, until Ctrl-C."""

import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path

from gradiometer.cli.console import messages, results
from gradiometer.lab.explorer.process import NetworkProcess, command_of
from gradiometer.showing.serving import LOOPBACK, require_packages, serve


@dataclass(frozen=True, slots=True)
class ExplorerOptions:
    """The command line's options of `lab explorer`.

    Attributes:
        data: File or folder with MNIST; None for the bundled digits.
        host: Where to listen; None for this machine alone.
        port: Port to listen on; None for any that is free.
        token: What a browser has to know; None where none is needed or one is to be made.
        is_opened: Open the page in a browser, where there is a person at a terminal.
    """

    data: Path | None = None
    host: str | None = None
    port: int | None = None
    token: str | None = None
    is_opened: bool = True


def explore(options: ExplorerOptions) -> None:
    """Serve the page until Ctrl-C or SIGTERM; the network's process ends with this one, however this one ends.

    Raises:
        SettingsError: The address can't be listened on, or a package is missing.
        DataError: The data are not at hand.
    """
    require_packages()
    from gradiometer.showing.explorer.application import explorer_application, script_hashes

    messages().print("Loading torch and the digits in a process of their own ...")
    with NetworkProcess(command_of(options.data)) as network:
        assert network.data is not None
        application = explorer_application(network.ask, network.data)

        def say(url: str) -> None:
            results().print(f"The explorer is at {url}\nEnd it with Ctrl-C.", soft_wrap=True)
            sys.stdout.flush()
            if options.is_opened and sys.stdout.isatty():
                webbrowser.open(url)

        serve(
            application.server,
            host=options.host or LOOPBACK,
            port=options.port or 0,
            token=options.token,
            script_hashes=script_hashes(application),
            on_ready=say,
        )
