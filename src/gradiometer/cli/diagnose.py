"""`gradiometer diagnose`: what is wrong with a recorded run.

Examples:
    gradiometer diagnose run.db
        Verdict, worst layer, evidence, and the command to try next.
    gradiometer diagnose run.db --fail-on warning
        End with exit code 3 where something is at least worth a warning.
    gradiometer diagnose run.db --json
        The same as one JSON object, which docs/json.md describes.

Exit codes:
    0    Nothing reaches --fail-on.
    2    The run file can't be read, or there is none; stderr says why.
    3    A finding at or above --fail-on.

Files:
    RUN             Read, also while it is still being written; never changed.
    pyproject.toml  Its table [tool.gradiometer] holds fail_on and the findings to ignore.

Environment:
    NO_COLOR, COLUMNS  No colour; width of the terminal.
"""

import typer

from gradiometer.cli.artefacts import Artefacts, Junit, Markdown, Sarif, refuse_places, write_artefacts
from gradiometer.cli.console import results, write_json
from gradiometer.cli.exit_codes import exit_code_of, severity_of
from gradiometer.cli.reading import Json, RecordedRun
from gradiometer.cli.run import FailOn


def diagnose(
    run: RecordedRun,
    json: Json = False,
    fail_on: FailOn = None,
    junit: Junit = None,
    sarif: Sarif = None,
    markdown: Markdown = None,
) -> None:
    """Say what is wrong with a recorded run: verdict, worst layer, numbers, the command to try next."""
    from gradiometer.diagnosing import diagnose as find_faults
    from gradiometer.recording.reader import read_run
    from gradiometer.settings import load_settings
    from gradiometer.showing.measured_object import diagnosis_object
    from gradiometer.showing.terminal import print_diagnosis

    settings = load_settings()
    severity = severity_of(fail_on if fail_on is not None else settings.fail_on)
    artefacts = Artefacts(junit, sarif, markdown)
    refuse_places(artefacts, run)
    recorded = read_run(run)
    diagnosis = find_faults(recorded, ignore=settings.ignore)
    if json:
        write_json(diagnosis_object(recorded, diagnosis))
    else:
        print_diagnosis(diagnosis, recorded, results(), run_file=run)
    write_artefacts(recorded, diagnosis, artefacts, severity)
    raise typer.Exit(exit_code_of(diagnosis, severity))
