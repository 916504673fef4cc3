"""`gradiometer run`: a script trains and is watched.

Examples:
    gradiometer run train.py --epochs 5
        Train as ever; at the end the verdict, the layer where it starts, and the reason.
    gradiometer run --steps 500 --fail-on critical train.py
        Stop after 500 steps, and end with exit code 3 where the diagnosis is critical.
    gradiometer run --overhead 0.05 --file before.db -m package.train
        Run a module, measure up to 5 % of the training time, and name the run file.
    gradiometer run --cure clip_gradients:1.0,warm_up_learning_rate train.py
        Train the whole script with two cures applied.
    gradiometer run --to wandb,tensorboard:runs/first train.py
        Tell Weights & Biases and TensorBoard of the run while it trains.
    torchrun --nproc-per-node 2 -m gradiometer run train.py
        Watch data-parallel training as one run.

Exit codes:
    0    The script ended well, and nothing reaches --fail-on.
    2    gradiometer could not do its work: no such script, no training seen, no place for the run file.
    3    A finding at or above --fail-on, or the run was stopped by --stop-on.
    130  Ctrl-C.
    N    Otherwise the script's own.

Files:
    .gradiometer/runs/  Run files, one of each run, SCRIPT-TIME-PROCESS.db; kept batches and weights beside them.
    pyproject.toml      Its table [tool.gradiometer] holds defaults: overhead, folder, fail_on, max_megabytes,
                        open_compiled, dear, and findings to ignore.

Environment:
    RANK, WORLD_SIZE   Set by torchrun: several processes are watched as one run.
    NO_COLOR, COLUMNS  No colour; width of the terminal.
    WANDB_MODE, MLFLOW_TRACKING_URI, TRACKIO_DIR, ...
                       Trackers named by --to go by their own.
"""

from pathlib import Path
from typing import Annotated

import typer

from gradiometer.cli.artefacts import Artefacts, Junit, Markdown, Sarif
from gradiometer.cli.completing import (
    complete_cures_or_run_file,
    complete_severity,
    complete_severity_or_condition,
    complete_tracker,
)
from gradiometer.cli.topics import ENDING, MEASURING, OUTPUT, RECORDING, RUNNING

Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="SCRIPT [ARGS]...", help="The script and its arguments.", show_default=False),
]
Module = Annotated[
    str | None,
    typer.Option("-m", metavar="MODULE", help="Run a module, as `python -m` does.", rich_help_panel=RUNNING),
]
RunFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Where to record; .gradiometer/runs/SCRIPT-TIME-PROCESS.db if not given.",
        rich_help_panel=RECORDING,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(metavar="N", help="Seed the random generators before the script starts.", rich_help_panel=RUNNING),
]
FailOn = Annotated[
    str | None,
    typer.Option(
        metavar="SEVERITY",
        help="End with exit code 3 on a finding this severe: critical, warning, info.",
        autocompletion=complete_severity,
        rich_help_panel=ENDING,
    ),
]
OpenCompiled = Annotated[
    bool,
    typer.Option(
        "--open-compiled",
        help="Measure compiled models' layers too; full steps then run eagerly.",
        rich_help_panel=MEASURING,
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Stop after this many optimizer steps.", rich_help_panel=ENDING),
]
Overhead = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="Share of the training time that measuring may take; 0.01 if not given.",
        rich_help_panel=MEASURING,
    ),
]
StopOn = Annotated[
    str | None,
    typer.Option(
        metavar="SEVERITY|CONDITION",
        help="Stop when this is found: a severity or a condition.",
        autocompletion=complete_severity_or_condition,
        rich_help_panel=ENDING,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No live view.", rich_help_panel=OUTPUT)]
KeepBatches = Annotated[
    str,
    typer.Option(
        metavar="N|SIZE",
        help="Batches of suspicious steps to keep beside the run file; 0 for none.",
        rich_help_panel=RECORDING,
    ),
]
KeepWeights = Annotated[
    str,
    typer.Option(
        metavar="N|SIZE",
        help="Weights of steps on the way to keep, for a replay to be checked by.",
        rich_help_panel=RECORDING,
    ),
]
CureToApply = Annotated[
    str | None,
    typer.Option(
        metavar="NAME[,NAME]|RUN",
        help="Apply cures, or the one that `cure` has proved in a run file.",
        autocompletion=complete_cures_or_run_file,
        rich_help_panel=RUNNING,
    ),
]
Live = Annotated[
    bool,
    typer.Option(
        "--live",
        help="Serve the run's dashboard while it trains; its address goes to stderr.",
        rich_help_panel=OUTPUT,
    ),
]

To = Annotated[
    str | None,
    typer.Option(
        metavar="TRACKER[:PLACE][,...]",
        help="Tell a tracker while it trains: tensorboard, wandb, mlflow, trackio; PLACE is a folder or project.",
        autocompletion=complete_tracker,
        rich_help_panel=OUTPUT,
    ),
]


def run(
    words: Words = None,
    module: Module = None,
    file: RunFile = None,
    steps: Steps = None,
    seed: Seed = None,
    overhead: Overhead = None,
    fail_on: FailOn = None,
    stop_on: StopOn = None,
    quiet: Quiet = False,
    open_compiled: OpenCompiled = False,
    keep_batches: KeepBatches = "4",
    keep_weights: KeepWeights = "0",
    cure: CureToApply = None,
    live: Live = False,
    to: To = None,
    junit: Junit = None,
    sarif: Sarif = None,
    markdown: Markdown = None,
) -> None:
    """Run a script unchanged and watch it train; the verdict comes at its end.

    The script's output, arguments and exit code are its own. Options for gradiometer go before the script's name:

        gradiometer run --steps 500 train.py --epochs 3

    With `--cure` the whole script trains with cures applied, as they would be by hand: what they change is said, new
    parameters change the keys of its checkpoints, and a cure that does not fit ends the run before it trains.
    """
    from gradiometer.cli.watched import WatchOptions, run_watched

    options = WatchOptions(
        tuple(words or ()),
        module,
        file,
        steps,
        seed,
        overhead,
        fail_on,
        stop_on,
        quiet,
        opens_compiled=open_compiled,
        keep_batches=keep_batches,
        keep_weights=keep_weights,
        cure=cure,
        is_live=live,
        artefacts=Artefacts(junit, sarif, markdown),
        to=to,
    )
    raise typer.Exit(run_watched(options))
