"""The files that continuous integration reads: `--junit`, `--sarif`, `--markdown` of `run`, `check` and `diagnose`."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from gradiometer.cli.topics import OUTPUT
from gradiometer.errors import RunFileError
from gradiometer.schema import Diagnosis, Run, Severity

Junit = Annotated[
    Path | None,
    typer.Option(
        "--junit", metavar="FILE", help="Write JUnit XML: one test case for each condition.", rich_help_panel=OUTPUT
    ),
]
Sarif = Annotated[
    Path | None,
    typer.Option(
        "--sarif", metavar="FILE", help="Write SARIF 2.1.0: each finding at the layer's line.", rich_help_panel=OUTPUT
    ),
]
Markdown = Annotated[
    Path | None,
    typer.Option(
        "--markdown", metavar="FILE", help="Add a short summary to a file of Markdown.", rich_help_panel=OUTPUT
    ),
]


@dataclass(frozen=True, slots=True)
class Artefacts:
    """Where the files go; None for one that is not wanted.

    Attributes:
        junit: JUnit XML; an older one is replaced.
        sarif: SARIF 2.1.0; likewise.
        markdown: The summary; it goes behind what is there, for a job's steps share one file.
    """

    junit: Path | None = None
    sarif: Path | None = None
    markdown: Path | None = None

    @property
    def places(self) -> dict[str, Path]:
        """Option to file, of those that are wanted."""
        given = {"--junit": self.junit, "--sarif": self.sarif, "--markdown": self.markdown}
        return {option: path for option, path in given.items() if path is not None}


def refuse_places(artefacts: Artefacts, run_file: Path | None) -> None:
    """Refuse what could not be written, before a script runs that may take hours.

    Raises:
        RunFileError: A file is a folder, is the run file, is named twice, or its folder can't be written to.
    """
    taken: dict[Path, str] = {} if run_file is None else {real_path(run_file): "the run file"}
    for option, path in artefacts.places.items():
        place = real_path(path)
        if place in taken:
            raise RunFileError(f"{option} {path} is {taken[place]} too: give each a file of its own.")
        taken[place] = f"that of {option}"
        there = next(above for above in (place, *place.parents) if above.exists())
        is_refused = place.is_dir() or (there != place and not there.is_dir()) or not os.access(there, os.W_OK)
        if is_refused:
            raise RunFileError(f"{option} {path} can't be written: choose a file in a folder that you may write to.")


def real_path(path: Path) -> Path:
    """Where a path leads; what runs in circles leads to itself, and is found out when it is opened.

    Raises:
        RunFileError: No file can have that name: there is a zero byte in it, or half a character.
    """
    try:
        return Path(os.path.realpath(path))
    except ValueError as fault:
        raise RunFileError(f"No file can be called {str(path)!r}: choose another name.") from fault


def write_artefacts(run: Run, diagnosis: Diagnosis, artefacts: Artefacts, threshold: Severity | None) -> None:
    """Write the files that are wanted; folders on the way are made.

    Args:
        run: The run.
        diagnosis: What is wrong with it.
        artefacts: Where they go.
        threshold: Severity from which on a finding counts as a failure; `warning` where None.

    Raises:
        RunFileError: One can't be written.
    """
    from gradiometer.showing.junit import junit_text
    from gradiometer.showing.markdown_summary import markdown_text
    from gradiometer.showing.sarif import sarif_text

    writers = {
        "--junit": lambda: junit_text(run, diagnosis, threshold),
        "--sarif": lambda: sarif_text(run, diagnosis),
        "--markdown": lambda: markdown_text(run, diagnosis, threshold),
    }
    for option, path in artefacts.places.items():
        text = writers[option]()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            mode = "a" if option == "--markdown" else "w"
            with path.open(mode, encoding="utf-8", errors="backslashreplace", newline="\n") as file:
                file.write(text)
        except OSError as fault:
            reason = fault.strerror or str(fault)
            raise RunFileError(
                f"{option} {path} can't be written: {reason}. Choose a file in a folder that you may write to."
            ) from fault
