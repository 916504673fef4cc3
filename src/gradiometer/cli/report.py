"""`gradiometer report`: a recorded run as one HTML page."""

from pathlib import Path
from typing import Annotated

import typer

from gradiometer.cli.console import results, write_json


def report(
    run: Annotated[Path, typer.Argument(help="The run file.", show_default=False)],
    output: Annotated[Path | None, typer.Option(help="Where the page goes; beside the run file if not given.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
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
