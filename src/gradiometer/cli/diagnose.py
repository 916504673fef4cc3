"""`gradiometer diagnose`: what is wrong with a recorded run."""

from pathlib import Path
from typing import Annotated

import typer

from gradiometer.cli.console import results, severity_of, write_json
from gradiometer.cli.exit_codes import exit_code_of


def diagnose(
    run: Annotated[Path, typer.Argument(help="The run file.", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    fail_on: Annotated[
        str | None, typer.Option(help="End with exit code 3 on a finding this severe: critical, warning or info.")
    ] = None,
) -> None:
    """Say what is wrong with a recorded run: verdict, worst layer, numbers, the command to try next."""
    from gradiometer.diagnosing import diagnose as find_faults
    from gradiometer.recording.reader import read_run
    from gradiometer.settings import load_settings
    from gradiometer.showing.measured_object import diagnosis_object
    from gradiometer.showing.terminal import print_diagnosis

    settings = load_settings()
    severity = severity_of(fail_on if fail_on is not None else settings.fail_on)
    recorded = read_run(run)
    diagnosis = find_faults(recorded, ignore=settings.ignore)
    if json:
        write_json(diagnosis_object(recorded, diagnosis))
    else:
        print_diagnosis(diagnosis, recorded, results(), run_file=run)
    raise typer.Exit(exit_code_of(diagnosis, severity))
