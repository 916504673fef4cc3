"""`gradiometer report`: a recorded run as one HTML page.

Examples:
    gradiometer report run.db
        Write run.html beside the run file, and print its path.
    gradiometer report run.db --output page.html --json
        Write it elsewhere, and print the diagnosis as one JSON object.

Exit codes:
    0    The page is written.
    2    The run file can't be read, or the page can't be written; stderr says why.

Files:
    RUN             Read, also while it is still being written; never changed.
    RUN.html        The page (run.html for run.db), if --output names no other; an older page is replaced.
    pyproject.toml  Its table [tool.gradiometer] holds the findings to ignore.

Environment:
    NO_COLOR, COLUMNS  No colour; width of the terminal.
"""

from pathlib import Path
from typing import Annotated

import typer

from gradiometer.cli.console import results, write_json
from gradiometer.cli.reading import Json, RecordedRun
from gradiometer.cli.topics import OUTPUT


def report(
    run: RecordedRun,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Where the page goes; beside the run file if not given.", rich_help_panel=OUTPUT
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Write a recorded run as one HTML page that loads nothing from anywhere, and print its path."""
    from gradiometer.diagnosing import diagnose
    from gradiometer.recording.reader import read_run
    from gradiometer.settings import load_settings
    from gradiometer.showing.measured_object import diagnosis_object
    from gradiometer.showing.report import page_beside, write_report

    recorded = read_run(run)
    diagnosis = diagnose(recorded, ignore=load_settings().ignore)
    path = write_report(recorded, diagnosis, output or page_beside(run), run_file=run)
    if json:
        write_json({"report": path, **diagnosis_object(recorded, diagnosis)})
    else:
        results().print(str(path), soft_wrap=True)
