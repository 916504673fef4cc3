"""`gradiometer lab`: the lab's experiments, listed and conducted."""

from pathlib import Path
from typing import Annotated

import typer

from gradiometer.cli.console import results, write_json

FOLDER = Path(".gradiometer/lab")
"""Where pages and run files go, relative to the working directory: a folder of run files for each experiment."""

Name = Annotated[str | None, typer.Argument(help="An experiment, or all; they are listed without one.")]
Quick = Annotated[bool, typer.Option("--quick", help="Only bundled data and fewer seeds: within half a minute.")]
Data = Annotated[
    Path | None, typer.Option(exists=True, help="File or folder with MNIST; looked for and downloaded if not given.")
]
Seeds = Annotated[int | None, typer.Option(min=1, help="Seeds of each measurement; each has its own number else.")]
Folder = Annotated[Path, typer.Option(file_okay=False, help="Where pages and run files go.")]
Output = Annotated[Path | None, typer.Option(dir_okay=False, help="Where the page goes, instead of FOLDER/NAME.html.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def lab(
    name: Name = None,
    quick: Quick = False,
    data: Data = None,
    seeds: Seeds = None,
    folder: Folder = FOLDER,
    output: Output = None,
    json: Json = False,
) -> None:
    """Conduct an experiment of the field, and say what is published beside what was measured here.

    Each leaves one HTML page, which explains it, and run files. Without a name the experiments are listed; `all`
    conducts one after another and goes on where one fails. Exit codes: 0 all that was measured is within what is
    accepted, 3 something is outside, 2 an experiment could not be run.
    """
    if name is None:
        list_experiments(is_json=json)
        return
    from gradiometer.cli.experimenting import LabOptions, conduct_all, conduct_one

    options = LabOptions(folder, is_quick=quick, data=data, seed_count=seeds, output=output, is_json=json)
    raise typer.Exit(conduct_all(options) if name == "all" else conduct_one(name, options))


def list_experiments(*, is_json: bool) -> None:
    """Print every experiment with its question."""
    from gradiometer.lab import EXPERIMENTS
    from gradiometer.showing.lab_text import print_experiments

    if is_json:
        write_json({"experiments": [{"name": name, "question": question} for name, question in EXPERIMENTS.items()]})
        return
    print_experiments(EXPERIMENTS, results())
