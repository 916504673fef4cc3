"""`gradiometer compare`: what changed between two runs."""

from pathlib import Path
from typing import Annotated

import typer

from gradiometer.cli.console import results, write_json
from gradiometer.cli.exit_codes import FINDINGS, OK


def compare(
    before: Annotated[Path, typer.Argument(help="The run file to compare with.", show_default=False)],
    after: Annotated[Path, typer.Argument(help="The run file to judge.", show_default=False)],
    output: Annotated[Path | None, typer.Option(help="Write the comparison as one HTML page, too.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
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
