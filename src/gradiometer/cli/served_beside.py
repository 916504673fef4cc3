"""The dashboard of a run, served by a process beside its training (`gradiometer.beside`), which reads the run file."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gradiometer.beside import stand_beside, start_beside
from gradiometer.cli.console import messages
from gradiometer.errors import SettingsError
from gradiometer.showing.serving import require_packages

FAREWELL_SECONDS = 2.5
"""How long it answers after the training's end, so that open pages show that end."""

END_SECONDS = 10.0
"""Patience with its end; behind that it is killed."""


@contextmanager
def served_beside(file: Path, *, is_wanted: bool) -> Iterator[None]:
    """Serve the dashboard of a run while it goes on; its address is said on stderr.

    Args:
        file: The run file, which need not be there yet.
        is_wanted: Do it at all.

    Raises:
        SettingsError: A package is missing, or the dashboard can't be served.
    """
    if not is_wanted:
        yield
        return
    require_packages()
    process = start_beside("gradiometer.cli.served_beside", str(file.absolute()))
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        if not url:
            raise SettingsError("The dashboard could not be served: leave --live out, or open it by gradiometer live.")
        messages().print(f"Live: {url}", soft_wrap=True)
        yield
    finally:
        process.stdin.close()
        end(process)
        process.stdout.close()
    messages().print(f"Open the dashboard again:  gradiometer live {file}", style="dim", soft_wrap=True)


def end(process: "subprocess.Popen[str]") -> None:
    """Wait for the process's end, and end it where it does not come."""
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def say_farewell() -> None:
    """Answer for a little while, then end this process."""
    time.sleep(FAREWELL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Serve one run file until the pipe on stdin is closed."""
    from gradiometer.cli.living import serve_dashboard

    stand_beside(say_farewell)

    def say(url: str) -> None:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()

    serve_dashboard(Path(sys.argv[1]), on_ready=say)


if __name__ == "__main__":
    main()
