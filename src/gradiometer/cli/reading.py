"""What the reading verbs share of their command lines: the run file, and where the words go."""

from pathlib import Path
from typing import Annotated

import typer

from gradiometer.cli.completing import complete_run_file
from gradiometer.cli.topics import OUTPUT

RecordedRun = Annotated[
    Path,
    typer.Argument(metavar="RUN", help="The run file.", show_default=False, autocompletion=complete_run_file),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.", rich_help_panel=OUTPUT)]
