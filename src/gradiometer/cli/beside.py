"""The dashboard of a run, served beside its training by a process of its own, which ends when the training does.

That process has a lower priority and one thread for numbers, and it only reads the run file: the training's process
does nothing for it but to hold the other end of a pipe. Where that end closes, even by `kill -9`, it ends.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gradiometer.cli.console import messages
from gradiometer.errors import SettingsError
from gradiometer.showing.serving import require_packages

FAREWELL_SECONDS = 2.5
"""How long it answers after the training's end, so that open pages show that end."""

END_SECONDS = 10.0
"""Patience with its end; behind that it is killed."""

NICENESS = 10

ONE_THREAD: Mapping[str, str] = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


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
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "gradiometer.cli.beside", str(file.absolute())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **ONE_THREAD},
        # Ctrl-C is the training's alone: its last steps are to be seen, too.
        start_new_session=True,
    )
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


def end_with_training() -> None:
    """Wait until the training's process lets go of its end of the pipe, then end this one."""
    sys.stdin.read()
    time.sleep(FAREWELL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Serve one run file until the pipe on stdin is closed."""
    from gradiometer.cli.living import serve_dashboard

    if hasattr(os, "nice"):
        os.nice(NICENESS)
    threading.Thread(target=end_with_training, daemon=True).start()

    def say(url: str) -> None:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()

    serve_dashboard(Path(sys.argv[1]), on_ready=say)


if __name__ == "__main__":
    main()
