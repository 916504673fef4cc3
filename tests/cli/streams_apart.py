"""Runs the command line with stdout and stderr told apart, which click before 8.2 does only where it is asked to."""

import inspect

from typer.testing import CliRunner


def runner_apart() -> CliRunner:
    return CliRunner(mix_stderr=False) if "mix_stderr" in inspect.signature(CliRunner).parameters else CliRunner()
