"""`gradiometer replay`: a recorded run again, up to the operation in which NaN or infinity began."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from gradiometer.cli.console import messages, results, write_json
from gradiometer.cli.exit_codes import FINDINGS, OK


def replay(
    run: Annotated[Path, typer.Argument(help="The run file.", show_default=False)],
    step: Annotated[
        int | None, typer.Option(min=0, help="The step to measure; where NaN or infinity began if not given.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Run a recorded script again up to the step where NaN or infinity began, and name the operation.

    The script runs with the recorded arguments and seed, unmeasured, and its batches and losses are compared with the
    recorded ones; then every operation of that step is measured. The script's output goes to stderr, and nothing that
    it writes touches your files. Ends with 0 where the operation is named, with 3 where none is.
    """
    from gradiometer.launching.replay_plan import plan_replay
    from gradiometer.launching.replaying import replay as replay_run
    from gradiometer.recording.reader import read_run
    from gradiometer.recording.writer import RunWriter
    from gradiometer.showing.replay_text import print_replay

    file = run.absolute()
    recorded = read_run(file)
    found = replay_run(plan_replay(recorded, file, step), lambda text: messages().print(text, soft_wrap=True))
    with RunWriter(file, is_resumed=True) as writer:
        writer.add_facts({"replay": asdict(found)})
    if json:
        write_json(found)
    else:
        print_replay(found, results())
    raise typer.Exit(OK if found.is_found else FINDINGS)
