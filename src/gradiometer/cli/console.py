"""Where the verbs write: results to stdout, progress and warnings to stderr, colour only on a terminal."""

import sys
from typing import Any, cast, get_args

from rich.console import Console

from gradiometer.errors import SettingsError
from gradiometer.schema import Severity
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


def severity_of(word: str | None) -> Severity | None:
    """Read the value of `--fail-on` or `--stop-on`.

    Raises:
        SettingsError: It is no severity; the message lists those there are.
    """
    if not word:
        return None
    if word not in get_args(Severity):
        raise SettingsError(f"{word!r} is no severity: choose critical, warning or info.")
    return cast("Severity", word)
