"""`gradiometer export`: a recorded run as tables, and its figures.

Examples:
    gradiometer export run.db
        Write a folder of CSV files beside the run file, and print their paths.
    gradiometer export run.db --to json --output run.json --force
        Write one JSON file, and replace an older one.
    gradiometer export run.db --to parquet --figures png
        Write Parquet tables, and every figure as a picture.
    gradiometer export run.db --to wandb:my-project
        Tell a tracker of the run: its numbers, its findings, its verdict and its report.
    gradiometer export run.db --to tensorboard:runs/first --follow
        Tell TensorBoard of a run that another process is training, until it ends.

Exit codes:
    0    The files are written, or the trackers are told.
    2    The run file can't be read, a file is there already, a package is missing or a tracker refuses; stderr says
         which.
    130  Ctrl-C.

Files:
    RUN             Read, also while it is still being written; never changed.
    pyproject.toml  Its table [tool.gradiometer] holds the findings to ignore.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from gradiometer.cli.completing import complete_figure_format, complete_format_or_tracker
from gradiometer.cli.console import results, write_json
from gradiometer.cli.reading import Json, RecordedRun
from gradiometer.cli.topics import OUTPUT
from gradiometer.errors import SettingsError

To = Annotated[
    str,
    typer.Option(
        metavar="FORMAT|TRACKER[:PLACE]",
        help="Format of the tables: csv, parquet or json; or a tracker: tensorboard, wandb, mlflow, trackio.",
        autocompletion=complete_format_or_tracker,
        rich_help_panel=OUTPUT,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="Folder of the tables, for JSON the file; beside the run file if not given.",
        rich_help_panel=OUTPUT,
    ),
]
Figures = Annotated[
    str | None,
    typer.Option(
        metavar="FORMAT",
        help="Write the figures too: html, png or svg.",
        autocompletion=complete_figure_format,
        rich_help_panel=OUTPUT,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that are there.", rich_help_panel=OUTPUT)]
Follow = Annotated[
    bool,
    typer.Option(
        "--follow",
        help="Tell the tracker until the run is over, or was not written to for an hour.",
        rich_help_panel=OUTPUT,
    ),
]


def export(
    run: RecordedRun,
    to: To = "csv",
    output: Output = None,
    figures: Figures = None,
    force: Force = False,
    follow: Follow = False,
    json: Json = False,
) -> None:
    """Write a recorded run as tables, and print the paths of the files; or tell a tracker of it.

    Parquet needs pyarrow (`pip install 'gradiometer[export]'`), figures as pictures need kaleido (`[images]`), a
    tracker needs the extra of its name.
    """
    from gradiometer.cli.tracked import is_tracker, tell_recorded, told_lines

    if is_tracker(to):
        refuse_beside_tracker({"--output": output is not None, "--figures": figures is not None, "--force": force})
        told = tell_recorded(run, to, follows=follow)
        say({"told": told}, told_lines(told), is_json=json)
        return
    if follow:
        raise SettingsError("--follow goes with a tracker alone: tables are written once")
    files = write_tables(run, to, output, figures, may_replace=force)
    say({"files": files}, [str(file) for file in files], is_json=json)


def say(told: dict[str, Any], lines: Sequence[str], *, is_json: bool) -> None:
    """Print what was done, as one JSON object or as lines."""
    if is_json:
        write_json(told)
        return
    for line in lines:
        results().print(line, soft_wrap=True)


def write_tables(file: Path, to: str, output: Path | None, figures: str | None, *, may_replace: bool) -> Sequence[Path]:
    """Write the tables of a run, and its figures where they are wanted; the options are those of the command line.

    Raises:
        RunFileError: The run can't be read, or a file can't be written.
        SettingsError: A format is not known, or a package is missing.
    """
    from gradiometer.diagnosing import diagnose
    from gradiometer.recording.reader import read_run
    from gradiometer.settings import load_settings
    from gradiometer.showing.export import FigureFormat, TableFormat, export_place, export_run, format_named

    kind = format_named(to, TableFormat, "--to")
    pictures = format_named(figures, FigureFormat, "--figures") if figures is not None else None
    run = read_run(file)
    diagnosis = diagnose(run, ignore=load_settings().ignore)
    place = export_place(file, kind, output)
    return export_run(run, diagnosis, place, kind, figures=pictures, may_replace=may_replace)


def refuse_beside_tracker(given: Mapping[str, bool]) -> None:
    """Refuse options that a tracker has no use for.

    Raises:
        SettingsError: One was given.
    """
    for option, is_given in given.items():
        if is_given:
            raise SettingsError(
                f"{option} goes with tables alone: a tracker's place stands behind its name, NAME:PLACE"
            )
