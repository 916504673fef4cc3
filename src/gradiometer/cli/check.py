"""`gradiometer check`: a script's first steps, measured in full, then stopped."""

from typing import Annotated

import typer

from gradiometer.cli.run import FailOn, Module, OpenCompiled, RunFile, Seed, Words


def check(
    words: Words = None,
    module: Module = None,
    file: RunFile = None,
    steps: Annotated[int, typer.Option(min=2, help="Steps to take.")] = 16,
    seed: Seed = None,
    fail_on: FailOn = None,
    json: Annotated[bool, typer.Option("--json", help="Print the diagnosis as one JSON object to stdout.")] = False,
    open_compiled: OpenCompiled = False,
) -> None:
    """Run a script's first steps, every one measured in full, and say what shows from the start.

    The training is stopped after the last of them; what the script does before and amid them it really does.
    """
    from gradiometer.cli.watched import WatchOptions, run_watched

    options = WatchOptions(
        tuple(words or ()),
        module,
        file,
        steps,
        seed,
        1.0,
        fail_on,
        is_quiet=True,
        is_json=json,
        opens_compiled=open_compiled,
    )
    raise typer.Exit(run_watched(options))
