"""`gradiometer replay`: a recorded run again, up to the operation in which NaN or infinity began.

Examples:
    gradiometer replay run.db
        Name the operation, its layer and its line, in the step where NaN or infinity began.
    gradiometer replay run.db --step 120 --json
        Look at another step, and print one JSON object.

Exit codes:
    0    The operation is named.
    2    The run can't be replayed; stderr says why.
    3    No operation of that step gave NaN or infinity.
    130  Ctrl-C.

Files:
    RUN                         Read; what is found is added to it.
    run.batches/, run.weights/  Batches and weights that were kept beside run.db: a replay is checked by them.

Environment:
    WANDB_MODE and the like  Set for the script, so that its loggers upload nothing.
    NO_COLOR, COLUMNS        No colour; width of the terminal.
"""

from dataclasses import asdict
from typing import Annotated

import typer

from gradiometer.cli.console import messages, results, write_json
from gradiometer.cli.exit_codes import FINDINGS, OK
from gradiometer.cli.reading import Json, RecordedRun
from gradiometer.cli.topics import MEASURING


def replay(
    run: RecordedRun,
    step: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="The step to measure; where NaN or infinity began if not given.",
            rich_help_panel=MEASURING,
        ),
    ] = None,
    json: Json = False,
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
