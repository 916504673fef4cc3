"""Exit codes of every verb; `run` and `check` otherwise hand on the script's own."""

from typing import TYPE_CHECKING

from gradiometer.errors import SettingsError

if TYPE_CHECKING:
    from gradiometer.schema import Diagnosis, Severity

OK = 0
"""Nothing at or above `--fail-on`; for `cure`: a cure is proved."""

COULD_NOT = 2
"""The command could not do its work; stderr says why."""

FINDINGS = 3
"""A finding at or above `--fail-on`; for `cure`: no cure is proved."""

INTERRUPTED = 130
"""Ctrl-C, as shells have it."""


def exit_code_of(diagnosis: "Diagnosis", fail_on: "Severity | None") -> int:
    """The exit code of a verb that diagnoses.

    Args:
        diagnosis: What was found.
        fail_on: The severity from which on findings count; None for never.
    """
    return FINDINGS if fail_on is not None and diagnosis.reaches(fail_on) else OK


def severity_of(word: str | None) -> "Severity | None":
    """Read the value of `--fail-on` or `--stop-on`.

    Raises:
        SettingsError: It is no severity; the message lists those there are.
    """
    from gradiometer.schema import SEVERITIES

    if not word:
        return None
    if word not in SEVERITIES:
        raise SettingsError(f"{word!r} is no severity: choose critical, warning or info.")
    return word
