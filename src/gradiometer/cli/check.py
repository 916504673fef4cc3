"""`gradiometer check`: a script's first steps, measured in full, then stopped.

Examples:
    gradiometer check train.py --epochs 5
        Say what shows in the first 16 steps.
    gradiometer check --steps 64 --seed 0 train.py
        Look longer, from a known random state.
    gradiometer check --fail-on warning --junit a.xml --sarif a.sarif train.py
        Guard a model in continuous integration.

Exit codes:
    0    The steps were taken, and nothing reaches --fail-on.
    2    gradiometer could not do its work: no such script, no training seen, no place for a file.
    3    A finding at or above --fail-on.
    130  Ctrl-C.
    N    Where the script fails before, its own.

Files:
    .gradiometer/runs/  The run file, SCRIPT-TIME-PROCESS.db.
    pyproject.toml      Its table [tool.gradiometer] holds defaults, as for `run`.

Environment:
    NO_COLOR, COLUMNS  No colour; width of the terminal.
"""

from typing import Annotated

import typer

from gradiometer.cli.artefacts import Artefacts, Junit, Markdown, Sarif
from gradiometer.cli.reading import Json
from gradiometer.cli.run import FailOn, Module, OpenCompiled, RunFile, Seed, Words
from gradiometer.cli.topics import ENDING


def check(
    words: Words = None,
    module: Module = None,
    file: RunFile = None,
    steps: Annotated[int, typer.Option(min=2, metavar="N", help="Steps to take.", rich_help_panel=ENDING)] = 16,
    seed: Seed = None,
    fail_on: FailOn = None,
    json: Json = False,
    open_compiled: OpenCompiled = False,
    junit: Junit = None,
    sarif: Sarif = None,
    markdown: Markdown = None,
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
        artefacts=Artefacts(junit, sarif, markdown),
        is_check=True,
    )
    raise typer.Exit(run_watched(options))
