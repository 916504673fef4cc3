"""`gradiometer export`: a recorded run as tables, and its figures."""

from pathlib import Path
from typing import Annotated

import typer

from gradiometer.cli.console import results, write_json


def export(
    run: Annotated[Path, typer.Argument(help="The run file.", show_default=False)],
    to: Annotated[str, typer.Option(help="Format of the tables: csv, parquet or json.")] = "csv",
    output: Annotated[
        Path | None, typer.Option(help="Folder of the tables, for JSON the file; beside the run file if not given.")
    ] = None,
    figures: Annotated[str | None, typer.Option(help="Write the figures too: html, png or svg.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Write a recorded run as tables, and print the paths of the files.

    Parquet needs pyarrow (`pip install 'gradiometer[export]'`), figures as pictures need kaleido (`[images]`).
    """
    from gradiometer.diagnosing import diagnose
    from gradiometer.recording.reader import read_run
    from gradiometer.settings import load_settings
    from gradiometer.showing.export import FigureFormat, TableFormat, export_place, export_run, format_named

    kind = format_named(to, TableFormat, "--to")
    pictures = format_named(figures, FigureFormat, "--figures") if figures is not None else None
    recorded = read_run(run)
    diagnosis = diagnose(recorded, ignore=load_settings().ignore)
    place = export_place(run, kind, output)
    files = export_run(recorded, diagnosis, place, kind, figures=pictures, may_replace=force)
    if json:
        write_json({"files": files})
        return
    for file in files:
        results().print(str(file), soft_wrap=True)
