"""`gradiometer lab`: the lab's experiments, listed and conducted, and its explorer.

Examples:
    gradiometer lab
        List the experiments, each with its question.
    gradiometer lab learning-speeds --quick
        Conduct one on bundled data within half a minute, and leave a page that explains it.
    gradiometer lab all --data mnist.npz --folder lab
        Conduct one after another on MNIST.
    gradiometer lab explorer
        Walk through a digit network in a browser, down to one weight.

Exit codes:
    0    All that was measured lies within what is accepted.
    2    An experiment could not be run; stderr says why.
    3    A figure lies outside of what is accepted.
    130  Ctrl-C.

Files:
    .gradiometer/lab/  The page of each experiment, and a folder with its run files.

Environment:
    GRADIOMETER_MNIST  Path of a copy of MNIST: mnist.npz, or a folder with it or with the four IDX files.
    XDG_CACHE_HOME     Where a downloaded copy is kept, in gradiometer/mnist; ~/.cache if not set.
    NO_COLOR, COLUMNS  No colour; width of the terminal.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from gradiometer.cli.completing import complete_experiment
from gradiometer.cli.console import results, write_json
from gradiometer.cli.reading import Json
from gradiometer.cli.topics import EXPERIMENT, EXPLORING, OUTPUT
from gradiometer.errors import SettingsError

FOLDER = Path(".gradiometer/lab")
"""Where pages and run files go, relative to the working directory: a folder of run files for each experiment."""

EXPLORER = "explorer"
"""The name that opens a page instead of conducting an experiment."""

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME", help="An experiment, all, or explorer; listed without one.", autocompletion=complete_experiment
    ),
]
Quick = Annotated[
    bool,
    typer.Option(
        "--quick", help="Only bundled data and fewer seeds: within half a minute.", rich_help_panel=EXPERIMENT
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        metavar="PATH",
        help="File or folder with MNIST; looked for and downloaded if not given (explorer: the bundled digits).",
        rich_help_panel=EXPERIMENT,
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Seeds of each measurement; each has its own number else.",
        rich_help_panel=EXPERIMENT,
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option(
        file_okay=False,
        metavar="FOLDER",
        help=f"Where pages and run files go.  [default: {FOLDER}]",
        rich_help_panel=OUTPUT,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        dir_okay=False,
        metavar="FILE",
        help="Where the page goes, instead of FOLDER/NAME.html.",
        rich_help_panel=OUTPUT,
    ),
]
Port = Annotated[
    int | None,
    typer.Option(metavar="N", help="Port to listen on; any that is free if not given.", rich_help_panel=EXPLORING),
]
Host = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", help="Address to listen on; this machine alone if not given.", rich_help_panel=EXPLORING
    ),
]
Token = Annotated[
    str | None,
    typer.Option(metavar="WORD", help="What a browser must know; made for other hosts.", rich_help_panel=EXPLORING),
]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Open no browser.", rich_help_panel=EXPLORING)]


def lab(
    name: Name = None,
    quick: Quick = False,
    data: Data = None,
    seeds: Seeds = None,
    folder: Folder = None,
    output: Output = None,
    json: Json = False,
    port: Port = None,
    host: Host = None,
    token: Token = None,
    no_browser: NoBrowser = False,
) -> None:
    """Conduct an experiment of the field, and say what is published beside what was measured here.

    Each leaves one HTML page, which explains it, and run files. Without a name the experiments are listed; `all`
    conducts one after another and goes on where one fails.

    `explorer` opens a page instead: a trained digit network that one can walk through, down to one weight.
    """
    conducting = {"--quick": quick, "--seeds": seeds, "--folder": folder, "--output": output, "--json": json}
    serving = {"--port": port is not None, "--host": host, "--token": token, "--no-browser": no_browser}
    if name == EXPLORER:
        refuse(conducting, "lab explorer")
        from gradiometer.cli.exploring import explore
        from gradiometer.cli.opened_page import PageOptions
        from gradiometer.showing.serving import LOOPBACK

        explore(data, PageOptions(host or LOOPBACK, port or 0, token, is_opened=not no_browser))
        return
    refuse(serving, "lab but of its explorer")
    if name is None:
        list_experiments(is_json=json)
        return
    from gradiometer.cli.experimenting import LabOptions, conduct_all, conduct_one

    options = LabOptions(folder or FOLDER, is_quick=quick, data=data, seed_count=seeds, output=output, is_json=json)
    raise typer.Exit(conduct_all(options) if name == "all" else conduct_one(name, options))


def refuse(options: Mapping[str, object], where: str) -> None:
    """Refuse options that mean nothing to what was called, rather than ignore them.

    Args:
        options: What was given, by how it is typed.
        where: What was called.

    Raises:
        SettingsError: One was given.
    """
    given = [option for option, value in options.items() if value]
    if given:
        raise SettingsError(f"{', '.join(given)}: no option of gradiometer {where}.")


def list_experiments(*, is_json: bool) -> None:
    """Print every experiment with its question."""
    from gradiometer.lab import EXPERIMENTS
    from gradiometer.showing.lab_text import print_experiments

    if is_json:
        write_json({"experiments": [{"name": name, "question": question} for name, question in EXPERIMENTS.items()]})
        return
    print_experiments(EXPERIMENTS, results())
    results().print(f"Walk through a network on a page of its own:  gradiometer lab {EXPLORER}", style="dim")
