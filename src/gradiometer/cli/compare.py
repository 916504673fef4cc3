"""`gradiometer compare`: what changed between two runs.

Examples:
    gradiometer compare before.db after.db
        What is better, what is worse, and by how much.
    gradiometer compare before.db after.db --output comparison.html
        The same on one page, with the figures of both side by side.

Exit codes:
    0    The second run is better, or no worse.
    2    A run file can't be read, or the page can't be written; stderr says why.
    3    The second run is worse.

Files:
    BEFORE, AFTER   Read; never changed, and --output is refused where it would replace one.
    pyproject.toml  Its table [tool.gradiometer] holds the findings to ignore.

Environment:
    NO_COLOR, COLUMNS  No colour; width of the terminal.
"""

from pathlib import Path
from typing import Annotated

import typer

from gradiometer.cli.completing import complete_run_file
from gradiometer.cli.console import results, write_json
from gradiometer.cli.exit_codes import FINDINGS, OK
from gradiometer.cli.reading import Json
from gradiometer.cli.topics import OUTPUT


def compare(
    before: Annotated[
        Path,
        typer.Argument(
            metavar="BEFORE",
            help="The run file to compare with.",
            show_default=False,
            autocompletion=complete_run_file,
        ),
    ],
    after: Annotated[
        Path,
        typer.Argument(
            metavar="AFTER", help="The run file to judge.", show_default=False, autocompletion=complete_run_file
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the comparison as one HTML page, too.", rich_help_panel=OUTPUT),
    ] = None,
    json: Json = False,
) -> None:
    """Say what changed from one recorded run to another, and whether it is better or worse.

    Ends with exit code 3 where the second run is worse. The difference holds what the seed does, too: use `cure` for a
    proof.
    """
    from gradiometer.comparing import compare as compare_runs
    from gradiometer.recording.reader import read_run
    from gradiometer.settings import load_settings
    from gradiometer.showing.comparison_page import refuse_replacing_runs, write_comparison_page
    from gradiometer.showing.comparison_text import print_comparison

    runs = read_run(before), read_run(after)
    comparison = compare_runs(*runs, ignore=load_settings().ignore)
    if output is not None:
        refuse_replacing_runs(output, (before, after))
        write_comparison_page(comparison, *runs, output, names=(before.name, after.name))
    if json:
        write_json(comparison)
    else:
        print_comparison(comparison, results())
        if output is not None:
            results().print(f"\nPage: {output}", soft_wrap=True)
    raise typer.Exit(FINDINGS if comparison.verdict == "worse" else OK)
