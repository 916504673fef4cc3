"""`gradiometer lab`: the lab's experiments, listed and conducted, and its explorer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from gradiometer.cli.console import results, write_json
from gradiometer.errors import SettingsError

FOLDER = Path(".gradiometer/lab")
"""Where pages and run files go, relative to the working directory: a folder of run files for each experiment."""

EXPLORER = "explorer"
"""The name that opens a page instead of conducting an experiment."""

Name = Annotated[str | None, typer.Argument(help="An experiment, all, or explorer; listed without one.")]
Quick = Annotated[bool, typer.Option("--quick", help="Only bundled data and fewer seeds: within half a minute.")]
Data = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        help="File or folder with MNIST; looked for and downloaded if not given (explorer: the bundled digits).",
    ),
]
Seeds = Annotated[int | None, typer.Option(min=1, help="Seeds of each measurement; each has its own number else.")]
Folder = Annotated[
    Path | None, typer.Option(file_okay=False, help=f"Where pages and run files go.  [default: {FOLDER}]")
]
Output = Annotated[Path | None, typer.Option(dir_okay=False, help="Where the page goes, instead of FOLDER/NAME.html.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Port = Annotated[int | None, typer.Option(help="Explorer: port to listen on; any that is free if not given.")]
Host = Annotated[str | None, typer.Option(help="Explorer: address to listen on; this machine alone if not given.")]
Token = Annotated[str | None, typer.Option(help="Explorer: what a browser must know; made for other hosts.")]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Explorer: open no browser.")]


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
    conducts one after another and goes on where one fails. Exit codes: 0 all that was measured is within what is
    accepted, 3 something is outside, 2 an experiment could not be run.

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
