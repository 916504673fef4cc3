"""Where the verbs write: results to stdout, progress and warnings to stderr, colour only on a terminal."""

import sys
from typing import Any

from rich.console import Console

from gradiometer.showing.guarded_console import GuardedConsole
from gradiometer.showing.json_output import json_text


def results() -> Console:
    """The console for results: stdout, as it is at the time of the call."""
    return GuardedConsole(file=sys.stdout, quiet=sys.stdout is None)


def messages() -> Console:
    """The console for progress and warnings: stderr, as it is at the time of the call; silent where it is closed."""
    # Given no file, rich would take stdout, which is the script's.
    return GuardedConsole(file=sys.stderr, quiet=sys.stderr is None)


def write_json(value: Any) -> None:
    """Write one object to stdout."""
    sys.stdout.write(json_text(value))
