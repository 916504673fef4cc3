"""The real command behind the dashboard's browser tests: `gradiometer live`, in a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def dashboard(place: Path, *options: str) -> Iterator[str]:
    """Serve a place; gives the address that the command says."""
    command = [sys.executable, "-m", "gradiometer", "live", str(place), "--no-browser", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().rpartition(" ")[2].strip()
        finally:
            process.terminate()
