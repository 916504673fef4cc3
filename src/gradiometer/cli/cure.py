"""`gradiometer cure`: the cures that fit are tried, and the one that works is proved.

Examples:
    gradiometer cure train.py --epochs 5
        Find what is wrong, try what fits for two minutes, prove one cure, and say what to change.
    gradiometer cure --seconds 600 --diff train.py
        Take longer, and print the change as a patch of the script.
    gradiometer cure --try exchange_activation:relu+redraw_weights:he train.py
        Try this pair first.
    gradiometer cure --without add_residual_paths,insert_normalisation train.py
        Leave the network's structure alone.
    gradiometer cure run.db
        Take script and arguments from a recorded run.
    gradiometer cure --engine ray --address ray://head:10001 train.py
        Run the trials on a Ray cluster.

Exit codes:
    0    A cure is proved.
    2    The script could not be run or watched; stderr says why.
    3    No cure is proved; also where the training is healthy and none is tried.
    130  Ctrl-C; what is done is kept, and the same command goes on from there.

Files:
    .gradiometer/cures/  A folder for each script with its arguments: the diagnosed run and all trials.
    pyproject.toml       Its table [tool.gradiometer] holds the findings to ignore.

Environment:
    WANDB_MODE and the like  Set for trials, so that their loggers upload nothing.
    TMPDIR                   Set for trials: each has a folder of its own.
    NO_COLOR, COLUMNS        No colour; width of the terminal.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from gradiometer.cli.completing import complete_cures, complete_engine
from gradiometer.cli.reading import Json
from gradiometer.cli.run import Module, Words
from gradiometer.cli.topics import OUTPUT, TRIALS, TRYING

Steps = Annotated[int | None, typer.Option(min=2, metavar="N", help="Steps of each trial.", rich_help_panel=TRIALS)]
Seconds = Annotated[
    float | None,
    typer.Option(min=1.0, metavar="N", help="Time that all may take; 120 if not given.", rich_help_panel=TRIALS),
]
Seeds = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Seeds of the last trials; 4 or 5 if not given.", rich_help_panel=TRIALS),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Processes at a time; one per processor.", rich_help_panel=TRIALS),
]
OutcomeFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Copy the run file with the outcome to this place.", rich_help_panel=OUTPUT),
]
Diff = Annotated[
    bool, typer.Option("--diff", help="Print the change as a patch of the script.", rich_help_panel=OUTPUT)
]
Tries = Annotated[
    str | None,
    typer.Option(
        "--try",
        metavar="NAME[,NAME]",
        help="Try these cures first; + joins a pair.",
        autocompletion=complete_cures,
        rich_help_panel=TRYING,
    ),
]
Without = Annotated[
    str | None,
    typer.Option(
        metavar="NAME[,NAME]",
        help="Kinds of cures that are not to be tried.",
        autocompletion=complete_cures,
        rich_help_panel=TRYING,
    ),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Forget what was tried before.", rich_help_panel=TRYING)]
EngineName = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="What runs the trials: local, or ray.",
        autocompletion=complete_engine,
        rich_help_panel=TRIALS,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="[ray://]HOST:PORT",
        help="A Ray cluster; one on this machine if not given.",
        rich_help_panel=TRIALS,
    ),
]
GpusPerTrial = Annotated[
    float,
    typer.Option(
        min=0.0, metavar="N", help="GPUs that Ray gives each trial; a share of one if below 1.", rich_help_panel=TRIALS
    ),
]


def cure(
    words: Words = None,
    module: Module = None,
    steps: Steps = None,
    seconds: Seconds = None,
    seeds: Seeds = None,
    workers: Workers = None,
    file: OutcomeFile = None,
    diff: Diff = False,
    json: Json = False,
    tries: Tries = None,
    without: Without = None,
    fresh: Fresh = False,
    engine: EngineName = "local",
    address: Address = None,
    gpus_per_trial: GpusPerTrial = 0.0,
) -> None:
    """Find out what is wrong with a script's training, try the cures that fit, and prove which one works.

    The script runs some dozen times, shortly, in processes of its own; nothing that it writes touches your files.
    In place of the script a run file may be given, whose script and arguments are taken. Ctrl-C keeps what is done,
    and the same command goes on from there.
    """
    from gradiometer.cli.curing import CureOptions, listed, run_cure
    from gradiometer.cli.engines import EngineOptions
    from gradiometer.curing.trials.plan import Wishes
    from gradiometer.launching.torchrun import refuse_several

    refuse_several(os.environ, "cure")
    options = CureOptions(
        tuple(words or ()),
        module,
        Wishes(steps, seconds, seeds, workers),
        file,
        is_diff=diff,
        is_json=json,
        is_fresh=fresh,
        labels=listed(tries),
        left_out=listed(without),
        engine=EngineOptions(engine, address, gpus_per_trial),
    )
    raise typer.Exit(run_cure(options))
