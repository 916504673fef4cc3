"""What `lab explorer` does: the page in this process, torch in another behind it, until Ctrl-C."""

from pathlib import Path

from gradiometer.cli.console import messages
from gradiometer.cli.opened_page import PageOptions, announcing
from gradiometer.lab.explorer.process import NetworkProcess, command_of
from gradiometer.showing.serving import require_packages, serve


def explore(data: Path | None, options: PageOptions) -> None:
    """Serve the page until Ctrl-C or SIGTERM; the network's process ends with this one, however this one ends.

    Args:
        data: File or folder with MNIST; None for the bundled digits.
        options: Where the page is served.

    Raises:
        SettingsError: The address can't be listened on, or a package is missing.
        DataError: The data are not at hand.
    """
    require_packages()
    from gradiometer.showing.explorer.application import explorer_application
    from gradiometer.showing.served_frame import script_hashes

    messages().print("Loading torch and the digits in a process of their own ...")
    with NetworkProcess(command_of(data)) as network:
        assert network.data is not None
        application = explorer_application(network.ask, network.data)

        serve(
            application.server,
            host=options.host,
            port=options.port,
            token=options.token,
            script_hashes=script_hashes(application),
            on_ready=announcing("explorer", options),
        )
